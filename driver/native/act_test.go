package native_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/native"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// obeys is the init of a guest that ends with 3 when it is asked to end, and reboots when it is asked to.
const obeys = "trap 'exit 3' TERM; trap 'exec /guest/reboot' HUP; echo up; while :; do sleep infinity & wait; done"

// stage is a domain, and the driver that has to do with it.
type stage struct {
	driver.Ref
	// First is the definition that it is started with, Next another that it may be given.
	First, Next *davitv1.Domain

	d *native.Driver
	i driver.Instance // nil while there is none
}

// spec says what is started.
func (s *stage) spec() driver.Spec {
	return driver.Spec{Ref: s.Ref, Definition: proto.CloneOf(s.First)}
}

// start starts it, and waits until its init hears signals.
func (s *stage) start(ctx context.Context) (err error) {
	if s.i, err = s.d.Start(ctx, s.spec()); err != nil {
		return err
	}
	return s.hears(ctx)
}

// hears waits until the guest hears signals.
func (s *stage) hears(ctx context.Context) error {
	for ctx.Err() == nil {
		st, err := s.i.Status(ctx)
		if err != nil {
			return err
		}
		if !st.Running {
			return errors.New("it has ended")
		}
		text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(int(st.InitPID)), "status"))
		_, after, _ := strings.Cut(string(text), "SigCgt:\t")
		line, _, _ := strings.Cut(after, "\n")
		if caught, err := strconv.ParseUint(line, 16, 64); err == nil && caught&1 != 0 && caught&(1<<14) != 0 {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err()
}

// story is what is told of a run, up to its end.
func (s *stage) story(ctx context.Context) (all []driver.Event, err error) {
	ch, err := s.i.Events(ctx, 0)
	if err != nil {
		return nil, err
	}
	for ev := range ch {
		all = append(all, ev)
	}
	if len(all) > 0 {
		if _, ok := all[len(all)-1].Kind.(driver.Stopped); ok {
			return all, nil
		}
	}
	return all, fmt.Errorf("the last of %+v is not Stopped", all)
}

// act is something that davitd does with a domain.
type act struct {
	name string
	// ready brings the domain into the condition before, in the process that acts; wreck does so before that, in one that is killed.
	ready func(context.Context, *stage) error
	wreck string
	do    func(context.Context, *stage) error
	// steps are those that it takes, in order, when nothing is amiss; some it may take again. Whoever adds a step to the driver adds it
	// here, which is where faults strike.
	steps []string
	// holds tells what is not as it has to be once it was done.
	holds func(testing.TB, *host, *stage)
	// prone is a definition that it makes of the one that the domain is started with; the two may be the other way round.
	prone   func(testing.TB, *networkHost, *davitv1.Domain) *davitv1.Domain
	swapped bool
}

var acts = []act{
	{name: "start", do: launch, steps: startSteps(), holds: runs},
	{name: "stop", ready: launch, do: stop, steps: slices.Concat([]string{"tell intent", "ask init"}, released)},
	{name: "destroy", ready: launch, do: destroy, steps: slices.Concat(killed, released)},
	{
		name: "reboot", ready: launch, do: reboot, holds: runs,
		steps: []string{"tell intent", "ask init", "make interface"},
	},
	{
		name: "suspend and resume", ready: launch, do: suspendAndResume, holds: runs,
		steps: []string{"freeze container", "thaw container"},
	},
	{
		name: "update", ready: launch, do: change, holds: changedTo, prone: retuned,
		steps: []string{"write limits", "tell policy"},
	},
	{
		name: "attach", ready: launch, do: change, holds: changedTo, prone: furnished,
		steps: []string{
			"announce devices", "allow devices", "change devices", "settle devices", "announce interfaces", "change interface", "make interface",
			"note interfaces", "write limits", "tell policy",
		},
	},
	{
		name: "detach", ready: launch, do: change, holds: changedTo, prone: furnished, swapped: true,
		steps: []string{
			"announce devices", "allow devices", "change devices", "settle devices", "announce interfaces", "change interface", "note interfaces",
			"write limits", "tell policy",
		},
	},
	{name: "exec", ready: launch, do: execTrue, holds: runs, steps: []string{"run command"}},
	{name: "exec by an older monitor", ready: launch, do: execOlder, holds: runs, steps: []string{"ask for the plan", "run command"}},
	{name: "undefine", ready: wasHere, do: undefine, holds: undefined, steps: []string{"give up host ids", "remove kept changes"}},
	{name: "recover of half a start", wreck: "make container", do: findNothing, steps: released},
	{name: "sweep of half a start", wreck: "make container", do: sweep, steps: released},
}

