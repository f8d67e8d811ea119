package launch_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices/loop"
	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A maker makes an image of a folder.
type maker struct {
	kind     string
	size     int64 // of the file, 0 if the tool chooses it
	readOnly bool
	command  func(image, folder string) []string
}

func makers() []maker {
	return []maker{
		{"ext4", 8 << 20, false, func(image, folder string) []string { return []string{"mkfs.ext4", "-q", "-d", folder, image} }},
		{"ext2", 8 << 20, false, func(image, folder string) []string { return []string{"mkfs.ext2", "-q", "-d", folder, image} }},
		{"btrfs", 128 << 20, false, func(image, folder string) []string {
			return []string{"mkfs.btrfs", "-q", "--rootdir", folder, image}
		}},
		{"xfs", 320 << 20, false, func(image, folder string) []string {
			return []string{"mkfs.xfs", "-q", "-p", protoFile(folder), image}
		}},
		{"erofs", 0, true, func(image, folder string) []string { return []string{"mkfs.erofs", "--quiet", image, folder} }},
		{"squashfs", 0, true, func(image, folder string) []string {
			return []string{"mksquashfs", folder, image, "-quiet", "-no-progress", "-noappend"}
		}},
	}
}

// protoFile says what mkfs.xfs puts into a filesystem.
func protoFile(folder string) string {
	path := folder + ".proto"
	text := "/stand\n0 0\nd--755 0 0\nfile ---644 0 0 " + folder + "/file\nzero c--666 0 0 1 5\n$\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return path
}

// newImage makes an image that holds a file and a device node, or skips where that cannot be.
func newImage(t *testing.T, m maker) string {
	t.Helper()
	folder, image := filepath.Join(t.TempDir(), "content"), filepath.Join(t.TempDir(), "image")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder+"/file", []byte("of the image"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(folder+"/zero", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
		t.Fatal(err)
	}
	if m.size > 0 {
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(image, m.size); err != nil {
			t.Fatal(err)
		}
	}
	argv := m.command(image, folder)
	needKind(t, m.kind, argv[0])
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return image
}

// needKind skips where a type of filesystem cannot be made or mounted.
func needKind(t *testing.T, kind, tool string) {
	t.Helper()
	list, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Fields(string(list)), kind) {
		t.Skipf("the kernel has no %s", kind)
	}
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("there is no %s", tool)
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("no loop devices: %v", err)
	}
}

// attach makes a device of an image. It is given back with the descriptor.
func attach(t *testing.T, image string, readOnly bool) *loop.Device {
	t.Helper()
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	device, err := loop.Make(file, loop.Options{ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = device.Close() })
	return device
}

func imageOf(m *monitorv1.Image) *monitorv1.Operation {
	return &monitorv1.Operation{Step: &monitorv1.Operation_Image{Image: m}}
}

// hold gives a plan something to hold.
func hold(plan *monitorv1.Plan, names ...string) *monitorv1.Plan {
	plan.Held = append(plan.Held, names...)
	return plan
}

// startHolding starts a container that holds something.
func startHolding(tb testing.TB, plan *monitorv1.Plan, held ...*os.File) *subject {
	tb.Helper()
	guest, err := launch.Launch(plan, launch.Descriptors{Held: held})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { end(guest) })
	return &subject{tb, guest, plan}
}

