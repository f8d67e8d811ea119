package fake

import (
	"fmt"
	"syscall"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// FailNextStart makes the next Start fail with err; called again, the one after that.
func (d *Driver) FailNextStart(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures = append(d.failures, err)
}

func (d *Driver) takeFailure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.failures) == 0 {
		return nil
	}
	err := d.failures[0]
	d.failures = d.failures[1:]
	return err
}

// Exit ends init of a domain with a status.
func (d *Driver) Exit(uuid string, code int) error {
	return d.withInit(uuid, func(c *container) { c.init.end(exit{code: code}) })
}

// Crash ends init of a domain by a signal.
func (d *Driver) Crash(uuid string, signal syscall.Signal) error {
	return d.withInit(uuid, func(c *container) { c.init.end(exit{signal: signal}) })
}

// Poweroff lets a domain power itself off.
func (d *Driver) Poweroff(uuid string) error {
	return d.withInit(uuid, func(c *container) { c.init.end(exit{signal: syscall.SIGINT}) })
}

// Reboot lets a domain ask for a reboot.
func (d *Driver) Reboot(uuid string) error {
	return d.withInit(uuid, func(c *container) { c.init.end(exit{signal: syscall.SIGHUP}) })
}

// OOM lets the OOM killer act in a domain: on a process that nobody misses, or on init.
func (d *Driver) OOM(uuid string, init bool) error {
	return d.withInit(uuid, func(c *container) {
		c.oomKills++
		c.oomAfter, c.oomInit = c.sequence, true
		d.changed.Broadcast()
		if init {
			c.init.end(exit{signal: syscall.SIGKILL})
		}
	})
}

// Lose kills the supervisor of a domain: the container ends, and nobody saw how.
func (d *Driver) Lose(uuid string) error {
	return d.with(uuid, func(c *container) {
		c.armed = false
		err := &domain.Error{
			Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_MONITOR_LOST,
			Op: "watch domain", Subject: c.def.GetName(), Message: "its monitor was killed",
		}
		if c.init != nil {
			c.init.end(exit{lost: true})
		}
		c.stop(err)
	})
}

// Stick makes Kill of a domain fail with err, as when a process cannot die; nil lets it, and what was killed meanwhile dies.
func (d *Driver) Stick(uuid string, err error) error {
	return d.with(uuid, func(c *container) {
		if c.stuck = err; err == nil && c.killed {
			c.kill()
		}
	})
}

// Vanish removes a domain without a trace, as a reboot of the host does.
func (d *Driver) Vanish(uuid string) error {
	return d.with(uuid, func(c *container) { c.remove() })
}

// Write puts bytes on a console, as if init had written them.
func (d *Driver) Write(uuid string, console int, p []byte) error {
	return d.with(uuid, func(c *container) { c.consoles[console].output(p) })
}

// Running counts the containers that run.
func (d *Driver) Running() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, c := range d.made {
		if !c.stopped {
			n++
		}
	}
	return n
}

// Made counts the containers that were not released.
func (d *Driver) Made() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.made)
}

func (d *Driver) with(uuid string, act func(*container)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ref, c := range d.made {
		if ref.UUID == uuid && !c.stopped {
			act(c)
			return nil
		}
	}
	return fmt.Errorf("find domain %q: it does not run on the fake driver", uuid)
}

func (d *Driver) withInit(uuid string, act func(*container)) error {
	var err error
	if e := d.with(uuid, func(c *container) {
		if c.init == nil {
			err = fmt.Errorf("find init of domain %q: a restart is held back", uuid)
			return
		}
		act(c)
	}); e != nil {
		return e
	}
	return err
}
