package native

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A source that holds no filesystem is told by its name, with what could have been in it.
func TestProbeNamesTheSource(t *testing.T) {
	for _, c := range []struct {
		n    need
		want string
	}{
		{need{kind: imageSource, path: "/a b.img"}, `image "/a b.img" holds no filesystem that is known: ext2, ext3,`},
		{need{kind: blockSource, path: "/dev/sdz"}, `block device "/dev/sdz" holds no filesystem that is known: ext2, ext3,`},
	} {
		if found, err := c.n.probe(bytes.NewReader(make([]byte, 1<<17))); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q, %v; want %q", found, err, c.want)
		}
	}
	name := filepath.Join(t.TempDir(), "a.img")
	if err := os.WriteFile(name, make([]byte, 1<<17), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &Driver{}
	if s := d.lookAt(need{kind: imageSource, mounted: true, path: name}); !strings.HasPrefix(s.Missing, `image "`+name+`" holds no`) {
		t.Errorf("%+v", s)
	}
}

// A definition that lacks nothing but files says that they are not there; one that asks for what the host cannot have does not.
func TestAbsentSourcesAreNotThere(t *testing.T) {
	def := &davitv1.Domain{Name: "web", Devices: &davitv1.Devices{Disk: []*davitv1.Disk{
		{Type: davitv1.DiskType_DISK_TYPE_FILE, SourceFile: filepath.Join(t.TempDir(), "a.img"), TargetDev: "vda"},
	}}}
	reason := func() (*domain.Error, bool) {
		return errors.AsType[*domain.Error](checkHost(def, Facts{Sources: (&Driver{}).look(def)}.withFilter(def, "")))
	}
	absent, lacks := davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND, davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED
	e, ok := reason()
	if !ok || e.Reason != absent || !errors.Is(e, domain.ErrFailedPrecondition) || !strings.Contains(e.Error(), `a.img" does not exist`) {
		t.Errorf("without the file: %v", e)
	}
	def.Devices.Disk = append(def.Devices.Disk, &davitv1.Disk{Type: davitv1.DiskType_DISK_TYPE_FILE, SourceFile: t.TempDir(), TargetDev: "vdb"})
	if e, ok = reason(); !ok || e.Reason != lacks || len(e.Violations) != 2 {
		t.Errorf("and with a folder for an image: %v", e)
	}
	def.Devices.Disk = nil
	if e, ok = reason(); ok {
		t.Errorf("with nothing missing: %v", e)
	}
}
