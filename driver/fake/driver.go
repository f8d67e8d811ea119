// Package fake is a driver that makes no containers: everything it does happens in memory, at once and always the same
// way. It is for tests of what stands on a driver, for demonstrations without root, and the first passer of the suite in
// package drivertest.
//
// A fake container has an init, consoles and commands, but its programs are a handful that are played, not run:
//
//   - sh -c SCRIPT, with the commands that follow, separated by ";", "&&", "&" or a new line, "trap 'SCRIPT' SIGNAL",
//     "wait", ">&2" and variables;
//   - echo, cat, true, false, exit N, env, tty, pwd, sleep N (or infinity), kill -SIGNAL 1, poweroff and reboot;
//   - sh without arguments, which runs each line that is typed;
//   - as init, any other program: it runs until it is told to shut down, ends then with status 0, and reboots when it
//     is told to. What is typed at its console is echoed.
//
// A path below /nonexistent does not exist. Init of a container ignores, as the kernel has it, each signal but SIGKILL
// that it has no trap for.
//
// The value outlives whoever uses it as containers outlive a daemon: call [Driver.Close], then use the same value with a
// new engine, whose Recover finds the instances and the events that were not acknowledged.
//
// There are no goroutines but those of open event channels, and all time is package time's: the driver works in the
// bubbles of testing/synctest. Nothing is on disk but, where it is asked for, the logs of domains.
package fake

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Options say how the driver behaves. The zero value is good.
type Options struct {
	// Instance is the id that Capabilities tells; "fake0000" when empty.
	Instance string
	// StartDuration is how long a start takes.
	StartDuration time.Duration
	// Backoff is how long a restart is held back; 10 ms when 0.
	Backoff time.Duration
	// Scrollback is how many bytes of a console are kept; 64 KiB when 0.
	Scrollback int
	// LogDir has a folder for each domain, of its UUID, in which what its consoles say is written; there are no logs when empty.
	LogDir string
}

// Driver is a driver in memory.
type Driver struct {
	opts Options

	mu       sync.Mutex
	changed  sync.Cond // at every change of anything below
	nextPID  uint32
	failures []error
	refusals []error // of updates
	epoch    uint64  // counts Close: streams of an earlier epoch are dead
	made     map[driver.Ref]*container
}

var (
	_ driver.Driver  = (*Driver)(nil)
	_ driver.Planner = (*Driver)(nil)

	_ driver.FilesystemLister = (*instance)(nil)
)

// New makes a driver without containers.
func New(o Options) *Driver {
	if o.Instance == "" {
		o.Instance = "fake0000"
	}
	if o.Backoff == 0 {
		o.Backoff = 10 * time.Millisecond
	}
	if o.Scrollback == 0 {
		o.Scrollback = 64 << 10
	}
	d := &Driver{opts: o, nextPID: 1000, made: make(map[driver.Ref]*container)}
	d.changed.L = &d.mu
	return d
}

// Capabilities tells that it is the fake.
func (d *Driver) Capabilities(context.Context) (driver.Capabilities, error) {
	return driver.Capabilities{
		Name: "fake",
		Features: []string{
			"console", "exec", "filesystems", "hotplug-disk", "hotplug-filesystem", "hotplug-hostdev", "hotplug-interface", "suspend",
		},
		Cgroup:      "v2",
		Controllers: []string{"cpu", "cpuset", "memory", "pids"},
		Instance:    d.opts.Instance,
	}, nil
}

// Check finds what Start would find, each with its place: a missing folder may be there by then, an init may not.
func (d *Driver) Check(_ context.Context, def *davitv1.Domain) ([]*davitv1.Warning, error) {
	var warnings []*davitv1.Warning
	for i, f := range def.GetDevices().GetFilesystem() {
		if f.GetType() == davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT && absent(f.GetSourceDir()) {
			warnings = append(warnings, &davitv1.Warning{
				XmlPath: fmt.Sprintf("/domain/devices/filesystem[%d]/source/@dir", i+1),
				Field:   fmt.Sprintf("devices.filesystem[%d].source_dir", i),
				Message: fmt.Sprintf("%q does not exist; it must when the domain is started", f.GetSourceDir()),
			})
		}
	}
	init := def.GetOs().GetInit()
	if !absent(init) {
		return warnings, nil
	}
	return warnings, &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_START_FAILED,
		Op: "check domain", Subject: def.GetName(),
		Violations: []domain.Violation{{XMLPath: "/domain/os/init", Field: "os.init", Message: fmt.Sprintf("%q does not exist", init)}},
	}
}

