package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/console"
	"github.com/davitd/davit/driver/monitor/consolelog"
	"github.com/davitd/davit/driver/monitor/journal"
	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/policy"
	"github.com/davitd/davit/driver/monitor/session"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// maxConsoles is the most consoles of a container; with init's pidfd they must fit into one frame.
const maxConsoles = wire.MaxDescriptors - 1

// Depositor keeps a second copy of what must outlive the monitor. Files stay the caller's.
type Depositor interface {
	// Deposit keeps a run of init, in place of the one kept before.
	Deposit(run client.Deposit)
	// Update keeps what became of that run: how it ended, above all, which nobody else was told, and the kernel forgets a part of.
	Update(change func(run *client.Deposit))
	// Hold keeps what is held and the namespaces that are shared, in place of what was.
	Hold(held, namespaces []*os.File)
}

// Container is the container of a monitor over all its restarts. It is made once ([Container.Start]), lives by itself from
// then on, and ends for good. It may be used from any goroutine.
type Container struct {
	launcher  Launcher
	depositor Depositor
	log       *logline.Log
	journal   journal.Journal
	sessions  *session.Table
	furniture furniture
	offsets   offsets

	// making is held while a guest is made or revised: the plan and what is held do not change under either.
	making sync.Mutex
	held   heldFiles // by the names of the plan

	mu       sync.Mutex
	phase    monitorv1.Phase
	plan     *monitorv1.Plan
	policy   *monitorv1.Policy
	cgroups  Cgroups
	output   *consolelog.Log
	consoles []*console.Console
	memory   *uint64 // the limit that the next launch minds, nil for the plan's
	intent   monitorv1.Intent
	guest    Guest // while init runs
	exit     *monitorv1.Exit
	restarts uint32
	kill     bool          // init is killed as soon as it is there
	disarmed chan struct{} // closed when no restart follows any more
	ended    chan struct{} // closed when nothing follows any more
}

