package monitor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A record of init's fifo, struct init_request of sysvinit's initreq.h: four 32-bit numbers in the host's order, and room
// for data that no runlevel needs.
const (
	initRecordSize  = 384
	initMagic       = 0x03091969
	initRunlevelCmd = 1
	maxRunlevel     = 6
)

// initFifos are where init may have its fifo, in the order in which they are tried.
func initFifos() []string { return []string{"run/initctl", "dev/initctl", "etc/.initctl"} }

// Initctl writes a record for a runlevel to the fifo of the container's init: 0 halts, 6 reboots. If there is none that
// somebody reads, the error is of kind NOT_FOUND.
func (c *Container) Initctl(runlevel uint32) error {
	if runlevel > maxRunlevel {
		return refuse("write to initctl", monitorv1.ErrorKind_ERROR_KIND_INVALID,
			fmt.Sprintf("runlevel %d is over the limit of %d", runlevel, maxRunlevel))
	}
	var root *os.File
	// If init is still alive after its root was opened by its number, the number was its own.
	err := c.running("write to initctl", func(guest Guest) (err error) {
		root, err = openRoot(guest.PID())
		if err == nil && !alive(guest.Pidfd()) {
			_ = root.Close()
			err = refuse("write to initctl", monitorv1.ErrorKind_ERROR_KIND_STATE, "the container does not run")
		}
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return WriteInitctl(root, runlevel)
}

// openRoot opens the root of a process.
func openRoot(pid int) (*os.File, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root of init: %w", err)
	}
	return os.NewFile(uintptr(fd), "root"), nil
}

// alive tells whether the process of a pidfd runs.
func alive(pidfd *os.File) bool {
	ended := true
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, pollErr := unix.Poll(poll, 0)
		ended = pollErr != nil || n > 0
	})
	return err == nil && !ended
}

// WriteInitctl writes a record for a runlevel to the init of which a folder is the root.
func WriteInitctl(root *os.File, runlevel uint32) error {
	record := make([]byte, initRecordSize)
	for i, number := range []uint32{initMagic, initRunlevelCmd, '0' + runlevel, 0} {
		binary.NativeEndian.PutUint32(record[4*i:], number)
	}
	for _, path := range initFifos() {
		fifo, err := openFifo(root, path)
		if err != nil {
			continue
		}
		_, err = unix.Write(fifo, record)
		_ = unix.Close(fifo)
		if err != nil {
			return &wire.Error{Operation: "write to initctl", Object: "/" + path, Errno: errnoOf(err)}
		}
		return nil
	}
	return refuse("write to initctl", monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND, "the container's init has no fifo")
}

// openFifo opens a fifo below a root for writing, if it is one, is not the host's own, and somebody reads it. The guest
// made the path, so it is walked without symbolic links, and what lies at its end is looked at before it is opened.
func openFifo(root *os.File, path string) (fd int, err error) {
	at, err := unix.Openat2(int(root.Fd()), path, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(at) }()
	var stat unix.Stat_t
	if err := unix.Fstat(at, &stat); err != nil {
		return -1, err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFIFO {
		return -1, errors.New("it is no fifo")
	}
	if isHosts(&stat) {
		return -1, errors.New("it is the host's")
	}
	return unix.Open("/proc/self/fd/"+strconv.Itoa(at), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}

// isHosts tells whether a fifo is that of the host's init.
func isHosts(stat *unix.Stat_t) bool {
	for _, path := range initFifos() {
		var own unix.Stat_t
		if unix.Stat("/"+path, &own) == nil && own.Dev == stat.Dev && own.Ino == stat.Ino {
			return true
		}
	}
	return false
}

// errnoOf is the kernel's error in an error.
func errnoOf(err error) unix.Errno {
	errno, _ := errors.AsType[unix.Errno](err)
	return errno
}
