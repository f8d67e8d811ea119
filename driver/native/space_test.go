package native_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/devices/loop"
	"github.com/davitd/davit/domain"
	davitfs "github.com/davitd/davit/fs"
	"github.com/davitd/davit/fs/quota"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// bounding makes a filesystem that bounds folders, mounts it in a folder of the test and gives the path of a folder of it that
// anybody may write to.
func bounding(t *testing.T, kind string) string {
	t.Helper()
	if os.Getenv("VMTEST") == "" {
		t.Skip("needs the guest of make test-guest: it mounts where all of the host would see it")
	}
	argv, options := []string{"mkfs." + kind, "-q"}, []davitfs.Option{}
	switch kind {
	case "ext4":
		argv = append(argv, "-F", "-O", "quota,project", "-E", "quotatype=prjquota")
		options = append(options, davitfs.Option{Name: "prjquota"})
	case "xfs":
		options = append(options, davitfs.Option{Name: "prjquota"})
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		t.Skipf("needs %q: %v", argv[0], err)
	}
	image := rawImage(t, filepath.Join(t.TempDir(), "image"), "", 512<<20)
	if out, err := exec.Command(argv[0], append(argv[1:], image)...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	device, err := loop.Make(file, loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = device.Close() }()
	mount, err := davitfs.Make(kind, 0, append(options, davitfs.Option{Name: "source", Value: fmt.Sprintf("/dev/loop%d", device.Number)})...)
	if err != nil {
		t.Skipf("needs a kernel that mounts %s with quotas: %v", kind, err)
	}
	defer func() { _ = mount.Close() }()
	at := t.TempDir()
	if err = davitfs.Attach(mount, at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if wrong := unix.Unmount(at, 0); wrong != nil {
			t.Errorf("unmount: %v", wrong)
		}
	})
	folder := filepath.Join(at, "data")
	if kind == "btrfs" {
		subvolume(t, at)
	} else if err = os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err = os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	return folder
}

// subvolume makes the subvolume "data" of a btrfs, which counts from now on.
func subvolume(t *testing.T, at string) {
	t.Helper()
	root, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	var volume struct {
		_    int64
		name [4088]byte
	}
	copy(volume.name[:], "data")
	enable := [2]uint64{1}
	for request, arg := range map[uintptr]unsafe.Pointer{
		0x5000940e: unsafe.Pointer(&volume), // BTRFS_IOC_SUBVOL_CREATE
		0xc0109428: unsafe.Pointer(&enable), // BTRFS_IOC_QUOTA_CTL
	} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, root.Fd(), request, uintptr(arg)); errno != 0 {
			t.Fatalf("request %#x: %v", request, errno)
		}
	}
}

func limitOf(t *testing.T, folder string) uint64 {
	t.Helper()
	dir, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	u, err := quota.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return u.Limit
}

// limited is a folder of the host with a limit.
func limited(folder, target string, bytes uint64) *davitv1.Filesystem {
	return &davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: folder, TargetDir: target, SpaceHardLimit: bytes,
	}
}

// The guest's root cannot write beyond the limit of a folder, given at the start or with the folder; it stays when the domain ends, and is
// another after a start with another.
func TestFolderHasALimit(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			h := newHost(t, "5bace001")
			folder := bounding(t, kind)
			d := closing(t, h.open(t))
			refusal := "quota exceeded"
			if kind == "xfs" { // it tells a project's limit as a disk's end: ENOSPC, see xfs_quota(8)
				refusal = "No space left on device"
			}
			const write = "head -c 6291456 /dev/zero > /limited/f && sync -f /limited/f; wc -c < /limited/f; rm /limited/f; sync -f /limited"
			spec := h.spec(idle, func(def *davitv1.Domain) { mounted(limited(folder, "/limited", 2<<20))(def.Devices) })
			warnings, err := d.Check(t.Context(), spec.Definition)
			if err != nil || len(warnings) > 0 {
				t.Errorf("check: %v, %v", warnings, err)
			}
			i := start(t, d, spec)
			ask(t, "at start", i, [][2]string{{write, refusal}, {"echo in > /limited/small; cat /limited/small", "in"}})
			kill(t, i)
			if got := limitOf(t, folder); got != 2<<20 {
				t.Errorf("the limit is %d after the domain has ended", got)
			}
			spec = h.spec(idle)
			i = start(t, d, spec)
			for _, limit := range []struct {
				bytes uint64
				want  string
			}{{16 << 20, "6291456"}, {1 << 20, refusal}} {
				with := proto.CloneOf(spec.Definition)
				mounted(limited(folder, "/limited", limit.bytes))(with.Devices)
				if err := i.Update(t.Context(), with); err != nil {
					t.Fatalf("attach: %v", err)
				}
				ask(t, "attached", i, [][2]string{{write, limit.want}})
				if err := i.Update(t.Context(), spec.Definition); err != nil {
					t.Fatalf("detach: %v", err)
				}
				if got := limitOf(t, folder); got != limit.bytes {
					t.Errorf("the limit is %d, want %d", got, limit.bytes)
				}
			}
			kill(t, i)
			h.empty(t)
		})
	}
}

