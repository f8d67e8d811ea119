package launch

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	"github.com/davitd/davit/fs/account"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A Target is a container that a command is to run in. The descriptors remain the caller's, who may close them at any time.
type Target struct {
	// PID of init on the host; it must not have been reaped.
	PID int
	// Pidfd of init.
	Pidfd *os.File
	// Namespaces that the container has of its own.
	Namespaces *monitorv1.Namespaces
	// Shared are the namespaces of others that it is in.
	Shared []*monitorv1.SharedNamespace
	// UIDMap is the map of its user namespace, if it has one.
	UIDMap []*monitorv1.IdMapping
	// Descriptors are the cgroups that the command is to be in.
	Descriptors
}

// Target is the container as a place to run commands in.
func (g *Guest) Target(d Descriptors) Target {
	return Target{
		PID: g.PID, Pidfd: g.Pidfd, Namespaces: g.plan.GetNamespaces(), Shared: g.plan.GetShared(),
		UIDMap: g.plan.GetUidMap(), Descriptors: d,
	}
}

// Stdio are the standard files of a command: three files, or a terminal for all three. They remain the caller's. A nil file is
// an error, for there is nothing of the host's that would be safe to give in its place.
type Stdio struct {
	Stdin, Stdout, Stderr *os.File
	// TTY is the slave of a terminal of the container ([Guest.OpenTerminal]). It becomes the command's controlling
	// terminal and belongs to its user.
	TTY *os.File
}

// A Process is a command that runs in a container, or ran.
type Process struct {
	// PID on the host. It is the command's until [Process.Wait] has returned.
	PID int
	// Pidfd of the command.
	Pidfd *os.File

	child *child
}

// Wait waits until the command has ended, reaps it and tells how. It is called once.
func (p *Process) Wait() (Exit, error) {
	exit, err := p.child.wait()
	if err != nil {
		return Exit{}, fmt.Errorf("wait for command: %w", err)
	}
	return exit, nil
}

// Signal sends a signal to the command.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.child.signal(s); err != nil {
		return fmt.Errorf("signal command: %w", err)
	}
	return nil
}

// Close lets go of the pidfd. It does not end the command.
func (p *Process) Close() error { return p.Pidfd.Close() }

// Join runs a command in a container and returns when its program runs. The error is an [*Error]; of kind STATE if the
// container has ended, also while the command joins it.
//
// What joins is a child that has nothing of our memory but its program, that has closed all but the standard files and a pipe before it
// enters, that nobody in the container can look into, and that has given up every privilege that the command shall not have before it
// makes the process that the container sees.
func Join(target Target, p *monitorv1.Process, stdio Stdio) (*Process, error) {
	if err := checkProcess(p); err != nil {
		return nil, err
	}
	held, release, err := target.hold()
	if err != nil {
		return nil, notHeld(err)
	}
	defer release()
	j := &joiner{target: held, process: p, stdio: stdio}
	process, err := j.run()
	if err != nil && held.ended(patience(err)) {
		return nil, errEnded()
	}
	return process, err
}

// patience is how long it is waited for the end of init after an error: what a container that ends tells before it has
// ended looks like other faults.
func patience(err error) time.Duration {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != monitorv1.ErrorKind_ERROR_KIND_UNSPECIFIED && e.Kind != monitorv1.ErrorKind_ERROR_KIND_EXHAUSTED {
		return 0
	}
	if slices.Contains([]syscall.Errno{0, unix.ESRCH, unix.ENOENT, unix.ENOMEM}, e.Errno) {
		return time.Second
	}
	return 0
}

// run finds out what the command is, and runs it.
func (j *joiner) run() (*Process, error) {
	if err := j.resolve(); err != nil {
		return nil, err
	}
	// The child is to die with the thread that made it, which therefore waits until it is another program. Nothing is changed of that
	// thread, so that it need not be one of its own, which takes as long to make as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return j.join()
}

// A joiner runs one command.
type joiner struct {
	target  Target
	process *monitorv1.Process
	stdio   Stdio
	// who, cwd and path are what the command is, found in the container's files.
	who  account.Identity
	cwd  string
	path string
	// proc is where the command gets its label; nil if it gets none.
	proc *os.File
	// nursery is the memory of the child, and score what it has where memory lacks.
	nursery *nursery
	score   int
}

