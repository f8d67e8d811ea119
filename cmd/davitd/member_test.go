package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// condition is what a member is, as whoever acts on it knows.
type condition int

const (
	absent condition = iota
	off
	on
	paused
)

// member is a domain of a crowd: what it is, and what is to be told of it by what was done to it.
type member struct {
	name, uuid string

	mu    sync.Mutex // held by who acts on it
	state condition
	init  process
	due   []string
}

// process is one, told apart from a later one of the same number.
type process struct {
	pid  int
	born uint64 // ticks since the host was booted
}

// processOf looks at a process.
func processOf(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return process{}, fmt.Errorf("process %d is dead: %q", pid, stat)
	}
	born, err := strconv.ParseUint(fields[19], 10, 64)
	return process{pid: pid, born: born}, err
}

// lives tells whether it is still there.
func (p process) lives() bool {
	now, err := processOf(p.pid)
	return err == nil && now == p
}

// obeys waits until it has come so far that it hears signals; see the guest's obey.
func (p process) obeys() error {
	for end := time.Now().Add(testenv.Scale(2 * time.Minute)); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.pid))
		if err != nil {
			return err
		}
		if string(comm) == "obedient\n" {
			return nil
		}
	}
	return fmt.Errorf("it does not obey: %s", p.describe())
}

// describe tells of a process what the kernel does.
func (p process) describe() string {
	text := fmt.Sprintf("process %d, born %d", p.pid, p.born)
	for _, name := range []string{"stat", "cmdline", "wchan", "syscall", "stack", "cgroup"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid, name))
		text += fmt.Sprintf("; %s %q", name, b)
		if err != nil {
			text += " " + err.Error()
		}
	}
	return text
}

// action is what can be done to a member.
type action struct {
	from, to condition
	weight   int
	told     []string // of it
	do       func(c *crowd, ctx context.Context, m *member) error
}

// The actions that others than chance choose.
var (
	undefined = action{off, absent, 2, []string{"Undefined Removed"}, (*crowd).undefine}
	destroyed = action{on, off, 3, []string{"Stopped Destroyed, signal 9"}, (*crowd).destroy}
)

// actions are what is done to members.
var actions = []action{
	{absent, off, 1, []string{"Defined Added"}, (*crowd).define},
	{off, on, 6, []string{"Started Booted"}, (*crowd).start},
	undefined,
	destroyed,
	{on, paused, 6, []string{"Suspended Paused"}, (*crowd).suspend},
	{paused, on, 4, []string{"Resumed Unpaused"}, (*crowd).resume},
	{paused, off, 1, []string{"Stopped Destroyed, signal 9"}, (*crowd).destroy},
	{on, off, 2, []string{"Crashed Panicked, signal 9", "Stopped Crashed, signal 9"}, signalled(unix.SIGKILL)},
	{on, off, 1, []string{"Stopped Shutdown, code 21"}, signalled(unix.SIGUSR1)},
	{on, off, 1, []string{"Stopped Shutdown, code 22"}, signalled(unix.SIGUSR2)},
	{on, off, 2, []string{perhaps + "Shutdown Finished after host request", "Stopped Shutdown, code 23"}, (*crowd).shutdown},
}

// stint does one thing to a member, by chance, and others until it runs.
func (c *crowd) stint(ctx context.Context, m *member) error {
	for {
		total := 0
		for _, a := range actions {
			if a.from == m.state {
				total += a.weight
			}
		}
		chosen := rand.IntN(total)
		for _, a := range actions {
			if a.from != m.state {
				continue
			}
			if chosen -= a.weight; chosen < 0 {
				if err := c.act(ctx, m, a); err != nil {
					return err
				}
				break
			}
		}
		if m.state == on {
			return nil
		}
	}
}

// act does something and waits until it is told.
func (c *crowd) act(ctx context.Context, m *member, a action) error {
	m.due = append(m.due, a.told...)
	if err := a.do(c, ctx, m); err != nil {
		return fmt.Errorf("%s: %w; before: %s", strings.Join(a.told, ", "), err, tail(m.due[:len(m.due)-len(a.told)]))
	}
	if err := c.told(m); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(a.told, ", "), err)
	}
	m.state = a.to
	return nil
}

// crowdDocument defines a member: with the isolation that davit gives by itself, and a root of one program.
func (s *site) crowdDocument(m *member) string {
	return fmt.Sprintf(`<domain type='lxc'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>32</memory>
<resource><partition>%s</partition></resource>
<os><type>exe</type><init>/guest</init><initarg>obey</initarg><initarg>I am %s</initarg></os>
<devices><filesystem type='mount'><source dir='%s'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`,
		m.name, m.uuid, s.partition, m.name, s.guest)
}

func (c *crowd) define(ctx context.Context, m *member) error {
	_, err := c.calls.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: client.XML(c.site.crowdDocument(m))})
	return err
}

func (c *crowd) undefine(ctx context.Context, m *member) error {
	_, err := c.calls.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: client.ByUUID(m.uuid)})
	return err
}

// start starts it and remembers its init.
func (c *crowd) start(ctx context.Context, m *member) error {
	answer, err := c.calls.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: client.ByUUID(m.uuid)})
	if err != nil {
		return err
	}
	pid := answer.GetDomain().GetInitPid()
	if pid == 0 {
		return fmt.Errorf("it was started and has no init: %v", answer.GetDomain())
	}
	if m.init, err = processOf(int(pid)); err != nil {
		return err
	}
	return m.init.obeys()
}

func (c *crowd) suspend(ctx context.Context, m *member) error {
	_, err := c.calls.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: client.ByUUID(m.uuid)})
	return c.stayed(m, err)
}

func (c *crowd) resume(ctx context.Context, m *member) error {
	_, err := c.calls.ResumeDomain(ctx, &davitv1.ResumeDomainRequest{Domain: client.ByUUID(m.uuid)})
	return c.stayed(m, err)
}

func (c *crowd) destroy(ctx context.Context, m *member) error {
	_, err := c.calls.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: client.ByUUID(m.uuid)})
	return c.left(m, err)
}

func (c *crowd) shutdown(ctx context.Context, m *member) error {
	_, err := c.calls.ShutdownDomain(ctx, &davitv1.ShutdownDomainRequest{Domain: client.ByUUID(m.uuid)})
	return err
}

// stayed sees to it that init is the one that it was.
func (c *crowd) stayed(m *member, err error) error {
	if err == nil && !m.init.lives() {
		return fmt.Errorf("its init was %+v and is no more", m.init)
	}
	return err
}

// left sees to it that init is no more.
func (c *crowd) left(m *member, err error) error {
	if err == nil && m.init.lives() {
		return fmt.Errorf("its init is still %+v", m.init)
	}
	return err
}

// signalled sends init a signal from outside, as nobody who asks davit would.
func signalled(s unix.Signal) func(*crowd, context.Context, *member) error {
	return func(_ *crowd, _ context.Context, m *member) error {
		fd, err := unix.PidfdOpen(m.init.pid, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		if !m.init.lives() {
			return errors.New("its init died by itself")
		}
		return unix.PidfdSendSignal(fd, s, nil, 0)
	}
}
