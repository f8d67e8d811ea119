package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Targets of starts.
const (
	startTarget, startTailTarget = 2, 15  // ms
	emptyTarget, defineTarget    = 3.5, 4 // ms
)

// starts are starts of one kind: as the client sees them, in the daemon to init's exec, and in the daemon to the answer.
type starts struct {
	client, exec, daemon times
	phases               map[string]times
	order                []string
}

// take notes a start.
func (s *starts) take(whole time.Duration, phases []*davitv1.StartPhase) {
	s.client = append(s.client, whole)
	if s.phases == nil {
		s.phases = make(map[string]times)
	}
	for _, p := range phases {
		begun, took := p.GetBegun().AsDuration(), p.GetTook().AsDuration()
		if p.GetRunning() {
			s.exec = append(s.exec, begun+took)
		}
		if p.GetName() == "answer" {
			s.daemon = append(s.daemon, begun+took)
		}
		if !slices.Contains(s.order, p.GetName()) {
			s.order = append(s.order, p.GetName())
		}
		s.phases[p.GetName()] = append(s.phases[p.GetName()], took)
	}
}

// report adds the figures, and tells where the time went.
func (s *starts) report(b *bench, name, title string, target, tail float64, floor times) {
	exec := figure{Name: name + "/exec", Title: title + ": request to exec", Target: target}
	main := s.exec
	if len(main) == 0 { // a daemon that does not tell
		main = s.client
	}
	b.addTimes(exec.beside(main.median(), floor.median()), main)
	b.figures[len(b.figures)-1].Target = tail
	b.addTimes(figure{Name: name + "/daemon", Title: title + ": request to answer, in davitd"}, s.daemon)
	b.addTimes(figure{Name: name + "/client", Title: title + ": request to answer, in the client"}, s.client)
	b.addTimes(figure{Name: name + "/floor", Title: title + ": the floor"}, floor)
	for _, phase := range s.order {
		b.say("    %-26s %8.3f ms", phase, s.phases[phase].median())
	}
}

// measureFilled starts and destroys one domain at intervals. Before each interval ends, whatever davit keeps ready is.
func measureFilled(ctx context.Context, b *bench) (err error) {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer closing(s, &err)
	f, err := b.floor.open(ctx, argvPause[0])
	if err != nil {
		return err
	}
	defer closing(f, &err)
	uuid, err := s.define(ctx, "filled", argvPause)
	if err != nil {
		return err
	}
	var ours starts
	var floor, ends times
	const warm = 3 // the first starts allot host ids, make the keeper, and so on
	for i := range b.n + warm {
		if err := pause(ctx, b.gap); err != nil {
			return err
		}
		kept := &ours
		if i < warm {
			kept = &starts{}
		}
		if err := s.startOnce(ctx, uuid, kept); err != nil {
			return err
		}
		if f == nil {
			continue
		}
		begun, ended, err := f.once(ctx, b.gap)
		if err != nil {
			return err
		}
		if i >= warm {
			floor, ends = append(floor, begun), append(ends, ended)
		}
	}
	ours.report(b, "start/filled", "start, pools filled", startTarget, startTailTarget, floor)
	b.addTimes(figure{Name: "stop/floor", Title: "kill and clear away: the floor"}, ends)
	return nil
}

// startOnce starts and destroys a domain.
func (s *site) startOnce(ctx context.Context, uuid string, into *starts) error {
	if err := s.startTimed(ctx, uuid, into); err != nil {
		return err
	}
	return s.destroy(ctx, uuid)
}

// startTimed starts a domain and notes how long that took.
func (s *site) startTimed(ctx context.Context, uuid string, into *starts) error {
	begun := time.Now()
	resp, err := s.start(ctx, uuid)
	if err != nil {
		return err
	}
	into.take(time.Since(begun), resp.GetPhases())
	return nil
}