// The filesystem of an image is there from the start or comes later, with the ids of the container; no device node in it
// can be opened.
func TestImages(t *testing.T) {
	for _, m := range makers() {
		t.Run(m.kind, func(t *testing.T) {
			inBoth(t, func(w world) {
				early, late := attach(w.T, newImage(w.T, m), m.readOnly), attach(w.T, newImage(w.T, m), m.readOnly)
				mapped := mapsIDs(w.T, m.kind)
				plan := hold(add(w.plan("pause"), imageOf(&monitorv1.Image{
					Held: "early", Type: m.kind, Target: "/early", ReadOnly: m.readOnly, Mapped: mapped,
				})), "early")
				s := startHolding(w.T, plan, early.File)
				s.must(&monitorv1.Revise{Hold: []string{"late"}, AddMounts: []*monitorv1.Operation{imageOf(&monitorv1.Image{
					Held: "late", Type: m.kind, Target: "/late/on", ReadOnly: m.readOnly, Mapped: mapped,
				})}}, early.File, late.File)
				for _, point := range []string{"/early", "/late/on"} {
					checkImage(w.T, s, m, point, mapped)
				}
				s.must(&monitorv1.Revise{RemoveMounts: []string{"/late/on", "/early"}}, early.File, late.File)
				if points := s.mountPoints(); slices.Contains(points, "/early") || slices.Contains(points, "/late/on") {
					w.Errorf("%q", points)
				}
			})
		})
	}
}

// mapsIDs tells whether ids can be mapped on a filesystem: not where ext2 has a driver of its own, and on squashfs since 6.2.
func mapsIDs(t *testing.T, kind string) bool {
	t.Helper()
	if kind != "squashfs" {
		return kind != "ext2"
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major > 6 || major == 6 && minor >= 2
}

// checkImage looks at the filesystem of an image from inside.
func checkImage(t *testing.T, s *subject, m maker, point string, mapped bool) {
	t.Helper()
	words := []string{"cat", point + "/file", "--", "open", point + "/zero", "--", "write", point + "/new", "x"}
	if s.plan.GetNamespaces().GetUser() {
		// Its root may change mounts, but not take from them what they were given.
		words = append(words, "--", "remount", point, "--", "open", point+"/zero")
	}
	out := s.in(words...)
	out.compare(t, "cat", point+`/file "of the image"`)
	if len(out.with("opened")) != 0 {
		t.Errorf("a device node of the image was opened: %q", out)
	}
	if line := s.mountLine(point); !strings.Contains(line, "nosuid,nodev") || !strings.HasSuffix(line, " "+m.kind) {
		t.Errorf("%s is %q", point, line)
	}
	out.compare(t, "remounted")
	if m.readOnly {
		out.compare(t, "wrote")
		return
	}
	if !mapped && s.plan.GetNamespaces().GetUser() {
		out.compare(t, "wrote") // its files belong to the host
		return
	}
	out.compare(t, "wrote", point+"/new")
	if mapped && !slices.Contains(s.in("ls", point).with("ls"), "new 0100644 0:0") {
		t.Errorf("%q", s.in("ls", point))
	}
}

// A root is the filesystem of an image as well, also where nobody can write to it.
func TestRootImage(t *testing.T) {
	inBoth(t, func(w world) {
		root := w.plan().GetOperations()[0].GetRootBind().GetSource()
		if err := unix.Mknod(root+"/zero", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
			w.Fatal(err)
		}
		if err := os.MkdirAll(root+"/run", 0o755); err != nil {
			w.Fatal(err)
		}
		// Ids in an image are those of the container.
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, 0, 0)
		})
		if err != nil {
			w.Fatal(err)
		}
		image := filepath.Join(w.TempDir(), "image")
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			w.Fatal(err)
		}
		if err := os.Truncate(image, 64<<20); err != nil {
			w.Fatal(err)
		}
		needKind(w.T, "ext4", "mkfs.ext4")
		if out, err := exec.Command("mkfs.ext4", "-q", "-d", root, image).CombinedOutput(); err != nil {
			w.Fatalf("%v\n%s", err, out)
		}
		for _, readOnly := range []bool{false, true} {
			device := attach(w.T, image, readOnly)
			plan := hold(w.plan("write", "/new", "x", "--", "open", "/zero", "--", "ls", "/bin", "--", "mounts"), "root")
			plan.Operations[0] = &monitorv1.Operation{Step: &monitorv1.Operation_RootImage{RootImage: &monitorv1.RootImage{
				Held: "root", Type: "ext4", ReadOnly: readOnly, Mapped: true,
			}}}
			if readOnly {
				// There is no place to be made in it.
				plan.Operations = slices.DeleteFunc(plan.Operations, func(op *monitorv1.Operation) bool { return op.GetConsoleBind() != nil })
			}
			out, _ := runHolding(w.T, plan, device.File)
			if readOnly {
				out.compare(w.T, "error:", "write /new x: open /new: read-only file system", "open /zero: permission denied")
			} else {
				out.compare(w.T, "error:", "open /zero: permission denied")
				out.compare(w.T, "wrote", "/new")
			}
			if !slices.ContainsFunc(out.with("ls"), func(line string) bool { return strings.HasSuffix(line, " 0:0") }) {
				w.Errorf("%q", out)
			}
			isRoot := func(line string) bool {
				return strings.HasPrefix(line, "/ ") && strings.Contains(line, ",nodev,") && strings.HasSuffix(line, " ext4")
			}
			if lines := out.with("mount"); !slices.ContainsFunc(lines, isRoot) {
				w.Errorf("%q", lines)
			}
			_ = device.Close()
		}
	})
}

