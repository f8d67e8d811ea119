package program

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Inherited takes the descriptors that [Start] gave: the files, in order, and the one on which to report. None of them
// is passed on by an exec. It is the program's first act.
func Inherited(names ...string) (files []*os.File, report *Report, err error) {
	for i, name := range append([]string{"ready"}, names...) {
		fd := ReadyFD + i
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, nil, fmt.Errorf("use descriptor %d, %s: %w", fd, name, err)
		}
		files = append(files, os.NewFile(uintptr(fd), name))
	}
	return files[1:], &Report{files[0]}, nil
}

// Connection takes the descriptor after those of that many files of [Inherited] if it is a socket, else it gives nil. Nobody else can have
// made a socket of that number when the program has just begun.
func Connection(files int) *os.File {
	fd := FirstFD + files
	if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil {
		return nil
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "connection")
}

// Report tells who started the program whether it is ready.
type Report struct{ file *os.File }

// Ready tells that it is.
func (r *Report) Ready() error { return r.say(ready) }

// Fault tells why it is not.
func (r *Report) Fault(cause error) error { return r.say(cause.Error()) }

// say says it and hangs up.
func (r *Report) say(what string) error {
	_, err := r.file.WriteString(what)
	if closeErr := r.file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Harden makes the process one that others cannot look into or trace and that makes no file that others can open, gives
// it the name that ps shows, and takes from it, and so from guests, what spares davitd where the host lacks memory.
func Harden(name string) error {
	// The name first: the file is root's once the process is not dumpable.
	if err := setName(name); err != nil {
		return fmt.Errorf("set name of process: %w", err)
	}
	if err := mortal(); err != nil {
		return fmt.Errorf("set score of process where memory lacks: %w", err)
	}
	unix.Umask(0o077)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make process non-dumpable: %w", err)
	}
	return nil
}

// mortal makes the process one that the kernel ends as readily as any other when memory lacks, unless it is more ready
// already: to lower the score takes a right.
func mortal() error {
	file, err := os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	text := make([]byte, 16)
	n, err := file.Read(text)
	if err == nil && text[0] == '-' && n > 0 {
		_, err = file.WriteAt([]byte("0"), 0)
	}
	return errors.Join(err, file.Close())
}

// setName sets the name of the process, whichever of its threads this is.
func setName(name string) error {
	comm, err := os.OpenFile("/proc/self/comm", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = comm.WriteString(name)
	return errors.Join(err, comm.Close())
}