// once is a start and an end of the floor, with what was prepared before the interval.
func (r *floorRun) once(ctx context.Context, gap time.Duration) (begun, ended time.Duration, err error) {
	if _, err = r.do("prepare"); err != nil {
		return 0, 0, err
	}
	if err = pause(ctx, gap); err != nil {
		return 0, 0, err
	}
	if begun, err = r.do("start"); err != nil {
		return 0, 0, err
	}
	ended, err = r.do("stop")
	return begun, ended, err
}

// measureEmpty starts domains one after the other and destroys none meanwhile, so that whatever davit keeps ready is soon used up. Each
// ran once before: its host ids are allotted.
func measureEmpty(ctx context.Context, b *bench) (err error) {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer closing(s, &err)
	f, err := b.floor.open(ctx, argvPause[0])
	if err != nil {
		return err
	}
	defer closing(f, &err)
	uuids, err := s.defineMany(ctx, b.n, argvPause)
	if err != nil {
		return err
	}
	var ours starts
	var floor times
	for _, kept := range []*starts{{}, &ours} {
		for _, uuid := range uuids {
			if err = s.startTimed(ctx, uuid, kept); err != nil {
				return err
			}
		}
		if err = s.destroyAll(ctx); err != nil {
			return err
		}
		if err = pause(ctx, time.Second); err != nil {
			return err
		}
	}
	if f != nil {
		if floor, err = f.many(b.n); err != nil {
			return err
		}
	}
	ours.report(b, "start/empty", "start, pools empty", emptyTarget, 0, floor)
	return nil
}

// many starts containers of the floor one after the other, with nothing prepared, and ends them afterwards.
func (r *floorRun) many(n int) (times, error) {
	l := make(times, n)
	for i := range l {
		var err error
		if l[i], err = r.do("start"); err != nil {
			return l, err
		}
	}
	for range n {
		if _, err := r.do("stop"); err != nil {
			return l, err
		}
	}
	return l, nil
}

// measureDefine defines a domain that there was never before and starts it, by turns with the floor, for which nothing is prepared. What that
// takes in davitd is told by nobody: it is measured in the client, the way to the daemon and back twice included.
func measureDefine(ctx context.Context, b *bench) (err error) {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer closing(s, &err)
	f, err := b.floor.open(ctx, argvPause[0])
	if err != nil {
		return err
	}
	defer closing(f, &err)
	n, define := 0, times{}
	runners := []*runner{{name: "davit", once: func() (time.Duration, error) {
		n++
		defined, started, fault := s.defineOnce(ctx, fmt.Sprintf("new-%d", n))
		if n > 1 {
			define = append(define, defined)
		}
		return started, fault
	}}}
	if f != nil {
		runners = append(runners, &runner{name: "floor", once: func() (time.Duration, error) {
			l, fault := f.many(1)
			return l[0], fault
		}})
	}
	if err = byTurns(ctx, b, b.gap, runners); err != nil {
		return err
	}
	both := runners[0].took
	b.addTimes(figure{Name: "define", Title: "define, in the client"}, define)
	title := "define and start from nothing, in the client"
	b.addTimes(figure{Name: "define+start", Title: title, Target: defineTarget}.beside(both.median(), floorOf(runners)), both)
	return nil
}

// defineOnce defines and starts a domain and removes it. It tells when it was defined and when it was started.
func (s *site) defineOnce(ctx context.Context, name string) (defined, started time.Duration, err error) {
	begun := time.Now()
	uuid, err := s.define(ctx, name, argvPause)
	if err != nil {
		return 0, 0, err
	}
	defined = time.Since(begun)
	if _, err := s.start(ctx, uuid); err != nil {
		return 0, 0, err
	}
	started = time.Since(begun)
	return defined, started, s.remove(ctx, uuid)
}

// remove destroys and undefines a domain.
func (s *site) remove(ctx context.Context, uuid string) error {
	err := s.destroy(ctx, uuid)
	_, undefined := s.c.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: client.ByUUID(uuid)})
	return errors.Join(err, undefined)
}