// NewContainer makes a container that is not there yet.
func NewContainer(launcher Launcher, depositor Depositor, log *logline.Log) *Container {
	return &Container{
		launcher: launcher, depositor: depositor, log: log, sessions: session.NewTable(),
		phase: monitorv1.Phase_PHASE_NEW, disarmed: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Start makes the container and returns when its init runs, with init's pidfd, which is the caller's. The cgroups and the log
// of its consoles, which may be nil, are the container's from then on. It can be asked for once: a start that failed is the end.
func (c *Container) Start(
	plan *monitorv1.Plan, cgroups Cgroups, output *consolelog.Log,
) (*monitorv1.Started, *os.File, error) {
	begun := time.Now()
	if err := c.begin(plan, cgroups, output, true); err != nil {
		cgroups.closeFiles()
		cgroups.close()
		output.Close()
		return nil, nil, err
	}
	guest, err := c.launch(0)
	if err != nil {
		c.note("start failed: " + err.Error())
		c.finish()
		return nil, nil, err
	}
	pidfd, err := wire.Duplicate(guest.Pidfd())
	if err != nil {
		c.abandon(guest)
		c.finish()
		return nil, nil, fmt.Errorf("start container: %w", err)
	}
	took := time.Since(begun)
	started := &monitorv1.Started{Pid: uint32(guest.PID()), DurationNs: uint64(took.Nanoseconds())}
	c.tell(&monitorv1.MonitorEvent{Kind: &monitorv1.MonitorEvent_Started{Started: started}})
	c.log.Write(logline.Info, "container started", logline.Int("init", guest.PID()), logline.Duration("took", took))
	go c.live(guest)
	return started, pidfd, nil
}

// begin takes a plan, once, with all that it has held open if that is whole.
func (c *Container) begin(plan *monitorv1.Plan, cgroups Cgroups, output *consolelog.Log, whole bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != monitorv1.Phase_PHASE_NEW {
		return refuse("start container", monitorv1.ErrorKind_ERROR_KIND_STATE, "it was started before")
	}
	if n := len(plan.GetConsoles()); n > maxConsoles {
		return refuse("start container", monitorv1.ErrorKind_ERROR_KIND_INVALID,
			fmt.Sprintf("%d consoles are over the limit of %d", n, maxConsoles))
	}
	consoles := make([]*console.Console, 0, len(plan.GetConsoles()))
	for i, described := range plan.GetConsoles() {
		made, err := console.New(described.GetAlias(), described.GetScrollbackBytes(), cgroups.logOf(described.GetAlias(), output))
		if err != nil {
			return refuse("start container", monitorv1.ErrorKind_ERROR_KIND_INVALID, err.Error())
		}
		made.Mark(func(next uint64) { c.offsets.write(i, next) })
		consoles = append(consoles, made)
	}
	var held heldFiles
	if whole {
		var err error
		if held, err = holdFiles(plan, cgroups.Held); err != nil {
			return err
		}
	}
	c.plan, c.policy, c.cgroups, c.consoles, c.output = plan, plan.GetPolicy(), cgroups, consoles, output
	c.held, c.cgroups.Held = held, nil
	c.mindFurniture()
	c.phase = monitorv1.Phase_PHASE_STARTING
	if whole {
		c.depositor.Hold(held.of(plan), cgroups.Namespaces)
	}
	return nil
}

// mindFurniture has the network namespaces furnished if the plan says so.
func (c *Container) mindFurniture() {
	c.cgroups.Furnish = nil
	if c.plan.GetFurnish() {
		c.cgroups.Furnish = func(ctx context.Context, netns *os.File) func() error {
			return c.furniture.furnish(ctx, netns, c.disarmed)
		}
	}
}

// note writes a line about init between those of the consoles.
func (c *Container) note(text string) { c.output.Note(consolelog.Init, text) }

// launch makes a guest, which is the restart of that number, and connects it.
func (c *Container) launch(restarts uint32) (Guest, error) {
	c.making.Lock()
	defer c.making.Unlock()
	c.mindLimits()
	cgroups := c.cgroups
	cgroups.Held = c.held.of(c.plan)
	guest, err := c.launcher.Launch(c.plan, cgroups)
	if err != nil {
		return nil, err
	}
	c.note("started pid " + strconv.Itoa(guest.PID()))
	masters := guest.Consoles()
	if len(masters) != len(c.consoles) {
		c.abandon(guest)
		return nil, fmt.Errorf("start container: it has %d consoles, not %d", len(masters), len(c.consoles))
	}
	for i, master := range masters {
		if err := c.consoles[i].Attach(master); err != nil {
			c.abandon(guest)
			return nil, err
		}
	}
	c.possess(guest, restarts)
	return guest, nil
}

// possess makes a guest the one that runs, and keeps it: the restart of that number, which is told of afterwards.
func (c *Container) possess(guest Guest, restarts uint32) {
	run := client.Deposit{InitPID: guest.PID(), Pidfd: guest.Pidfd(), Consoles: guest.Consoles(), Restarts: restarts}
	run.Acknowledged, run.Events = c.journal.Kept()
	c.mu.Lock()
	run.Intent = c.intent // of one that was adopted
	c.mu.Unlock()
	c.depositor.Deposit(run)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guest, c.phase = guest, monitorv1.Phase_PHASE_RUNNING
	if c.kill {
		_ = guest.Signal(syscall.SIGKILL)
	}
}

// mindLimits makes the plan that of the limits that hold now. Nobody reads it between two launches.
func (c *Container) mindLimits() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.memory != nil {
		c.plan.MemoryLimitBytes = *c.memory
	}
}

// abandon ends a guest that cannot be used.
func (c *Container) abandon(guest Guest) {
	_ = guest.Signal(syscall.SIGKILL)
	_, _ = guest.Wait()
	for _, each := range c.consoles {
		each.Detach()
	}
	_ = guest.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guest = nil
}

// live sees the container through its runs to its end.
func (c *Container) live(guest Guest) {
	defer c.finish()
	var backoff policy.Backoff
	for begun := time.Now(); ; begun = time.Now() {
		exit := c.wait(guest)
		last := c.isDisarmed()
		var before client.Deposit // the events that were told by then
		if last {
			before.Acknowledged, before.Events = c.journal.Kept()
		} else {
			c.part(guest, exit, nil)
		}
		cause, action := c.verdict(exit)
		var delay time.Duration
		tooMany := ""
		if action == monitorv1.Action_ACTION_RESTART {
			if delay, tooMany = c.measure(&backoff, time.Since(begun)); tooMany != "" {
				action = monitorv1.Action_ACTION_DESTROY
			}
		}
		c.exited(exit, cause, action, delay)
		if last {
			// Nothing is decided by what the keeper has, and whoever ends the domain waits.
			c.part(guest, exit, &before)
		}
		c.recount(exit, cause, action, delay)
		if tooMany != "" {
			c.log.Write(logline.Warn, tooMany)
			c.note(tooMany)
		}
		if action != monitorv1.Action_ACTION_RESTART {
			return
		}
		var err error
		if guest, err = c.restart(delay); err != nil {
			c.tell(&monitorv1.MonitorEvent{Kind: &monitorv1.MonitorEvent_RestartFailed{
				RestartFailed: &monitorv1.RestartFailed{Error: wire.ToProto(err)},
			}})
			c.log.Write(logline.Error, "restart failed", logline.Err(err))
			c.note("restart failed: " + err.Error())
			return
		}
		c.restarted(guest, cause, delay)
	}
}

// verdict is why init ended and what follows. Whoever asked init to end is not answered by its reboot, which was under way or came
// instead; and an init that was asked to reboot and ends of itself has done what it can: not every one calls reboot(2).
func (c *Container) verdict(exit *monitorv1.Exit) (monitorv1.Cause, monitorv1.Action) {
	cause := policy.Cause(exit)
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.intent
	c.intent = monitorv1.Intent_INTENT_UNSPECIFIED
	decides := cause
	switch {
	case cause == monitorv1.Cause_CAUSE_REBOOT && asked == monitorv1.Intent_INTENT_POWEROFF:
		decides = monitorv1.Cause_CAUSE_POWEROFF
	case cause == monitorv1.Cause_CAUSE_POWEROFF && asked == monitorv1.Intent_INTENT_REBOOT:
		cause, decides = monitorv1.Cause_CAUSE_REBOOT, monitorv1.Cause_CAUSE_REBOOT
	}
	if c.isDisarmed() {
		return cause, monitorv1.Action_ACTION_DESTROY
	}
	return cause, policy.Action(c.policy, decides)
}

// measure tells how long the restart is held back that follows an init that ran that long, or why there is none.
func (c *Container) measure(b *policy.Backoff, ran time.Duration) (delay time.Duration, tooMany string) {
	c.mu.Lock()
	measure := c.policy.GetBackoff()
	c.mu.Unlock()
	delay = b.Delay(measure, ran)
	if !b.Count(measure, time.Now(), delay) {
		return 0, "is not restarted: the limit of " + policy.LimitWords(measure) + " is reached"
	}
	return delay, ""
}

// wait waits until init ended.
func (c *Container) wait(guest Guest) *monitorv1.Exit {
	exit, err := guest.Wait()
	if err != nil {
		c.log.Write(logline.Error, "waiting for init failed", logline.Err(err))
		exit = &monitorv1.Exit{How: &monitorv1.Exit_Unknown{Unknown: true}}
	}
	if exit.GetTimeUnixNs() == 0 {
		exit.TimeUnixNs = time.Now().UnixNano()
	}
	c.mu.Lock()
	c.guest = nil
	c.mu.Unlock()
	return exit
}

// part keeps how a run ended, with the events as they are, or were, and takes what its guest left.
func (c *Container) part(guest Guest, exit *monitorv1.Exit, before *client.Deposit) {
	c.keep(func(run *client.Deposit) {
		run.Exit = exit
		if before != nil {
			run.Acknowledged, run.Events = before.Acknowledged, before.Events
		}
	})
	for _, each := range c.consoles {
		each.Detach()
	}
	if err := guest.Close(); err != nil {
		c.log.Write(logline.Warn, "closing container failed", logline.Err(err))
	}
}

// keep keeps what became of the run of init, with the events as they are.
func (c *Container) keep(change func(run *client.Deposit)) {
	c.depositor.Update(func(run *client.Deposit) {
		run.Acknowledged, run.Events = c.journal.Kept()
		change(run)
	})
}

// exited tells how init ended and what follows.
func (c *Container) exited(exit *monitorv1.Exit, cause monitorv1.Cause, action monitorv1.Action, delay time.Duration) {
	c.mu.Lock()
	c.exit = exit
	if action == monitorv1.Action_ACTION_RESTART {
		c.phase = monitorv1.Phase_PHASE_WAITING
	}
	c.mu.Unlock()
	c.tell(&monitorv1.MonitorEvent{Kind: &monitorv1.MonitorEvent_Exited{Exited: &monitorv1.InitExited{
		Exit: exit, Cause: cause, Action: action, BackoffNs: uint64(delay.Nanoseconds()),
	}}})
}

// recount writes down how init ended, behind what it said last.
func (c *Container) recount(exit *monitorv1.Exit, cause monitorv1.Cause, action monitorv1.Action, delay time.Duration) {
	attrs := []logline.Attr{
		logline.String("exit", policy.ExitWords(exit)), logline.String("cause", policy.CauseWord(cause)),
	}
	if action == monitorv1.Action_ACTION_RESTART {
		attrs = append(attrs, logline.Duration("restart_in", delay))
	}
	c.log.Write(logline.Info, "init ended", attrs...)
	c.note(policy.Story(exit, cause))
	if action == monitorv1.Action_ACTION_RESTART {
		c.note("restarts in " + delay.String())
	}
}

// restart makes the container again, once that is not held back any more.
func (c *Container) restart(delay time.Duration) (Guest, error) {
	if err := c.holdBack(delay); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.phase = monitorv1.Phase_PHASE_STARTING
	count := c.restarts + 1
	c.mu.Unlock()
	return c.launch(count)
}

// holdBack waits for the back-off, and for room in the journal. It fails when the restart is called off.
func (c *Container) holdBack(delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.disarmed:
	}
	for full := c.journal.Room(); full != nil; full = c.journal.Room() {
		select {
		case <-full:
			continue
		case <-c.disarmed:
		}
		break
	}
	if c.isDisarmed() {
		return refuse("restart container", monitorv1.ErrorKind_ERROR_KIND_STATE, "it was called off")
	}
	return nil
}