// resolve finds out who the command is to be and which file it is.
func (j *joiner) resolve() error {
	root, err := j.openRoot()
	if err != nil {
		return failed(step{operation: "open root of the container"}, err)
	}
	defer func() { _ = root.Close() }()
	if j.who, err = lookUp(root, j.process, true); err != nil {
		return err
	}
	if j.cwd, err = workingDirectory(root, j.process.GetCwd(), j.who.Home); err != nil {
		return err
	}
	j.path, err = findProgram(root, j.process, j.cwd)
	if err != nil {
		return err
	}
	return j.ownTerminal()
}

// openRoot opens the container's root. The pidfd proves that the number is still init's.
func (j *joiner) openRoot() (*os.File, error) {
	path := "/proc/" + strconv.Itoa(j.target.PID) + "/root"
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	root := os.NewFile(uintptr(fd), path)
	if err := unix.PidfdSendSignal(int(j.target.Pidfd.Fd()), 0, nil, 0); err != nil {
		_ = root.Close()
		return nil, err
	}
	return root, nil
}

// workingDirectory is the one that is asked for, or the user's home if there is such a folder, or the root. Whether the one
// that is asked for is a folder is looked at before the program is, which may be named relative to it.
func workingDirectory(root *os.File, wanted, home string) (string, error) {
	if wanted != "" {
		return wanted, checkFolder(root, wanted)
	}
	if checkFolder(root, home) == nil {
		return home, nil
	}
	return "/", nil
}

// checkFolder refuses a path that is no folder of a container.
func checkFolder(root *os.File, path string) error {
	dir, err := fs.OpenIn(root, path)
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return folderError(path, errno)
	}
	if err != nil {
		return failed(step{operation: opEnterFolder, object: path}, err)
	}
	defer func() { _ = dir.Close() }()
	if !isFolder(dir) {
		return folderError(path, syscall.ENOTDIR)
	}
	return nil
}

// ownTerminal gives the terminal to the command's user.
func (j *joiner) ownTerminal() error {
	if j.stdio.TTY == nil {
		return nil
	}
	var m idMap
	if j.target.Namespaces.GetUser() {
		m = j.target.UIDMap
	}
	uid, ok := m.outside(j.who.UID)
	if !ok {
		return invalid(step{operation: "look up user", object: j.process.GetUser()}, "user %d is not in the map", j.who.UID)
	}
	if err := unix.Fchown(int(j.stdio.TTY.Fd()), uid, -1); err != nil {
		return failed(step{operation: "change owner of terminal"}, err)
	}
	return nil
}

// join runs on one thread.
func (j *joiner) join() (*Process, error) {
	lines, err := newReports()
	if err != nil {
		return nil, failed(step{operation: "make pipe"}, err)
	}
	defer lines.close()
	if j.proc, err = openProc(j.process); err != nil {
		return nil, err
	}
	defer closeAll([]*os.File{j.proc})
	if j.score, err = score.guest(); err != nil {
		return nil, failed(step{operation: opScore}, err)
	}
	if j.nursery, err = newNursery(stringsOf(j.process)); err != nil {
		return nil, failed(step{operation: "clone"}, err)
	}
	defer j.nursery.close()
	a := j.nursery.assembler()
	if err = j.assemble(a, lines); err != nil {
		return nil, err
	}
	if err = a.check(); err != nil {
		return nil, err
	}
	first, err := j.spawn(a, lines)
	if e, own := errors.AsType[*Error](err); own {
		return nil, e
	}
	if err != nil {
		return nil, failed(step{operation: "clone"}, err)
	}
	defer first.destroy()
	return j.attend(a, lines)
}

// stringsOf is more than the memory that the strings of a process take in a program: each may begin a piece of memory of its own, and what is
// left of the one before is less than it.
func stringsOf(p *monitorv1.Process) int {
	n := 3 * len(p.GetSeccomp())
	for _, list := range [][]string{p.GetArgv(), p.GetEnv()} {
		for _, s := range list {
			n += 3 * (len(s) + 32)
		}
	}
	return n
}

