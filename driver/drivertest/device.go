package drivertest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Supplier is a factory that has devices for the suite, which makes them up where the factory does not say.
type Supplier interface {
	// Device is one of a kind (disk, filesystem, interface, hostdev) that the driver can give to a container; the same one each
	// time.
	Device(t *testing.T, kind string) *davitv1.Device
}

var deviceTests = []testcase{
	diskComesAndGoes, filesystemComesAndGoes, interfaceComesAndGoes, hostdevComesAndGoes,
	diskOutlivesRestart, filesystemOutlivesRestart, interfaceOutlivesRestart, hostdevOutlivesRestart,
	diskOutlivesInit, filesystemOutlivesInit, interfaceOutlivesInit,
	linkChanged, deviceChangedOrRefused, deviceFails, devicesOfPaused, devicesOfStopped, namesCompleted,
}

// needs leaves out what the driver says that it cannot: drivers name the kinds of devices that they can plug in by features.
func (s *suite) needs(kinds ...string) {
	s.Helper()
	c, err := s.driver.Capabilities(s.Context())
	if err != nil {
		s.Fatalf("capabilities: %v", err)
	}
	for _, kind := range kinds {
		if feature := "hotplug-" + kind; !slices.Contains(c.Features, feature) {
			s.Skipf("driver %s does not have the feature %s", c.Name, feature)
		}
	}
}

// device is one of a kind, of the factory or made up.
func (s *suite) device(kind string) *davitv1.Device {
	s.Helper()
	if supplier, ok := s.factory.(Supplier); ok {
		if dev := supplier.Device(s.T, kind); dev != nil {
			return dev
		}
	}
	switch kind {
	case "disk":
		return &davitv1.Device{Kind: &davitv1.Device_Disk{Disk: &davitv1.Disk{
			Type: davitv1.DiskType_DISK_TYPE_FILE, SourceFile: s.image(), TargetDev: "sda",
		}}}
	case "filesystem":
		return &davitv1.Device{Kind: &davitv1.Device_Filesystem{Filesystem: &davitv1.Filesystem{
			Type: davitv1.FilesystemType_FILESYSTEM_TYPE_RAM, SourceUsageKib: 1024, TargetDir: "/mnt",
		}}}
	case "interface":
		return &davitv1.Device{Kind: &davitv1.Device_Interface{Interface: &davitv1.Interface{
			Type: davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET, Mac: "52:54:00:dd:00:01", GuestDev: "hot0",
		}}}
	case "hostdev":
		return &davitv1.Device{Kind: &davitv1.Device_Hostdev{Hostdev: &davitv1.Hostdev{
			Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_MISC, SourceChar: "/dev/fuse",
		}}}
	}
	s.Fatalf("there is no kind %q", kind)
	return nil
}

// imageSize is the size of a disk that the suite makes up.
const imageSize = 1 << 20

// image is a raw image of the test.
func (s *suite) image() string {
	s.Helper()
	file := filepath.Join(s.TempDir(), "image")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		s.Fatal(err)
	}
	if err := os.Truncate(file, imageSize); err != nil {
		s.Fatal(err)
	}
	return file
}

// canonical makes the definition of a spec one as engines have it: in canonical form, its devices named.
func canonical(def *davitv1.Domain) {
	domain.Normalize(def)
	domain.NameDevices(def)
}

// with is a definition with a device more, and the device as it is in it.
func (s *suite) with(def *davitv1.Domain, dev *davitv1.Device) (*davitv1.Domain, *davitv1.Device) {
	s.Helper()
	next := proto.CloneOf(def)
	next.Id = 1 // of a run
	next, dev, err := domain.Attach(next, dev, nil)
	if err != nil {
		s.Fatalf("attach to definition: %v", err)
	}
	next.Id = def.GetId()
	return next, dev
}

// apply updates a container to a definition.
func (l *life) apply(def *davitv1.Domain) {
	l.s.Helper()
	if err := l.Update(l.s.Context(), def); err != nil {
		l.s.Fatalf("update: %v", err)
	}
}

// shows checks how often the driver tells of a device. Nothing tells of devices of the host but interfaces.
func (l *life) shows(dev *davitv1.Device, want int, when string) {
	l.s.Helper()
	alias, got := domain.DeviceAlias(dev), 0
	count := func(other string) {
		if other == alias {
			got++
		}
	}
	switch {
	case dev.GetHostdev() != nil:
		return
	case dev.GetFilesystem() != nil:
		for _, f := range l.filesystems() {
			count(f.GetAlias())
		}
	case dev.GetInterface() != nil:
		for _, n := range l.interfaces() {
			count(n.GetAlias())
		}
	case dev.GetDisk() != nil:
		list, err := l.reporter().BlockDevices(l.s.Context())
		if err != nil {
			l.s.Fatalf("block devices: %v", err)
		}
		for _, d := range list {
			count(d.GetAlias())
		}
	}
	if got != want {
		l.s.Errorf("%s: %s is told %d times, want %d", when, domain.DescribeDevice(dev), got, want)
	}
}

