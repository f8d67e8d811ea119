package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestModuleFilesComeAfterWhatTheyNeed(t *testing.T) {
	k := kernel{dir: t.TempDir(), version: "6.1"}
	if err := os.MkdirAll(k.modules(), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "kernel/a-b.ko.xz: kernel/c.ko kernel/d.ko\nkernel/c.ko: kernel/d.ko\nkernel/d.ko:\nkernel/unused.ko:\n"
	if err := os.WriteFile(filepath.Join(k.modules(), "modules.dep"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := k.moduleFiles("a_b", "built-in", "d")
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i], _ = filepath.Rel(k.modules(), got[i])
	}
	if diff := cmp.Diff([]string{"kernel/d.ko", "kernel/c.ko", "kernel/a-b.ko.xz"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The form is cpio's newc: a head of 110 bytes, the name with a NUL, the text, each filled up to four bytes.
func TestArchiveIsAligned(t *testing.T) {
	var out bytes.Buffer
	a := &archive{w: &out}
	a.add("init", 0o100755, []byte("12345"))
	a.add("TRAILER!!!", 0, nil)
	if a.err != nil {
		t.Fatal(a.err)
	}
	text := out.String()
	if !strings.HasPrefix(text, "07070100000001000081ed") || text[110:115] != "init\x00" {
		t.Errorf("the head is %q", text[:116])
	}
	if text[116:124] != "12345\x00\x00\x00" || !strings.HasPrefix(text[124:], "070701") || len(text)%4 != 0 {
		t.Errorf("the text is not aligned: %q", text[110:130])
	}
}

func TestWrongUseIsNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it is refused for that already")
	}
	if err := check(options{cgroup: "v3"}); err == nil || !strings.Contains(err.Error(), `"v3"`) {
		t.Errorf("got %v", err)
	}
	status, err := run(t.Context(), []string{"-nonsense"})
	if status != statusWrong || err == nil {
		t.Errorf("got %d, %v", status, err)
	}
}

func TestTail(t *testing.T) {
	if got := tail([]byte("a\nb\nc\n"), 2); got != "b\nc" {
		t.Errorf("got %q", got)
	}
}
