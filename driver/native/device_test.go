package native_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// needLoop skips where loop devices cannot be made, and checks at the end that no image of the test has one.
func needLoop(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("needs loop devices: %v", err)
	}
	t.Cleanup(func() { noLoops(t, dir) })
}

// noLoops waits until no loop device has a file of a folder.
func noLoops(tb testing.TB, dir string) {
	tb.Helper()
	for end := time.Now().Add(testenv.Scale(30 * time.Second)); ; time.Sleep(10 * time.Millisecond) {
		left := loopsOf(dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			tb.Errorf("loop devices are left: %q", left)
			return
		}
	}
}

// loopsOf are the files of a folder that have a loop device.
func loopsOf(dir string) []string {
	var list []string
	names, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(text), dir+"/") {
			list = append(list, strings.TrimSpace(string(text)))
		}
	}
	return list
}

// rawImage makes an image that begins with a word.
func rawImage(tb testing.TB, path, word string, size int64) string {
	tb.Helper()
	if err := os.WriteFile(path, []byte(word), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		tb.Fatal(err)
	}
	return path
}

// fsImage makes an image with a filesystem, in which the file "hello" is; it skips where the host cannot make one.
func fsImage(tb testing.TB, path, kind string) string {
	tb.Helper()
	tree := tb.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "hello"), []byte("from "+kind+"\n"), 0o644); err != nil {
		tb.Fatal(err)
	}
	size := int64(64 << 20)
	var argv []string
	switch kind {
	case "ext4":
		argv = []string{"mkfs.ext4", "-q", "-F", "-E", "root_owner=0:0", "-d", tree, path}
	case "btrfs":
		size = 128 << 20
		argv = []string{"mkfs.btrfs", "-q", "--rootdir", tree, path}
	case "xfs":
		size = 320 << 20
		proto := filepath.Join(tb.TempDir(), "proto")
		text := fmt.Sprintf("/\n0 0\nd--755 0 0\nhello ---644 0 0 %s\n$\n", filepath.Join(tree, "hello"))
		if err := os.WriteFile(proto, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		argv = []string{"mkfs.xfs", "-q", "-p", proto, path}
	case "squashfs":
		size = 0
		argv = []string{"mksquashfs", tree, path, "-quiet", "-no-progress", "-noappend"}
	case "erofs":
		size = 0
		argv = []string{"mkfs.erofs", "--quiet", path, tree}
	}
	known, _ := os.ReadFile("/proc/filesystems")
	if !strings.Contains(string(known), "\t"+kind+"\n") {
		tb.Skipf("needs filesystem %q in the kernel", kind)
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		tb.Skipf("needs %q: %v", argv[0], err)
	}
	if size > 0 {
		rawImage(tb, path, "", size)
	}
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		tb.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return path
}

// blockOf makes a loop device of an image that stays until the test ends: a block device of the host.
func blockOf(tb testing.TB, path string) string {
	tb.Helper()
	if _, err := exec.LookPath("losetup"); err != nil {
		tb.Skipf("needs %q: %v", "losetup", err)
	}
	out, err := exec.Command("losetup", "--find", "--show", path).Output()
	if err != nil {
		tb.Fatalf("losetup: %v", err)
	}
	name := strings.TrimSpace(string(out))
	tb.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", name).CombinedOutput(); err != nil {
			tb.Errorf("losetup --detach: %v %s", err, out)
		}
	})
	return name
}

// deviceRow is a device and what the guest has of it: scripts with a text that their output holds.
type deviceRow struct {
	name string
	// add makes the device, in a folder of the row.
	add func(t *testing.T, dir string) func(*davitv1.Devices)
	// want is asked while the device is there, gone when it is not.
	want, gone [][2]string
}

func disk(d *davitv1.Disk) func(*davitv1.Devices) {
	return func(all *davitv1.Devices) { all.Disk = append(all.Disk, d) }
}

func mounted(f *davitv1.Filesystem) func(*davitv1.Devices) {
	return func(all *davitv1.Devices) { all.Filesystem = append(all.Filesystem, f) }
}

func hostdev(h *davitv1.Hostdev) func(*davitv1.Devices) {
	return func(all *davitv1.Devices) { all.Hostdev = append(all.Hostdev, h) }
}

const (
	statNode = "stat -c '%F %a %u %t:%T' "
	noNode   = "No such file"
)

