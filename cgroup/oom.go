package cgroup

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// OOMKills counts the processes that the OOM killer killed in the group since it was made.
func (g *Group) OOMKills() (uint64, error) {
	f, t, err := g.memory()
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	if t.Version == 1 {
		return f.oomKills1()
	}
	return f.oomKills2()
}

// memory opens the folder in the tree that limits memory.
func (g *Group) memory() (*folder, *Tree, error) {
	t := g.h.tree("memory")
	if t == nil {
		return nil, nil, fmt.Errorf("watch memory of cgroup %s: %w", g.path, ErrNoController)
	}
	f, err := g.folder(t)
	return f, t, err
}

func (f *folder) oomKills1() (uint64, error) {
	v, err := f.keyed("memory.oom_control")
	return v["oom_kill"], err
}

func (f *folder) oomKills2() (uint64, error) {
	v, err := f.keyed("memory.events")
	return v["oom_kill"], err
}

// WatchOOM sends the count of processes that the OOM killer killed, each time that it has risen above the given count. A
// reader that is slow misses steps, never the newest count. The channel is closed when ctx ends, which should be before the
// group is removed: version 2 does not tell a watcher that its group is gone.
func (g *Group) WatchOOM(ctx context.Context, after uint64) (<-chan uint64, error) {
	f, t, err := g.memory()
	if err != nil {
		return nil, err
	}
	var w oomWatch
	if t.Version == 2 {
		w, err = watchOOM2(f)
	} else {
		w, err = watchOOM1(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	counts := make(chan uint64)
	go func() {
		defer close(counts)
		defer func() { _ = w.Close() }()
		for count := after; ; {
			if count, err = w.next(ctx, count); err != nil {
				return
			}
			select {
			case counts <- count:
			case <-ctx.Done():
				return
			}
		}
	}()
	return counts, nil
}

// oomWatch waits for the count to rise above one that is known.
type oomWatch interface {
	next(ctx context.Context, known uint64) (uint64, error)
	Close() error
}

// oomWatch2 reads memory.events, of which the kernel tells changes.
type oomWatch2 struct {
	folder *folder
	*notices
}

func watchOOM2(f *folder) (*oomWatch2, error) {
	n, err := f.watch("memory.events")
	if err != nil {
		return nil, err
	}
	return &oomWatch2{folder: f, notices: n}, nil
}

func (w *oomWatch2) next(ctx context.Context, known uint64) (uint64, error) {
	count := known
	err := w.until(ctx, func(v map[string]uint64) bool {
		count = v["oom_kill"]
		return count > known
	})
	return count, err
}

func (w *oomWatch2) Close() error {
	_ = w.folder.Close()
	return w.notices.Close()
}

// oomWatch1 has an eventfd that the kernel raises when the group runs out of memory, which is before anything is killed
// and counted, and when the group is removed.
type oomWatch1 struct {
	folder *folder
	event  *os.File
}

func watchOOM1(f *folder) (*oomWatch1, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	control, err := f.openFile("memory.oom_control", unix.O_RDONLY)
	if err == nil {
		// The kernel keeps what it needs of the file.
		defer func() { _ = control.Close() }()
		err = f.write("cgroup.event_control", strconv.Itoa(fd)+" "+strconv.Itoa(int(control.Fd())))
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &oomWatch1{folder: f, event: os.NewFile(uintptr(fd), "eventfd of "+f.path)}, nil
}

// settle is how often and after which time the count is read once the eventfd was raised.
var settle = []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond}

func (w *oomWatch1) next(ctx context.Context, known uint64) (uint64, error) {
	for {
		for _, delay := range settle {
			if err := pause(ctx, delay); err != nil {
				return 0, err
			}
			count, err := w.folder.oomKills1()
			if err != nil || count > known {
				return count, err
			}
		}
		if err := w.wait(ctx); err != nil {
			return 0, err
		}
	}
}

// wait waits for the eventfd.
func (w *oomWatch1) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = w.event.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := w.event.Read(make([]byte, 8))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (w *oomWatch1) Close() error {
	_ = w.folder.Close()
	return w.event.Close()
}

// pause waits, or returns ctx's error.
func pause(ctx context.Context, delay time.Duration) error {
	if delay == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
