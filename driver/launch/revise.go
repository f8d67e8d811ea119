package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Revise changes the devices of a container that runs: all that is asked for or, with an error, nothing. The files are what
// the new plan has held open, in the order of its names; they remain the caller's. The error is an [*Error]: of kind STATE if
// the container has ended, also meanwhile; BUSY if something that is to go is in use; INVALID if there is something already
// where something is to come, or a symbolic link.
//
// It is done by a thread of this process that enters the container's mount namespace and no other, so that no process of the
// container can find it. Mounts are made before it enters. Nodes come and go in the filesystem that the launch made for
// /dev, by its descriptor; a mount is put on a place that was opened inside the container's root, without symbolic links, and taken off only
// if it is the one that was put there.
func (g *Guest) Revise(r *monitorv1.Revise, held []*os.File) error { return g.revise(r, held, nil) }

// revise is Revise that fails after the step of a number, from 0, if fail says so.
func (g *Guest) revise(r *monitorv1.Revise, held []*os.File, fail func(step int) error) error {
	if err := checkHeldFiles(r.GetPlan(), held); err != nil {
		return err
	}
	who, err := ownerOf(r.GetPlan())
	if err != nil {
		return err
	}
	g.changing.Lock()
	defer g.changing.Unlock()
	if err = g.look(); err != nil {
		return err
	}
	v := &reviser{request: r, pid: g.PID, live: g.noted(), owner: who, fail: fail}
	defer v.close()
	if err = v.hold(g); err != nil {
		return err
	}
	v.tree = &tree{owner: who, held: held, mounts: make([]*os.File, len(r.GetAddMounts())), plan: &monitorv1.Plan{
		Namespaces: r.GetPlan().GetNamespaces(), UidMap: r.GetPlan().GetUidMap(), GidMap: r.GetPlan().GetGidMap(),
		Held: r.GetPlan().GetHeld(), Operations: r.GetAddMounts(),
	}}
	_, err = onThread(func() (struct{}, error) { return struct{}{}, v.run() })
	if err != nil && (Target{Pidfd: v.pidfd}).ended(patience(err)) {
		return errEnded()
	}
	return err
}

// A reviser changes one container, once.
type reviser struct {
	request *monitorv1.Revise
	pid     int
	live    *live
	owner   owner
	tree    *tree

	// pidfd and dev are the guest's, which may be closed meanwhile.
	pidfd, dev *os.File
	// mountns is the container's, root its root, and table the folder of proc where the thread's mount table is.
	mountns, root, table *os.File

	// undo takes back what was done, step by step.
	undo []func() error
	// mounts and nodes are those that came and, with nil, those that went, by target and name.
	mounts map[string]*mounted
	nodes  map[string]*monitorv1.DeviceNode
	// clones are of what was unmounted, in case it has to come again.
	clones []*os.File

	fail  func(step int) error
	steps int
}

// hold duplicates the descriptors of a guest.
func (v *reviser) hold(g *Guest) (err error) {
	if v.pidfd, err = duplicate(g.Pidfd); err == nil && v.live.dev != nil {
		v.dev, err = duplicate(v.live.dev)
	}
	if err != nil {
		return notHeld(err)
	}
	return nil
}

// run changes the container, on a thread that ends afterwards.
func (v *reviser) run() error {
	if err := leaveHost(); err != nil {
		return failed(step{operation: "leave host"}, err)
	}
	if err := v.prepare(); err != nil {
		return err
	}
	if err := v.change(); err != nil {
		return v.takeBack(err)
	}
	v.keep()
	return nil
}

// change does all that is asked for, until something fails.
func (v *reviser) change() error {
	for _, target := range v.request.GetRemoveMounts() {
		if err := v.removeMount(target); err != nil {
			return err
		}
	}
	for _, name := range v.request.GetRemoveNodes() {
		if err := v.removeNode(name); err != nil {
			return err
		}
	}
	for _, n := range v.request.GetAddNodes() {
		if err := v.addNode(n); err != nil {
			return err
		}
	}
	for i, op := range v.request.GetAddMounts() {
		if err := v.addMount(i, op); err != nil {
			return err
		}
	}
	return nil
}

