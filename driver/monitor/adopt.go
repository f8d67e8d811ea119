package monitor

import (
	"context"
	"os"
	"time"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/consolelog"
	"github.com/davitd/davit/driver/monitor/keeper"
	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Orphan is a run of a container whose monitor was killed.
type Orphan struct {
	client.Deposit
	// Await waits for the end of its init, which has another parent.
	Await func() *monitorv1.Exit
}

// Adopt takes over a container whose monitor was killed, and goes on where that one was: what it did and did not tell any more is told
// now. The files of the orphan, the cgroups and the log, which may be nil, are the container's from then on.
//
// A container whose plan needs what was lost, because nobody kept it, is not started again when its init ends; one whose consoles were
// lost has none until it is.
func (c *Container) Adopt(plan *monitorv1.Plan, o Orphan, cgroups Cgroups, output *consolelog.Log) error {
	whole := len(cgroups.Held) == len(plan.GetHeld()) && len(cgroups.Namespaces) == len(plan.GetShared())
	if !whole {
		wire.CloseAll(cgroups.Held)
		cgroups.Held = nil
	}
	if err := c.begin(plan, cgroups, output, whole); err != nil {
		cgroups.closeFiles()
		cgroups.close()
		output.Close()
		o.Close()
		return err
	}
	c.making.Lock()
	defer c.making.Unlock()
	c.journal.Restore(o.Acknowledged, o.Events)
	guest := c.launcher.Adopt(plan, c.cgroups, o)
	c.note("another monitor took over: the one before was killed, and output may be missing")
	for i, each := range c.consoles {
		each.Resume(c.offsets.read(i))
		if i >= len(o.Consoles) || each.Attach(o.Consoles[i]) != nil {
			each.Lose()
		}
	}
	c.mu.Lock()
	c.restarts, c.intent = o.Restarts, o.Intent
	c.mu.Unlock()
	c.possess(guest, o.Restarts)
	if !whole {
		c.log.Write(logline.Warn, "what the container holds was lost: it is not started again")
		c.Disarm()
	}
	c.catchUp(guest)
	go c.live(guest)
	return nil
}

// catchUp tells that the init of a guest runs, if the monitor that made it did not come to that: the start is event 1, and each restart
// two later, as an end lies between.
func (c *Container) catchUp(guest Guest) {
	if newest, _ := c.journal.Sequences(); newest != 2*uint64(c.restarts) {
		return
	}
	if c.restarts == 0 {
		c.tell(&monitorv1.MonitorEvent{Kind: &monitorv1.MonitorEvent_Started{
			Started: &monitorv1.Started{Pid: uint32(guest.PID())},
		}})
		return
	}
	c.mu.Lock()
	c.restarts-- // it is counted as it is told
	c.mu.Unlock()
	c.restarted(guest, c.lastCause(), 0)
}

// lastCause is why the init before the one that runs ended, as far as the journal has it.
func (c *Container) lastCause() monitorv1.Cause {
	_, events := c.journal.Kept()
	if len(events) == 0 {
		return monitorv1.Cause_CAUSE_UNSPECIFIED
	}
	return events[len(events)-1].GetExited().GetCause()
}

// exitPatience is how often the keeper is looked for before the kernel is asked how an init ended.
const exitPatience = 5

// adopt takes over a container.
func (m *monitor) adopt(adopt *monitorv1.Adopt, descriptors *wire.Descriptors) error {
	orphan, held, namespaces, err := m.link.withdraw(adopt.GetKnown(), descriptors)
	if err != nil {
		return err
	}
	cgroups, output, err := m.furnishings(adopt.GetStart(), descriptors)
	if err != nil {
		orphan.Close()
		wire.CloseAll(held)
		wire.CloseAll(namespaces)
		return err
	}
	cgroups.Held, cgroups.Namespaces = held, namespaces
	return m.container.Adopt(adopt.GetStart().GetPlan(), orphan, cgroups, output)
}

// withdraw takes what the keeper has of a container or, if it has nothing, what the request tells.
func (l *link) withdraw(known *monitorv1.Deposit, descriptors *wire.Descriptors) (o Orphan, held, namespaces []*os.File, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), depositTimeout)
	defer cancel()
	k, err := client.DialKeeper(ctx, l.folder)
	if err != nil {
		return o, nil, nil, err
	}
	defer func() { _ = k.Close() }()
	kept, err := k.Withdraw(ctx, l.uuid)
	switch {
	case err == nil:
		if kept.InitPID == 0 { // of a keeper of an older davit, which has the descriptors
			kept.InitPID, kept.Restarts, kept.Acknowledged = int(known.GetInitPid()), known.GetRestarts(), known.GetAcknowledged()
		}
		held, namespaces, err = k.Held(ctx, l.uuid)
	case wire.KindOf(err) == monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND:
		pidfd := descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD)
		if len(pidfd) != 1 {
			return o, nil, nil, err
		}
		kept, err = &client.Deposit{
			InitPID: int(known.GetInitPid()), Pidfd: pidfd[0], Restarts: known.GetRestarts(), Acknowledged: known.GetAcknowledged(),
		}, nil
	}
	if err != nil {
		return o, nil, nil, err
	}
	o.Deposit = *kept
	o.Await = func() *monitorv1.Exit { return l.await(kept) }
	return o, held, namespaces, nil
}

// await waits until an init ended that was adopted. The keeper is its parent and tells how; one that comes after it is given the
// deposit anew, and asked. If there is none for some time after the end, the kernel is asked.
func (l *link) await(run *client.Deposit) *monitorv1.Exit {
	if run.Exit != nil {
		return run.Exit
	}
	failures := 0
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		exit, err := l.askExit(run.InitPID)
		if err == nil {
			return exit
		}
		if !alive(run.Pidfd) {
			failures++
		}
		if failures > exitPatience {
			if own, err := wire.Duplicate(run.Pidfd); err == nil {
				exit, _ = keeper.WaitForeign(context.Background(), own)
			}
			return exit
		}
		<-time.After(wait)
		l.Update(func(*client.Deposit) {})
	}
}

// askExit asks the keeper.
func (l *link) askExit(pid int) (*monitorv1.Exit, error) {
	ctx := context.Background()
	k, err := client.DialKeeper(ctx, l.folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = k.Close() }()
	return k.WaitAdopted(ctx, l.uuid, pid)
}