func (l *life) reporter() driver.DeviceReporter {
	l.s.Helper()
	reporter, ok := l.Instance.(driver.DeviceReporter)
	if !ok {
		l.s.Fatal("the driver can plug devices in and does not tell of them")
	}
	return reporter
}

func (l *life) interfaces() []*davitv1.InterfaceStatus {
	l.s.Helper()
	list, err := l.reporter().Interfaces(l.s.Context())
	if err != nil {
		l.s.Fatalf("interfaces: %v", err)
	}
	return list
}

func (l *life) filesystems() []*davitv1.MountedFilesystem {
	l.s.Helper()
	lister, ok := l.Instance.(driver.FilesystemLister)
	if !ok {
		l.s.Fatal("the driver can plug filesystems in and does not list them")
	}
	list, err := lister.Filesystems(l.s.Context())
	if err != nil {
		l.s.Fatalf("filesystems: %v", err)
	}
	return list
}

func diskComesAndGoes(s *suite)       { s.comesAndGoes("disk") }
func filesystemComesAndGoes(s *suite) { s.comesAndGoes("filesystem") }
func interfaceComesAndGoes(s *suite)  { s.comesAndGoes("interface") }
func hostdevComesAndGoes(s *suite)    { s.comesAndGoes("hostdev") }

// comesAndGoes gives a running container a device and takes it away, more than once; what holds may be told again. The last time the
// container ends with it.
func (s *suite) comesAndGoes(kind string) {
	s.Helper()
	s.needs(kind)
	l := s.start(idle, canonical).ready()
	without := l.spec.Definition
	with, dev := s.with(without, s.device(kind))
	l.shows(dev, 0, "before")
	for range 3 {
		for range 2 {
			l.apply(with)
			l.shows(dev, 1, "attached")
		}
		for range 2 {
			l.apply(without)
			l.shows(dev, 0, "detached")
		}
	}
	l.apply(with)
	l.kill()
}

func diskOutlivesRestart(s *suite)       { s.outlivesRestart("disk") }
func filesystemOutlivesRestart(s *suite) { s.outlivesRestart("filesystem") }
func interfaceOutlivesRestart(s *suite)  { s.outlivesRestart("interface") }
func hostdevOutlivesRestart(s *suite)    { s.outlivesRestart("hostdev") }

// outlivesRestart has a device when the daemon is started anew. A daemon that did not store that it attached one, or that it detached one,
// makes it so again that all is as its definition says.
func (s *suite) outlivesRestart(kind string) {
	s.Helper()
	s.needs(kind)
	l := s.start(idle, canonical).ready()
	want[driver.Started](l)
	without := l.spec.Definition
	with, dev := s.with(without, s.device(kind))
	l.apply(with)
	for _, known := range []*davitv1.Domain{with, without, without, with, with} {
		s.reopen()
		l.spec.Definition = known
		l.recover()
		l.apply(known)
		there := 0
		if known == with {
			there = 1
		}
		l.shows(dev, there, "recovered")
	}
	l.apply(without)
	l.shows(dev, 0, "detached by another daemon")
}

func diskOutlivesInit(s *suite)       { s.outlivesInit("disk") }
func filesystemOutlivesInit(s *suite) { s.outlivesInit("filesystem") }
func interfaceOutlivesInit(s *suite)  { s.outlivesInit("interface") }

// outlivesInit has a device that was attached when init is started again, and has none that was detached.
func (s *suite) outlivesInit(kind string) {
	s.Helper()
	s.needs(kind)
	l := s.start(idle, restartOn(crash), canonical).ready()
	want[driver.Started](l)
	without := l.spec.Definition
	with, dev := s.with(without, s.device(kind))
	for _, step := range []struct {
		def   *davitv1.Domain
		there int
	}{{with, 1}, {without, 0}} {
		l.apply(step.def)
		l.killInit()
		want[driver.Exited](l)
		want[driver.Restarted](l)
		l.shows(dev, step.there, "after init was started again")
	}
}

// linkChanged sets the link of an interface down and up.
func linkChanged(s *suite) {
	s.needs("interface")
	l := s.start(idle, canonical).ready()
	with, dev := s.with(l.spec.Definition, s.device("interface"))
	for _, state := range []davitv1.LinkState{davitv1.LinkState_LINK_STATE_UP, davitv1.LinkState_LINK_STATE_DOWN, davitv1.LinkState_LINK_STATE_UP} {
		next := proto.CloneOf(with)
		for _, n := range next.GetDevices().GetInterface() {
			if n.GetAlias() == domain.DeviceAlias(dev) {
				n.LinkState = state
			}
		}
		for range 2 {
			l.apply(next)
			for _, n := range l.interfaces() {
				if n.GetAlias() == domain.DeviceAlias(dev) && n.GetUp() != (state == davitv1.LinkState_LINK_STATE_UP) {
					s.Errorf("the link is up: %t, want %v", n.GetUp(), state)
				}
			}
		}
		l.shows(dev, 1, "changed")
	}
}