// An image that was not unmounted cleanly can be read where nobody can write to it, and the error says why it cannot be
// written to.
func TestImageWithAJournal(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	image := newImage(t, makers()[0])
	device := attach(t, image, false)
	plan := hold(newPlan(newRoot(t), "pause"), "disk")
	s := startHolding(t, plan, device.File)
	s.must(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{imageOf(&monitorv1.Image{Held: "disk", Type: "ext4", Target: "/disk"})}}, device.File)
	s.in("write", "/disk/new", "x").compare(t, "wrote", "/disk/new")
	unix.Sync()
	copied := filepath.Join(t.TempDir(), "copy")
	copyFile(t, image, copied)
	dirty := attach(t, copied, true)
	mount := func(readOnly bool) error {
		return s.revise(&monitorv1.Revise{Hold: []string{"copy"}, AddMounts: []*monitorv1.Operation{imageOf(&monitorv1.Image{
			Held: "copy", Type: "ext4", Target: "/copy", ReadOnly: readOnly,
		})}}, device.File, dirty.File)
	}
	err := mount(false)
	if err == nil || !strings.Contains(err.Error(), "the device is read-only") {
		t.Errorf("%v", err)
	}
	if err := mount(true); err != nil {
		t.Fatal(err)
	}
	s.in("cat", "/copy/file").compare(t, "cat", `/copy/file "of the image"`)
}

// What cannot be mounted is told with what the kernel said, and nothing is done.
func TestImagesThatCannotBe(t *testing.T) {
	inBoth(t, func(w world) {
		device := attach(w.T, newImage(w.T, makers()[0]), false)
		s := startHolding(w.T, hold(w.plan("pause"), "disk"), device.File)
		before := s.mountPoints()
		for want, m := range map[string]*monitorv1.Image{
			"xfs":         {Held: "disk", Type: "xfs", Target: "/x"},
			`none of`:     {Held: "disk", Type: "vfat", Target: "/x"},
			`is not held`: {Held: "other", Type: "ext4", Target: "/x"},
			"symbolic":    {Held: "disk", Type: "ext4", Target: "/proc/self/x"},
		} {
			err := s.revise(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{imageOf(m)}}, device.File)
			if err == nil || !strings.Contains(err.Error(), want) {
				w.Errorf("%q is not said by %v", want, err)
			}
		}
		if after := s.mountPoints(); !slices.Equal(before, after) {
			w.Errorf("mounted before %q, after %q", before, after)
		}
	})
}