// spawn clones the first process.
func (j *joiner) spawn(a *assembler, lines *lines) (*child, error) {
	first, err := j.nursery.spawnApart(a, lines, j.cloneArgs(j.target.Cgroup2))
	if !errors.Is(err, unix.EBUSY) || j.target.Cgroup2 == nil {
		return first, err
	}
	// The guest has cgroups of its own below, with controllers, so that there is no room in between; init's is one
	// of them.
	leaf, err := cgroupOf(j.target.PID, j.target.Cgroup2)
	if err != nil {
		return nil, err
	}
	defer func() { _ = leaf.Close() }()
	return j.nursery.spawnApart(a, lines, j.cloneArgs(leaf))
}

func (j *joiner) cloneArgs(cgroup *os.File) *cloneArgs {
	args := &cloneArgs{exitSignal: uint64(unix.SIGCHLD)}
	if cgroup != nil {
		args.flags |= unix.CLONE_INTO_CGROUP
		args.cgroup = uint64(cgroup.Fd())
	}
	return args
}

// attend sees the first process through to the second, and that through to its exec. Neither waits for us.
func (j *joiner) attend(a *assembler, lines *lines) (*Process, error) {
	pid, fault := 0, error(nil)
	for {
		forked, err := lines.await(a, reportForked)
		if err == nil {
			pid = max(pid, int(forked.value))
			continue
		}
		if errors.Is(err, errAtEnd) {
			break
		}
		// Of two faults the first is the cause. A second process may be told of after it has failed.
		fault = cmp.Or(fault, explain(err))
		if e, ok := errors.AsType[*Error](err); ok && e.Operation == opReadReport {
			break
		}
	}
	if pid == 0 {
		return nil, cmp.Or(fault, error(&Error{Operation: opRun, Message: killedBefore}))
	}
	// The process is a child of ours, so the number is its own until we reap it.
	pidfd, err := unix.PidfdOpen(pid, unix.O_NONBLOCK)
	if err != nil {
		return nil, failed(step{operation: "open pidfd"}, err)
	}
	second := &child{pid: pid, pidfd: os.NewFile(uintptr(pidfd), "pidfd")}
	if fault == nil {
		fault = second.hasRun(j.process)
	}
	if fault != nil {
		second.destroy()
		return nil, fault
	}
	return &Process{PID: second.pid, Pidfd: second.pidfd, child: second}, nil
}

// assemble writes the program of both processes.
func (j *joiner) assemble(a *assembler, lines *lines) error {
	a.begin(step{operation: "begin"})
	a.dieWithParent()
	a.beOrdinary()
	a.hide()
	j.raiseScore(a)
	tasks := make([]value, len(j.target.Tasks))
	for i, f := range j.target.Tasks {
		tasks[i] = a.file(f, "tasks")
	}
	a.joinTasks(tasks)
	a.takeLabels(j.process, j.proc)
	if err := j.standardFiles(a); err != nil {
		return err
	}
	j.enter(a, lines)
	a.memoryPolicy(j.process.GetMemoryPolicy())
	a.newKeyring()
	a.enterFolder(j.cwd)
	a.limits(j.process.GetRlimits())
	kept := keptCapabilities(j.process.GetCapabilities(), j.target.Namespaces.GetUser())
	a.dropCapabilities(kept)
	a.become(j.credentials(a), kept, j.process)
	j.second(a, lines)
	a.lead(j.stdio.TTY != nil)
	a.exec(a.text(j.path), j.process)
	return nil
}

func (j *joiner) standardFiles(a *assembler) error {
	if j.stdio.TTY != nil {
		tty := a.file(j.stdio.TTY, "terminal")
		a.standardFiles(tty, tty, tty)
		return nil
	}
	if j.stdio.Stdin == nil || j.stdio.Stdout == nil || j.stdio.Stderr == nil {
		return invalid(step{operation: "set standard files"}, "one is missing")
	}
	a.standardFiles(a.file(j.stdio.Stdin, "stdin"), a.file(j.stdio.Stdout, "stdout"), a.file(j.stdio.Stderr, "stderr"))
	return nil
}

