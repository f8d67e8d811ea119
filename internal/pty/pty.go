// Package pty opens pseudo-terminals (pty(7)) for tests and the demo, which play the user of an interactive command.
package pty

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Open makes a pair: what is written to user is typed on terminal, and what is written to terminal is read from user.
// The terminal has the size of a VT100. To close user hangs the terminal up, also while somebody reads from it.
func Open() (user, terminal *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	user = os.NewFile(uintptr(fd), "/dev/ptmx")
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, fmt.Errorf("unlock pty: %w", closing(user, err))
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, fmt.Errorf("number of pty: %w", closing(user, err))
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, closing(user, err)
	}
	if err := Resize(user, 24, 80); err != nil {
		_ = terminal.Close()
		return nil, nil, closing(user, err)
	}
	return user, terminal, nil
}

// Resize sets the size of a terminal by either end.
func Resize(end *os.File, rows, columns uint16) error {
	if err := unix.IoctlSetWinsize(int(end.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		return fmt.Errorf("set size of terminal: %w", err)
	}
	return nil
}

func closing(f *os.File, err error) error {
	_ = f.Close()
	return err
}
