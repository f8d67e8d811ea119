package monitor

import (
	"encoding/binary"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// offsetsFile is where the consoles' offsets are, in the state folder.
	offsetsFile = "console.offsets"
	// offsetBytes is the room of one.
	offsetBytes = 8
)

// offsets are those of the consoles' next bytes, in a file that outlives the monitor: what another monitor reads has numbers that go on.
// The file is made with the first byte that a console says. Without it numbers begin anew, which is no reason to stop a console.
type offsets struct {
	folder *os.File // nil to keep none

	once sync.Once
	file *os.File
}

// open opens the file, once.
func (o *offsets) open() *os.File {
	o.once.Do(func() {
		if o.folder == nil {
			return
		}
		const flags = unix.O_RDWR | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_CLOEXEC
		if fd, err := unix.Openat(int(o.folder.Fd()), offsetsFile, flags, 0o600); err == nil {
			o.file = os.NewFile(uintptr(fd), offsetsFile)
		}
	})
	return o.file
}

// remove removes the file: the container has ended.
func (o *offsets) remove() {
	if o.folder != nil {
		_ = unix.Unlinkat(int(o.folder.Fd()), offsetsFile, 0) // it may never have been made
	}
}

// read is what was written last for a console.
func (o *offsets) read(console int) uint64 {
	var number [offsetBytes]byte
	if file := o.open(); file != nil {
		_, _ = file.ReadAt(number[:], int64(console)*offsetBytes) // what is not there is 0
	}
	return binary.NativeEndian.Uint64(number[:])
}

// write notes the offset behind what a console is about to show.
func (o *offsets) write(console int, next uint64) {
	var number [offsetBytes]byte
	binary.NativeEndian.PutUint64(number[:], next)
	if file := o.open(); file != nil {
		_, _ = file.WriteAt(number[:], int64(console)*offsetBytes)
	}
}
