package cgroup

import (
	"context"
	"fmt"
	"strings"
)

// Freeze stops all processes and returns when they are stopped. If ctx ends first they run on.
func (g *Group) Freeze(ctx context.Context) error {
	f, t, err := g.freezer()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.freeze(ctx, t); err != nil {
		_ = f.thaw(t)
		return fmt.Errorf("freeze cgroup %s: %w", g.path, err)
	}
	return nil
}

// Thaw lets all processes run on.
func (g *Group) Thaw(ctx context.Context) error {
	f, t, err := g.freezer()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.thaw(t); err != nil {
		return err
	}
	if t.Version == 1 {
		return nil
	}
	return f.events(ctx, "frozen", 0)
}

// Frozen tells whether all processes are stopped.
func (g *Group) Frozen() (bool, error) {
	f, t, err := g.freezer()
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	if t.Version == 1 {
		return f.frozen1()
	}
	values, err := f.keyed("cgroup.events")
	return values["frozen"] == 1, err
}

// freezer opens the folder in the tree that can freeze.
func (g *Group) freezer() (*folder, *Tree, error) {
	t := g.h.tree("freezer")
	if t == nil {
		return nil, nil, fmt.Errorf("freeze cgroup %s: %w", g.path, ErrNoController)
	}
	f, err := g.folder(t)
	return f, t, err
}

// freeze freezes as the tree's version does.
func (f *folder) freeze(ctx context.Context, t *Tree) error {
	if t.Version == 2 {
		return f.freeze2(ctx)
	}
	return f.freeze1(ctx)
}

// freeze2 waits by events.
func (f *folder) freeze2(ctx context.Context) error {
	if err := f.write("cgroup.freeze", "1"); err != nil {
		return err
	}
	return f.events(ctx, "frozen", 1)
}

// freeze1 writes the wish again and again: a version 1 freezer misses processes that are forking, says FREEZING then, and
// tells nobody when it is done.
func (f *folder) freeze1(ctx context.Context) error {
	for wait := newBackoff(); ; {
		if err := f.write("freezer.state", "FROZEN"); err != nil {
			return err
		}
		if frozen, err := f.frozen1(); frozen || err != nil {
			return err
		}
		if err := wait.next(ctx); err != nil {
			return err
		}
	}
}

// frozen1 reads the state.
func (f *folder) frozen1() (bool, error) {
	state, err := f.read("freezer.state")
	return strings.TrimSpace(state) == "FROZEN", err
}

// thaw asks for it.
func (f *folder) thaw(t *Tree) error {
	if t.Version == 1 {
		return f.write("freezer.state", "THAWED")
	}
	return f.write("cgroup.freeze", "0")
}

// events waits until cgroup.events has a value.
func (f *folder) events(ctx context.Context, key string, value uint64) error {
	n, err := f.watch("cgroup.events")
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	return n.until(ctx, func(v map[string]uint64) bool { return v[key] == value })
}
