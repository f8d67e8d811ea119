package client

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// ErrUnheard tells that the keeper was killed before it had a monitor that listens: nothing was asked of any, and another keeper can be
// asked for one.
var ErrUnheard = errors.New("no monitor has heard it")

// Spawning is a monitor that is being started, with a connection that it serves as soon as it listens. What is asked over that
// need not wait until then. One goroutine uses it. See docs/decisions/0009-path.md.
type Spawning struct {
	keeper  *Keeper
	monitor *Monitor
	// conn is our end of the connection; nil where the keeper does not know how to pass on the other, and once it is spent.
	conn *wire.Conn
	// furnishing is the end of a connection that goes with the start; nil if there is none.
	furnishing *os.File
	// answer is the connection on which the keeper answers, nil once it has; spawned and err are what it said.
	answer  *wire.Conn
	spawned *Spawned
	err     error
	taken   bool // the caller has the pidfd
}

// Begin has a monitor started, and does not wait for it. Of a keeper that does not know how to pass on a connection it waits.
func (k *Keeper) Begin(ctx context.Context, spawn Spawn) (*Spawning, error) {
	monitor, err := Expect(spawn.Folder)
	if err != nil {
		return nil, err
	}
	s := &Spawning{keeper: k, monitor: monitor}
	if k.Hello().GetRevision() < wire.RevisionConnection {
		s.spawned, err = k.Spawn(ctx, spawn)
	} else {
		err = s.begin(ctx, spawn)
	}
	if err != nil {
		return nil, errors.Join(err, monitor.Close())
	}
	return s, nil
}

// begin says hello to the monitor that is to be, and asks the keeper for it.
func (s *Spawning) begin(ctx context.Context, spawn Spawn) error {
	conn, its, err := pair()
	if err != nil {
		return err
	}
	defer func() { _ = its.Close() }()
	if err = conn.Hail(&monitorv1.Hello{Version: wire.Version(), Pid: uint32(os.Getpid())}); err != nil {
		return errors.Join(err, conn.Close())
	}
	request := spawn.request()
	request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONNECTION)
	answer, err := s.keeper.peer.take(ctx)
	if err == nil {
		err = during(ctx, answer, func() error { return answer.Send(request, spawn.Program, spawn.Folder, spawn.Log, its) })
		if err != nil {
			_ = answer.Close()
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("ask keeper: %w", err), conn.Close())
	}
	s.conn, s.answer = conn, answer
	return nil
}

// pair makes a connection, and its other end.
func pair() (own *wire.Conn, its *os.File, err error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	its = os.NewFile(uintptr(ends[1]), "connection")
	if own, err = wire.NewConn(ends[0]); err != nil {
		return nil, nil, errors.Join(err, its.Close())
	}
	return own, its, nil
}

// Keeper is who was asked.
func (s *Spawning) Keeper() *Keeper { return s.keeper }

// Monitor is the one that is being started. It is the caller's, who closes it.
func (s *Spawning) Monitor() *Monitor { return s.monitor }

// hear receives the monitor's hello, once.
func (s *Spawning) hear() error {
	if s.monitor.Hello() != nil {
		return nil
	}
	hello, err := s.conn.Hear()
	if err == nil {
		err = s.monitor.peer.recognise(hello)
	}
	return err
}

// Furnish is [Monitor.Furnish], once, and waits for nobody: what it takes on goes with the start, which is to follow.
func (s *Spawning) Furnish(ctx context.Context) (*Furnish, error) {
	if s.conn == nil {
		return s.monitor.Furnish(ctx)
	}
	conn, its, err := pair()
	if err != nil {
		return nil, fmt.Errorf("furnish containers of monitor: %w", err)
	}
	s.furnishing = its
	return &Furnish{conn}, nil
}

