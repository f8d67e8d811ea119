package fake

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// instance is what an engine holds of a container.
type instance struct{ c *container }

var _ driver.Instance = (*instance)(nil)

func (i *instance) lock()   { i.c.d.mu.Lock() }
func (i *instance) unlock() { i.c.d.mu.Unlock() }

// running is the error of a container that has stopped.
func (i *instance) running(op string) error {
	if i.c.stopped {
		return stateError(op, i.c.def.GetName(), "the container has stopped")
	}
	return nil
}

func (i *instance) Ref() driver.Ref { return i.c.ref }

func (i *instance) Status(context.Context) (driver.Status, error) {
	i.lock()
	defer i.unlock()
	s := driver.Status{
		Running: !i.c.stopped, Paused: i.c.paused, Restarts: i.c.restarts, OOMKills: i.c.oomKills,
	}
	if i.c.init != nil {
		s.InitPID = i.c.init.pid
	}
	return s, nil
}

func (i *instance) Shutdown(_ context.Context, mode davitv1.ShutdownMode, reboot bool) error {
	i.lock()
	defer i.unlock()
	if err := i.running("shut down domain"); err != nil {
		return err
	}
	if i.c.init == nil {
		return stateError("shut down domain", i.c.def.GetName(), "its init is about to be started again")
	}
	if mode == davitv1.ShutdownMode_SHUTDOWN_MODE_INITCTL {
		return stateError("shut down domain", i.c.def.GetName(), "its init has no fifo for such requests; use another mode")
	}
	s, intent := syscall.SIGTERM, intentPoweroff
	if reboot {
		if i.c.intent == intentPoweroff {
			return stateError("reboot domain", i.c.def.GetName(), "its init was asked to end, and is not asked to reboot any more")
		}
		s, intent = syscall.SIGHUP, intentReboot
		if i.c.init.service {
			s = sigReboot
		}
	}
	if !i.c.init.handles(s) && i.c.intent == intentNone {
		op, instead := "shut down domain", "destroy ends the domain"
		if reboot {
			op, instead = "reboot domain", "reset starts the domain anew"
		}
		return stateError(op, i.c.def.GetName(), "its init has no handler for the signal, which the kernel drops then; "+instead)
	}
	i.c.intent = intent
	i.c.init.signal(s)
	return nil
}

func (i *instance) Signal(_ context.Context, guestPID uint32, signal int) error {
	i.lock()
	defer i.unlock()
	if err := i.running("signal process"); err != nil {
		return err
	}
	t := i.c.tasks[guestPID]
	if t == nil {
		return noObject("signal process", strconv.FormatUint(uint64(guestPID), 10), "the domain has no such process")
	}
	t.signal(syscall.Signal(signal))
	return nil
}

func (i *instance) Suspend(context.Context) error {
	i.lock()
	defer i.unlock()
	if err := i.running("suspend domain"); err != nil {
		return err
	}
	i.c.setPaused(true)
	return nil
}

func (i *instance) Resume(context.Context) error {
	i.lock()
	defer i.unlock()
	if err := i.running("resume domain"); err != nil {
		return err
	}
	i.c.setPaused(false)
	return nil
}

// Stats are made up from the definition and the number of tasks.
func (i *instance) Stats(context.Context) (*davitv1.DomainStats, error) {
	i.lock()
	defer i.unlock()
	if err := i.running("measure domain"); err != nil {
		return nil, err
	}
	n := uint64(len(i.c.tasks))
	return &davitv1.DomainStats{
		Time: timestamppb.Now(), CpuTime: durationpb.New(time.Since(i.c.begun) / 100),
		UserTime: durationpb.New(0), SystemTime: durationpb.New(time.Since(i.c.begun) / 100),
		MemoryBytes: n << 20, MemoryPeakBytes: n << 20, MemoryLimitBytes: memoryLimit(i.c.def),
		OomKills: i.c.oomKills, Pids: n, PidsLimit: i.c.def.GetPidsLimit(),
		Interfaces: i.c.measured(), BlockDevices: i.c.blockDevices(),
	}, nil
}

func (i *instance) Processes(context.Context) ([]*davitv1.Process, error) {
	i.lock()
	defer i.unlock()
	if err := i.running("list processes"); err != nil {
		return nil, err
	}
	var out []*davitv1.Process
	for _, t := range i.c.tasks {
		out = append(out, &davitv1.Process{Pid: t.pid, GuestPid: t.guest, Ppid: 1, Comm: comm(t.argv[0]), Argv: slices.Clone(t.argv), State: "S"})
	}
	slices.SortFunc(out, func(a, b *davitv1.Process) int { return cmp.Compare(a.GetPid(), b.GetPid()) })
	return out, nil
}

func (i *instance) Kill(context.Context) error {
	i.lock()
	defer i.unlock()
	if i.c.stuck != nil && !i.c.stopped {
		i.c.killed = true
		return i.c.stuck
	}
	i.c.kill()
	return nil
}

func (i *instance) Release(context.Context) error {
	i.lock()
	defer i.unlock()
	if !i.c.stopped {
		return stateError("release domain", i.c.def.GetName(), "it runs")
	}
	i.c.remove()
	return nil
}