// Plan is one line for each thing that a container would have.
func (d *Driver) Plan(_ context.Context, def *davitv1.Domain, _ bool) (string, error) {
	if err := missing(def); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, f := range def.GetDevices().GetFilesystem() {
		fmt.Fprintf(&b, "mount %q on %q\n", f.GetSourceDir(), f.GetTargetDir())
	}
	fmt.Fprintf(&b, "run %q\n", append([]string{def.GetOs().GetInit()}, def.GetOs().GetInitarg()...))
	return b.String(), nil
}

// Start makes a container.
func (d *Driver) Start(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	if err := d.takeFailure(); err != nil {
		return nil, err
	}
	if err := missing(spec.Definition); err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := pause(ctx, d.opts.StartDuration); err != nil {
		return nil, fmt.Errorf("start domain %q: %w", spec.Definition.GetName(), err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for ref := range d.made {
		if ref.UUID == spec.UUID {
			return nil, busy("start domain", spec.Definition.GetName(), "an earlier run of it was not released")
		}
	}
	c := newContainer(d, spec)
	d.made[spec.Ref] = c
	c.choose()
	c.boot(func(pid uint32) driver.EventKind {
		return driver.Started{InitPID: pid, Duration: time.Since(begun)}
	})
	return &instance{c: c}, nil
}

// Recover finds a container of an earlier start.
func (d *Driver) Recover(_ context.Context, spec driver.Spec) (driver.Instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.made[spec.Ref]
	if c == nil {
		return nil, &domain.Error{
			Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND,
			Op: "recover domain", Subject: spec.Definition.GetName(), Message: "nothing of it is left",
			Detail: map[string]string{"uuid": spec.UUID, "generation": spec.Generation},
		}
	}
	return &instance{c: c}, nil
}

// Sweep removes the containers that are not to be kept.
func (d *Driver) Sweep(_ context.Context, keep []driver.Ref) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ref, c := range d.made {
		if !slices.Contains(keep, ref) {
			c.remove()
		}
	}
	return nil
}

// Forget has nothing to remove: the fake keeps no changes.
func (d *Driver) Forget(context.Context, string) error { return nil }

// Close ends all streams, as the death of a daemon would. The driver can be used again.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch++
	for _, c := range d.made {
		c.dropReader()
		for _, s := range c.sessions {
			s.leave()
		}
	}
	d.changed.Broadcast()
	return nil
}

// missing is the error for the first path of a definition that does not exist.
func missing(def *davitv1.Domain) error {
	for _, f := range def.GetDevices().GetFilesystem() {
		if f.GetType() == davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT && absent(f.GetSourceDir()) {
			return startFailed(def.GetName(), "mount", f.GetSourceDir())
		}
	}
	for _, dev := range hotplugged(def) {
		if path := devicePath(dev); dev.GetFilesystem() == nil && absent(path) {
			return startFailed(def.GetName(), "open", path)
		}
	}
	if absent(def.GetOs().GetInit()) {
		return startFailed(def.GetName(), "exec", def.GetOs().GetInit())
	}
	return nil
}

func absent(path string) bool {
	return path == "/nonexistent" || strings.HasPrefix(path, "/nonexistent/")
}

func startFailed(name, operation, object string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_START_FAILED,
		Op: "start domain", Subject: name,
		Message: fmt.Sprintf("%s %q: %v", operation, object, syscall.ENOENT),
		Detail:  map[string]string{"operation": operation, "object": object, "errno": "ENOENT"},
	}
}

func busy(op, subject, message string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY,
		Op: op, Subject: subject, Message: message,
	}
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func clone(def *davitv1.Domain) *davitv1.Domain { return proto.CloneOf(def) }
