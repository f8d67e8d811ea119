package fake

import (
	"fmt"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// container is one run of a domain. All of it is guarded by the driver's mutex.
type container struct {
	d   *Driver
	ref driver.Ref
	def *davitv1.Domain

	init     *task            // nil while there is none
	intent   intent           // what it was asked to do
	tasks    map[uint32]*task // by id in the container
	nextTask uint32
	consoles []*console
	busy     map[string]bool   // aliases of devices that the guest uses
	ends     map[string]string // names of host ends, by aliases
	sessions map[string]*session
	book     *logbook

	begun    time.Time
	paused   bool
	armed    bool        // init is started again as the policy says
	restart  *time.Timer // while a restart is held back
	restarts uint32
	booted   time.Time // when init was started last
	stopped  bool
	err      error // why it stopped, if not by itself

	log       []driver.Event // not acknowledged
	sequence  uint64
	nextDelay time.Duration // of the restart after the next
	counted   []time.Time   // the restarts that a limit counts, oldest first

	oomKills   uint64
	stuck      error  // of Kill, while a process cannot die
	killed     bool   // meanwhile
	oomAfter   uint64 // sequence of the event before the last OOM kill
	oomInit    bool   // the OOM killer acted in the life of this init
	dropReader func() // ends the reader of events
}

// intent is what an init was asked to do.
type intent int

const (
	intentNone intent = iota
	intentPoweroff
	intentReboot
)

func newContainer(d *Driver, spec driver.Spec) *container {
	c := &container{
		d: d, ref: spec.Ref, def: clone(spec.Definition), begun: time.Now(), armed: true, paused: spec.Paused,
		tasks: make(map[uint32]*task), sessions: make(map[string]*session), busy: make(map[string]bool), dropReader: func() {},
		book: newLogbook(d.opts.LogDir, spec.UUID),
	}
	n := max(1, len(spec.Definition.GetDevices().GetConsole()))
	for i := range n {
		c.consoles = append(c.consoles, newConsole(c, fmt.Sprintf("console%d", i)))
	}
	for i := range spec.Definition.GetDevices().GetSerial() {
		c.consoles = append(c.consoles, newConsole(c, fmt.Sprintf("serial%d", i)))
	}
	return c
}

// boot runs init, after the event that tells it.
func (c *container) boot(told func(pid uint32) driver.EventKind) {
	os := c.def.GetOs()
	c.nextTask, c.oomInit, c.booted = 1, false, time.Now()
	t := c.newTask(append([]string{os.GetInit()}, os.GetInitarg()...), c.environ())
	t.isInit, t.tty, t.dir = true, true, os.GetInitdir()
	t.stdout, t.stderr = c.consoles[0].output, c.consoles[0].output
	t.ended = c.initEnded
	c.init = t
	for _, con := range c.consoles {
		con.boot()
	}
	c.consoles[0].task = t
	c.book.note("started pid %d", t.pid)
	c.record(told(t.pid))
	t.start()
}

func (c *container) environ() []string {
	env := []string{
		"PATH=/bin:/sbin", "TERM=linux", "container=lxc-libvirt", "HOME=/", "container_uuid=" + c.ref.UUID,
		"LIBVIRT_LXC_UUID=" + c.ref.UUID, "LIBVIRT_LXC_NAME=" + c.def.GetName(),
	}
	for _, e := range c.def.GetOs().GetInitenv() {
		env = append(env, e.GetName()+"="+e.GetValue())
	}
	return env
}

// initEnded does what the policy says. The end of init is the end of every process of the container.
func (c *container) initEnded(x exit) {
	asked := c.intent
	c.init, c.intent = nil, intentNone
	for _, t := range c.tasks {
		t.end(exit{signal: syscall.SIGKILL})
	}
	for _, con := range c.consoles {
		con.halt()
	}
	c.book.end()
	c.book.note("%s", x.words())
	cause := x.cause()
	decides := cause
	switch {
	case asked == intentPoweroff && cause == driver.CauseReboot:
		decides = driver.CausePoweroff
	case asked == intentReboot && cause == driver.CausePoweroff:
		cause, decides = driver.CauseReboot, driver.CauseReboot
	}
	again := c.armed && c.action(decides) == davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	var delay time.Duration
	if again {
		delay = c.delay(time.Since(c.booted))
		if again = c.count(delay); !again {
			c.book.note("is not restarted: the limit of restarts is reached")
		}
	}
	ev := driver.Exited{Exit: x.proto(), Cause: cause, Restart: again}
	ev.Exit.OomKilled = c.oomInit && x.signal == syscall.SIGKILL
	if !again {
		c.record(ev)
		c.stop(nil)
		return
	}
	ev.Backoff = delay
	c.record(ev)
	c.restart = time.AfterFunc(ev.Backoff, func() {
		c.d.mu.Lock()
		defer c.d.mu.Unlock()
		if c.stopped || c.restart == nil {
			return
		}
		c.restart = nil
		c.restarts++
		c.boot(func(pid uint32) driver.EventKind {
			return driver.Restarted{InitPID: pid, Count: c.restarts, Backoff: ev.Backoff, Cause: cause}
		})
	})
}

// action is what the definition says about the end of init, in the few words that a driver knows.
func (c *container) action(cause driver.Cause) davitv1.LifecycleAction {
	a, otherwise := c.def.GetOnPoweroff(), davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY
	switch cause {
	case driver.CauseReboot:
		a, otherwise = c.def.GetOnReboot(), davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	case driver.CauseCrash:
		a = c.def.GetOnCrash()
	default:
	}
	return domain.ActionOn(a, otherwise)
}

// kill ends everything; no restart follows.
func (c *container) kill() {
	c.armed = false
	switch {
	case c.stopped:
	case c.init != nil:
		c.init.end(exit{signal: syscall.SIGKILL})
	default:
		c.stop(nil)
	}
}

func (c *container) stop(err error) {
	if c.restart != nil {
		c.restart.Stop()
		c.restart = nil
	}
	c.stopped, c.paused, c.err = true, false, err
	c.d.changed.Broadcast()
}

// remove leaves nothing of it, not even events.
func (c *container) remove() {
	c.kill()
	c.dropReader()
	delete(c.d.made, c.ref)
	c.d.changed.Broadcast()
}

func (c *container) record(k driver.EventKind) {
	c.sequence++
	c.log = append(c.log, driver.Event{Sequence: c.sequence, Time: time.Now(), Kind: k})
	c.d.changed.Broadcast()
}

func (c *container) setPaused(paused bool) {
	c.paused = paused
	c.d.changed.Broadcast()
	if paused {
		return
	}
	for _, t := range c.tasks {
		t.thaw()
	}
}

// exit is how a task ended.
type exit struct {
	code   int
	signal syscall.Signal
	lost   bool
}

// cause tells it as the kernel tells the parent: reboot(2) in a PID namespace shows as a signal.
func (x exit) cause() driver.Cause {
	if x.lost {
		return driver.CauseLost
	}
	switch x.signal {
	case 0, syscall.SIGINT:
		return driver.CausePoweroff
	case syscall.SIGHUP:
		return driver.CauseReboot
	default:
		return driver.CauseCrash
	}
}

func (x exit) proto() *davitv1.Exit {
	e := &davitv1.Exit{Time: timestamppb.Now()}
	switch {
	case x.lost:
		e.How = &davitv1.Exit_Unknown{Unknown: true}
	case x.signal != 0:
		e.How = &davitv1.Exit_Signal{Signal: uint32(x.signal)}
	default:
		e.How = &davitv1.Exit_Code{Code: uint32(x.code) & 0xff}
	}
	return e
}
