package native_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// file is a disk of an image.
func file(path, target string, change ...func(*davitv1.Disk)) func(*davitv1.Devices) {
	d := &davitv1.Disk{Type: davitv1.DiskType_DISK_TYPE_FILE, SourceFile: path, TargetDev: target, Alias: "disk-" + target}
	for _, c := range change {
		c(d)
	}
	return disk(d)
}

func misc(path string) func(*davitv1.Devices) {
	return hostdev(&davitv1.Hostdev{
		Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_MISC, SourceChar: path,
	})
}

// plus is a definition with more devices.
func plus(def *davitv1.Domain, more ...func(*davitv1.Devices)) *davitv1.Domain {
	next := proto.CloneOf(def)
	for _, add := range more {
		add(next.Devices)
	}
	return next
}

// wantReason checks an error of a driver.
func wantReason(t *testing.T, what string, err error, reason davitv1.ErrorReason, text string) {
	t.Helper()
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || e.Reason != reason || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want reason %s and %q", what, err, reason, text)
	}
}

// What cannot be used is refused with the reason, at start and while the domain runs, and changes nothing.
func TestDeviceFaults(t *testing.T) {
	h := newHost(t, "de000002")
	dir := t.TempDir()
	needLoop(t, dir)
	d := closing(t, h.open(t))
	image := rawImage(t, filepath.Join(dir, "a.img"), "words", 1<<20)
	tiny := rawImage(t, filepath.Join(dir, "tiny.img"), "x", 100)
	spec := h.spec("ln -s /etc /linked; echo mine > /dev/sdt; trap 'exit 3' TERM; echo up; sleep infinity & wait")
	i := start(t, d, spec)
	booted(t, i, 0, "up")
	const gone = davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND
	const lacks, failed = davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED, davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED
	image1 := &davitv1.Filesystem{Type: davitv1.FilesystemType_FILESYSTEM_TYPE_FILE, SourceFile: image, TargetDir: "/mnt"}
	for _, test := range []struct {
		name   string
		add    func(*davitv1.Devices)
		reason davitv1.ErrorReason
		text   string
		live   bool // only what a guest did is in the way
	}{
		{"no image", file(filepath.Join(dir, "gone.img"), "sda"), gone, "does not exist", false},
		{"a folder for an image", file(dir, "sda"), lacks, "a folder", false},
		{"a device for an image", file("/dev/null", "sda"), lacks, "a character device", false},
		{"too small", file(tiny, "sda"), lacks, "512 at least", false},
		{
			"a file for a device", disk(&davitv1.Disk{Type: davitv1.DiskType_DISK_TYPE_BLOCK, SourceDev: image, TargetDev: "sda"}), lacks,
			"that is of type file", false,
		},
		{"a block device for a character device", misc("/dev/loop0"), lacks, "a block device", false},
		{"no character device", misc("/dev/davit-gone"), gone, "does not exist", false},
		{"no filesystem", mounted(image1), lacks, "no filesystem that is known", false},
		{"the guest's own file", file(image, "sdt"), failed, "/dev/sdt", true},
		{
			"a link of the guest", mounted(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: dir, TargetDir: "/linked",
			}), failed, "/linked", true,
		},
		{
			"no folder", mounted(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: filepath.Join(dir, "gone"), TargetDir: "/mnt",
			}), failed, "gone", true,
		},
	} {
		// A device that can be had beside it is not there afterwards either.
		good := misc("/dev/loop-control")
		if !test.live {
			_, err := d.Start(t.Context(), h.spec(idle, func(def *davitv1.Domain) { good(def.Devices); test.add(def.Devices) }))
			wantReason(t, test.name+", at start", err, test.reason, test.text)
		}
		wantReason(t, test.name, i.Update(t.Context(), plus(spec.Definition, good, test.add)), test.reason, test.text)
		ask(t, test.name, i, [][2]string{{"ls /dev/loop-control", noNode}, {"ls /dev/sda", noNode}, {"cat /dev/sdt", "mine"}})
		noLoops(t, dir)
	}
	kill(t, i)
	h.empty(t)
}

