package devices_test

import (
	"errors"
	"io"
	"os"
	"sort"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices"
	"github.com/davitd/davit/internal/testenv"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// entry is what a name leads to.
type entry struct {
	Mode     uint32
	UID, GID uint32
	Device   [2]uint32
}

func look(t *testing.T, dir *os.File) map[string]entry {
	t.Helper()
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	open := os.NewFile(uintptr(fd), "dev")
	defer func() { _ = open.Close() }()
	names, err := open.Readdirnames(-1)
	must(t, err)
	sort.Strings(names)
	found := map[string]entry{}
	for _, name := range names {
		var stat unix.Stat_t
		must(t, unix.Fstatat(fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW))
		found[name] = entry{stat.Mode, stat.Uid, stat.Gid, [2]uint32{unix.Major(stat.Rdev), unix.Minor(stat.Rdev)}}
	}
	return found
}

func TestDevIsExact(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	dev, err := devices.Dev{
		Nodes: []devices.Node{
			{Name: "null", Major: 1, Minor: 3, Mode: 0o666, UID: 7, GID: 8},
			{Name: "loop0", Block: true, Major: 7, Minor: 0, Mode: 0o660, UID: 7, GID: 6},
			{Name: "net/tun", Major: 10, Minor: 200, Mode: 0o600, UID: 7, GID: 8},
		},
		Links:   []devices.Link{{Name: "fd", Target: "/proc/self/fd", UID: 7, GID: 8}},
		Folders: []string{"pts"},
		Files:   []string{"console"},
		UID:     7, GID: 8,
	}.Make()
	must(t, err)
	defer func() { _ = dev.Close() }()
	none := [2]uint32{}
	want := map[string]entry{
		"null": {unix.S_IFCHR | 0o666, 7, 8, [2]uint32{1, 3}}, "loop0": {unix.S_IFBLK | 0o660, 7, 6, [2]uint32{7, 0}},
		"net": {unix.S_IFDIR | 0o755, 7, 8, none}, "fd": {unix.S_IFLNK | 0o777, 7, 8, none},
		"pts": {unix.S_IFDIR | 0o755, 7, 8, none}, "console": {unix.S_IFREG | 0o600, 7, 8, none},
	}
	if diff := cmp.Diff(want, look(t, dev)); diff != "" {
		t.Errorf("dev (-want +got):\n%s", diff)
	}
	var stat unix.Stat_t
	must(t, unix.Fstat(int(dev.Fd()), &stat))
	if stat.Mode != unix.S_IFDIR|0o755 || stat.Uid != 7 {
		t.Errorf("root folder is %#o of %d", stat.Mode, stat.Uid)
	}
}

func TestNamesStayBelowTheFolder(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	for _, name := range []string{"", ".", "..", "../null", "/null", "a/../b", "a//b", "a/"} {
		dev, err := devices.Dev{Nodes: []devices.Node{{Name: name, Major: 1, Minor: 3, Mode: 0o666}}}.Make()
		if err == nil {
			_ = dev.Close()
			t.Errorf("a node %q was made", name)
		}
	}
	_, err := devices.Dev{Nodes: []devices.Node{{Name: "a"}}, Links: []devices.Link{{Name: "a", Target: "b"}}}.Make()
	if !errors.Is(err, unix.EEXIST) {
		t.Errorf("two of a name: %v", err)
	}
}

func TestTerminal(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	devpts, err := devices.MakeTerminals(5, 2)
	must(t, err)
	defer func() { _ = devpts.Close() }()
	var open []*devices.Terminal
	for i := range 2 {
		terminal, failed := devices.OpenTerminal(devpts, 1234)
		must(t, failed)
		open = append(open, terminal)
		var stat unix.Stat_t
		must(t, unix.Fstat(int(terminal.Slave.Fd()), &stat))
		if unix.Major(stat.Rdev) != 136 || int(unix.Minor(stat.Rdev)) != i || stat.Mode != unix.S_IFCHR|0o620 || stat.Uid != 1234 || stat.Gid != 5 {
			t.Errorf("terminal %d is %d:%d %#o of %d:%d", i, unix.Major(stat.Rdev), unix.Minor(stat.Rdev), stat.Mode, stat.Uid, stat.Gid)
		}
	}
	if _, err = devices.OpenTerminal(devpts, 0); err == nil {
		t.Error("a third terminal of two was opened")
	}
	must(t, open[0].Resize(40, 100))
	size, err := unix.IoctlGetWinsize(int(open[0].Slave.Fd()), unix.TIOCGWINSZ)
	must(t, err)
	if size.Row != 40 || size.Col != 100 {
		t.Errorf("size %v", size)
	}
	_, err = open[0].Slave.WriteString("to the master")
	must(t, err)
	buffer := make([]byte, 64)
	n, err := open[0].Master.Read(buffer)
	if string(buffer[:n]) != "to the master" || err != nil {
		t.Errorf("%q, %v", buffer[:n], err)
	}
	must(t, open[0].Slave.Close())
	if n, err := open[0].Master.Read(buffer); !errors.Is(err, unix.EIO) && err != io.EOF {
		t.Errorf("after the end %d, %v", n, err)
	}
	must(t, open[0].Master.Close())
	must(t, open[1].Close())
}
