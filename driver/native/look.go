package native

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices/loop"
	davitfs "github.com/davitd/davit/fs"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// look finds what the host has for the devices of a definition, and changes nothing: an image has no loop device yet, and gets
// the numbers of the first.
func (d *Driver) look(def *davitv1.Domain) map[string]Source {
	list := needs(def)
	if len(list) == 0 {
		return nil
	}
	sources := make(map[string]Source, len(list))
	for _, n := range list {
		sources[n.key] = n.completed(d.lookAt(n))
	}
	return sources
}

func (d *Driver) lookAt(n need) Source {
	if n.kind == usbSource {
		return findUSB(d.usbFolder(), n.usb)
	}
	at, s, err := resolve(n)
	if err != nil {
		return Source{Missing: err.Error(), Absent: isAbsent(err)}
	}
	defer func() { _ = at.Close() }()
	if !n.mounted {
		return s
	}
	content, err := reopen(at, os.O_RDONLY)
	if err == nil {
		s.Filesystem, err = n.probe(content)
		_ = content.Close()
	} else {
		err = fmt.Errorf("open %q: %w", n.path, err)
	}
	if err != nil {
		return Source{Missing: err.Error()}
	}
	return s
}

// probe tells which filesystem a source holds.
func (n need) probe(content io.ReaderAt) (string, error) {
	found, err := davitfs.Probe(content)
	switch {
	case errors.Is(err, davitfs.ErrUnknown):
		what := "image"
		if n.kind == blockSource {
			what = "block device"
		}
		return "", fmt.Errorf("%s %q holds %w", what, n.path, davitfs.ErrUnknown)
	case err != nil:
		return "", fmt.Errorf("%q: %w", n.path, err)
	}
	return found, nil
}

func (d *Driver) usbFolder() string {
	if d.hooks.usb != "" {
		return d.hooks.usb
	}
	return usbFolder
}

// resolve finds the source of a device once, through symbolic links: /dev/disk/by-id is made of them. The descriptor is of
// no use but to be reopened, so that what was looked at is what is used.
func resolve(n need) (*os.File, Source, error) {
	fd, err := unix.Open(n.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, Source{}, &absentError{n.path}
	case err != nil:
		return nil, Source{}, fmt.Errorf("look at %q: %w", n.path, err)
	}
	at := os.NewFile(uintptr(fd), n.path)
	var stat unix.Stat_t
	if err = unix.Fstat(fd, &stat); err != nil {
		return nil, Source{}, errors.Join(fmt.Errorf("look at %q: %w", n.path, err), at.Close())
	}
	s, err := identify(n, &stat)
	if err != nil {
		return nil, Source{}, errors.Join(err, at.Close())
	}
	return at, s, nil
}

// absentError tells that there is nothing of a name on the host.
type absentError struct{ path string }

func (e *absentError) Error() string { return fmt.Sprintf("%q does not exist", e.path) }

func isAbsent(err error) bool {
	_, absent := errors.AsType[*absentError](err)
	return absent
}

// identify tells what a source is, and refuses one of the wrong kind.
func identify(n need, stat *unix.Stat_t) (Source, error) {
	kind := stat.Mode & unix.S_IFMT
	switch {
	case n.kind == imageSource && kind == unix.S_IFREG:
		return Source{Block: true, Major: loop.Major, Content: fmt.Sprintf("file %d:%d", stat.Dev, stat.Ino)}, nil
	case n.kind == imageSource && kind == unix.S_IFBLK:
		return Source{}, fmt.Errorf("%q is no image, but a block device: that is of type block", n.path)
	case n.kind == imageSource:
		return Source{}, fmt.Errorf("%q is no image, but %s", n.path, kindWord(kind))
	case n.kind == blockSource && kind == unix.S_IFREG:
		return Source{}, fmt.Errorf("%q is no block device, but a file: that is of type file", n.path)
	case (n.kind == blockSource || n.block) && kind != unix.S_IFBLK:
		return Source{}, fmt.Errorf("%q is no block device, but %s", n.path, kindWord(kind))
	case n.kind == nodeSource && !n.block && kind != unix.S_IFCHR:
		return Source{}, fmt.Errorf("%q is no character device, but %s", n.path, kindWord(kind))
	}
	s := Source{Block: kind == unix.S_IFBLK}.numbered(stat.Rdev)
	if s.Block {
		s.Content = "device " + s.number()
	}
	return s, nil
}

// kindWord is a kind of file in words.
func kindWord(kind uint32) string {
	switch kind {
	case unix.S_IFREG:
		return "a file"
	case unix.S_IFDIR:
		return "a folder"
	case unix.S_IFBLK:
		return "a block device"
	case unix.S_IFCHR:
		return "a character device"
	case unix.S_IFIFO:
		return "a fifo"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "something else"
}

// reopen opens what a descriptor is of, so that it can be read, and keeps its name.
func reopen(at *os.File, flags int) (*os.File, error) {
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(int(at.Fd())), flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: at.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), at.Name()), nil
}

// errnoOf is the kernel's error number of an error, 0 if there is none.
func errnoOf(err error) syscall.Errno {
	errno, _ := errors.AsType[syscall.Errno](err)
	return errno
}
