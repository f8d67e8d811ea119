package lxctools_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/convert/lxctools"
)

// TestEveryKeySpeaks: whatever is set of any key, in either spelling, is in the domain, or is told of, or is what the table says is
// nothing to carry over.
func TestEveryKeySpeaks(t *testing.T) {
	values := []string{
		"1", "0", "7", "/srv/x", "word", "a b", "u 0 100000 65536", "mknod", "8:0 100", "c 10:200 rwm", "dir:/srv/x", "/a b none bind 0 0", "proc:rw", "A=b",
	}
	const base = "lxc.rootfs.path = /srv/root\nlxc.cgroup.memory.limit_in_bytes = 1G\nlxc.idmap = b 0 100000 1000\n"
	usual, _, err := lxctools.Parse("config", []byte(base), lxctools.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range lxctools.Keys() {
		if k.Becomes == "" && k.Why == "" {
			t.Errorf("the table does not say what becomes of %s", k.Name)
		}
		if strings.Contains(k.Becomes, "othing for") || k.Becomes == "as above" {
			continue
		}
		for _, name := range []string{k.Name, k.Old} {
			for _, value := range values {
				if name = strings.ReplaceAll(name, "*", "0.flags"); name == "" {
					continue
				}
				line := name + " = " + value
				def, warnings, err := lxctools.Parse("config", []byte(base+line), lxctools.Options{})
				told := false
				for _, w := range warnings {
					told = told || w.Line == 4
				}
				if err == nil && !told && proto.Equal(def, usual) && !isUsual(line) {
					t.Errorf("%q is lost in silence", line)
				}
			}
		}
	}
}

// isUsual are settings that say what is so without them.
func isUsual(line string) bool {
	for _, usual := range []string{"lxc.tty.max = 0", "lxc.tty = 0", "lxc.rootfs.options = "} {
		if strings.HasPrefix(line, usual) {
			return true
		}
	}
	return false
}

// TestEveryKeyInBothSpellings: the old spelling of a key means what the new one does.
func TestEveryKeyInBothSpellings(t *testing.T) {
	for _, k := range lxctools.Keys() {
		if k.Old == "" || strings.HasSuffix(k.Old, "*") {
			continue
		}
		for _, value := range []string{"1", "word", "/srv/x", "u 0 100000 65536\n" + k.Name + " = g 0 100000 65536"} {
			now, told, failed := lxctools.Parse("config", []byte(k.Name+" = "+value), lxctools.Options{})
			old, toldOld, failedOld := lxctools.Parse("config", []byte(k.Old+" = "+value), lxctools.Options{})
			if !proto.Equal(now, old) || len(told) != len(toldOld) || (failed == nil) != (failedOld == nil) {
				t.Errorf("%s = %s is not %s: %v, %v", k.Old, value, k.Name, failed, failedOld)
			}
		}
	}
}

// TestEmptyTakesBack: an empty value takes back what was set by its key and those below it.
func TestEmptyTakesBack(t *testing.T) {
	for set, back := range map[string]string{
		"lxc.net.0.type = veth":                 "lxc.net =",
		"lxc.net.3.type = veth":                 "lxc.net.3 =",
		"lxc.network.type = veth":               "lxc.network =",
		"lxc.cap.drop = mknod":                  "lxc.cap.drop =",
		"lxc.environment = A=b":                 "lxc.environment =",
		"lxc.cgroup.pids.max = 5":               "lxc.cgroup =",
		"lxc.mount.entry = /a b none bind 0 0":  "lxc.mount.entry =",
		"lxc.idmap = b 0 100000 1000":           "lxc.id_map = ",
		"lxc.uts.name = web":                    `lxc.utsname = ""`,
		"lxc.prlimit.nofile = 5":                "lxc.prlimit =",
		"lxc.namespace.share.net = /proc/1/a/b": "lxc.namespace.share =",
	} {
		want, warnings, err := lxctools.Parse("config", nil, lxctools.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, told, err := lxctools.Parse("config", []byte(set+"\n"+back+"\n"), lxctools.Options{})
		if err != nil || !proto.Equal(want, got) || len(told) != len(warnings) {
			t.Errorf("%s is not taken back by %s: %v, %v", set, back, err, told)
		}
	}
}
