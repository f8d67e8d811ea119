package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// cmdlineBytes bounds what is told of a process's arguments.
const cmdlineBytes = 4096

// Signal sends a signal to a process of the domain by its id in there.
func (i *instance) Signal(ctx context.Context, guest uint32, signal int) error {
	const op = "signal process"
	if _, err := i.withInit(ctx, op); err != nil {
		return err
	}
	pids, err := i.group.Procs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if n, err := guestPID(pid); err != nil || n != guest {
			continue
		}
		err := i.signalHost(pid, guest, syscall.Signal(signal))
		if !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return notFound(op, strconv.FormatUint(uint64(guest), 10), "the domain has no such process")
}

// signalHost signals a process that was just found in the cgroup. It is held by a descriptor before it is looked at once
// more, so that a process id that was given to a stranger meanwhile is never signalled.
func (i *instance) signalHost(pid int, guest uint32, signal syscall.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	member, err := i.group.Contains(pid)
	if err != nil || !member {
		return unix.ESRCH
	}
	if n, err := guestPID(pid); err != nil || n != guest {
		return unix.ESRCH
	}
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil {
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	return nil
}

// Processes lists what runs in the domain's cgroup.
func (i *instance) Processes(ctx context.Context) ([]*davitv1.Process, error) {
	if _, err := i.running(ctx, "list processes"); err != nil {
		return nil, err
	}
	pids, err := i.group.Procs()
	if err != nil {
		return nil, err
	}
	var out []*davitv1.Process
	for _, pid := range pids {
		// One that cannot be read has ended since it was listed.
		if p, err := readProcess(pid); err == nil {
			out = append(out, p)
		}
	}
	return out, nil
}

// readProcess reads what proc(5) tells of a process.
func readProcess(pid int) (*davitv1.Process, error) {
	st, err := readStatus(pid)
	if err != nil {
		return nil, err
	}
	p := &davitv1.Process{Pid: uint32(pid), Comm: st["Name"], State: firstField(st["State"])}
	if p.GuestPid, err = guestOf(st); err != nil {
		return nil, err
	}
	if p.Ppid, err = number32(st["PPid"]); err != nil {
		return nil, err
	}
	if p.Uid, err = number32(firstField(st["Uid"])); err != nil {
		return nil, err
	}
	p.Argv, err = readArguments(pid)
	return p, err
}

// readStatus reads the fields of /proc/PID/status by name.
func readStatus(pid int) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return nil, err
	}
	return parseStatus(string(text)), nil
}

// parseStatus splits "Name:\tvalue" lines. The kernel escapes what is odd in a name, so that no line can be forged.
func parseStatus(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":\t")
		if ok {
			fields[name] = value
		}
	}
	return fields
}

// readArguments reads the start of a process's arguments, which the process can change at will.
func readArguments(pid int) ([]string, error) {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text := make([]byte, cmdlineBytes)
	n, err := f.Read(text)
	if n == 0 {
		return nil, nil // a zombie, or a kernel thread
	}
	if err != nil {
		return nil, err
	}
	var argv []string
	for arg := range bytes.SplitSeq(bytes.TrimRight(text[:n], "\x00"), []byte{0}) {
		argv = append(argv, strings.ToValidUTF8(string(arg), "�"))
	}
	return argv, nil
}

// guestPID is the id of a process in its domain.
func guestPID(pid int) (uint32, error) {
	st, err := readStatus(pid)
	if err != nil {
		return 0, err
	}
	return guestOf(st)
}

// guestOf takes the second of a process's ids: the first is ours, the second that of the namespace below, which is the
// domain's; what follows belongs to containers in the domain.
func guestOf(st map[string]string) (uint32, error) {
	ids := strings.Fields(st["NSpid"])
	if len(ids) < 2 {
		return 0, fmt.Errorf("read process ids %q: the process is in no PID namespace of its own", st["NSpid"])
	}
	return number32(ids[1])
}

func firstField(s string) string {
	first := strings.Fields(s)
	if len(first) == 0 {
		return ""
	}
	return first[0]
}

func number32(s string) (uint32, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	return uint32(n), err
}