// startSteps are those of a start: the interface is made while the monitor makes the container.
func startSteps() []string {
	at := slices.Index(native.Steps, "make container") + 1
	return slices.Insert(slices.Clone(native.Steps), at, "make interface")
}

var (
	killed = []string{"disarm monitor", "kill processes", "wait for the end"}
	// released are the steps after the end of a run.
	released = []string{
		"end monitor", "forget monitor", "remove cgroup", "release host ids", "give back log files", "forget interfaces", "remove state folder",
	}
)

func launch(ctx context.Context, s *stage) error { return s.start(ctx) }

// stop asks the guest to end, unless it has ended, and gives back what it had.
func stop(ctx context.Context, s *stage) error {
	st, err := s.i.Status(ctx)
	if err != nil {
		return err
	}
	if st.Running {
		err = s.i.Shutdown(ctx, 0, false)
		if err != nil && !errors.Is(err, domain.ErrFailedPrecondition) { // it ends at this moment
			return err
		}
	}
	all, err := s.story(ctx)
	if err != nil {
		return err
	}
	if x := exitsOf(all); len(x) != 1 || x[0].Exit.GetCode() != 3 || x[0].Restart || x[0].Cause != driver.CausePoweroff {
		return fmt.Errorf("told are %+v, want one exit with code 3", all)
	}
	return s.i.Release(ctx)
}

// exitsOf are the ends of inits in a story.
func exitsOf(all []driver.Event) (list []driver.Exited) {
	for _, ev := range all {
		if x, ok := ev.Kind.(driver.Exited); ok {
			list = append(list, x)
		}
	}
	return list
}

func destroy(ctx context.Context, s *stage) error {
	if err := s.i.Kill(ctx); err != nil {
		return err
	}
	return s.i.Release(ctx)
}

// reboot asks the guest to reboot, and waits until it has.
func reboot(ctx context.Context, s *stage) error {
	if err := s.hears(ctx); err != nil { // the boot before this may not be over
		return err
	}
	before, err := s.i.Status(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ch, err := s.i.Events(ctx, 0)
	if err != nil {
		return err
	}
	if err = s.i.Shutdown(ctx, 0, true); err != nil {
		return err
	}
	for ev := range ch {
		if again, ok := ev.Kind.(driver.Restarted); ok && again.Count > before.Restarts {
			return s.hears(ctx)
		}
	}
	return errors.New("it did not boot")
}

func suspendAndResume(ctx context.Context, s *stage) error {
	if err := s.i.Suspend(ctx); err != nil {
		return err
	}
	if st, err := s.i.Status(ctx); err != nil || !st.Paused {
		return errors.Join(err, fmt.Errorf("status %+v, want it paused", st))
	}
	return s.i.Resume(ctx)
}

func change(ctx context.Context, s *stage) error { return s.i.Update(ctx, proto.CloneOf(s.Next)) }

// execOlder is execTrue as with a monitor that has to be told all of a command.
func execOlder(ctx context.Context, s *stage) error {
	s.d.OlderHook()
	return execTrue(ctx, s)
}

func execTrue(ctx context.Context, s *stage) error {
	stream, err := s.i.Exec(ctx, driver.ExecOptions{ID: uuid.NewString(), Argv: []string{"/bin/true"}})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for {
		out, err := stream.Receive()
		if err != nil {
			return fmt.Errorf("no exit of the command: %w", err)
		}
		if out.Exit != nil {
			if out.Exit.GetCode() != 0 || out.Exit.GetHow() == nil {
				return fmt.Errorf("the command ended with %v", out.Exit)
			}
			return nil
		}
	}
}

// wasHere leaves what is kept of a domain that ran: its host ids, and what it has written.
func wasHere(ctx context.Context, s *stage) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	return destroy(ctx, s)
}