// Start is [Monitor.Start], and with it begins the watch of the monitor's events; there is none if the keeper does not know how to
// pass on a connection.
func (s *Spawning) Start(ctx context.Context, plan *monitorv1.Plan, cgroups Cgroups, logs Logs) (*Started, *Watch, error) {
	if s.conn == nil {
		started, err := s.monitor.Start(ctx, plan, cgroups, logs)
		return started, nil, err
	}
	start := &monitorv1.Start{Plan: plan, Watch: true}
	request := &monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Start{Start: start}}
	files := describe(start, request, cgroups, logs)
	if s.furnishing != nil {
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONNECTION)
		files = append(files, s.furnishing)
	}
	response := new(monitorv1.MonitorResponse)
	var answered []*os.File
	err := during(ctx, s.conn, func() error {
		sent := s.conn.Send(request, files...)
		s.letGo()
		if err := s.hear(); err != nil {
			return errors.Join(sent, err)
		}
		if sent != nil {
			return sent
		}
		var err error
		answered, err = s.conn.Receive(response)
		return err
	})
	if err != nil {
		return nil, nil, s.broken(ctx, fmt.Errorf("ask monitor: %w", err))
	}
	_, descriptors, err := repliedOf(response, answered)
	if err != nil {
		return nil, nil, err
	}
	started, err := startedOf(response, descriptors)
	if err != nil {
		return nil, nil, err
	}
	watch := &Watch{s.conn}
	s.conn = nil
	return started, watch, nil
}

// broken is why a connection has failed: what the keeper says of the monitor, if it says anything of it.
func (s *Spawning) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	_, why := s.wait(ctx)
	if _, told := errors.AsType[*Error](why); told || ctx.Err() != nil {
		return why
	}
	if why != nil && s.monitor.Hello() == nil {
		return fmt.Errorf("%w: %w", ErrUnheard, why)
	}
	return err
}

// Spawned waits for what the keeper says of the monitor. If the keeper was killed meanwhile, and the monitor has answered, it is known by
// that.
func (s *Spawning) Spawned(ctx context.Context) (*Spawned, error) {
	s.taken = true
	return s.wait(ctx)
}

// wait is Spawned for ourselves.
func (s *Spawning) wait(ctx context.Context) (*Spawned, error) {
	if s.answer == nil {
		return s.spawned, s.err
	}
	answer, response := s.answer, new(monitorv1.KeeperResponse)
	s.answer = nil
	var answered []*os.File
	err := during(ctx, answer, func() (err error) {
		answered, err = answer.Receive(response)
		return err
	})
	if err != nil {
		_ = answer.Close()
		s.spawned, s.err = s.open(fmt.Errorf("ask keeper: %w", err))
		return s.spawned, s.err
	}
	s.keeper.peer.release(answer)
	_, descriptors, err := answerOf(response, answered)
	if err == nil {
		s.spawned, err = spawnedOf(response, descriptors)
	}
	s.err = err
	return s.spawned, s.err
}

// open opens the process of a monitor that has answered us over a connection that it has still: its number is its own.
func (s *Spawning) open(unknown error) (*Spawned, error) {
	pid := int(s.monitor.Hello().GetPid())
	if pid == 0 {
		return nil, unknown
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, errors.Join(unknown, fmt.Errorf("open monitor: %w", err))
	}
	return &Spawned{PID: pid, Pidfd: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// letGo lets go of what went with the start.
func (s *Spawning) letGo() {
	if s.furnishing != nil {
		_ = s.furnishing.Close()
		s.furnishing = nil
	}
}

// HangUp hangs up on the monitor. One that was not started yet is not any more.
func (s *Spawning) HangUp() {
	s.letGo()
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// Close hangs up, and waits until the keeper has said what became of the monitor: from then on it is found by whoever asks the keeper.
func (s *Spawning) Close(ctx context.Context) {
	s.HangUp()
	if spawned, _ := s.wait(ctx); spawned != nil && !s.taken {
		_ = spawned.Pidfd.Close()
	}
	s.taken = true
}
