package launch

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// DescribeSyscalls is a plan as the system calls that a launch makes of it: those of the child, all of them and in order,
// each under the step that it belongs to. Descriptors have the name of what they lead to; s1, s2, … are results that a
// later call uses; "else" tells which errors are none, and where they lead.
func DescribeSyscalls(plan *monitorv1.Plan) string {
	if err := Check(plan); err != nil {
		return err.Error() + "\n"
	}
	a := newAssembler()
	a.names = make(map[uintptr]string)
	l := &launcher{plan: plan, tree: &tree{plan: plan, mounts: make([]*os.File, len(plan.GetOperations()))}}
	l.assemble(a, &lines{})
	if err := a.check(); err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, s := range plan.GetShared() {
		fmt.Fprintf(&b, "setns(%s, %s)\n", sharedWords(s), cloneWords(sharedFlag(s)))
	}
	fmt.Fprintf(&b, "clone3(%s)\n", cloneWords(l.cloneArgs().flags|everyChild))
	a.list(&b)
	return b.String()
}

// list writes the program.
func (a *assembler) list(b *strings.Builder) {
	last := -1
	for i := range a.code {
		in := &a.code[i]
		if int(in.step) != last {
			last = int(in.step)
			s := a.steps[last]
			fmt.Fprintln(b, strings.TrimSpace(s.operation+" "+s.object))
		}
		fmt.Fprintf(b, "%6d  %s\n", i, a.line(in))
	}
}

// line is an instruction as text.
func (a *assembler) line(in *instruction) string {
	args := make([]string, in.count)
	for i := range args {
		args[i] = a.word(a.argument(in, i), in.kind(i))
	}
	line := trapName(in.number()) + "(" + strings.Join(args, ", ") + ")"
	if in.exact {
		line += " = " + strconv.Itoa(int(a.argument(in, int(in.count))))
	}
	if in.out != 0 {
		line += " -> s" + strconv.Itoa(int(in.out))
	}
	if in.then != 0 {
		line += ", to " + strconv.Itoa(int(in.then))
	}
	return line + branches(in)
}

// branches are the errors that are none.
func branches(in *instruction) string {
	var b strings.Builder
	for _, branch := range in.on {
		if branch.errno == 0 {
			continue
		}
		b.WriteString(", else " + unix.ErrnoName(syscall.Errno(branch.errno)))
		if branch.to != 0 {
			b.WriteString(" to " + strconv.Itoa(int(branch.to)))
		}
	}
	return b.String()
}

// word is an argument as text.
func (a *assembler) word(n uintptr, k kind) string {
	switch name, known := a.names[n]; {
	case k == slot:
		return "s" + strconv.Itoa(int(n))
	case k != number && known:
		return name
	case k == pointer:
		return "{…}"
	case n > 9:
		return "0x" + strconv.FormatUint(uint64(n), 16)
	}
	return strconv.Itoa(int(n))
}

// howLabel writes a struct open_how.
func howLabel(flags, resolve uint64) string {
	var words []string
	for _, f := range []struct {
		in, bit uint64
		word    string
	}{
		{flags, unix.O_DIRECTORY, "DIRECTORY"},
		{flags, unix.O_NOFOLLOW, "NOFOLLOW"},
		{flags, unix.O_WRONLY, "WRONLY"},
		{resolve, unix.RESOLVE_BENEATH, "BENEATH"},
		{resolve, unix.RESOLVE_IN_ROOT, "IN_ROOT"},
		{resolve, unix.RESOLVE_NO_MAGICLINKS, "NO_MAGICLINKS"},
		{resolve, unix.RESOLVE_NO_SYMLINKS, "NO_SYMLINKS"},
		{resolve, unix.RESOLVE_NO_XDEV, "NO_XDEV"},
	} {
		if f.in&f.bit != 0 {
			words = append(words, f.word)
		}
	}
	return "{" + strings.Join(words, " ") + "}"
}

func cloneWords(flags uint64) string {
	var words []string
	for _, f := range []struct {
		bit  uint64
		word string
	}{
		{unix.CLONE_NEWNS, "NEWNS"},
		{unix.CLONE_NEWPID, "NEWPID"},
		{unix.CLONE_NEWUSER, "NEWUSER"},
		{unix.CLONE_NEWIPC, "NEWIPC"},
		{unix.CLONE_NEWUTS, "NEWUTS"},
		{unix.CLONE_NEWNET, "NEWNET"},
		{unix.CLONE_CLEAR_SIGHAND, "CLEAR_SIGHAND"},
	} {
		if flags&f.bit != 0 {
			words = append(words, f.word)
		}
	}
	return strings.Join(words, " ")
}

// trapName is the name of a system call that programs use.
func trapName(trap uintptr) string {
	if name, ok := trapNames()[trap]; ok {
		return name
	}
	return "syscall " + strconv.Itoa(int(trap))
}

func trapNames() map[uintptr]string {
	return map[uintptr]string{
		trapFail: "fail", trapJumpIf: "jump if", trapFirstByte: "first byte", trapTry: "try",
		unix.SYS_CAPSET: "capset", unix.SYS_CHDIR: "chdir", unix.SYS_CLONE3: "clone3", unix.SYS_CLOSE: "close",
		unix.SYS_CLOSE_RANGE: "close_range", unix.SYS_DUP3: "dup3", unix.SYS_EXECVE: "execve",
		unix.SYS_EXIT_GROUP: "exit_group", unix.SYS_FCHDIR: "fchdir", unix.SYS_FSCONFIG: "fsconfig",
		unix.SYS_FSMOUNT: "fsmount", unix.SYS_FSOPEN: "fsopen", unix.SYS_GETCWD: "getcwd", unix.SYS_IOCTL: "ioctl",
		unix.SYS_KEYCTL: "keyctl", unix.SYS_MKDIRAT: "mkdirat", unix.SYS_MKNODAT: "mknodat",
		unix.SYS_MOUNT_SETATTR: "mount_setattr", unix.SYS_MOVE_MOUNT: "move_mount", unix.SYS_OPENAT2: "openat2",
		unix.SYS_OPEN_TREE: "open_tree", unix.SYS_PIVOT_ROOT: "pivot_root", unix.SYS_PRCTL: "prctl",
		unix.SYS_PRLIMIT64: "prlimit64", unix.SYS_READ: "read", unix.SYS_RT_SIGACTION: "rt_sigaction",
		unix.SYS_RT_SIGPROCMASK: "rt_sigprocmask", unix.SYS_SECCOMP: "seccomp", unix.SYS_SETGROUPS: "setgroups", unix.SYS_SETHOSTNAME: "sethostname",
		unix.SYS_SETNS: "setns", unix.SYS_SETRESGID: "setresgid", unix.SYS_SETRESUID: "setresuid",
		unix.SYS_SETSID: "setsid", unix.SYS_SET_MEMPOLICY: "set_mempolicy", unix.SYS_SOCKET: "socket", unix.SYS_UMASK: "umask", unix.SYS_UMOUNT2: "umount2",
		unix.SYS_UNSHARE: "unshare", unix.SYS_WRITE: "write",
	}
}
