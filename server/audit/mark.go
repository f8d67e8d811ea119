package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// markName is the file of a [mark].
const markName = "sequence"

// markJump is how many numbers are left out when the host ended before the log did: the last records may not have come to the
// disk, and others may have read their numbers, or the kernel's audit.
const markJump = 1 << 20

// How a log ended, in a mark.
const (
	markOpen  = "open "
	markEnded = "ended"
)

// mark is a file that keeps how far the records are numbered where the records themselves do not: when they could not be
// written. It has a line that never changes its size, and is written in its place, which takes no room: a disk that is full
// has it.
//
//	00000000000000001234 open  1c5c7a9e-…
//
// That is a number that was used, whether the log is open or has ended, and the boot of the host since which it is so.
type mark struct {
	file *os.File // nil where there is none
	boot string
}

// bootID tells one boot of the host from others; empty where the kernel does not.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// open opens the mark of a folder, and gives the last number that may have been used, by what it says alone.
func (m *mark) open(root *os.Root) (used uint64, err error) {
	file, err := root.OpenFile(markName, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: markName, Err: errors.New("it is not a file")}
	}
	line := make([]byte, 256)
	n := 0
	if err == nil {
		n, err = file.ReadAt(line, 0)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, errors.Join(err, file.Close())
	}
	m.file = file
	fields := strings.Fields(string(line[:n]))
	if len(fields) < 2 {
		return 0, nil
	}
	if used, err = strconv.ParseUint(fields[0], 10, 64); err != nil || used > 1<<62 {
		return 0, nil //nolint:nilerr // it is no mark, and will be one
	}
	if fields[1] == strings.TrimSpace(markOpen) && (len(fields) < 3 || fields[2] != m.boot) {
		used += markJump
	}
	return used, nil
}

// write notes that a number was used.
func (m *mark) write(used uint64, state string) error {
	if m.file == nil {
		return fmt.Errorf("note the last number: %w", os.ErrClosed)
	}
	if _, err := m.file.WriteAt(fmt.Appendf(nil, "%020d %s %-36s\n", used, state, m.boot), 0); err != nil {
		return fmt.Errorf("note the last number: %w", err)
	}
	return nil
}
