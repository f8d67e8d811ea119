package devices_test

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices"
	"github.com/davitd/davit/internal/testenv"
)

// liveDev is a /dev that a container has. Nodes are made with a umask of 0, as this process has until the test is over.
func liveDev(t *testing.T) *os.File {
	t.Helper()
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	dev, err := devices.Dev{Folders: []string{"pts"}, UID: 7, GID: 8}.Make()
	must(t, err)
	before := unix.Umask(0)
	t.Cleanup(func() {
		unix.Umask(before)
		_ = dev.Close()
	})
	return dev
}

func TestAddAndRemove(t *testing.T) {
	dev := liveDev(t)
	empty := look(t, dev)
	node := devices.Node{Name: "bus/usb/001", Major: 189, Minor: 3, Mode: 0o664, UID: 7, GID: 9}
	if folders, err := node.Add(dev); folders != 2 || err != nil {
		t.Fatalf("%d folders, %v", folders, err)
	}
	if _, err := node.Add(dev); !errors.Is(err, unix.EEXIST) {
		t.Errorf("again: %v", err)
	}
	got := look(t, dev)
	if want := (entry{unix.S_IFDIR | 0o755, 7, 9, [2]uint32{}}); got["bus"] != want {
		t.Errorf("folder is %v, want %v", got["bus"], want)
	}
	other := node
	other.Minor = 4
	if _, removed, err := other.Remove(dev, devices.AllFolders); removed || err != nil {
		t.Errorf("another device was removed: %v, %v", removed, err)
	}
	was, removed, err := node.Remove(dev, devices.AllFolders)
	if diff := cmp.Diff(node, was); diff != "" || !removed || err != nil {
		t.Errorf("%v, %v (-want +got):\n%s", removed, err, diff)
	}
	if diff := cmp.Diff(empty, look(t, dev)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, removed, err = node.Remove(dev, devices.AllFolders); removed || err != nil {
		t.Errorf("it was removed twice: %v, %v", removed, err)
	}
}

// What was added is taken back with the folders that were made for it, and no other, empty as it may be.
func TestTakeBack(t *testing.T) {
	dev := liveDev(t)
	must(t, unix.Mkdirat(int(dev.Fd()), "bus", 0o700))
	for _, mine := range []string{"", "bus/usb", "bus/usb/one"} {
		if mine != "" {
			must(t, unix.Mkdirat(int(dev.Fd()), mine, 0o700))
		}
		before := look(t, dev)
		node := devices.Node{Name: "bus/usb/one/001", Major: 189, Minor: 3, Mode: 0o664}
		folders, err := node.Add(dev)
		must(t, err)
		if _, removed, err := node.Remove(dev, folders); !removed || err != nil {
			t.Errorf("%v, %v", removed, err)
		}
		if diff := cmp.Diff(before, look(t, dev)); diff != "" {
			t.Errorf("with %q there, %d folders made (-want +got):\n%s", mine, folders, diff)
		}
	}
}

// Names that lead elsewhere, by themselves or by what somebody put there, are refused, and the folders on the way are gone.
func TestAddStaysBelow(t *testing.T) {
	dev := liveDev(t)
	must(t, unix.Symlinkat("/tmp", int(dev.Fd()), "link"))
	must(t, unix.Symlinkat("/etc/passwd", int(dev.Fd()), "file"))
	before := look(t, dev)
	for _, name := range []string{"", ".", "..", "../x", "/x", "a/../b", "a//b", "a/", "link/x", "file", "file/x", "new/../../x"} {
		node := devices.Node{Name: name, Major: 1, Minor: 3, Mode: 0o666}
		if _, err := node.Add(dev); err == nil {
			t.Errorf("%q was made", name)
		}
		if _, removed, _ := node.Remove(dev, devices.AllFolders); removed {
			t.Errorf("%q was removed", name)
		}
	}
	if _, err := (devices.Node{Name: "new/deep/x", Major: 1 << 20, Minor: 3, Mode: 0o777 | unix.S_IFIFO}).Add(dev); err == nil {
		t.Error("a node of no kind was made")
	}
	if diff := cmp.Diff(before, look(t, dev)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