// A limit that cannot hold is told when the domain is defined, and refused when it is started or the device attached.
func TestLimitThatCannotHoldIsRefused(t *testing.T) {
	h := newHost(t, "5bace002")
	d := closing(t, h.open(t))
	dir := t.TempDir()
	image := fsImage(t, filepath.Join(dir, "image"), "ext4")
	// One with the host's ids: Linux 6.1 cannot map those of a tmpfs, and would be refused for that.
	bare := h.spec(idle, profiled(davitv1.ProfileName_PROFILE_NAME_PRIVILEGED))
	i := start(t, d, bare)
	for name, row := range map[string]struct {
		add  *davitv1.Filesystem
		want string
	}{
		"memory": {limited("/dev/shm", "/limited", 1<<20), "bounds no folder"},
		"image": {&davitv1.Filesystem{
			Type: davitv1.FilesystemType_FILESYSTEM_TYPE_FILE, SourceFile: image, TargetDir: "/limited", SpaceHardLimit: 1 << 20,
		}, "has 67108864 bytes, which is more than the limit, 1048576"},
	} {
		place := fmt.Sprintf("devices.filesystem[%d].space_hard_limit", len(bare.Definition.GetDevices().GetFilesystem()))
		next := h.spec(idle, profiled(davitv1.ProfileName_PROFILE_NAME_PRIVILEGED))
		next.Definition.Devices.Filesystem = append(proto.CloneOf(bare.Definition).Devices.Filesystem, row.add)
		warnings, err := d.Check(t.Context(), next.Definition)
		warnings = slices.DeleteFunc(warnings, func(w *davitv1.Warning) bool { return w.GetField() != place })
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].GetMessage(), row.want) {
			t.Errorf("%s: check: %v, %v", name, warnings, err)
		}
		_, err = d.Start(t.Context(), next)
		checkLimitRefused(t, name+" at start", err, place, row.want)
		with := proto.CloneOf(bare.Definition)
		with.Devices.Filesystem = append(with.Devices.Filesystem, row.add)
		checkLimitRefused(t, name+" attached", i.Update(t.Context(), with), place, row.want)
		ask(t, name, i, [][2]string{{"ls /limited", noNode}})
	}
	// The host's root has no limit, and is shown at no other place.
	elsewhere := proto.CloneOf(bare.Definition)
	elsewhere.Devices.Filesystem = append(elsewhere.Devices.Filesystem, limited("/", "/limited", 1<<20))
	if err := i.Update(t.Context(), elsewhere); !errors.Is(err, domain.ErrUnsupported) || !strings.Contains(err.Error(), "the host's root") {
		t.Errorf("the host's root is attached: %v", err)
	}
	ask(t, "root", i, [][2]string{{"ls /limited", noNode}})
	kill(t, i)
	h.empty(t)
}

func checkLimitRefused(t *testing.T, when string, err error, place, want string) {
	t.Helper()
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || e.Reason != davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED || len(e.Violations) != 1 ||
		e.Violations[0].Field != place || !strings.Contains(e.Violations[0].Message, want) {
		t.Errorf("%s: %v, want %q at %s", when, err, want, place)
	}
}