// A btrfs that says to be on another device as well, which is somebody else's, is not mounted, and nothing is written to that.
func TestImageThatIsSpread(t *testing.T) {
	needKind(t, "btrfs", "mkfs.btrfs")
	inBoth(t, func(w world) {
		images := make([]string, 2)
		devices := make([]*loop.Device, 2)
		for i := range devices {
			images[i] = filepath.Join(w.TempDir(), "image")
			if err := os.WriteFile(images[i], nil, 0o600); err != nil {
				w.Fatal(err)
			}
			if err := os.Truncate(images[i], 128<<20); err != nil {
				w.Fatal(err)
			}
			devices[i] = attach(w.T, images[i], false)
		}
		other, own := devices[0].File.Name(), devices[1]
		if out, err := exec.Command("mkfs.btrfs", "-q", "-f", "-d", "single", "-m", "single", other, own.File.Name()).CombinedOutput(); err != nil {
			w.Fatalf("%v\n%s", err, out)
		}
		tellBtrfs(w.T, scanDevice, other)
		w.Cleanup(func() { tellBtrfs(w.T, forgetDevice, other) })
		before := digestOf(w.T, images[0])
		for _, readOnly := range []bool{false, true} {
			m := &monitorv1.Image{Held: "disk", Type: "btrfs", Target: "/mnt", ReadOnly: readOnly}
			_, err := launch.Launch(hold(add(w.plan("pause"), imageOf(m)), "disk"), launch.Descriptors{Held: []*os.File{own.File}})
			if err == nil || !strings.Contains(err.Error(), "spread over several devices") {
				w.Errorf("read-only %v: %v", readOnly, err)
			}
		}
		if after := digestOf(w.T, images[0]); after != before {
			w.Error("the other device was written to")
		}
	})
}

// What the kernel's btrfs is told of a device (linux/btrfs.h).
const (
	scanDevice   = 0x50009404
	forgetDevice = 0x50009405
)

func tellBtrfs(t *testing.T, what uintptr, device string) {
	t.Helper()
	control, err := os.OpenFile("/dev/btrfs-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no control of btrfs: %v", err)
	}
	defer func() { _ = control.Close() }()
	var arguments [4096]byte
	copy(arguments[8:], device)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), what, uintptr(unsafe.Pointer(&arguments))); errno != 0 && errno != unix.ENOENT {
		t.Errorf("tell btrfs of %s: %v", device, errno)
	}
}

// digestOf tells one content of a file from all others.
func digestOf(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	if err := exec.Command("sync").Run(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(content)
}

// A folder of the host whose ids are those of the container is mapped, with what is mounted below it; where that cannot
// be, the error says so.
func TestMappedBinds(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	chownTree(t, root)
	source := t.TempDir()
	for _, dir := range []string{source, source + "/below"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bind := &monitorv1.Bind{Source: source, Target: "/early", Mapped: true}
	s := startSubject(t, add(withUserNamespace(newPlan(root, "pause")), bindOf(bind)))
	s.must(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{bindOf(&monitorv1.Bind{Source: source, Target: "/late", Mapped: true})}})
	out := s.in("write", "/early/a", "x", "--", "write", "/late/b", "x", "--", "ls", "/late")
	out.compare(t, "ls", "a 0100644 0:0", "b 0100644 0:0", "below 040755 0:0")
	var stat unix.Stat_t
	if err := unix.Lstat(source+"/a", &stat); err != nil || stat.Uid != 0 {
		t.Errorf("on the host it belongs to %d, %v", stat.Uid, err)
	}
	err := s.revise(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{bindOf(&monitorv1.Bind{Source: "/proc", Target: "/mapped", Mapped: true})}})
	if err == nil || !strings.Contains(err.Error(), "ids cannot be mapped on proc") {
		t.Errorf("%v", err)
	}
	e := refused(t, add(withUserNamespace(newPlan(root, "pause")), bindOf(&monitorv1.Bind{Source: "/proc", Target: "/mapped", Mapped: true})))
	if !strings.Contains(e.Error(), "ids cannot be mapped on proc") {
		t.Errorf("%v", e)
	}
}
