package native_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/native"
)

// blow is what may befall an act before one of its steps.
type blow struct {
	name string
	// apart tells that the act is done in a process of its own, which dies of it.
	apart bool
	// strike does it, in the process that acts. The step fails with the error.
	strike func(*strike) error
	// bears tells that the act succeeds all the same, misses that it does where there is nothing yet, or any more, that could be killed.
	bears, misses bool
}

var blows = []blow{
	{name: "davitd killed", apart: true, strike: func(*strike) error { return die() }},
	{name: "monitor killed", misses: true, strike: func(s *strike) error { return s.killMonitor() }},
	{name: "davitd and monitor killed", apart: true, strike: func(s *strike) error { return errors.Join(s.killMonitor(), die()) }},
	{name: "keeper killed", bears: true, strike: func(s *strike) error { return s.killKeeper() }},
	{name: "davitd and keeper killed", apart: true, strike: func(s *strike) error { return errors.Join(s.killKeeper(), die()) }},
	{name: "step fails", strike: func(s *strike) error { return faults[len(s.at)%len(faults)] }},
	{name: "caller leaves", strike: func(s *strike) error { s.leave(); return nil }},
	{name: "step is held", bears: true, strike: func(s *strike) error { return s.otherLives() }},
}

// faults are what steps fail with.
var faults = []error{unix.EIO, unix.ENOMEM, unix.EMFILE, unix.EAGAIN, unix.ENOSPC}

// cases are the names of what REL cases the design has for a blow to an act.
func (b blow) cases(a act) string {
	switch {
	case b.name == "davitd killed" && a.name == "start":
		return "REL-01"
	case b.name == "davitd killed":
		return "REL-02"
	case b.name == "monitor killed":
		return "REL-03"
	case b.name == "davitd and monitor killed":
		return "REL-04"
	case b.name == "step fails":
		return "REL-12"
	case b.name == "caller leaves":
		return "REL-27"
	}
	return "more"
}

// strike is a blow that is to fall.
type strike struct {
	*stage
	// Run folder of the driver.
	run string
	// at is the step that it falls before, after the last if empty.
	at    string
	leave context.CancelFunc
	// other is a domain that nothing is to happen to.
	other *stage

	mu    sync.Mutex
	steps []string // that were reached, each once
	fell  bool
	hit   bool // there was something to kill
}

// arm has the blow fall before a step of what the driver does from now on.
func (s *strike) arm(b blow) {
	s.d.OnStep(func(name string) error {
		s.mu.Lock()
		if !slices.Contains(s.steps, name) {
			s.steps = append(s.steps, name)
		}
		falls := !s.fell && name == s.at
		s.fell = s.fell || falls
		s.mu.Unlock()
		if !falls {
			return nil
		}
		return b.strike(s)
	})
}

// disarm ends it, and tells whether it fell.
func (s *strike) disarm() bool {
	s.d.OnStep(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fell
}

// die kills this process.
func die() error {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// killKeeper kills the keeper, if there is one.
func (s *strike) killKeeper() error {
	return s.withKeeper(func(k *client.Keeper) error {
		s.hit = true
		return killAndWait(int(k.Hello().GetPid()))
	})
}

// killMonitor kills the monitor of the domain, if there is one.
func (s *strike) killMonitor() error {
	return s.withKeeper(func(k *client.Keeper) error {
		ctx, cancel := aWhile()
		defer cancel()
		list, err := k.Monitors(ctx)
		for _, m := range list {
			if m.GetUuid() == s.UUID && err == nil {
				s.hit = true
				err = killAndWait(int(m.GetPid()))
			}
		}
		return err
	})
}

// withKeeper asks the keeper, if there is one.
func (s *strike) withKeeper(use func(*client.Keeper) error) error {
	folder, err := os.Open(s.run)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	ctx, cancel := aWhile()
	defer cancel()
	k, err := client.DialKeeper(ctx, folder)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(use(k), k.Close())
}

// killAndWait kills a process and waits until it is dead.
func killAndWait(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		return err
	}
	for {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// otherLives starts and ends another domain: a step that takes long holds up nobody else.
func (s *strike) otherLives() error {
	s.d.OnStep(nil)
	ctx, cancel := aWhile()
	defer cancel()
	s.other.d, s.other.Generation = s.d, uuid.NewString()
	return errors.Join(s.other.start(ctx), destroy(ctx, s.other))
}

// doom is an act with a blow in a process that dies.
type doom struct {
	Act, Blow, At string
	Stage         *stage
	Options       native.Options
}

// meet does the act. It returns if the blow did not fall, which it does at the end then.
func (d doom) meet(network *os.File) error {
	a := acts[slices.IndexFunc(acts, func(a act) bool { return a.name == d.Act })]
	b := blows[slices.IndexFunc(blows, func(b blow) bool { return b.name == d.Blow })]
	d.Options.Network = network
	var err error
	if d.Stage.d, err = native.New(d.Options); err != nil {
		return err
	}
	ctx, cancel := aWhile()
	defer cancel()
	if a.ready != nil {
		if err = a.ready(ctx, d.Stage); err != nil {
			return err
		}
	}
	s := &strike{stage: d.Stage, at: d.At, run: d.Options.RunDir}
	s.arm(b)
	if err = a.do(ctx, d.Stage); err != nil {
		return err
	}
	return b.strike(s)
}

// doomVar holds a doom, in JSON.
const doomVar = "DAVIT_TEST_DOOM"

// meetDoom is the process of a doom. It never returns.
func meetDoom() {
	var d doom
	err := json.Unmarshal([]byte(os.Getenv(doomVar)), &d)
	if err == nil {
		// The environment is the monitor's too, and long.
		_ = os.Unsetenv(doomVar)
		err = d.meet(os.NewFile(3, "network"))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}

// doomed does an act with a blow in a process that dies.
func (h *networkHost) doomed(tb testing.TB, d doom) {
	tb.Helper()
	d.Options = h.options
	d.Options.Network = nil
	text, err := json.Marshal(d)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), doomVar+"="+string(text))
	cmd.ExtraFiles = []*os.File{h.options.Network}
	out, err := cmd.CombinedOutput()
	var status syscall.WaitStatus
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status, _ = exit.Sys().(syscall.WaitStatus)
	}
	if !status.Signaled() {
		tb.Fatalf("%s with %s before %q: %v\n%s", d.Act, d.Blow, d.At, err, out)
	}
}