// An image that one domain writes to is no other's, unless both say that they share it; what is only read may be.
func TestSharedDisks(t *testing.T) {
	h := newHost(t, "de000003")
	dir := t.TempDir()
	needLoop(t, dir)
	d := closing(t, h.open(t))
	image := rawImage(t, filepath.Join(dir, "a.img"), "words", 1<<20)
	share := func(d *davitv1.Disk) { d.Shareable = true }
	read := func(d *davitv1.Disk) { d.Readonly = true }
	for _, test := range []struct {
		name          string
		first, second func(*davitv1.Devices)
		busy          bool
	}{
		{"both write", file(image, "sda"), file(image, "sdb"), true},
		{"one reads", file(image, "sda"), file(image, "sdb", read), true},
		{"one shares", file(image, "sda", share), file(image, "sdb"), true},
		{"both share", file(image, "sda", share), file(image, "sdb", share), false},
		{"both read", file(image, "sda", read), file(image, "sdb", read), false},
	} {
		spec := h.spec(idle)
		one := start(t, d, h.spec(idle, func(def *davitv1.Domain) { def.Name = "first"; test.first(def.Devices) }))
		two := start(t, d, spec)
		err := two.Update(t.Context(), plus(spec.Definition, test.second))
		if !test.busy && err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if test.busy {
			wantReason(t, test.name, err, davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY, `domain "first"`)
			kill(t, one)
			// The lock ends with the domain.
			if err := two.Update(t.Context(), plus(spec.Definition, test.second)); err != nil {
				t.Errorf("%s, afterwards: %v", test.name, err)
			}
		} else {
			kill(t, one)
		}
		kill(t, two)
		noLoops(t, dir)
	}
}

// A device that the guest uses stays, and so does all else, until it does not use it any more.
func TestDetachInUse(t *testing.T) {
	h := newHost(t, "de000004")
	dir := t.TempDir()
	needLoop(t, dir)
	d := closing(t, h.open(t))
	image := fsImage(t, filepath.Join(dir, "fs.img"), "ext4")
	_, own := ownRoot(t)
	// Only the host's root may mount a filesystem of a block device.
	spec := h.spec(idle, own, func(def *davitv1.Domain) {
		def.Profile = &davitv1.Profile{Name: davitv1.ProfileName_PROFILE_NAME_PRIVILEGED}
	})
	mount := mounted(&davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: dir, TargetDir: "/srv", Alias: "fs9",
	})
	full := plus(spec.Definition, file(image, "sda"), mount)
	i := start(t, d, spec)
	if err := i.Update(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	const busy = davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY
	if got := output(t, i, "sh", "-c", "mount -t ext4 /dev/sda /mnt 2>&1 && cat /mnt/hello"); !strings.Contains(got, "from ext4") {
		t.Fatalf("mount in the guest: %q", got)
	}
	err := i.Update(t.Context(), plus(spec.Definition, mount))
	wantReason(t, "a disk that is mounted", err, busy, "/dev/sda")
	if e, ok := errors.AsType[*domain.Error](err); !ok || e.Detail["device"] != "disk-sda" {
		t.Errorf("the device is not named: %v", err)
	}
	ask(t, "refused", i, [][2]string{{"ls /srv", "fs.img"}, {"umount /mnt && head -c 1 /dev/sda | wc -c", "1"}})
	s, err := i.Exec(t.Context(), driver.ExecOptions{ID: "user", Argv: []string{"sh", "-c", "echo in; exec sleep infinity"}, Cwd: "/srv"})
	if err != nil {
		t.Fatal(err)
	}
	if o, err := s.Receive(); err != nil || string(o.Data) != "in\n" {
		t.Fatalf("%q, %v", o.Data, err)
	}
	wantReason(t, "a folder that is somebody's", i.Update(t.Context(), spec.Definition), busy, "/srv")
	ask(t, "refused", i, [][2]string{{"ls /srv", "fs.img"}, {"head -c 1 /dev/sda | wc -c", "1"}})
	if err := s.Signal(9); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := s.Receive(); err != nil {
			break
		}
	}
	_ = s.Close()
	if err := i.Update(t.Context(), spec.Definition); err != nil {
		t.Errorf("not in use any more: %v", err)
	}
	ask(t, "detached", i, [][2]string{{"ls /dev/sda", noNode}, {"ls /srv/fs.img", noNode}})
	kill(t, i)
}

