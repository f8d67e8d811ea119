package monitor_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// begin starts a container that waits to be furnished.
func (d *domain) begin(root string, policy *monitorv1.Policy, words ...string) <-chan error {
	d.t.Helper()
	plan := guestPlan(root, policy, append([]string{"/bin/guest"}, words...)...)
	plan.Furnish = true
	started := make(chan error, 1)
	go func() {
		s, err := d.Start(d.house.ctx, plan, client.Cgroups{}, client.Logs{})
		if err == nil {
			_ = s.Pidfd.Close()
		}
		started <- err
	}()
	return started
}

func (d *domain) furnish() *client.Furnish {
	d.t.Helper()
	f, err := d.Furnish(d.house.ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = f.Close() })
	return f
}

// namespace is the number of the network namespace that is to be furnished.
func (d *domain) namespace(f *client.Furnish) uint64 {
	d.t.Helper()
	netns, err := f.Next(d.house.ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = netns.Close() }()
	return inode(d.t, netns)
}

func inode(tb testing.TB, f *os.File) uint64 {
	tb.Helper()
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		tb.Fatal(err)
	}
	return s.Ino
}

// Init does not run before its network namespace is furnished, nor does it after a reboot, whose namespace is another. A
// reboot waits for somebody to furnish it.
func TestFurnish(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	d := h.spawn(t, uuid)
	watch := d.events(0)
	started := d.begin(root, &monitorv1.Policy{OnReboot: monitorv1.Action_ACTION_RESTART}, "reboot", "restart")
	f := d.furnish()
	own, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = own.Close() }()
	first := d.namespace(f)
	if first == inode(t, own) {
		t.Error("the namespace is the host's")
	}
	select {
	case err := <-started:
		t.Fatalf("started before it was furnished: %v", err)
	default:
	}
	if err := f.Done(nil); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 started", "2 exited signal 1 reboot restart 0s"} {
		if got := d.next(watch); got != want {
			t.Errorf("event %q, want %q", got, want)
		}
	}
	_ = f.Close() // as when davitd ends
	f = d.furnish()
	if second := d.namespace(f); second == first {
		t.Error("after a reboot the namespace is the same")
	}
	if err := f.Done(nil); err != nil {
		t.Fatal(err)
	}
	if got := d.next(watch); got != "3 restarted 1" {
		t.Errorf("event %q", got)
	}
}

// Who furnishes comes with the start, of a new monitor as of a spare, and waits for nobody; the boots that follow are asked of him as well.
func TestFurnishWithTheStart(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	for _, want := range []string{"new", "spare"} {
		t.Run(want, func(t *testing.T) {
			if want == "spare" {
				h.awaitSpares(t)
			}
			s, folder := h.begin(t, generation)
			f, err := s.Furnish(h.ctx)
			if err != nil {
				t.Fatal(err)
			}
			plan := guestPlan(root, &monitorv1.Policy{OnReboot: monitorv1.Action_ACTION_RESTART}, "/bin/guest", "reboot", "restart")
			plan.Furnish = true
			furnished := make(chan error, 1)
			go func() { furnished <- furnishTwo(h.ctx, f) }()
			started, watch, err := s.Start(h.ctx, plan, client.Cgroups{}, client.Logs{})
			if err != nil {
				t.Fatal(err)
			}
			_ = started.Pidfd.Close()
			spawned, err := s.Spawned(h.ctx)
			if err != nil {
				t.Fatal(err)
			}
			d := &domain{Monitor: s.Monitor(), t: t, house: h, uuid: uuid, folder: folder, pid: spawned.PID, pidfd: spawned.Pidfd}
			for _, want := range []string{"1 started", "2 exited signal 1 reboot restart 0s", "3 restarted 1"} {
				if got := d.next(watch); got != want {
					t.Errorf("event %q, want %q", got, want)
				}
			}
			if err := <-furnished; err != nil {
				t.Error(err)
			}
			_ = watch.Close()
			d.end()
		})
	}
}

// furnishTwo furnishes two namespaces, which are not the same.
func furnishTwo(ctx context.Context, f *client.Furnish) error {
	defer func() { _ = f.Close() }()
	var numbers []uint64
	for range 2 {
		netns, err := f.Next(ctx)
		if err != nil {
			return err
		}
		var s unix.Stat_t
		err = errors.Join(unix.Fstat(int(netns.Fd()), &s), netns.Close(), f.Done(nil))
		if err != nil {
			return err
		}
		numbers = append(numbers, s.Ino)
	}
	if numbers[0] == numbers[1] {
		return errors.New("both boots have the same namespace")
	}
	return nil
}

// A namespace of somebody who went before he was done is the next one's, be it that he went or that he was followed.
func TestFurnishIsHandedOn(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	d := h.spawn(t, uuid)
	started := d.begin(root, nil, "pause")
	gone := d.furnish()
	want := d.namespace(gone)
	_ = gone.Close()
	followed := d.furnish()
	if got := d.namespace(followed); got != want {
		t.Errorf("namespace %d, want %d", got, want)
	}
	last := d.furnish()
	if got := d.namespace(last); got != want {
		t.Errorf("namespace %d, want %d", got, want)
	}
	if _, err := followed.Next(h.ctx); !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("whoever was followed: %v", err)
	}
	if err := last.Done(nil); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Error(err)
	}
}

// A container that cannot be furnished is not made, and says why.
func TestFurnishFails(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	d := h.spawn(t, uuid)
	started := d.begin(root, nil, "pause")
	f := d.furnish()
	d.namespace(f)
	if err := f.Done(errors.New(`bridge: interface "br9": file does not exist`)); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err == nil || !strings.Contains(err.Error(), `interface "br9"`) {
		t.Errorf("got %v", err)
	}
}

// A start that waits is called off with the container.
func TestFurnishIsCalledOff(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	for name, ask := range map[string]func(*domain){
		"nobody furnishes":   func(*domain) {},
		"somebody furnishes": func(d *domain) { d.namespace(d.furnish()) },
	} {
		t.Run(name, func(t *testing.T) {
			d := h.spawn(t, uuid)
			started := d.begin(root, nil, "pause")
			ask(d)
			for state := new(monitorv1.State); state.GetPhase() != monitorv1.Phase_PHASE_STARTING; {
				var err error
				if state, _, err = d.State(h.ctx); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Quit(context.WithoutCancel(h.ctx), true); err != nil {
				t.Fatal(err)
			}
			if err := <-started; err == nil {
				t.Error("it was started")
			}
		})
	}
}
