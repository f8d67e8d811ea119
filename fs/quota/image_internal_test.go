package quota

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices/loop"
	"github.com/davitd/davit/fs"
	"github.com/davitd/davit/internal/testenv"
)

// image makes a filesystem in a file and gives its root folder, on a mount that shows in no mount table. A test is skipped
// where the kernel, or a program, is missing.
func image(t *testing.T, kind string, mkfs []string, options ...string) *os.File {
	t.Helper()
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	program, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		t.Skipf("needs mkfs.%s: %v", kind, err)
	}
	path := filepath.Join(t.TempDir(), "image")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	must(t, err)
	defer func() { _ = file.Close() }()
	must(t, file.Truncate(512<<20))
	if out, failed := exec.Command(program, append(mkfs, path)...).CombinedOutput(); failed != nil {
		t.Fatalf("%s: %v\n%s", program, failed, out)
	}
	device, err := loop.Make(file, loop.Options{})
	must(t, err)
	defer func() { _ = device.Close() }()
	list := []fs.Option{{Name: "source", Value: fmt.Sprintf("/dev/loop%d", device.Number)}}
	for _, o := range options {
		list = append(list, fs.Option{Name: o})
	}
	mount, err := fs.Make(kind, 0, list...)
	if err != nil {
		t.Skipf("needs a kernel that mounts %s with %q: %v", kind, options, err)
	}
	defer func() { _ = mount.Close() }()
	return beneath(t, mount, ".")
}

// beneath opens a folder to be read.
func beneath(t *testing.T, dir *os.File, name string) *os.File {
	t.Helper()
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	f := os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name))
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func folder(t *testing.T, dir *os.File, name string) *os.File {
	t.Helper()
	must(t, unix.Mkdirat(int(dir.Fd()), name, 0o755))
	return beneath(t, dir, name)
}

// write makes a file of so many bytes without CAP_SYS_RESOURCE, which a process of a user namespace does not have on the host either.
func write(t *testing.T, dir *os.File, name string, size int) error {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never back: the thread ends with its rights
		done <- func() error {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var data [2]unix.CapUserData
			if err := unix.Capget(&header, &data[0]); err != nil {
				return err
			}
			data[0].Effective &^= 1 << unix.CAP_SYS_RESOURCE
			if err := unix.Capset(&header, &data[0]); err != nil {
				return err
			}
			fd, err := unix.Openat(int(dir.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o644)
			if err != nil {
				return err
			}
			f := os.NewFile(uintptr(fd), name)
			_, err = f.Write(make([]byte, size))
			return errors.Join(err, f.Sync(), f.Close())
		}()
	}()
	return <-done
}

func isFull(err error) bool { return errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.ENOSPC) }

func read(t *testing.T, dir *os.File) Usage {
	t.Helper()
	u, err := Read(dir)
	must(t, err)
	return u
}

func projectOf(t *testing.T, dir *os.File, name string) uint32 {
	t.Helper()
	at, err := fs.OpenBeneath(dir, name, 0)
	must(t, err)
	defer func() { _ = at.Close() }()
	file, err := reopen(at, name, 0)
	must(t, err)
	defer func() { _ = file.Close() }()
	a, err := attributesOf(file)
	must(t, err)
	return a.project
}

// projectKinds are the filesystems that have projects.
var projectKinds = []string{"ext4", "xfs"}

// withProjects makes a filesystem that enforces their quotas.
func withProjects(t *testing.T, kind string) *os.File {
	t.Helper()
	options := []string{"-q"}
	if kind == "ext4" {
		options = []string{"-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota"}
	}
	return image(t, kind, options, "prjquota")
}

func TestLimitHoldsForAllThatIsInAFolder(t *testing.T) {
	for _, kind := range projectKinds {
		t.Run(kind, func(t *testing.T) {
			root := withProjects(t, kind)
			dir, other := folder(t, root, "dir"), folder(t, root, "other")
			deep := folder(t, folder(t, dir, "a"), "b")
			must(t, write(t, deep, "before", 512<<10))
			must(t, write(t, other, "secret", 4096))
			must(t, unix.Symlinkat("../other", int(dir.Fd()), "link"))
			must(t, unix.Mkfifoat(int(dir.Fd()), "fifo", 0o600))
			must(t, Check(dir))
			if u := read(t, dir); u != (Usage{}) {
				t.Errorf("a folder without a limit: %+v", u)
			}
			must(t, Limit(t.Context(), dir, 1<<20))
			if u := read(t, dir); u.Limit != 1<<20 || u.Used < 512<<10 || u.Used > 1<<20 {
				t.Errorf("limit with content: %+v", u)
			}
			must(t, write(t, dir, "fits", 256<<10))
			must(t, unix.Mkdirat(int(deep.Fd()), "new", 0o755))
			if err := write(t, beneath(t, deep, "new"), "more", 1<<20); !isFull(err) {
				t.Errorf("write beyond the limit: %v", err)
			}
			if u := read(t, dir); u.Used > u.Limit {
				t.Errorf("more is used than the limit: %+v", u)
			}
			must(t, write(t, other, "large", 8<<20)) // what is beside it is not bound
			if got := projectOf(t, other, "secret"); got != 0 {
				t.Errorf("what a symbolic link leads to is of project %d", got)
			}
			id := projectOf(t, dir, ".")
			must(t, Limit(t.Context(), dir, 8<<20))
			must(t, write(t, deep, "second", 3<<20))
			if u, now := read(t, dir), projectOf(t, dir, "."); u.Limit != 8<<20 || now != id {
				t.Errorf("another limit: %+v, project %d, was %d", u, now, id)
			}
			must(t, Limit(t.Context(), dir, 4096)) // less than there is
			if err := write(t, dir, "none", 64<<10); !isFull(err) {
				t.Errorf("write into a folder that holds more than it may: %v", err)
			}
		})
	}
}

