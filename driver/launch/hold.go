package launch

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// hold duplicates the descriptors of a target. A child goes by their numbers, and the container may end at any time: then
// whoever owns them closes them, and others get the numbers.
func (t Target) hold() (held Target, release func(), err error) {
	var own []*os.File
	release = func() { closeAll(own) }
	copyOf := func(f *os.File) *os.File {
		if f == nil || err != nil {
			return nil
		}
		var made *os.File
		if made, err = duplicate(f); err == nil {
			own = append(own, made)
		}
		return made
	}
	held = t
	held.Pidfd, held.Cgroup2, held.Tasks = copyOf(t.Pidfd), copyOf(t.Cgroup2), nil
	for _, f := range t.Tasks {
		held.Tasks = append(held.Tasks, copyOf(f))
	}
	if err != nil {
		release()
		return Target{}, nil, err
	}
	return held, release, nil
}

// ended tells whether init has ended, reaped or not, or does so within a time.
func (t Target) ended(within time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(t.Pidfd.Fd()), Events: unix.POLLIN}}
	for end := time.Now().Add(within); ; {
		n, err := unix.Poll(fds, int(max(time.Until(end), 0).Milliseconds()))
		if err != unix.EINTR {
			return err == nil && n > 0
		}
	}
}

// duplicate makes a second descriptor of an open file. For one that is closed, also at this very moment, the error is none
// of the kernel's.
func duplicate(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var number int
	var failed error
	err = raw.Control(func(fd uintptr) { number, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(number), f.Name()), nil
}
