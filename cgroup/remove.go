package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Remove removes the group from all trees, with what the guest made below it, and those folders of its partition
// that davit made and nobody uses. Its processes must have been killed; a tree that is still busy with their last moments
// is tried again until ctx ends. A group that is not there is no error.
func (g *Group) Remove(ctx context.Context) error {
	var errs []error
	for _, t := range g.h.Trees {
		if err := t.removeRetry(ctx, g.path); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// RemoveAtOnce is [Group.Remove] of a group that is empty. One that is not, or still busy with the last moments of what was in it, is
// unix.EBUSY.
func (g *Group) RemoveAtOnce() error {
	var errs []error
	for _, t := range g.h.Trees {
		errs = append(errs, t.remove(g.path))
	}
	return errors.Join(errs...)
}

// busyTime is the longest time from one try to remove a folder to the next. A try costs some microseconds, and a domain's end waits for it.
const busyTime = 5 * time.Millisecond

// removeRetry removes a group's folder in one tree. The kernel tells nobody when a version 1 folder ceases to be
// busy, hence the timer.
func (t *Tree) removeRetry(ctx context.Context, p Path) error {
	for wait := (&backoff{delay: time.Millisecond, limit: busyTime}); ; {
		err := t.remove(p)
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return err
		}
		if wait.next(ctx) != nil {
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}

// remove removes a group's folder in one tree, once.
func (t *Tree) remove(p Path) error {
	parts, err := ParsePartition(p.Partition)
	if err != nil {
		return err
	}
	if err := t.root.removeAll(p.String()); err != nil {
		return err
	}
	t.prune(parts)
	return nil
}

// removeAll removes a folder and all below it.
func (f *folder) removeAll(name string) error {
	err := f.rmdir(name)
	if err == nil || !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	sub, err := f.sub(name)
	if err != nil {
		if gone(err) {
			return nil
		}
		return err
	}
	defer func() { _ = sub.Close() }()
	names, err := sub.folders()
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := sub.removeAll(n); err != nil {
			return err
		}
	}
	return f.rmdir(name)
}

// prune removes the folders of a partition from the lowest up, as far as davit made them and they are empty. It
// removes nothing that is in use, so it may run at any time beside others.
func (t *Tree) prune(parts []string) {
	for n := len(parts); n > 0; n-- {
		name := path.Join(parts[:n]...)
		if !t.root.ours(name) || t.root.rmdir(name) != nil {
			return
		}
	}
}

// ours tells whether davit made a partition's folder; one that is gone meanwhile counts, so that pruning goes on above it.
func (f *folder) ours(name string) bool {
	var stat unix.Stat_t
	if err := unix.Fstatat(f.fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return gone(err)
	}
	return marked(&stat)
}

// marked tells whether davit made a folder as part of a partition.
func (f *folder) marked() bool {
	var stat unix.Stat_t
	return unix.Fstat(f.fd, &stat) == nil && marked(&stat)
}

func marked(stat *unix.Stat_t) bool { return stat.Mode&mark != 0 && stat.Uid == 0 }

// searchDepth bounds how deep Find looks: a partition and the group in it.
const searchDepth = partitionDepth + 1

// Find finds the groups whose name has a prefix, such as [InstancePrefix], in all partitions and in any tree.
func (h *Hierarchy) Find(namePrefix string) ([]Path, error) {
	if !strings.HasPrefix(namePrefix, prefix) {
		return nil, fmt.Errorf("find cgroups %q: the prefix must begin with %q", namePrefix, prefix)
	}
	seen := map[Path]bool{}
	var found []Path
	for _, t := range h.Trees {
		err := t.root.walk("/", searchDepth, func(p Path) {
			if strings.HasPrefix(p.Name, namePrefix) && p.check() == nil && !seen[p] {
				seen[p] = true
				found = append(found, p)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// List is [Hierarchy.Find] in one partition.
func (h *Hierarchy) List(partition, namePrefix string) ([]Path, error) {
	if _, err := ParsePartition(partition); err != nil {
		return nil, err
	}
	all, err := h.Find(namePrefix)
	var found []Path
	for _, p := range all {
		if p.Partition == path.Clean(partition) {
			found = append(found, p)
		}
	}
	return found, err
}

// walk visits the groups of davit in a folder and below, except below a group.
func (f *folder) walk(at string, depth int, visit func(Path)) error {
	names, err := f.folders()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			visit(Path{Partition: at, Name: name})
			continue
		}
		if depth == 1 {
			continue
		}
		sub, err := f.sub(name)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		err = sub.walk(path.Join(at, name), depth-1, visit)
		_ = sub.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepTime is how long a group that is swept may take to die.
const sweepTime = 20 * time.Second

// Sweep kills and removes every group whose name has a prefix, except those that keep says to, and the folders of partitions
// that davit made and nobody uses, whoever left them. It goes on after an error.
func (h *Hierarchy) Sweep(ctx context.Context, namePrefix string, keep func(Path) bool) error {
	found, err := h.Find(namePrefix)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range found {
		if keep != nil && keep(p) {
			continue
		}
		g := &Group{h: h, path: p}
		errs = append(errs, g.sweep(ctx))
	}
	for _, t := range h.Trees {
		errs = append(errs, t.root.sweepPartitions(partitionDepth))
	}
	return errors.Join(errs...)
}

// sweep kills and removes a group, unless a process of it cannot die: then it is there for the next sweep, and holds up no other.
func (g *Group) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	if err := g.Kill(ctx); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return g.Remove(ctx)
}

// sweepPartitions removes, from the lowest up, the folders of partitions that davit made and that are empty: those of a
// daemon that was killed between a partition and its first group.
func (f *folder) sweepPartitions(depth int) error {
	names, err := f.folders()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			continue
		}
		sub, err := f.sub(name)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		if depth > 1 {
			err = sub.sweepPartitions(depth - 1)
		}
		if sub.marked() {
			_ = f.rmdir(name) // it is in use, or another daemon is just making a group in it
		}
		_ = sub.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// backoff waits longer each time, up to a limit, for what the kernel does not tell.
type backoff struct{ delay, limit time.Duration }

// newBackoff waits from a millisecond to fifty.
func newBackoff() *backoff { return &backoff{delay: time.Millisecond, limit: 50 * time.Millisecond} }

// next waits once, or returns ctx's error.
func (b *backoff) next(ctx context.Context) error {
	timer := time.NewTimer(b.delay)
	defer timer.Stop()
	b.delay = min(b.delay*2, b.limit)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
