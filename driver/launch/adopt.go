package launch

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Adopt is a container that another process has launched by a plan, and that is not our child: [Guest.Wait] cannot see it end. The files
// are the guest's. What a launch notes of /dev and of mounts is looked up when it is needed, as init sees it then.
func Adopt(plan *monitorv1.Plan, pid int, pidfd *os.File, consoles []*os.File) *Guest {
	return &Guest{PID: pid, Pidfd: pidfd, Consoles: consoles, plan: plan, child: &child{pid: pid, pidfd: pidfd}}
}

// findDevpts opens the terminals of a container that was adopted.
func (g *Guest) findDevpts() (*os.File, error) {
	return g.findMount("/dev/pts", unix.DEVPTS_SUPER_MAGIC)
}

// findMount opens a mount of a container by its path, if it is of a kind of filesystem.
func (g *Guest) findMount(path string, magic int64) (*os.File, error) {
	root, err := (&joiner{target: g.Target(Descriptors{})}).openRoot()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	found, err := fs.OpenIn(root, inside(path))
	if err != nil {
		return nil, err
	}
	var stat unix.Statfs_t
	if err = unix.Fstatfs(int(found.Fd()), &stat); err == nil && stat.Type != magic {
		err = unix.ENODEV
	}
	if err != nil {
		_ = found.Close()
		return nil, err
	}
	return found, nil
}

// look notes of a container that was adopted what a launch would have. Whoever calls it is the one who changes the container.
func (g *Guest) look() error {
	if g.noted() != nil {
		return nil
	}
	root, err := (&joiner{target: g.Target(Descriptors{})}).openRoot()
	if err != nil {
		return failed(step{operation: "note mounts"}, err)
	}
	defer func() { _ = root.Close() }()
	made, err := note(g.plan, g.PID, root, func(int) (*os.File, error) { return g.findMount("/dev", unix.TMPFS_MAGIC) })
	if err != nil {
		return err
	}
	g.noting.Lock()
	defer g.noting.Unlock()
	g.live = made
	return nil
}

// noted is what is known of what may be changed; nil before [Guest.look].
func (g *Guest) noted() *live {
	g.noting.Lock()
	defer g.noting.Unlock()
	return g.live
}