// did notes how to take back what was just done.
func (v *reviser) did(s step, undo func() error) error {
	v.undo = append(v.undo, undo)
	v.steps++
	if v.fail == nil {
		return nil
	}
	if err := v.fail(v.steps - 1); err != nil {
		return failed(s, err)
	}
	return nil
}

// takeBack takes back what was done, the last first, and gives the error that it was for.
func (v *reviser) takeBack(cause error) error {
	var left []error
	for _, undo := range slices.Backward(v.undo) {
		if err := undo(); err != nil {
			left = append(left, err)
		}
	}
	if len(left) == 0 {
		return cause
	}
	e := *failed(step{operation: opRevise}, cause)
	e.Message = fmt.Sprintf("%s; what was done could not be taken back: %v", orWord(e.Message, "it was refused"), errors.Join(left...))
	return &e
}

// keep notes what the container has now.
func (v *reviser) keep() {
	for target, m := range v.mounts {
		if v.live.mounts[target] = m; m == nil {
			delete(v.live.mounts, target)
		}
	}
	for name, n := range v.nodes {
		if v.live.nodes[name] = n; n == nil {
			delete(v.live.nodes, name)
		}
	}
}

// node is a device node as it is made.
func (v *reviser) node(n *monitorv1.DeviceNode) devices.Node {
	return devices.Node{
		Name: n.GetName(), Block: n.GetBlock(), Major: n.GetMajor(), Minor: n.GetMinor(), Mode: n.GetMode(),
		UID: v.owner.uid, GID: v.owner.gid,
	}
}

// addNode makes a node.
func (v *reviser) addNode(n *monitorv1.DeviceNode) error {
	s, node := nodeStep("add node", n.GetName()), v.node(n)
	folders, err := node.Add(v.dev)
	if err != nil {
		return inTheWay(s, err)
	}
	v.nodes[n.GetName()] = n
	return v.did(s, func() error {
		_, _, err := node.Remove(v.dev, folders)
		return err
	})
}

// removeNode removes a node, if it is there.
func (v *reviser) removeNode(name string) error {
	n := v.live.nodes[name]
	if n == nil {
		return nil
	}
	s := nodeStep("remove node", name)
	was, removed, err := v.node(n).Remove(v.dev, devices.AllFolders)
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EBUSY) {
		return busy(s, "something is mounted over it")
	}
	if err != nil {
		return failed(s, err)
	}
	v.nodes[name] = nil
	return v.did(s, func() error {
		if !removed {
			return nil
		}
		_, err := was.Add(v.dev)
		return err
	})
}

// inTheWay is the error of something that was to come, of kind INVALID if something is there already that should not be.
func inTheWay(s step, err error) *Error {
	e := failed(s, err)
	switch {
	case errors.Is(err, unix.EEXIST):
		e.Message = "it is there already"
	case errors.Is(err, unix.ELOOP):
		e.Message = "a symbolic link is in the way"
	case errors.Is(err, unix.EXDEV):
		e.Message = "something is mounted over its folder"
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, devices.ErrReplaced):
	default:
		return e
	}
	e.Kind = monitorv1.ErrorKind_ERROR_KIND_INVALID
	return e
}

// busy is the error of something that cannot go.
func busy(s step, format string, args ...any) *Error {
	return &Error{
		Operation: s.operation, Object: s.object, Errno: unix.EBUSY, Message: fmt.Sprintf(format, args...),
		Kind: monitorv1.ErrorKind_ERROR_KIND_BUSY,
	}
}

// close lets go of everything. Mounts that nobody put anywhere are gone with it.
func (v *reviser) close() {
	if v.tree != nil {
		v.tree.close()
	}
	closeAll(v.clones)
	closeAll([]*os.File{v.pidfd, v.dev, v.mountns, v.root, v.table})
}
