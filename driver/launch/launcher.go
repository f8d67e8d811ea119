package launch

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs/account"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A launcher makes one container.
type launcher struct {
	plan        *monitorv1.Plan
	descriptors Descriptors
	faults      faults
	tree        *tree
	// live is what the guest's devices can be changed by.
	live *live
	// proc is where init gets its label; nil if it gets none.
	proc *os.File
	// ahead are the namespaces that the container has already; nil if there are none.
	ahead *Ahead
	// furnishing is what others do to its network namespace; nil while they do nothing.
	furnishing *furnishing
}

// launch runs on a thread that has left the host and that ends afterwards.
func (l *launcher) launch() (*Guest, error) {
	who, err := ownerOf(l.plan)
	if err != nil {
		return nil, err
	}
	if err = joinShared(l.plan.GetShared(), l.descriptors.Namespaces); err != nil {
		return nil, err
	}
	userns, err := l.takeAhead()
	if err != nil {
		return nil, err
	}
	defer l.callOffFurnishing()
	if err = l.furnishAhead(); err != nil {
		return nil, err
	}
	if l.tree, err = prepareTree(l.plan, who, userns, l.descriptors.Held, l.faults.operation); err != nil {
		return nil, err
	}
	defer l.tree.close()
	guest, err := l.start()
	if err != nil {
		l.tree.closeTerminals()
		return nil, err
	}
	return guest, nil
}

// start makes the child and sees it through to its exec.
func (l *launcher) start() (*Guest, error) {
	lines, err := newLines()
	if err != nil {
		return nil, failed(step{operation: "make pipes"}, err)
	}
	defer lines.close()
	if l.proc, err = openProc(l.plan.GetInit()); err != nil {
		return nil, err
	}
	defer closeAll([]*os.File{l.proc})
	a := newAssembler()
	l.assemble(a, lines)
	if err = a.check(); err != nil {
		return nil, err
	}
	if l.faults.program != nil {
		l.faults.program(a)
	}
	if err = emptyCgroup(l.descriptors.Cgroup2); err != nil {
		return nil, failed(step{operation: "empty cgroup"}, err)
	}
	child, err := l.spawn(a, lines)
	if err != nil {
		return nil, failed(step{operation: "clone"}, err)
	}
	defer stayHidden()
	defer child.release(a)
	if err := l.attend(a, lines, child); err != nil {
		child.destroy()
		l.live.close()
		return nil, l.mindMemory(err)
	}
	return l.guest(child), nil
}

// smallMemory is the memory limit below which the child has memory of its own. When the mounts of a launch alone are more
// than the limit, which a few hundred KiB are, the kernel kills all processes that share the memory of what it chose.
const smallMemory = 16 << 20

// hasSmallMemory tells whether the container's limit is that small.
func (l *launcher) hasSmallMemory() bool {
	limit := l.plan.GetMemoryLimitBytes()
	return limit > 0 && limit < smallMemory
}

// takeAhead takes the namespaces that were made ahead, if the container can have them, and gives a descriptor of the user namespace
// for what else needs it.
func (l *launcher) takeAhead() (userns *os.File, err error) {
	if l.hasSmallMemory() || !l.descriptors.Ahead.becomes(l.plan) {
		return nil, nil
	}
	if userns, err = duplicate(l.descriptors.Ahead.user); err != nil {
		return nil, failed(step{operation: "duplicate descriptors"}, err)
	}
	l.ahead = l.descriptors.Ahead
	return userns, nil
}

// spawn clones the child. It is alone in its PID namespace: nobody can look into it.
func (l *launcher) spawn(a *assembler, lines *lines) (*child, error) {
	if l.ahead != nil {
		c, err := spawnUshered(a, lines, l.cloneArgs(), l.ahead.entries(l.ahead.flags(l.plan.GetNamespaces())))
		if err == nil {
			return c, nil
		}
		// Why the kernel does not have it is told by the other way, if that fails as well.
		l.ahead = nil
		l.callOffFurnishing()
	}
	if l.hasSmallMemory() {
		return spawn(a, lines, l.cloneArgs())
	}
	return spawnShared(a, lines, l.cloneArgs())
}

// mindMemory adds to the error of a child that was killed what most likely killed it.
func (l *launcher) mindMemory(err error) error {
	e, ok := errors.AsType[*Error](err)
	if ok && e.Operation == opRun && e.Errno == 0 && l.hasSmallMemory() {
		e.Message = fmt.Sprintf("%s; %d bytes of memory may be too few", e.Message, l.plan.GetMemoryLimitBytes())
	}
	return err
}

