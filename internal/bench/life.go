package main

import (
	"context"
	"errors"
	"time"
)

// peerTarget is how many times as fast as crun a whole life is to be.
const peerTarget = 8

// measureLife lets davit, the floor and what else is installed run containers that end at once, by turns, each after an interval.
func measureLife(ctx context.Context, b *bench) (err error) {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer closing(s, &err)
	f, err := b.floor.open(ctx, argvTrue[0])
	if err != nil {
		return err
	}
	defer closing(f, &err)
	peers, err := b.openPeers(ctx)
	if err != nil {
		return err
	}
	defer closing(peers, &err)
	uuid, err := s.define(ctx, "short", argvTrue)
	if err != nil {
		return err
	}
	runners := []*runner{{name: "davit", once: func() (time.Duration, error) { return s.life(ctx, uuid) }}}
	if f != nil {
		runners = append(runners, &runner{name: "floor", once: func() (time.Duration, error) { return f.do("life") }})
	}
	runners = append(runners, peers.runners(ctx)...)
	if err := byTurns(ctx, b, b.gap, runners); err != nil {
		return err
	}
	ours := runners[0].took
	b.addTimes(figure{Name: "life", Title: "a container that ends at once, whole life"}.beside(ours.median(), floorOf(runners)), ours)
	for _, r := range runners[1:] {
		b.reportRunner(r, ours)
	}
	return nil
}

// runner runs a container that ends at once, and tells how long that took until nothing of it was left.
type runner struct {
	name string
	once func() (time.Duration, error)
	took times
	fail error
}

// byTurns runs one after the other, each after a pause, again and again, and forgets the first turn. Another program that fails is left out from then on, and told of; davit and the floor
// may not.
func byTurns(ctx context.Context, b *bench, gap time.Duration, runners []*runner) error {
	for i := range b.n + 1 {
		for _, r := range runners {
			if r.fail != nil {
				continue
			}
			if err := pause(ctx, gap); err != nil {
				return err
			}
			took, err := r.once()
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil && (r.name == "davit" || r.name == "floor"):
				return err
			case err != nil:
				r.fail = err
				b.remark("%s does not run here: %v", r.name, err)
			case i > 0:
				r.took = append(r.took, took)
			}
		}
	}
	return nil
}

func floorOf(runners []*runner) float64 {
	for _, r := range runners {
		if r.name == "floor" {
			return r.took.median()
		}
	}
	return 0
}

// reportRunner tells what another took, and how many times as fast davit is.
func (b *bench) reportRunner(r *runner, ours times) {
	if len(r.took) == 0 {
		return
	}
	b.addTimes(figure{Name: "life/" + r.name, Title: "the same: " + r.name}, r.took)
	if r.name == "floor" {
		return
	}
	f := figure{Name: "against/" + r.name, Title: "davit's life against that of " + r.name, Value: ours.median(), Unit: milliseconds, Samples: len(ours)}
	if r.name == "crun" {
		f.Target, f.OfRatio, f.Least = peerTarget, true, true
	}
	b.add(f.against(ours.median(), r.name, r.took.median()))
}

// life starts a domain whose init ends at once, and waits until it is shut off.
func (s *site) life(ctx context.Context, uuid string) (time.Duration, error) {
	return clock(func() error {
		_, err := s.start(ctx, uuid)
		return errors.Join(err, s.awaitEnd(ctx, uuid))
	})
}