func deviceRows() []deviceRow {
	const file, block = davitv1.DiskType_DISK_TYPE_FILE, davitv1.DiskType_DISK_TYPE_BLOCK
	raw := func(t *testing.T, dir string) string {
		t.Helper()
		return rawImage(t, filepath.Join(dir, "a.img"), "first words", 4<<20)
	}
	gone := [][2]string{{statNode + "/dev/sda", noNode}}
	rows := []deviceRow{
		{"disk file", func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			return disk(&davitv1.Disk{
				Type: file, SourceFile: rawImage(t, filepath.Join(dir, "a.img"), "first\nwords", 4<<20), TargetDev: "sda", Alias: "disk7",
			})
		}, [][2]string{
			{statNode + "/dev/sda", "block special file 600 0 7:"},
			{"head -c 11 /dev/sda", "\nwords"},
			{"printf 'third\n' > /dev/sda && sync && head -c 11 /dev/sda", "third\nwords"},
			{"blockdev --getsize64 /dev/sda", "4194304"},
		}, gone},
		{"disk file, direct", func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			return disk(&davitv1.Disk{
				Type: file, SourceFile: raw(t, dir), TargetDev: "sda", Driver: &davitv1.DiskDriver{Name: "loop", Type: "raw", Cache: "none"},
			})
		}, [][2]string{{"head -c 11 /dev/sda", "first words"}}, gone},
		{"disk file, read-only", func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			return disk(&davitv1.Disk{Type: file, SourceFile: raw(t, dir), TargetDev: "sda", Readonly: true})
		}, [][2]string{
			{statNode + "/dev/sda", "block special file 400 0 7:"},
			{"head -c 11 /dev/sda", "first words"},
			{"echo x > /dev/sda", "Operation not permitted"},
		}, gone},
		{"disk with a serial number", func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			return disk(&davitv1.Disk{
				Type: file, SourceFile: raw(t, dir), TargetDev: "vdb", TargetBus: davitv1.DiskBus_DISK_BUS_VIRTIO, Serial: "WD 12/3",
			})
		}, [][2]string{
			{"ls /dev/disk/by-id", "virtio-WD_12_3"},
			{"head -c 11 /dev/disk/by-id/virtio-WD_12_3", "first words"},
			{"[ $(stat -c %t:%T /dev/vdb) = $(stat -c %t:%T /dev/disk/by-id/*) ] && echo same", "same"},
		}, [][2]string{{"ls /dev/disk/by-id/*", noNode}, {"ls /dev/vdb", noNode}}},
		{"disk block", func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			// By a symbolic link, as of /dev/disk/by-id.
			link := filepath.Join(dir, "by-id")
			if err := os.Symlink(blockOf(t, raw(t, dir)), link); err != nil {
				t.Fatal(err)
			}
			return disk(&davitv1.Disk{Type: block, SourceDev: link, TargetDev: "sda"})
		}, [][2]string{
			{statNode + "/dev/sda", "block special file 600 0 7:"},
			{"echo second > /dev/sda && sync && head -c 6 /dev/sda", "second"},
		}, gone},
		{"disk block, read-only", func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			return disk(&davitv1.Disk{Type: block, SourceDev: blockOf(t, raw(t, dir)), TargetDev: "sda", Readonly: true})
		}, [][2]string{{"head -c 11 /dev/sda", "first words"}, {"echo x > /dev/sda", "Operation not permitted"}}, gone},
		{"hostdev storage", func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			return hostdev(&davitv1.Hostdev{
				Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_STORAGE,
				SourceBlock: blockOf(t, raw(t, dir)),
			})
		}, [][2]string{{"head -c 11 /dev/loop*", "first words"}}, [][2]string{{"ls /dev/loop*", noNode}}},
		{"filesystem mount, mapped", func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o640); err != nil {
				t.Fatal(err)
			}
			return mounted(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: dir, TargetDir: "/srv",
				Accessmode: davitv1.FilesystemAccessMode_FILESYSTEM_ACCESS_MODE_MAPPED,
			})
		}, [][2]string{{"stat -c '%u %a' /srv/mine", "0 640"}, {"echo x > /srv/made && stat -c %u /srv/made", "0"}}, [][2]string{{"ls /srv/mine", noNode}}},
		{"filesystem mount, read-only", func(_ *testing.T, dir string) func(*davitv1.Devices) {
			return mounted(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: dir, TargetDir: "/deep/er", Readonly: true,
			})
		}, [][2]string{{"echo x > /deep/er/x", "Read-only file system"}}, nil},
		{"filesystem overlay", func(_ *testing.T, dir string) func(*davitv1.Devices) {
			return mounted(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: dir, TargetDir: "/srv",
				OverlayUpper: davitv1.OverlayUpper_OVERLAY_UPPER_KEEP,
			})
		}, [][2]string{{"grep ' /srv ' /proc/self/mountinfo", "overlay"}}, nil},
		{"filesystem ram", func(*testing.T, string) func(*davitv1.Devices) {
			return mounted(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_RAM, SourceUsageKib: 2048, TargetDir: "/srv",
			})
		}, [][2]string{{"df -k /srv | tail -1", "2048"}}, nil},
		{"filesystem bind", func(*testing.T, string) func(*davitv1.Devices) {
			return mounted(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_BIND, SourceDir: "/etc", TargetDir: "/srv", Readonly: true,
			})
		}, [][2]string{{"ls /srv", "passwd"}}, nil},
		{"filesystem block", func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			return mounted(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_BLOCK, SourceDev: blockOf(t, fsImage(t, filepath.Join(dir, "fs.img"), "ext4")),
				TargetDir: "/srv",
			})
		}, [][2]string{{"cat /srv/hello", "from ext4"}}, nil},
		{"filesystem file, mapped", func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			return mounted(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_FILE, SourceFile: fsImage(t, filepath.Join(dir, "fs.img"), "ext4"),
				TargetDir: "/srv", Accessmode: davitv1.FilesystemAccessMode_FILESYSTEM_ACCESS_MODE_MAPPED,
			})
		}, [][2]string{{"stat -c %u /srv/hello", "0"}, {"echo mine > /srv/new && cat /srv/new", "mine"}}, nil},
	}
	for _, path := range []string{"/dev/net/tun", "/dev/fuse", "/dev/kvm"} {
		rows = append(rows, deviceRow{"hostdev misc " + path, func(t *testing.T, _ string) func(*davitv1.Devices) {
			t.Helper()
			if _, err := os.Stat(path); err != nil {
				t.Skipf("needs %q: %v", path, err)
			}
			return hostdev(&davitv1.Hostdev{
				Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_MISC, SourceChar: path,
			})
		}, [][2]string{
			{statNode + path, "character special file 600 0 a:"},
			{"exec 3<>" + path + " && echo open", "open"},
		}, [][2]string{{statNode + path, noNode}}})
	}
	for _, kind := range []string{"ext4", "xfs", "btrfs", "erofs", "squashfs"} {
		rows = append(rows, deviceRow{"filesystem file, " + kind, func(t *testing.T, dir string) func(*davitv1.Devices) {
			t.Helper()
			return mounted(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_FILE, SourceFile: fsImage(t, filepath.Join(dir, "fs.img"), kind),
				TargetDir: "/srv", Readonly: kind == "ext4", Driver: &davitv1.FilesystemDriver{Type: "loop", Format: "raw"},
			})
		}, [][2]string{{"cat /srv/hello", "from " + kind}, {"grep ' /srv ' /proc/self/mountinfo", " - " + kind + " "}}, nil})
	}
	return rows
}