func undefine(ctx context.Context, s *stage) error {
	if err := s.d.Unreserve(ctx, s.UUID); err != nil {
		return err
	}
	return s.d.Forget(ctx, s.UUID)
}

// findNothing finds that nothing is left of a start that was cut off.
func findNothing(ctx context.Context, s *stage) error {
	_, err := s.d.Recover(ctx, s.spec())
	if !errors.Is(err, domain.ErrNotFound) {
		return fmt.Errorf("recover: %w, want NOT_FOUND", err)
	}
	return nil
}

func sweep(ctx context.Context, s *stage) error { return s.d.Sweep(ctx, nil) }

// runs sees to it that the domain does, as defined.
func runs(tb testing.TB, _ *host, s *stage) {
	tb.Helper()
	if got := output(tb, s.i, "cat", "/sys/class/net/eth0/address"); got != "52:54:00:00:00:01\n" {
		tb.Errorf("the guest sees %q", got)
	}
}

// undefined sees to it that nothing is kept.
func undefined(tb testing.TB, h *host, _ *stage) {
	tb.Helper()
	h.claims(tb, 0)
	if left, _ := filepath.Glob(filepath.Join(h.options.UpperDir, "*")); len(left) > 0 {
		tb.Errorf("left are %q", left)
	}
}

// retuned has other limits and another policy.
func retuned(_ testing.TB, _ *networkHost, def *davitv1.Domain) *davitv1.Domain {
	next := proto.CloneOf(def)
	next.MemoryKib, next.CurrentMemoryKib, next.PidsLimit, next.OnCrash = 96<<10, 96<<10, 77, davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	return next
}

// furnished has a device of each kind more.
func furnished(tb testing.TB, h *networkHost, def *davitv1.Domain) *davitv1.Domain {
	tb.Helper()
	dir := tb.TempDir()
	image := rawImage(tb, filepath.Join(dir, "a.img"), "words", 1<<20)
	tb.Cleanup(func() { noLoops(tb, dir) })
	return plus(def, file(image, "sda"), misc("/dev/loop-control"), mounted(&davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: dir, TargetDir: "/mnt",
	}), with(named(bridged("52:54:00:00:00:02", "10.0.0.3"), "net1")))
}

// changedTo sees to it that the domain is what it was made, then what it was, then that again.
func changedTo(tb testing.TB, h *host, s *stage) {
	tb.Helper()
	matches(tb, s.i, s.Next)
	for _, def := range []*davitv1.Domain{s.First, s.Next} {
		update(tb, s.i, proto.CloneOf(def))
		matches(tb, s.i, def)
	}
	runs(tb, h, s)
}

// matches compares a domain with a definition.
func matches(tb testing.TB, i driver.Instance, def *davitv1.Domain) {
	tb.Helper()
	st, err := i.Stats(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	wantPids := def.GetPidsLimit()
	if st.GetMemoryLimitBytes() != def.GetMemoryKib()<<10 || wantPids != 0 && st.GetPidsLimit() != wantPids {
		tb.Errorf("limits are %d bytes, %d processes; want %d KiB, %d", st.GetMemoryLimitBytes(), st.GetPidsLimit(), def.GetMemoryKib(), wantPids)
	}
	disks, nodes := "no\n", "ls: cannot access"
	if len(def.GetDevices().GetDisk()) > 0 {
		disks, nodes = "words", "a.img\n"
	}
	if got := output(tb, i, "sh", "-c", "if test -e /dev/sda; then head -c 5 /dev/sda; else echo no; fi"); got != disks {
		tb.Errorf("the disk says %q, want %q", got, disks)
	}
	if got := output(tb, i, "ls", "/mnt/a.img"); !strings.Contains(got, strings.TrimSpace(nodes)) {
		tb.Errorf("the folder says %q, want %q", got, nodes)
	}
	if n := len(report(tb, i)); n != len(def.GetDevices().GetInterface()) {
		tb.Errorf("%d interfaces, want %d", n, len(def.GetDevices().GetInterface()))
	}
}

// aWhile bounds what is done with a domain that nothing disturbs.
func aWhile() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), testenv.Scale(2*time.Minute))
}