// restarted tells that init runs again.
func (c *Container) restarted(guest Guest, cause monitorv1.Cause, delay time.Duration) {
	c.mu.Lock()
	c.restarts++
	count := c.restarts
	c.mu.Unlock()
	c.tell(&monitorv1.MonitorEvent{Kind: &monitorv1.MonitorEvent_Restarted{Restarted: &monitorv1.Restarted{
		Pid: uint32(guest.PID()), Count: count, BackoffNs: uint64(delay.Nanoseconds()), Cause: cause,
	}}})
	c.log.Write(logline.Info, "container restarted", logline.Int("init", guest.PID()), logline.Int("count", count))
}

// finish is the end. What was said is in the log when it is known.
func (c *Container) finish() {
	c.output.Close()
	c.cgroups.closeFiles()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = monitorv1.Phase_PHASE_ENDED
	for _, each := range c.consoles {
		each.End()
	}
	c.cgroups.close()
	c.cgroups = Cgroups{}
	c.held.close()
	c.held = nil
	c.depositor.Hold(nil, nil)
	close(c.ended)
}

// tell keeps an event. It fails only for want of memory, which the runtime does not survive anyway.
func (c *Container) tell(event *monitorv1.MonitorEvent) {
	if err := c.journal.Append(event); err != nil {
		c.log.Write(logline.Error, "event lost", logline.Err(err))
	}
}

