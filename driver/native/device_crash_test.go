package native_test

import (
	"fmt"
	"path/filepath"
	"testing"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A davitd that is killed before a step of an attach or a detach is followed by one that makes the change, or undoes it, as it is
// told; neither leaves more than the definition says.
func TestKilledWhileFurnishing(t *testing.T) {
	for _, step := range []string{"announce devices", "allow devices", "change devices", "settle devices", ""} {
		for _, detach := range []bool{false, true} {
			t.Run(fmt.Sprintf("before %q, detach %v", step, detach), func(t *testing.T) { killedWhileFurnishing(t, step, detach) })
		}
	}
}

func killedWhileFurnishing(t *testing.T, step string, detach bool) {
	t.Helper()
	h := newHost(t, "de000007")
	dir := t.TempDir()
	needLoop(t, dir)
	image := rawImage(t, filepath.Join(dir, "a.img"), "words", 1<<20)
	bare := h.spec(idle)
	full := plus(bare.Definition, file(image, "sda"), misc("/dev/loop-control"), mounted(&davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: dir, TargetDir: "/mnt",
	}))
	from, to := bare.Definition, full
	if detach {
		from, to = full, bare.Definition
	}
	h.killed(t, task{Step: step, Definition: from, Ref: bare.Ref, Update: to})
	d := closing(t, h.open(t))
	bare.Definition = from
	i, err := d.Recover(t.Context(), bare)
	if err != nil {
		t.Fatalf("killed before %q: %v", step, err)
	}
	for _, def := range []*davitv1.Domain{to, from, to} {
		if err := i.Update(t.Context(), def); err != nil {
			t.Fatalf("killed before %q: update: %v", step, err)
		}
		want := [][2]string{{"head -c 5 /dev/sda", "words"}, {"exec 3<>/dev/loop-control && echo open", "open"}, {"ls /mnt", "a.img"}}
		if len(def.GetDevices().GetDisk()) == 0 {
			want = [][2]string{{"ls /dev/sda", noNode}, {"ls /dev/loop-control", noNode}, {"ls /mnt/a.img", noNode}}
		}
		ask(t, "killed before "+step, i, want)
	}
	kill(t, i)
	h.empty(t)
}
