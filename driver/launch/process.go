package launch

import (
	"encoding/binary"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// atCwd is AT_FDCWD as an argument.
const atCwd = ^uintptr(99)

// credentials are what a process becomes, as arguments: numbers, or slots that are filled in later.
type credentials struct {
	// name is how the user was asked for.
	name                   string
	uid, gid, groups, list value
}

// assembleArrival is what every child does first: it dies with its parent, and waits for the word to go on, so that
// nothing happens before its maps are written. It takes nothing of the monitor's handling of signals and timers along.
func (a *assembler) assembleArrival(gate, parentEnd value) {
	a.begin(step{operation: "begin"})
	a.dieWithParent()
	a.call(unix.SYS_CLOSE, parentEnd)
	a.waitAt(gate)
	a.beOrdinary()
}

// beOrdinary makes the child what it would be of a program that has changed nothing of itself.
func (a *assembler) beOrdinary() {
	a.call(unix.SYS_UMASK, num(0o022))
	a.resetSignals()
	a.prctl(unix.PR_SET_TIMERSLACK, timerSlack)
}

// timerSlack is that of the host's first process in nanoseconds. A child has that of the thread that cloned it, and the runtime's threads
// may have another (package slack).
const timerSlack = 50_000

// waitAt waits for the parent's word. If the parent is gone, the pipe is at its end and the child gives up.
func (a *assembler) waitAt(gate value) {
	word := a.slot()
	a.call(unix.SYS_READ, gate, a.address(word), num(1)).exactly(1)
}

// prctl sets a flag of the process.
//
//go:noinline
func (a *assembler) prctl(flag int, to uint64) call {
	return a.call(unix.SYS_PRCTL, num(uint64(flag)), num(to))
}

// dieWithParent asks to be killed when the parent ends. A change of credentials clears it.
func (a *assembler) dieWithParent() {
	a.prctl(unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL))
}

// resetSignals makes no signal ignored or blocked: both would outlive the exec. What we handle is the default again in every
// child (see [child.clone]), which says nothing of what we ignore.
func (a *assembler) resetSignals() {
	action := a.words("{DEFAULT}", 0, 0, 0, 0)
	for s := syscall.Signal(1); s <= lastSignal; s++ {
		if mayBeIgnored(s) {
			a.call(unix.SYS_RT_SIGACTION, num(uint64(s)), action, num(0), num(8))
		}
	}
	a.call(unix.SYS_RT_SIGPROCMASK, num(unix.SIG_SETMASK), a.words("{}", 0), num(0), num(8))
}

// lastSignal is the last one that there is.
const lastSignal = 64

// mayBeIgnored tells whether we may ignore a signal: a monitor ignores some, the Go runtime leaves some as they were when it was
// begun, and knows which others it was begun with or told to ignore.
func mayBeIgnored(s syscall.Signal) bool {
	return signal.Ignored(s) || slices.Contains([]syscall.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
		syscall.SIGCONT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
		// Those of C libraries, which whoever started davitd may have left ignored.
		32, 33, 34,
	}, s)
}

// becomeRoot takes the ids of the root of the child's user namespace, and no groups.
func (a *assembler) becomeRoot() {
	a.call(unix.SYS_SETRESGID, num(0), num(0), num(0))
	a.call(unix.SYS_SETGROUPS, num(0), num(0))
	a.call(unix.SYS_SETRESUID, num(0), num(0), num(0))
	a.hide()
}

// hide undoes what a change of credentials does behind one's back: it may make a process dumpable, and it clears the wish
// to die with the parent.
func (a *assembler) hide() {
	a.prctl(unix.PR_SET_DUMPABLE, 0)
	a.dieWithParent()
}

// joinTasks moves the child into cgroups of version 1: a thread that moves itself waits for no grace period.
func (a *assembler) joinTasks(tasks []value) {
	if len(tasks) == 0 {
		return
	}
	a.begin(step{operation: "join cgroups"})
	zero := a.text("0")
	for _, f := range tasks {
		a.call(unix.SYS_WRITE, f, zero, num(1)).exactly(1)
	}
}

// enterFolder makes a folder of the container the working directory. It must still lie below the root when it is.
func (a *assembler) enterFolder(name string) {
	a.begin(step{operation: opEnterFolder, object: name})
	here := a.here()
	folder, buffer := a.slot(), a.reserve(unix.PathMax/8)
	a.call(unix.SYS_CHDIR, a.text("/"))
	a.open(here, orDot(inside(name)), wantFolder, inRoot).to(folder)
	a.call(unix.SYS_FCHDIR, folder)
	a.call(unix.SYS_GETCWD, a.address(buffer), num(unix.PathMax))
	a.call(trapFirstByte, num(uint64(buffer.n)), num('/'), num(uint64(syscall.EACCES)))
}

func orDot(name string) string {
	if name == "" {
		return "."
	}
	return name
}

// limits sets the limits of a process, not above what the monitor itself may have. Nothing is opened after them: the lowest number
// of files is the program's matter, not ours.
func (a *assembler) limits(limits []*monitorv1.Rlimit) {
	a.begin(step{operation: "set limits"})
	given := make(map[uint32]bool, len(limits))
	for _, l := range limits {
		given[l.GetResource()] = true
		a.limit(l.GetResource(), l.GetSoft(), l.GetHard())
	}
	if !given[unix.RLIMIT_NOFILE] {
		// The Go runtime raised ours, which programs that use select(2) do not survive.
		a.limit(unix.RLIMIT_NOFILE, 1024, unix.RLIM_INFINITY)
	}
}