// A device that is to be another one is changed, or it is refused and stays what it was.
func deviceChangedOrRefused(s *suite) {
	s.needs("filesystem")
	l := s.start(idle, canonical).ready()
	with, dev := s.with(l.spec.Definition, s.device("filesystem"))
	l.apply(with)
	next := proto.CloneOf(with)
	for _, f := range next.GetDevices().GetFilesystem() {
		if f.GetAlias() == domain.DeviceAlias(dev) {
			f.Readonly = true
		}
	}
	err := l.Update(s.Context(), next)
	if err != nil && !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("change a mount: %v, want FAILED_PRECONDITION or success", err)
	}
	for _, f := range l.filesystems() {
		if f.GetAlias() == domain.DeviceAlias(dev) && f.GetReadOnly() != (err == nil) {
			s.Errorf("the mount is read-only: %t, and to make it so was answered by %v", f.GetReadOnly(), err)
		}
	}
	l.shows(dev, 1, "changed or refused")
	l.apply(with)
}

// A device that cannot be made is an error, and nothing else that was asked for with it is done.
func deviceFails(s *suite) {
	s.needs("filesystem")
	l := s.start(idle, canonical).ready()
	before, err := l.Stats(s.Context())
	if err != nil {
		s.Fatalf("stats: %v", err)
	}
	next, dev := s.with(l.spec.Definition, &davitv1.Device{Kind: &davitv1.Device_Filesystem{Filesystem: &davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: "/nonexistent/folder", TargetDir: "/mnt",
	}}})
	next.PidsLimit = 77
	for range 2 {
		err = l.Update(s.Context(), next)
		if refusal, ok := errors.AsType[*domain.Error](err); !ok || !errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(refusal.Error(), "/nonexistent") {
			s.Errorf("attach what is not there: %v, want FAILED_PRECONDITION with its name", err)
		}
		l.shows(dev, 0, "refused")
		l.limits(before.GetMemoryLimitBytes(), before.GetPidsLimit())
	}
	l.apply(l.spec.Definition)
	if st := l.status(); !st.Running {
		s.Errorf("it is %+v afterwards", st)
	}
}

// A frozen container is given devices, too, and loses them.
func devicesOfPaused(s *suite) {
	s.needs("interface")
	l := s.start(idle, canonical).ready()
	if err := l.Suspend(s.Context()); err != nil {
		s.Fatalf("suspend: %v", err)
	}
	with, dev := s.with(l.spec.Definition, s.device("interface"))
	l.apply(with)
	l.shows(dev, 1, "paused")
	l.apply(l.spec.Definition)
	l.shows(dev, 0, "paused")
	if !l.status().Paused {
		s.Error("it is thawed")
	}
}

// One that has stopped has no devices and takes none.
func devicesOfStopped(s *suite) {
	s.needs("interface")
	l := s.start(idle, canonical).ready()
	with, _ := s.with(l.spec.Definition, s.device("interface"))
	l.apply(with)
	l.kill()
	l.exited()
	if err := l.Update(s.Context(), l.spec.Definition); !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("update: %v, want FAILED_PRECONDITION", err)
	}
	if list, err := l.reporter().Interfaces(s.Context()); !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("interfaces: %v, %v, want FAILED_PRECONDITION", list, err)
	}
	if list, err := l.reporter().BlockDevices(s.Context()); !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("block devices: %v, %v, want FAILED_PRECONDITION", list, err)
	}
}

// Names of host ends that the definition leaves open are made up, told, and the same for the next daemon.
func namesCompleted(s *suite) {
	s.needs("interface")
	completer := func(l *life) driver.Completer {
		c, ok := l.Instance.(driver.Completer)
		if !ok {
			s.Skip("the driver chooses no names")
		}
		return c
	}
	l := s.start(idle, canonical).ready()
	with, dev := s.with(l.spec.Definition, s.device("interface"))
	l.apply(with)
	hostEnd := func() string {
		def := proto.CloneOf(with)
		completer(l).Complete(def)
		for _, n := range def.GetDevices().GetInterface() {
			if n.GetAlias() == domain.DeviceAlias(dev) {
				return n.GetTargetDev()
			}
		}
		return ""
	}
	name := hostEnd()
	if !domain.Chosen(name) {
		s.Errorf("the host end is %q, which is not a name that is made up", name)
	}
	for _, n := range l.interfaces() {
		if n.GetAlias() == domain.DeviceAlias(dev) && n.GetHostDev() != name {
			s.Errorf("the host end is told as %q and %q", n.GetHostDev(), name)
		}
	}
	s.reopen()
	l.spec.Definition = with
	l.recover()
	if again := hostEnd(); again != name {
		s.Errorf("the host end is %q for the next daemon, %q for the one before", again, name)
	}
}
