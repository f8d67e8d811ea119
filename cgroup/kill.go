package cgroup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// killFile is the file that kills a whole cgroup2, since kernel 5.14.
	killFile = "cgroup.kill"
	// freezeTime is how long a kill waits for the group to stand still. A frozen group is dead after one round.
	freezeTime = 200 * time.Millisecond
	// killBatch bounds the descriptors that a round needs.
	killBatch = 256
)

// Kill kills all processes with SIGKILL, also those that are forked meanwhile, and returns when none is left. A group
// that is frozen dies too. A group that is not there is fs.ErrNotExist.
func (g *Group) Kill(ctx context.Context) error {
	f, t, err := g.core()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if t.Version == 2 && !g.h.noKillFile && f.has(killFile) {
		err = f.kill2(ctx)
	} else {
		err = g.killLoop(ctx, f, t)
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("kill cgroup %s: %w", g.path, err)
	}
	return nil
}

// kill2 leaves it to the kernel.
func (f *folder) kill2(ctx context.Context) error {
	if err := f.write(killFile, "1"); err != nil {
		return err
	}
	return f.events(ctx, "populated", 0)
}

// killLoop freezes the group, so that what it finds is all there is, kills, thaws, and looks again. Where the group cannot
// be frozen in time it kills nevertheless. The kernel does not tell when a version 1 cgroup is empty.
func (g *Group) killLoop(ctx context.Context, f *folder, t *Tree) error {
	freeze := g.h.tree("freezer") == t
	for wait := newBackoff(); ; {
		if freeze {
			brief, cancel := context.WithTimeout(ctx, freezeTime)
			// A group that does not stand still is killed as it runs.
			_ = f.freeze(brief, t)
			cancel()
		}
		found, err := g.killOnce()
		if freeze {
			err = errors.Join(err, f.thaw(t))
		}
		if err != nil || found == 0 {
			return err
		}
		if err := wait.next(ctx); err != nil {
			return err
		}
	}
}

// killOnce kills all that it finds and tells how many that were.
func (g *Group) killOnce() (int, error) {
	pids, err := g.everywhere()
	if err != nil {
		return 0, err
	}
	for batch := range slices.Chunk(pids, killBatch) {
		if err := g.killPids(batch); err != nil {
			return 0, err
		}
	}
	return len(pids), nil
}

// killPids kills processes that were just listed. Each is held by a descriptor and then looked up once more: so that a
// process id that was given to a stranger meanwhile is never signalled.
func (g *Group) killPids(pids []int) error {
	held := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		switch {
		case err == nil:
			held[pid] = fd
		case !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EINVAL):
			return fmt.Errorf("open process %d: %w", pid, err)
		}
	}
	still, err := g.everywhere()
	if err != nil {
		return err
	}
	for _, pid := range still {
		fd, ok := held[pid]
		if !ok {
			continue
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	return nil
}

// everywhere lists the processes that are in the group in any tree: one that just joins version 1 trees is in some of them.
func (g *Group) everywhere() ([]int, error) {
	var pids []int
	for _, t := range g.h.Trees {
		f, err := g.folder(t)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		more, err := f.procs()
		_ = f.Close()
		if err != nil {
			return nil, err
		}
		pids = append(pids, more...)
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}