func (a *assembler) limit(resource uint32, soft, hard uint64) {
	var own unix.Rlimit
	if unix.Getrlimit(int(resource), &own) == nil {
		hard = min(hard, own.Max)
	}
	limit := a.words("{limit}", min(soft, hard), hard)
	a.call(unix.SYS_PRLIMIT64, num(0), num(uint64(resource)), limit, num(0))
}

// newKeyring leaves the monitor's session keyring behind.
func (a *assembler) newKeyring() {
	a.begin(step{operation: "make session keyring"})
	a.call(unix.SYS_KEYCTL, num(unix.KEYCTL_JOIN_SESSION_KEYRING), num(0)).ignore(syscall.ENOSYS)
}

// lastCapability is the last capability of this kernel, which may have more than we know of.
func lastCapability() uint64 {
	last := uint64(unix.CAP_LAST_CAP)
	for last < 63 && unix.Prctl(unix.PR_CAPBSET_READ, uintptr(last+1), 0, 0, 0) != unix.EINVAL {
		last++
	}
	return last
}

// dropCapabilities takes capabilities out of the bounding set for good, and empties the ambient set.
func (a *assembler) dropCapabilities(kept uint64) {
	a.begin(step{operation: "drop capabilities"})
	for c := range lastCapability() + 1 {
		if kept&(1<<c) == 0 {
			a.prctl(unix.PR_CAPBSET_DROP, c).ignore(syscall.EINVAL)
		}
	}
	a.prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
}

// become takes the ids and exactly the capabilities of the process: all that are kept if it is root, else none. From a user
// that is not root the change of ids has taken them already, but for the inheritable ones. Where a filter has yet to be loaded,
// what that takes is kept in either case (see [loadingCapability]).
func (a *assembler) become(who credentials, kept uint64, p *monitorv1.Process) {
	a.begin(step{operation: opBecome, object: who.name})
	loading := loadingCapability(p)
	if loading != 0 {
		a.prctl(unix.PR_SET_KEEPCAPS, 1)
	}
	a.call(unix.SYS_SETGROUPS, who.groups, who.list)
	a.call(unix.SYS_SETRESGID, who.gid, who.gid, who.gid)
	a.call(unix.SYS_SETRESUID, who.uid, who.uid, who.uid)
	a.begin(step{operation: "set capabilities"})
	header := a.words("{V3}", unix.LINUX_CAPABILITY_VERSION_3)
	a.call(trapJumpIf, who.uid).then(a.ahead())
	a.call(unix.SYS_CAPSET, header, a.capabilities(kept|loading)).then(a.ahead())
	a.call(unix.SYS_CAPSET, header, a.capabilities(loading))
	if p.GetNoNewPrivs() {
		a.prctl(unix.PR_SET_NO_NEW_PRIVS, 1)
	}
	a.hide()
}

// ahead is the place behind the next instruction.
func (a *assembler) ahead() uint16 {
	label := a.label()
	a.labels[label] = uint16(len(a.code) + 1)
	return label
}

// capabilities puts a set into memory, as effective and permitted; none is inheritable. Bits that the kernel does not know it
// leaves out itself.
func (a *assembler) capabilities(set uint64) value {
	data := make([]byte, 24)
	for i := range 2 {
		half := uint32(set >> (32 * i))
		binary.NativeEndian.PutUint32(data[12*i:], half)
		binary.NativeEndian.PutUint32(data[12*i+4:], half)
	}
	return a.bytes("{capabilities}", data)
}

// standardFiles puts descriptors in the places of standard input, output and error.
func (a *assembler) standardFiles(in, out, err value) {
	a.begin(step{operation: "set standard files"})
	for i, f := range []value{in, out, err} {
		a.call(unix.SYS_DUP3, f, num(uint64(i)), num(0))
	}
}

// lead makes the process the leader of a session, with standard input as its terminal if it is one.
func (a *assembler) lead(terminal bool) {
	a.begin(step{operation: "begin session"})
	a.call(unix.SYS_SETSID)
	if terminal {
		a.call(unix.SYS_IOCTL, num(0), num(unix.TIOCSCTTY), num(0))
	}
}

// exec runs the program. Every descriptor but the standard files is closed by it, also those that nobody here knows of.
func (a *assembler) exec(path value, p *monitorv1.Process) {
	s := step{operation: opRun, object: p.GetArgv()[0]}
	a.begin(s)
	argv, env := a.vector("argv", p.GetArgv()), a.vector("env", p.GetEnv())
	a.call(unix.SYS_CLOSE_RANGE, num(3), num(1<<32-1), num(unix.CLOSE_RANGE_CLOEXEC))
	a.prctl(unix.PR_SET_PDEATHSIG, 0)
	if len(p.GetSeccomp()) > 0 {
		a.filter(p)
		a.begin(s)
	}
	a.call(unix.SYS_EXECVE, path, argv, env)
}