// stayHidden undoes what a child that shared our memory did to all who do: a change of its credentials makes that memory one
// that others can look into, where fs.suid_dumpable says so, and it may have ended before it hid itself again.
func stayHidden() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// attend writes the child's maps, if they are not there, answers when its tree stands, and waits for the exec.
func (l *launcher) attend(a *assembler, lines *lines, child *child) error {
	if err := l.writeMaps(child.pid); err != nil {
		return err
	}
	netns, err := l.unfurnished(child.pid)
	if err != nil {
		return err
	}
	if err = l.assembled(a, lines, child, netns); err != nil {
		return err
	}
	reply, err := l.inspect(child)
	if err != nil {
		return err
	}
	// Our own score is raised with its, and others may have taken long.
	defer score.lower()
	if err = score.raise(child.pid); err != nil {
		return failed(step{operation: opScore}, err)
	}
	if err = lines.answer(reply.bytes(a.reply)); err != nil {
		return failed(step{operation: "answer"}, err)
	}
	return child.awaitExec(a, lines, l.plan.GetInit())
}

// assembled lets the child begin, and waits until its tree stands and its network namespace, which it closes, is furnished.
func (l *launcher) assembled(a *assembler, lines *lines, child *child, netns *os.File) error {
	if err := lines.open(); err != nil {
		closeAll([]*os.File{netns})
		return failed(step{operation: "begin"}, err)
	}
	l.furnish(netns)
	err := l.fix(a, lines, child)
	if err == nil {
		_, err = lines.await(a, reportAssembled)
	}
	if err != nil {
		l.callOffFurnishing()
		return err
	}
	return l.furnished()
}

func (l *launcher) writeMaps(pid int) error {
	if !l.plan.GetNamespaces().GetUser() || l.ahead != nil {
		return nil
	}
	if err := idMap(l.plan.GetUidMap()).write(pid, "uid_map"); err != nil {
		return failed(step{operation: "write map of users"}, err)
	}
	if err := idMap(l.plan.GetGidMap()).write(pid, "gid_map"); err != nil {
		return failed(step{operation: "write map of groups"}, err)
	}
	return nil
}

// inspect looks at the finished tree: who init is in it, and what could be changed later.
func (l *launcher) inspect(c *child) (*reply, error) {
	root := l.tree.root
	if waits(l.plan, l.plan.GetOperations()[0]) {
		// What waited was cloned by the child.
		var err error
		if root, err = os.OpenFile(fmt.Sprintf("/proc/%d/root", c.pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			if (Target{Pidfd: c.pidfd}).ended(time.Second) {
				return &reply{}, nil // it has told why
			}
			return nil, failed(step{operation: "open root of the container"}, err)
		}
		defer func() { _ = root.Close() }()
	}
	answer, err := l.reply(root)
	if err != nil {
		return nil, err
	}
	l.live, err = note(l.plan, c.pid, root, func(index int) (*os.File, error) { return duplicate(l.tree.mounts[index]) })
	if err != nil && !(Target{Pidfd: c.pidfd}).ended(time.Second) {
		return nil, err
	}
	// A child that is gone has told why.
	return answer, nil
}

// reply finds out, in the finished tree and before any program of it has run, who init is and which file its program
// is.
func (l *launcher) reply(root *os.File) (*reply, error) {
	init := l.plan.GetInit()
	who, err := lookUp(root, init, false)
	if err != nil {
		return nil, err
	}
	path, err := findProgram(root, init, init.GetCwd())
	if err != nil {
		return nil, err
	}
	return &reply{Identity: who, path: path}, nil
}

// explain adds to an error what the child could not know.
func explain(err error) error {
	e, ok := errors.AsType[*Error](err)
	switch {
	case ok && e.Operation == opRun && e.Errno != 0:
		return execError(e)
	case ok && e.Operation == opEnterFolder:
		return folderError(e.Object, e.Errno)
	case ok && e.Operation == opBecome && e.Errno == unix.EINVAL:
		return invalid(step{operation: e.Operation, object: e.Object}, "the map of the container does not hold them")
	}
	return err
}

// cloneArgs are the namespaces and the cgroup of the child.
func (l *launcher) cloneArgs() *cloneArgs {
	// The cgroup namespace comes later: it begins where its maker is, and a child is put into its cgroup only after its
	// namespaces are made.
	flags := namespaceFlags(l.plan.GetNamespaces()) &^ unix.CLONE_NEWCGROUP &^ l.ahead.flags(l.plan.GetNamespaces())
	args := &cloneArgs{flags: flags, exitSignal: uint64(unix.SIGCHLD)}
	if l.descriptors.Cgroup2 != nil {
		args.flags |= unix.CLONE_INTO_CGROUP
		args.cgroup = uint64(l.descriptors.Cgroup2.Fd())
	}
	return args
}

// guest is what the launch made. The terminals and the devpts are now the guest's.
func (l *launcher) guest(c *child) *Guest {
	return newGuest(l.plan, c, l.live, l.tree.terminals, l.tree.devpts)
}

// A reply is what the parent tells the child when the tree stands.
type reply struct {
	account.Identity
	path string
}

// The layout of a reply, in slots: user, group, number of groups, the groups, the path of the program.
const (
	replyGroups = 3
	replyPath   = replyGroups + account.MaxGroups*4/8
	replySlots  = replyPath + unix.PathMax/8
)

// bytes is the reply as the child reads it, straight into its slots, written into as much memory.
func (r *reply) bytes(words []uintptr) []byte {
	words[0], words[1], words[2] = uintptr(r.UID), uintptr(r.GID), uintptr(len(r.Groups))
	data := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*replySlots)
	for i, gid := range r.Groups {
		*(*uint32)(unsafe.Pointer(&data[8*replyGroups+4*i])) = gid
	}
	copy(data[8*replyPath:], r.path)
	return data
}

