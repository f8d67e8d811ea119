package wire

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// Descriptors are the files that came with a message, and what each is.
type Descriptors struct {
	kinds []monitorv1.DescriptorKind
	files []*os.File
}

// Name pairs the files that came with a message with the kinds that it names, which [Conn.Receive] has counted.
func Name(m carrier, files []*os.File) *Descriptors {
	return &Descriptors{kinds: m.GetDescriptors(), files: files}
}

// Take hands out the files of a kind, in order; they are the caller's.
func (d *Descriptors) Take(kind monitorv1.DescriptorKind) []*os.File {
	var taken []*os.File
	for i, k := range d.kinds {
		if k == kind && d.files[i] != nil {
			taken = append(taken, d.files[i])
			d.files[i] = nil
		}
	}
	return taken
}

// All hands out all files, in order; they are the caller's.
func (d *Descriptors) All() []*os.File {
	taken := d.files
	d.files = nil
	return taken
}

// Only refuses files of other kinds, and more of a kind than its number.
func (d *Descriptors) Only(most map[monitorv1.DescriptorKind]int) error {
	count := make(map[monitorv1.DescriptorKind]int, len(most))
	for _, k := range d.kinds {
		if count[k]++; count[k] > most[k] {
			return fmt.Errorf("%d descriptors of kind %d are over the limit of %d", count[k], k, most[k])
		}
	}
	return nil
}

// Close closes the files that nobody took.
func (d *Descriptors) Close() { CloseAll(d.files) }

// CloseAll closes files; nil ones are skipped. There is nobody to tell about an error of closing a descriptor that was
// not written through.
func CloseAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// Duplicate gives another descriptor of the same open file, closed on exec like every other.
func Duplicate(file *os.File) (*os.File, error) {
	fd := -1
	var dupErr error
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor: %w", err)
	}
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	if err = errors.Join(err, dupErr); err != nil {
		return nil, fmt.Errorf("duplicate descriptor: %w", err)
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}

// checkCount holds the number of descriptors against what the message names.
func checkCount(m plain.Message, files int) error {
	named := 0
	if c, ok := m.(carrier); ok {
		named = len(c.GetDescriptors())
	}
	switch {
	case named != files:
		return fmt.Errorf("%d descriptors beside a message that names %d", files, named)
	case files > MaxDescriptors:
		return fmt.Errorf("%d descriptors are over the limit of %d", files, MaxDescriptors)
	}
	return nil
}

// rights makes the control message that carries files.
func rights(files []*os.File) ([]byte, error) {
	if len(files) == 0 {
		return nil, nil
	}
	fds := make([]int, 0, len(files))
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return nil, err
		}
	}
	defer runtime.KeepAlive(files)
	return unix.UnixRights(fds...), nil
}

// received makes files of the descriptors in a control message. All that the kernel installed are among them, also with
// an error.
func received(control []byte) ([]*os.File, error) {
	if len(control) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	var files []*os.File
	for i := range messages {
		if messages[i].Header.Level != unix.SOL_SOCKET || messages[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, fmt.Errorf("%w: %w", ErrBroken, err)
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}