// enter closes what the container must never see, and enters its namespaces.
func (j *joiner) enter(a *assembler, lines *lines) {
	a.begin(step{operation: "close descriptors"})
	pidfd := a.file(j.target.Pidfd, "pidfd of init")
	kept := []uintptr{pidfd.n, a.file(lines.reportIn, "report").n}
	slices.Sort(kept)
	first := uintptr(3)
	for _, n := range kept {
		if n > first {
			a.call(unix.SYS_CLOSE_RANGE, num(uint64(first)), num(uint64(n-1)), num(0))
		}
		first = n + 1
	}
	a.call(unix.SYS_CLOSE_RANGE, num(uint64(first)), num(1<<32-1), num(0))
	a.begin(step{operation: "enter namespaces"})
	a.call(unix.SYS_SETNS, pidfd, num(enteredFlags(j.target.Namespaces, j.target.Shared)))
	a.call(unix.SYS_CLOSE, pidfd)
	a.becomeRoot()
}

// namespaceFlags are the namespaces that a container has of its own, as CLONE_NEW flags.
func namespaceFlags(ns *monitorv1.Namespaces) uint64 {
	flags := uint64(unix.CLONE_NEWNS | unix.CLONE_NEWPID)
	for _, n := range []struct {
		own  bool
		flag uint64
	}{
		{ns.GetUser(), unix.CLONE_NEWUSER},
		{ns.GetIpc(), unix.CLONE_NEWIPC},
		{ns.GetUts(), unix.CLONE_NEWUTS},
		{ns.GetNet(), unix.CLONE_NEWNET},
		{ns.GetCgroup(), unix.CLONE_NEWCGROUP},
	} {
		if n.own {
			flags |= n.flag
		}
	}
	return flags
}

func (j *joiner) credentials(a *assembler) credentials {
	list := make([]byte, 4*len(j.who.Groups)+8)
	for i, gid := range j.who.Groups {
		*(*uint32)(unsafe.Pointer(&list[4*i])) = gid
	}
	return credentials{
		name: j.process.GetUser(),
		uid:  num(uint64(j.who.UID)), gid: num(uint64(j.who.GID)),
		groups: num(uint64(len(j.who.Groups))), list: a.bytes("groups", list),
	}
}

// raiseScore has the child say itself what the kernel ends first. Its proc is still ours.
func (j *joiner) raiseScore(a *assembler) {
	a.begin(step{operation: opScore})
	file, text := a.slot(), strconv.Itoa(j.score)
	a.call(unix.SYS_OPENAT, a.here(), a.text("/proc/self/"+scoreFile), num(unix.O_WRONLY|unix.O_CLOEXEC)).to(file)
	a.call(unix.SYS_WRITE, file, a.text(text), num(uint64(len(text)))).exactly(uintptr(len(text)))
	a.call(unix.SYS_CLOSE, file)
}

// second makes the process that the container sees: in its PID namespace, a child of ours. The first one tells us its
// number and is done. It tells us so as well, by the same words, and that fails if we are gone: if that was before it wished to die with us,
// it would not.
func (j *joiner) second(a *assembler, lines *lines) {
	a.begin(step{operation: "clone into the container"})
	record := a.reserve(2)
	a.slots[record.n] = reportForked
	pid := value{n: record.n + 1, kind: slot}
	args := a.words("{PARENT}", unix.CLONE_PARENT, 0, 0, 0, 0, 0, 0, 0)
	a.call(unix.SYS_CLONE3, args, num(64)).to(pid)
	tell, child := a.label(), a.label()
	a.call(trapJumpIf, pid).then(tell)
	a.dieWithParent()
	a.mark(tell)
	size := uint64(unsafe.Sizeof(report{}))
	a.call(unix.SYS_WRITE, a.file(lines.reportIn, "report"), a.address(record), num(size)).exactly(uintptr(size))
	first := a.label()
	a.call(trapJumpIf, pid).then(first)
	a.call(trapJumpIf, num(1)).then(child)
	a.mark(first)
	a.call(unix.SYS_EXIT_GROUP, num(0))
	a.mark(child)
}