// ask runs scripts in the guest.
func ask(t *testing.T, when string, i driver.Instance, questions [][2]string) {
	t.Helper()
	for _, q := range questions {
		if got := output(t, i, "sh", "-c", "{ "+q[0]+"\n} 2>&1"); !strings.Contains(got, q[1]) {
			t.Errorf("%s, %s: %q, want %q in it", when, q[0], got, q[1])
		}
	}
}

// Every kind of device, with each of its attributes, is there when the domain starts with it, when it is attached while the domain
// runs, and after a reboot of the guest; it is gone when it was detached, and leaves nothing on the host.
func TestDevices(t *testing.T) {
	for _, row := range deviceRows() {
		t.Run(row.name, func(t *testing.T) {
			h := newHost(t, "de000001")
			dir := t.TempDir()
			needLoop(t, dir)
			add := row.add(t, dir)
			d := closing(t, h.open(t))
			i := start(t, d, h.spec(idle, func(def *davitv1.Domain) { add(def.Devices) }))
			ask(t, "at start", i, row.want)
			kill(t, i)
			spec := h.spec(rebooter)
			i = start(t, d, spec)
			from := booted(t, i, 0, "up")
			ask(t, "before", i, row.gone)
			with := proto.CloneOf(spec.Definition)
			add(with.Devices)
			for range 2 {
				if err := i.Update(t.Context(), with); err != nil {
					t.Fatalf("attach: %v", err)
				}
				ask(t, "attached", i, row.want)
				if err := i.Update(t.Context(), spec.Definition); err != nil {
					t.Fatalf("detach: %v", err)
				}
				ask(t, "detached", i, row.gone)
			}
			if err := i.Update(t.Context(), with); err != nil {
				t.Fatalf("attach: %v", err)
			}
			if err := i.Shutdown(t.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, true); err != nil {
				t.Fatalf("reboot: %v", err)
			}
			booted(t, i, from, "up")
			ask(t, "after a reboot", i, row.want)
			if err := i.Update(t.Context(), spec.Definition); err != nil {
				t.Fatalf("detach: %v", err)
			}
			ask(t, "detached after a reboot", i, row.gone)
			kill(t, i)
			h.empty(t)
		})
	}
}

// rebooter is a guest that reboots when it is asked to.
const rebooter = "trap '/guest/reboot' HUP; echo up; while :; do sleep 1000 & wait $!; done"