// assemble writes the whole program of the child.
func (l *launcher) assemble(a *assembler, lines *lines) {
	init := l.plan.GetInit()
	a.assembleArrival(a.file(lines.gateOut, "gate"), a.file(lines.gateIn, "parent's end of gate"))
	tasks := make([]value, len(l.descriptors.Tasks))
	for i, f := range l.descriptors.Tasks {
		tasks[i] = a.file(f, "tasks")
	}
	a.joinTasks(tasks)
	a.takeLabels(init, l.proc)
	if l.plan.GetNamespaces().GetCgroup() {
		a.begin(step{operation: "make cgroup namespace"})
		a.call(unix.SYS_UNSHARE, num(unix.CLONE_NEWCGROUP))
	}
	a.begin(step{operation: "become root of the container"})
	a.becomeRoot()
	a.assembleMounts(l.tree, lines)
	answer := l.askParent(a, lines)
	in := l.standardFile(a)
	a.standardFiles(in, in, in)
	a.lead(init.GetConsole() > 0)
	a.memoryPolicy(init.GetMemoryPolicy())
	a.newKeyring()
	a.enterFolder(init.GetCwd())
	a.limits(init.GetRlimits())
	kept := keptCapabilities(init.GetCapabilities(), l.plan.GetNamespaces().GetUser())
	a.dropCapabilities(kept)
	word := func(i int) value { return value{n: answer.n + uintptr(i), kind: slot} }
	who := credentials{name: init.GetUser(), uid: word(0), gid: word(1), groups: word(2), list: a.address(word(replyGroups))}
	a.become(who, kept, init)
	a.exec(a.address(word(replyPath)), init)
}

// askParent reports that the tree stands and reads the reply into a row of slots.
func (l *launcher) askParent(a *assembler, lines *lines) value {
	a.begin(step{operation: "ask parent"})
	answer := a.reserve(replySlots)
	record := a.words("{assembled}", reportAssembled, 0)
	a.call(unix.SYS_WRITE, a.file(lines.reportIn, "report"), record, num(uint64(unsafe.Sizeof(report{}))))
	size := uint64(8 * replySlots)
	a.call(unix.SYS_READ, a.file(lines.gateOut, "gate"), a.address(answer), num(size)).exactly(uintptr(size))
	return answer
}

// standardFile is what init has as its standard files.
func (l *launcher) standardFile(a *assembler) value {
	if n := l.plan.GetInit().GetConsole(); n > 0 {
		return a.file(l.tree.slave(int(n)-1), "terminal")
	}
	return a.file(l.tree.null(), "null")
}

// keptCapabilities are those that a process can have: in a user namespace of its own all, else what the monitor has.
func keptCapabilities(wanted uint64, userns bool) uint64 {
	if userns {
		return wanted
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return wanted
	}
	return wanted & (uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32)
}
