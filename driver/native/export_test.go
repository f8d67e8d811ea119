package native

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/cgroup"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// PlanHook changes what the monitor is given.
func (d *Driver) PlanHook(f func(*monitorv1.Plan)) { d.hooks.plan = f }

// StuckHook has it asked soon what keeps processes that were killed from dying.
func (d *Driver) StuckHook(after time.Duration) { d.hooks.stuck = after }

// OlderHook has monitors taken for those of an older davit.
func (d *Driver) OlderHook() { d.hooks.older = true }

// DevHook has clocks looked for in a folder.
func (d *Driver) DevHook(dir string) { d.hooks.dev = dir }

// USBHook has USB devices looked for in a folder.
func (d *Driver) USBHook(dir string) { d.hooks.usb = dir }

// Steps are the names of a start's steps.
var Steps = startSteps()

func startSteps() (names []string) {
	for _, step := range (&start{}).steps() {
		names = append(names, step.operation)
	}
	return names
}

// GuestNames are the names of interfaces inside.
var GuestNames = guestNames

// UpdateGoldens tells whether goldens are written.
func UpdateGoldens() bool { return *update }

// CapabilityNumber is the kernel's number of a capability.
func CapabilityNumber(name string) uint { return capabilityNumbers[protoreflect.Name(name)] }

// Undefine gives back the host ids that are kept for the domains of a pool, as when they were undefined.
func Undefine(p Pool) error {
	dir, err := openFolder(p.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	l, err := readLedger(dir)
	if err != nil {
		return err
	}
	for _, c := range l.Claims {
		if !c.Given || c.Idle {
			err = errors.Join(err, newIDs(p.withDefaults(), c.Instance, "").forget(c.UUID))
		}
	}
	return err
}

// OwnCapabilities is the bounding set of the test.
func OwnCapabilities() (uint64, error) { return ownCapabilities() }

// HasCgroup2 tells whether the host has a cgroup2 tree.
func HasCgroup2(tb testing.TB) bool {
	tb.Helper()
	h, err := cgroup.Detect("/sys/fs/cgroup")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	return h.Layout != cgroup.V1
}