// Devices stay when davitd goes, and the next one can take them away. Disks are measured, and one whose image shrinks fails its
// user and nobody else.
func TestDevicesOutliveDaemon(t *testing.T) {
	h := newHost(t, "de000005")
	dir := t.TempDir()
	needLoop(t, dir)
	d := h.open(t)
	image := rawImage(t, filepath.Join(dir, "a.img"), "words", 4<<20)
	spec := h.spec(idle)
	full := plus(spec.Definition, file(image, "sda"), misc("/dev/loop-control"))
	if err := start(t, d, spec).Update(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = closing(t, h.open(t))
	spec.Definition = full
	i, err := d.Recover(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, "recovered", i, [][2]string{
		{"head -c 5 /dev/sda", "words"},
		{"exec 3<>/dev/loop-control && echo open", "open"},
		{"dd if=/dev/zero of=/dev/sda bs=64k count=4 seek=8 oflag=direct && echo written", "written"},
	})
	reporter, ok := i.(interface {
		BlockDevices(context.Context) ([]*davitv1.BlockDeviceStatus, error)
	})
	if !ok {
		t.Fatal("it measures no disks")
	}
	list, err := reporter.BlockDevices(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("disks %v, %v", list, err)
	}
	s := list[0]
	if s.GetAlias() != "disk-sda" || s.GetTarget() != "sda" || s.GetSource() != image || s.GetCapacityBytes() != 4<<20 ||
		s.GetPhysicalBytes() != 4<<20 || s.GetAllocationBytes() == 0 {
		t.Errorf("the disk is %v", s)
	}
	if c := s.GetCounters(); c != nil && c.GetWrittenBytes() != 256<<10 {
		t.Errorf("counters are %v, want 256 KiB written", c)
	}
	if err := os.Truncate(image, 1<<20); err != nil {
		t.Fatal(err)
	}
	ask(t, "shrunk", i, [][2]string{
		// Beyond the image's end there is an error or, on older kernels, nothing but zeros.
		{`test "$(dd if=/dev/sda bs=64k skip=32 iflag=direct 2>/dev/null | tr -d '\0' | wc -c)" -eq 0 && echo nothing`, "nothing"}, {"head -c 5 /dev/sda", "words"},
	})
	def := proto.CloneOf(full)
	def.Devices.Disk, def.Devices.Hostdev = nil, nil
	if err := i.Update(t.Context(), def); err != nil {
		t.Errorf("detach: %v", err)
	}
	ask(t, "detached", i, [][2]string{{"ls /dev/sda /dev/loop-control | wc -l", "0"}})
	kill(t, i)
	h.empty(t)
}

// Many devices come and go, and nothing adds up.
func TestManyDevices(t *testing.T) {
	h := newHost(t, "de000006")
	dir := t.TempDir()
	needLoop(t, dir)
	d := closing(t, h.open(t))
	image := rawImage(t, filepath.Join(dir, "a.img"), "words", 1<<20)
	spec := h.spec(idle)
	i := start(t, d, spec)
	full := plus(spec.Definition, file(image, "sda"), misc("/dev/loop-control"), mounted(&davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: dir, TargetDir: "/mnt",
	}))
	times := 100
	if n, err := strconv.Atoi(os.Getenv("DAVIT_SOAK")); err == nil && n > 0 {
		times = n
	}
	for n := range times {
		for _, def := range []*davitv1.Domain{full, full, spec.Definition} {
			if err := i.Update(t.Context(), def); err != nil {
				t.Fatalf("the %d-th time: %v", n, err)
			}
		}
	}
	ask(t, "in the end", i, [][2]string{{"ls /dev/sda", noNode}, {"ls /mnt/a.img", noNode}, {"find /dev -type b | wc -l", "0"}})
	kill(t, i)
	h.empty(t)
}
