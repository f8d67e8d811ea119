package launch

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A helper is a child that is only there to be in a namespace. It has a copy of our memory, unless it enters no namespace of others,
// is in nobody's PID namespace but ours, so that no process of a container can find it, and runs no program.
type helper struct {
	*child
	a     *assembler
	lines *lines
}

// startHelper makes a helper in new namespaces that waits, and then runs the program that is assembled.
func startHelper(flags uint64, assemble func(a *assembler)) (*helper, error) {
	l, err := newLines()
	if err != nil {
		return nil, err
	}
	h := &helper{a: freshAssembler(64, 256), lines: l}
	h.a.assembleArrival(h.a.file(l.gateOut, "gate"), h.a.file(l.gateIn, "parent's end of gate"))
	h.a.hide()
	if assemble != nil {
		assemble(h.a)
	}
	h.a.begin(step{operation: "wait"})
	h.a.call(unix.SYS_WRITE, h.a.file(l.reportIn, "report"), h.a.words("{assembled}", reportAssembled, 0), num(uint64(unsafe.Sizeof(report{}))))
	h.a.waitAt(h.a.file(l.gateOut, "gate"))
	h.a.call(unix.SYS_EXIT_GROUP, num(0))
	// One that is to make namespaces, which nobody else is in, and runs nothing there, may share our memory: to copy it takes longer
	// than a launch.
	clone := spawn
	if flags != 0 && assemble == nil {
		clone = spawnShared
	}
	if err = h.a.check(); err == nil {
		h.child, err = clone(h.a, l, &cloneArgs{flags: flags, exitSignal: uint64(unix.SIGCHLD)})
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return h, nil
}

// await lets the helper run its program and waits until it has.
func (h *helper) await() error {
	if err := h.lines.open(); err != nil {
		return err
	}
	_, err := h.lines.await(h.a, reportAssembled)
	return err
}

// namespace opens a namespace of the helper, by its name in proc(5).
func (h *helper) namespace(name string) (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/%d/ns/%s", h.pid, name))
}

// end ends the helper and leaves nothing of it.
func (h *helper) end() {
	h.destroy()
	h.release(h.a)
	h.lines.close()
}

// endSoon ends the helper beside what the caller does. Nothing of it is left when the channel is closed.
func (h *helper) endSoon() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.end()
	}()
	return ended
}

// makeUserns makes a user namespace with the maps of a plan. The file keeps it; who made it is gone when the channel is closed, which is
// not worth waiting for at once.
func makeUserns(plan *monitorv1.Plan) (userns *os.File, gone <-chan struct{}, err error) {
	h, err := startHelper(unix.CLONE_NEWUSER, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("make user namespace: %w", err)
	}
	defer func() { gone = h.endSoon() }()
	if err = idMap(plan.GetUidMap()).write(h.pid, "uid_map"); err == nil {
		err = idMap(plan.GetGidMap()).write(h.pid, "gid_map")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("map user namespace: %w", err)
	}
	userns, err = h.namespace("user")
	return userns, nil, err
}

// UserNamespace makes a user namespace with maps that nobody is in. The file keeps it.
func UserNamespace(uid, gid []*monitorv1.IdMapping) (*os.File, error) {
	userns, gone, err := makeUserns(&monitorv1.Plan{UidMap: uid, GidMap: gid})
	if gone != nil {
		<-gone
	}
	return userns, err
}

// copyMountTable copies the mount table of the calling thread into a user namespace. What a mount has been given cannot be
// taken from the copy in there, nor from clones of it. The file keeps it.
func copyMountTable(userns *os.File) (*os.File, error) {
	h, err := startHelper(0, func(a *assembler) {
		a.begin(step{operation: "copy mount table"})
		a.call(unix.SYS_SETNS, a.file(userns, "user namespace"), num(unix.CLONE_NEWUSER))
		a.hide()
		a.call(unix.SYS_UNSHARE, num(unix.CLONE_NEWNS))
	})
	if err != nil {
		return nil, fmt.Errorf("copy mount table: %w", err)
	}
	defer h.end()
	if err := h.await(); err != nil {
		return nil, err
	}
	return h.namespace("mnt")
}

// asRoot runs a program in the mount namespace of a container, with the rights of its root. userns is nil if the container has
// none of its own.
func asRoot(userns, mountns *os.File, s step, assemble func(a *assembler, root value)) error {
	h, err := startHelper(0, func(a *assembler) {
		a.begin(s)
		if userns != nil {
			a.call(unix.SYS_SETNS, a.file(userns, "user namespace"), num(unix.CLONE_NEWUSER))
			a.becomeRoot()
		}
		a.call(unix.SYS_SETNS, a.file(mountns, "mount namespace"), num(unix.CLONE_NEWNS))
		root := a.slot()
		a.open(a.here(), "/", wantFolder, unix.RESOLVE_NO_MAGICLINKS).to(root)
		assemble(a, root)
	})
	if err != nil {
		return err
	}
	defer h.end()
	return h.await()
}
