package lxctools_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/convert/lxctools"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/processor"
	"github.com/davitd/davit/internal/testenv"
)

// FuzzParse: whatever is read is a normalised and valid definition, and every fault and warning says something.
func FuzzParse(f *testing.F) {
	for _, a := range archives(f) {
		f.Add(file(a, "config"))
	}
	for _, k := range lxctools.Keys() {
		f.Add(strings.ReplaceAll(k.Name, "*", "x") + " = 1\n" + k.Old + "=")
	}
	f.Fuzz(func(t *testing.T, text string) {
		files := fstest.MapFS{"etc/more": {Data: []byte(text)}, "etc/d/a.conf": {Data: []byte(text)}}
		def, warnings, err := lxctools.Parse("/etc/config", []byte(text), lxctools.Options{Files: files})
		for _, w := range warnings {
			if w.Message == "" || w.Name == "" && !strings.HasPrefix(w.Message, "and ") {
				t.Errorf("a warning says nothing: %q", w)
			}
		}
		if err != nil {
			if err.Error() == "" {
				t.Error("an error says nothing")
			}
			return
		}
		if err := domain.Validate(def); err != nil {
			t.Errorf("what was read is not valid: %v", err)
		}
		again := proto.CloneOf(def)
		domain.Normalize(again)
		if !proto.Equal(def, again) {
			t.Error("what was read is not in canonical form")
		}
		if _, err := domain.FormatXML(def, domain.FormatOptions{}); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

// TestBounds reads 1 MiB of what costs most, as many settings as there may be among it.
func TestBounds(t *testing.T) {
	for name, line := range map[string]string{
		"settings":  "lxc.made.up.%d = 1\n",
		"mounts":    "lxc.mount.entry = /a%d a%d none bind 0 0\n",
		"same":      "lxc.mount.entry = /a%d a none bind 0 0\n",
		"networks":  "lxc.net.%d.type = veth\n",
		"devices":   "lxc.cgroup2.io.max = 8:%d rbps=1\n",
		"taken":     "lxc.net.%d =\n",
		"equals":    "lxc.x%d==\n",
		"maps":      "lxc.idmap = b 0 %d 1\n",
		"blank":     "\n",
		"comments":  "#\n",
		"faults":    "x\n",
		"fields":    "lxc.cap.drop =" + strings.Repeat(" sys_chroot", 8) + " %d\n",
		"option":    "lxc.mount.entry = /a b%d none " + strings.Repeat("o,", 400) + "\n",
		"includes":  "lxc.include = /etc/%d\n",
		"no number": "lxc.namespace.share.net = /proc/%d/ns/net\n",
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for i := 0; b.Len() < lxctools.MaxBytes-1024 && i < lxctools.MaxSettings; i++ {
				b.WriteString(strings.ReplaceAll(line, "%d", fmt.Sprint(i)))
			}
			b.WriteString(strings.Repeat("#\n", (lxctools.MaxBytes-b.Len())/2))
			text := []byte(b.String())
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var err error
			took := processor.Time(t, func() { _, _, err = lxctools.Parse("/etc/config", text, lxctools.Options{Files: fstest.MapFS{}}) })
			runtime.ReadMemStats(&after)
			grown := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d bytes: %s, %d KiB, failed: %v", len(text), took, grown>>10, err != nil)
			if grown > 64<<20 {
				t.Errorf("%d MiB were taken", grown>>20)
			}
			if took > testenv.Scale(10*time.Second) {
				t.Errorf("reading took %s", took)
			}
		})
	}
}