// State tells what the container does. The pidfd, which is the caller's, is nil while there is no init.
func (c *Container) State() (*monitorv1.State, *os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest, acknowledged := c.journal.Sequences()
	state := &monitorv1.State{
		Phase: c.phase, Exit: c.exit, Restarts: c.restarts, Sequence: newest, Acknowledged: acknowledged, Intent: c.intent,
	}
	if c.guest == nil {
		return state, nil, nil
	}
	pidfd, err := wire.Duplicate(c.guest.Pidfd())
	state.Pid = uint32(c.guest.PID())
	return state, pidfd, err
}

// running calls a function with the guest, whose init was there when it was called.
func (c *Container) running(operation string, use func(Guest) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.guest == nil {
		return refuse(operation, monitorv1.ErrorKind_ERROR_KIND_STATE, "the container does not run")
	}
	return use(c.guest)
}

// Signal sends a signal to init.
func (c *Container) Signal(signal syscall.Signal) error {
	if signal < 1 || signal > 64 {
		return refuse("send signal", monitorv1.ErrorKind_ERROR_KIND_INVALID, fmt.Sprintf("there is no signal %d", signal))
	}
	return c.running("send signal", func(guest Guest) error {
		err := guest.Signal(signal)
		if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone) {
			return refuse("send signal", monitorv1.ErrorKind_ERROR_KIND_STATE, "the container does not run")
		}
		return err
	})
}