func TestFoldersShareNoProject(t *testing.T) {
	for _, kind := range projectKinds {
		t.Run(kind, func(t *testing.T) {
			root := withProjects(t, kind)
			seen := make(map[uint32]string)
			for i := range 8 {
				name := fmt.Sprintf("dir%d", i)
				dir := folder(t, root, name)
				must(t, Limit(t.Context(), dir, 1<<20))
				id := projectOf(t, root, name)
				if id < FirstProject || id > LastProject || seen[id] != "" {
					t.Errorf("%s is of project %d, as %q", name, id, seen[id])
				}
				seen[id] = name
			}
			// The number that a folder would take first is somebody's already.
			dir, file := folder(t, root, "late"), folder(t, root, "taker")
			var stat unix.Stat_t
			must(t, unix.Fstat(int(dir.Fd()), &stat))
			must(t, join(file, true, candidate(stat.Ino, 0)))
			must(t, Limit(t.Context(), dir, 1<<20))
			if id := projectOf(t, root, "late"); id != candidate(stat.Ino, 1) {
				t.Errorf("project %d, want the second choice, %d", id, candidate(stat.Ino, 1))
			}
		})
	}
}

func TestProjectOfSomebodyElseStays(t *testing.T) {
	for _, kind := range projectKinds {
		t.Run(kind, func(t *testing.T) {
			root := withProjects(t, kind)
			refused := func(dir *os.File, words string) {
				t.Helper()
				if err := Limit(t.Context(), dir, 1<<20); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), words) {
					t.Errorf("limit %q: %v", dir.Name(), err)
				}
			}
			theirs := folder(t, root, "theirs")
			must(t, join(theirs, true, 42))
			refused(theirs, "project 42")
			dir := folder(t, root, "dir")
			must(t, write(t, dir, "first", 1))
			must(t, join(folder(t, dir, "part"), true, 43))
			refused(dir, "dir/part")
			for name, want := range map[string]uint32{"dir": 0, "dir/first": 0, "dir/part": 43, "theirs": 42} {
				if got := projectOf(t, root, name); got != want {
					t.Errorf("%s is of project %d after it was refused, was of %d", name, got, want)
				}
			}
			ours := folder(t, root, "ours")
			must(t, Limit(t.Context(), ours, 1<<20))
			inner := folder(t, ours, "inner")
			refused(inner, "has a limit of its own already")
			if err := Check(inner); !errors.Is(err, ErrForeign) {
				t.Errorf("check of a folder in one that has a limit: %v", err)
			}
			if id := projectOf(t, root, "ours"); id == 0 || projectOf(t, ours, "inner") != id {
				t.Error("the folder in it has left the project")
			}
		})
	}
}

func TestLimitThatWasCutOffIsCompleted(t *testing.T) {
	for _, kind := range projectKinds {
		t.Run(kind, func(t *testing.T) {
			root := withProjects(t, kind)
			dir := folder(t, root, "dir")
			must(t, write(t, dir, "file", 1<<20))
			p := &project{dir: dir, filesystem: "any"}
			id, err := p.allocate()
			must(t, err)
			if got := projectOf(t, dir, "file"); got != 0 {
				t.Fatalf("the content is of project %d already", got)
			}
			must(t, Limit(t.Context(), dir, 2<<20))
			if u := read(t, dir); u.Used < 1<<20 || projectOf(t, dir, "file") != id {
				t.Errorf("content is not counted: %+v", u)
			}
		})
	}
}

func TestFilesystemWithoutProjectsIsNamed(t *testing.T) {
	for kind, mkfs := range map[string][]string{"ext4": {"-q", "-F"}, "xfs": {"-q"}} {
		t.Run(kind, func(t *testing.T) {
			dir := folder(t, image(t, kind, mkfs), "dir")
			err := Check(dir)
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), kind) || !strings.Contains(err.Error(), "mount it with prjquota") {
				t.Errorf("check: %v", err)
			}
		})
	}
}

func TestSubvolume(t *testing.T) {
	root := image(t, "btrfs", []string{"-q"})
	const createSubvolume, controlQuota = 0x5000940e, 0xc0109428 // BTRFS_IOC_SUBVOL_CREATE, BTRFS_IOC_QUOTA_CTL
	var args struct {
		_    int64
		name [4088]byte
	}
	copy(args.name[:], "volume")
	must(t, ioctl(root, createSubvolume, unsafe.Pointer(&args)))
	volume, plain := beneath(t, root, "volume"), folder(t, root, "plain")
	if err := Check(volume); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "btrfs quota enable") {
		t.Errorf("without quotas: %v", err)
	}
	enable := [2]uint64{1}
	must(t, ioctl(root, controlQuota, unsafe.Pointer(&enable)))
	if err := Limit(t.Context(), plain, 1<<20); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "subvolume") {
		t.Errorf("a folder that is no subvolume: %v", err)
	}
	must(t, Limit(t.Context(), volume, 2<<20))
	if u := read(t, volume); u.Limit != 2<<20 {
		t.Errorf("limit: %+v", u)
	}
	must(t, write(t, volume, "fits", 1<<20))
	if err := write(t, volume, "large", 4<<20); !isFull(err) {
		t.Errorf("write beyond the limit: %v", err)
	}
	must(t, write(t, root, "beside", 8<<20))
	must(t, Limit(t.Context(), volume, 16<<20))
	must(t, write(t, volume, "later", 4<<20))
}
