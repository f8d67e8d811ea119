package launch

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// What is tried to label a process.
const (
	opAppArmor = "set AppArmor profile"
	opSELinux  = "set SELinux context"
)

// openProc opens the host's procfs for a process that is to have a label; nil if there is none. A container has a procfs of its own
// making, where anything may stand in the place of anything; what is written by this descriptor cannot land there.
func openProc(p *monitorv1.Process) (*os.File, error) {
	if p.GetApparmorProfile() == "" && p.GetSelinuxContext() == "" {
		return nil, nil
	}
	proc, err := fs.OpenDir("/proc")
	if err != nil {
		return nil, failed(step{operation: "open proc"}, err)
	}
	var stat unix.Statfs_t
	if unix.Fstatfs(int(proc.Fd()), &stat) != nil || stat.Type != unix.PROC_SUPER_MAGIC {
		_ = proc.Close()
		return nil, &Error{Operation: "open proc", Message: "what is on /proc is not procfs"}
	}
	return proc, nil
}

// takeLabels asks for the labels that the process has from execve on. A child of it inherits the wish.
func (a *assembler) takeLabels(p *monitorv1.Process, proc *os.File) {
	if label := p.GetApparmorProfile(); label != "" {
		a.attribute(step{operation: opAppArmor, object: label}, proc, "apparmor/exec", "exec "+label)
	}
	if label := p.GetSelinuxContext(); label != "" {
		a.attribute(step{operation: opSELinux, object: label}, proc, "exec", label)
	}
}

// attribute writes an attribute of the process itself.
func (a *assembler) attribute(s step, proc *os.File, name, text string) {
	a.begin(s)
	const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV
	attr, n := a.slot(), uint64(len(text))
	how := a.how(unix.O_WRONLY|unix.O_CLOEXEC, resolve)
	a.call(unix.SYS_OPENAT2, a.file(proc, "proc"), a.text("thread-self/attr/"+name), how, num(24)).to(attr)
	a.call(unix.SYS_WRITE, attr, a.text(text), num(n)).exactly(uintptr(n))
	a.call(unix.SYS_CLOSE, attr)
}

// labelMessage says in words why a label was refused; empty for an error of another step.
func labelMessage(operation string, trap uintptr, errno syscall.Errno) string {
	switch {
	case operation != opAppArmor && operation != opSELinux:
	case trap == unix.SYS_OPENAT2 && errno == syscall.ENOENT:
		return "this host's kernel does not have it"
	case errno == syscall.ENOENT:
		return "no profile of this name is loaded"
	case errno == syscall.EINVAL:
		return "this host does not use it, or it does not know the label"
	case errno == syscall.EACCES || errno == syscall.EPERM:
		return "the host's policy forbids the change to it"
	}
	return ""
}