// Intend notes what init is about to be asked.
func (c *Container) Intend(intent monitorv1.Intent, pid int) error {
	const operation = "note request to init"
	return c.running(operation, func(guest Guest) error {
		if guest.PID() != pid {
			return refuse(operation, monitorv1.ErrorKind_ERROR_KIND_STATE, fmt.Sprintf("process %d is init no more", pid))
		}
		c.intent = intent
		c.keep(func(run *client.Deposit) { run.Intent = intent })
		return nil
	})
}

// SetPolicy says what follows the ends of init from now on, and within which limits, if those are given.
func (c *Container) SetPolicy(p *monitorv1.Policy, limits *monitorv1.Limits) error {
	const operation = "set policy"
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case p == nil:
		return refuse(operation, monitorv1.ErrorKind_ERROR_KIND_INVALID, "there is none")
	case c.phase == monitorv1.Phase_PHASE_NEW || c.phase == monitorv1.Phase_PHASE_ENDED:
		return refuse(operation, monitorv1.ErrorKind_ERROR_KIND_STATE, "the container does not run")
	}
	c.policy = p
	if limits != nil {
		memory := limits.GetMemoryBytes()
		c.memory = &memory
	}
	return nil
}

// Disarm takes the restarts out of the policy; one that is held back is called off.
func (c *Container) Disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isDisarmed() {
		close(c.disarmed)
	}
}

func (c *Container) isDisarmed() bool {
	select {
	case <-c.disarmed:
		return true
	default:
		return false
	}
}

// Kill kills init, also one that is about to run, and takes the restarts out of the policy.
func (c *Container) Kill() {
	c.Disarm()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill = true
	if c.guest != nil {
		_ = c.guest.Signal(syscall.SIGKILL)
	}
}

// Ended is closed when the container has ended for good. One that was never started has not.
func (c *Container) Ended() <-chan struct{} { return c.ended }

// Journal is where its events are.
func (c *Container) Journal() *journal.Journal { return &c.journal }

// Idle tells that nothing of the container runs or will run.
func (c *Container) Idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == monitorv1.Phase_PHASE_NEW || c.phase == monitorv1.Phase_PHASE_ENDED
}

// Console finds a console; the first if the alias is empty.
func (c *Container) Console(alias string) (*console.Console, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, each := range c.consoles {
		if alias == "" || each.Alias() == alias {
			return each, nil
		}
	}
	return nil, &wire.Error{
		Operation: "open console", Object: alias, Message: "there is no such console",
		Kind: monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND,
	}
}

// Exec runs a command in the container, or attaches to one.
func (c *Container) Exec(exec *monitorv1.Exec) (*session.Attachment, error) {
	if exec.GetProcess() == nil {
		return c.sessions.Attach(exec.GetId())
	}
	guest := c.present()
	if guest == nil {
		// Its init may run and have said so on its console before the launch has returned.
		c.making.Lock()
		guest = c.present()
		c.making.Unlock()
	}
	if guest == nil {
		return nil, refuse("run command", monitorv1.ErrorKind_ERROR_KIND_STATE, "the container does not run")
	}
	if exec.GetBeside() {
		c.mu.Lock()
		init := c.plan.GetInit()
		c.mu.Unlock()
		exec.Process = wire.Beside(init, exec.GetProcess())
	}
	return c.sessions.Run(guest, exec)
}

func (g Cgroups) close() {
	wire.CloseAll([]*os.File{g.Cgroup2})
	wire.CloseAll(g.Tasks)
	wire.CloseAll(g.Namespaces)
	wire.CloseAll(g.Held)
}

// refuse is an error that is the monitor's own.
func refuse(operation string, kind monitorv1.ErrorKind, message string) error {
	return &wire.Error{Operation: operation, Message: message, Kind: kind}
}

// present is the guest that runs, nil if none does.
func (c *Container) present() Guest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guest
}
