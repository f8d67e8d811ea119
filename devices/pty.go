package devices

import (
	"fmt"
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
)

// MakeTerminals makes a devpts of its own: terminals in it are nobody else's, and opening one elsewhere does not
// reach them. New terminals belong to gid, an id of the host, with mode 620. At most max can be open at a time, or as many
// as the kernel allows if it is 0.
func MakeTerminals(gid int, max uint32) (*os.File, error) {
	options := []fs.Option{
		{Name: "ptmxmode", Value: "0666"},
		{Name: "mode", Value: "0620"},
		{Name: "gid", Value: strconv.Itoa(gid)},
	}
	if max > 0 {
		options = append(options, fs.Option{Name: "max", Value: strconv.FormatUint(uint64(max), 10)})
	}
	mount, err := fs.Make("devpts", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, options...)
	if err != nil && gid > math.MaxInt32 {
		return nil, fmt.Errorf("make terminals for group %d, of which this kernel may take none above %d: %w", gid, math.MaxInt32, err)
	}
	return mount, err
}

// Terminal is a pseudo terminal.
type Terminal struct {
	// Master is the side that reads what programs write. It does not block: reads wait without holding a thread.
	Master *os.File
	// Slave is the side that is a program's terminal.
	Slave *os.File
}

// OpenTerminal opens a new terminal of a devpts, known by its descriptor. The slave belongs to uid, an id of the host. Both
// sides are found through descriptors alone: there is no name for a hostile process to put something else at.
func OpenTerminal(devpts *os.File, uid int) (*Terminal, error) {
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	master, err := unix.Openat(int(devpts.Fd()), "ptmx", flags|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open ptmx: %w", err)
	}
	slave, err := openPeer(master, uid)
	if err != nil {
		_ = unix.Close(master)
		return nil, err
	}
	return &Terminal{Master: os.NewFile(uintptr(master), "ptmx"), Slave: os.NewFile(uintptr(slave), "pts")}, nil
}

func openPeer(master, uid int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, fmt.Errorf("unlock terminal: %w", err)
	}
	peer, err := peer(master)
	if err != nil {
		return -1, err
	}
	if err := unix.Fchown(peer, uid, -1); err != nil {
		_ = unix.Close(peer)
		return -1, fmt.Errorf("change owner of terminal to %d: %w", uid, err)
	}
	return peer, nil
}

func peer(master int) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, fmt.Errorf("open peer of terminal: %w", errno)
	}
	return int(fd), nil
}

// Resize sets the size of the terminal.
func (t *Terminal) Resize(rows, columns uint16) error {
	return Resize(t.Master, rows, columns)
}

// Resize sets the size of a terminal by either side of it.
func Resize(terminal *os.File, rows, columns uint16) error {
	connection, err := terminal.SyscallConn()
	if err != nil {
		return err
	}
	size := unix.Winsize{Row: rows, Col: columns}
	var failed error
	err = connection.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &size)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("resize terminal to %dx%d: %w", rows, columns, err)
	}
	return nil
}

// Close closes both sides.
func (t *Terminal) Close() error {
	err := t.Master.Close()
	if closed := t.Slave.Close(); err == nil {
		err = closed
	}
	return err
}
