package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
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
	// hurryTime is how long a group may take to die by what its limits leave it of the processors.
	hurryTime = 100 * time.Millisecond
)

// Kill kills all processes with SIGKILL, also those that are forked meanwhile, and returns when none is left. A group
// that is frozen dies too. A group that is not there is fs.ErrNotExist.
//
// What a group may use of the processors bounds its life and not its death: one that has much to give back, and so does not die at once, has
// from then on no quota and no less weight than others, nor have groups that the guest made in it. Its limits are not put back, and groups
// below it that nobody is in any more go meanwhile.
func (g *Group) Kill(ctx context.Context) error {
	f, t, err := g.core()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if t.Version == 2 && !g.h.noKillFile && f.has(killFile) {
		err = g.kill2(ctx, f)
	} else {
		err = g.killLoop(ctx, f, t, g.hurry)
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("kill cgroup %s: %w", g.path, err)
	}
	return nil
}

// Clear kills all processes as [Group.Kill] does, of a group that is to have others afterwards. Its limits stay, however slow that is. And it
// is done without cgroup.kill: where that was used once, kernels (6.18) kill whatever is made into the group from outside it
// (CLONE_INTO_CGROUP), for ever.
func (g *Group) Clear(ctx context.Context) error {
	f, t, err := g.core()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err = g.killLoop(ctx, f, t, func() {}); err != nil {
		return fmt.Errorf("clear cgroup %s: %w", g.path, err)
	}
	return nil
}

// kill2 leaves it to the kernel.
func (g *Group) kill2(ctx context.Context, f *folder) error {
	if err := f.write(killFile, "1"); err != nil {
		return err
	}
	brief, cancel := context.WithTimeout(ctx, g.h.hurryTime())
	defer cancel()
	err := f.events(brief, "populated", 0)
	if brief.Err() == nil || ctx.Err() != nil {
		return err
	}
	g.hurry()
	return f.events(ctx, "populated", 0)
}

// killLoop freezes the group, so that what it finds is all there is, kills, thaws, and looks again. Where the group cannot
// be frozen in time it kills nevertheless. The kernel does not tell when a version 1 cgroup is empty.
func (g *Group) killLoop(ctx context.Context, f *folder, t *Tree, hurry func()) error {
	freeze := g.h.tree("freezer") == t
	hurried, begun := false, time.Now()
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
		if !hurried && time.Since(begun) >= g.h.hurryTime() {
			hurried = true
			hurry()
		}
		if err := wait.next(ctx); err != nil {
			return err
		}
	}
}

// hurryTime is how long a group may take to die before it is hurried.
func (h *Hierarchy) hurryTime() time.Duration {
	if h.hurryAtOnce {
		return 0
	}
	return hurryTime
}

// hurry lets processes that are being killed have the processors as others have, and begins with what [Group.Remove] has to do. What
// cannot be done makes the end slower, and no more.
func (g *Group) hurry() {
	if t := g.h.tree("cpu"); t != nil {
		if f, err := g.folder(t); err == nil {
			f.hurry(t.Version)
			_ = f.Close()
		}
	}
	if t := g.h.unified(); t != nil {
		if f, err := t.root.sub(path.Join(g.path.String(), Leaf)); err == nil {
			f.shed()
			_ = f.Close()
		}
	}
}

// shed removes the groups below one that nobody is in.
func (f *folder) shed() {
	names, _ := f.folders()
	for _, name := range names {
		_ = f.removeAll(name)
	}
}

// hurry frees a group and those below it.
func (f *folder) hurry(version int) {
	quota, free, weight, usual := "cpu.cfs_quota_us", "-1", "cpu.shares", uint64(1024)
	if version == 2 {
		quota, free, weight, usual = "cpu.max", "max", "cpu.weight", 100
	}
	_ = f.write("cpu.idle", "0") // before the weight, which is not the group's own otherwise
	_ = f.write(quota, free)
	if text, err := f.read(weight); err == nil {
		if has, err := parseNumber(text); err == nil && has < usual {
			_ = f.write(weight, strconv.FormatUint(usual, 10))
		}
	}
	if version == 2 {
		// What controls no processors below it leaves them to the group.
		if below, err := f.read("cgroup.subtree_control"); err != nil || !slices.Contains(strings.Fields(below), "cpu") {
			return
		}
	}
	names, _ := f.folders()
	for _, name := range names {
		if sub, err := f.sub(name); err == nil {
			sub.hurry(version)
			_ = sub.Close()
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
