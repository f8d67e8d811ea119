package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Targets of what comes after a start.
const (
	destroyTarget = 5   // ms
	execTarget    = 4   // ms
	rateTarget    = 150 // a second
)

// measureDestroy destroys a domain whose init ignores SIGTERM. It counts until the daemon has answered that it is shut off, init is no
// process any more and no cgroup of it is left.
func measureDestroy(ctx context.Context, b *bench) (err error) {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer closing(s, &err)
	uuid, err := s.define(ctx, "deaf", argvPause)
	if err != nil {
		return err
	}
	var l, calls times
	for i := range b.n + 1 {
		resp, err := s.start(ctx, uuid)
		if err != nil {
			return err
		}
		if err := pause(ctx, b.gap); err != nil {
			return err
		}
		begun := time.Now()
		if err := s.destroy(ctx, uuid); err != nil {
			return err
		}
		call := time.Since(begun)
		if err := awaitNothing(ctx, uuid, int(resp.GetDomain().GetInitPid())); err != nil {
			return err
		}
		if took := time.Since(begun); i > 0 {
			l, calls = append(l, took), append(calls, call)
		}
	}
	b.addTimes(figure{Name: "destroy", Title: "destroy of an init that ignores TERM, until nothing is left", Target: destroyTarget}, l)
	b.addTimes(figure{Name: "destroy/client", Title: "the same, until the answer"}, calls)
	return nil
}

// awaitNothing waits until a domain that was destroyed has left nothing.
func awaitNothing(ctx context.Context, uuid string, init int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !errors.Is(unix.Kill(init, 0), unix.ESRCH) || !gone(uuid) {
		if err := pause(ctx, 50*time.Microsecond); err != nil {
			return fmt.Errorf("something is left of the domain: %w", err)
		}
	}
	return nil
}

// measureExec runs a program that ends at once in a domain, until its exit code is known.
func measureExec(ctx context.Context, b *bench) (err error) {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer closing(s, &err)
	uuid, err := s.define(ctx, "host", argvPause)
	if err != nil {
		return err
	}
	if _, err = s.start(ctx, uuid); err != nil {
		return err
	}
	f, err := b.floor.open(ctx, argvPause[0])
	if err != nil {
		return err
	}
	defer closing(f, &err)
	if f != nil {
		if _, err = f.do("start"); err != nil {
			return err
		}
	}
	for _, kind := range []struct {
		name, title string
		gap         time.Duration
		target      float64
	}{
		{"exec", "exec of a static true, to its exit code", b.gap, execTarget},
		{"exec/back-to-back", "the same, one after the other", 0, 0},
	} {
		runners := []*runner{{name: "davit", once: func() (time.Duration, error) {
			return clock(func() error { return s.exec(ctx, uuid, argvTrue) })
		}}}
		if f != nil {
			runners = append(runners, &runner{name: "floor", once: func() (time.Duration, error) { return f.do("exec") }})
		}
		if err = byTurns(ctx, b, kind.gap, runners); err != nil {
			return err
		}
		l := runners[0].took
		b.addTimes(figure{Name: kind.name, Title: kind.title, Target: kind.target}.beside(l.median(), floorOf(runners)), l)
	}
	return nil
}

// exec runs a command that is to exit with 0.
func (s *site) exec(ctx context.Context, uuid string, argv []string) error {
	session, err := s.c.Exec(ctx, client.ByUUID(uuid), client.ExecOptions{Argv: argv})
	if err != nil {
		return err
	}
	exit, err := session.Copy(nil, io.Discard, io.Discard)
	if err == nil && (exit.GetCode() != 0 || exit.GetSignal() != 0) {
		err = fmt.Errorf("%s ended with %v", argv[0], exit)
	}
	return err
}

// measureRate starts and destroys domains as fast as it goes, a few of them at once.
func measureRate(ctx context.Context, b *bench) (err error) {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer closing(s, &err)
	floor, err := b.floorRate(ctx)
	if err != nil {
		return err
	}
	uuids, err := s.defineMany(ctx, atOnce, argvPause)
	if err != nil {
		return err
	}
	if err := many(ctx, uuids, func(ctx context.Context, uuid string) error { return s.startOnce(ctx, uuid, &starts{}) }); err != nil {
		return err
	}
	for _, workers := range []int{1, 4, atOnce} {
		rate, err := s.sustain(ctx, uuids[:workers])
		if err != nil {
			return err
		}
		f := figure{
			Name: fmt.Sprintf("rate/%d", workers), Title: fmt.Sprintf("starts and destroys, %d at once", workers),
			Value: rate, Unit: perSecond, Samples: int(rate * b.seconds.Seconds()),
		}
		if workers == 4 {
			f.Name, f.Target, f.Least = "rate", rateTarget, true
		}
		if floor > 0 {
			f.Floor, f.Ratio = floor, rate/floor
		}
		b.add(f)
	}
	return nil
}

// floorRate is how many starts and ends a second the floor makes, one after the other.
func (b *bench) floorRate(ctx context.Context) (rate float64, err error) {
	f, err := b.floor.open(ctx, argvPause[0])
	if f == nil || err != nil {
		return 0, err
	}
	defer closing(f, &err)
	seconds := max(b.seconds/2/time.Second, 1)
	n, err := f.do(fmt.Sprintf("sustain %d", seconds))
	return float64(n) / float64(seconds), err
}

// sustain starts and destroys each of some domains again and again, and tells how many there were a second.
func (s *site) sustain(ctx context.Context, uuids []string) (float64, error) {
	var n atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	for _, uuid := range uuids {
		group.Go(func() error {
			for time.Since(begun) < s.b.seconds {
				if err := s.startOnce(ctx, uuid, &starts{}); err != nil {
					return err
				}
				n.Add(1)
			}
			return nil
		})
	}
	err := group.Wait()
	return float64(n.Load()) / time.Since(begun).Seconds(), err
}

// running waits until a domain has ended by itself.
func (s *site) awaitEnd(ctx context.Context, uuid string) error {
	_, err := s.c.WaitDomain(ctx, &davitv1.WaitDomainRequest{Domain: client.ByUUID(uuid)})
	return err
}
