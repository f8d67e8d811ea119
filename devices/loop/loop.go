// Package loop makes block devices of image files (loop(4)).
//
// A device that [Make] made lives as long as somebody has it open or it is mounted; then the kernel takes it back by itself
// (LO_FLAGS_AUTOCLEAR). Whoever needs it keeps its descriptor, or hands it to somebody who does; nothing has to be found
// and removed when a process dies.
package loop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Major is the major number of loop devices.
const Major = 7

// Options change what a device is like.
type Options struct {
	// ReadOnly devices cannot be written to, whoever opens them.
	ReadOnly bool
	// Direct asks for I/O past the host's page cache, which would hold everything a second time. Where the file's filesystem
	// cannot, the device goes through the cache; [Device.Direct] tells.
	Direct bool
	// BlockSize of the device in bytes, 512 when 0.
	BlockSize uint32
}

// Device is a loop device.
type Device struct {
	// File keeps the device.
	File *os.File
	// Number of the device: it is /dev/loopN, block device 7:N.
	Number int
	// Size in bytes.
	Size int64
	// Direct tells that I/O goes past the page cache.
	Direct bool
}

// Close lets go of the device. It goes when nobody else has it.
func (d *Device) Close() error { return d.File.Close() }

// ErrFull tells that no loop device could be had.
var ErrFull = errors.New("no loop device is free")

// tries is how often another free device is asked for when somebody else was faster.
const tries = 64

// Make makes a device of an image, which has to be a file that is not empty, open for writing unless the device is
// read-only. The image stays the caller's and may be closed.
func Make(image *os.File, o Options) (*Device, error) {
	size, err := check(image, o)
	if err != nil {
		return nil, fmt.Errorf("make loop device of %q: %w", image.Name(), err)
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make loop device of %q: %w", image.Name(), err)
	}
	defer func() { _ = control.Close() }()
	for range tries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("make loop device of %q: %w: %w", image.Name(), ErrFull, err)
		}
		d, err := configure(n, image, o)
		if errors.Is(err, unix.EBUSY) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("make loop device of %q: %w", image.Name(), err)
		}
		d.Size = size
		return d, nil
	}
	return nil, fmt.Errorf("make loop device of %q: %w: others took %d of them meanwhile", image.Name(), ErrFull, tries)
}

func check(image *os.File, o Options) (size int64, err error) {
	info, err := image.Stat()
	switch {
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("it is no file, but %s", info.Mode().Type())
	case info.Size() < 512:
		return 0, fmt.Errorf("it has %d bytes, a device has 512 at least", info.Size())
	}
	flags, err := unix.FcntlInt(image.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return 0, os.NewSyscallError("fcntl", err)
	}
	if !o.ReadOnly && flags&unix.O_ACCMODE != unix.O_RDWR {
		return 0, fmt.Errorf("it is not open for writing: %w", fs.ErrPermission)
	}
	return info.Size(), nil
}

// configure makes the n-th device one of the image. The error is EBUSY if it is another's by now.
func configure(n int, image *os.File, o Options) (*Device, error) {
	f, err := open(n, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	config := &unix.LoopConfig{Fd: uint32(image.Fd()), Size: o.BlockSize}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	if o.ReadOnly {
		config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	if o.Direct {
		config.Info.Flags |= unix.LO_FLAGS_DIRECT_IO
	}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], image.Name())
	if err = unix.IoctlLoopConfigure(int(f.Fd()), config); err != nil {
		return nil, errors.Join(fmt.Errorf("configure loop device %d: %w", n, err), f.Close())
	}
	status, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("look at loop device %d: %w", n, err), f.Close())
	}
	return &Device{File: f, Number: n, Direct: status.Flags&unix.LO_FLAGS_DIRECT_IO != 0}, nil
}

// open opens the n-th device's node, which has to be what its name says.
func open(n int, readOnly bool) (*os.File, error) {
	mode := os.O_RDWR
	if readOnly {
		mode = os.O_RDONLY
	}
	path := fmt.Sprintf("/dev/loop%d", n)
	f, err := os.OpenFile(path, mode|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if s.Mode&unix.S_IFMT != unix.S_IFBLK || s.Rdev != unix.Mkdev(Major, uint32(n)) {
		return nil, errors.Join(fmt.Errorf("%q is not block device %d:%d", path, Major, n), f.Close())
	}
	return f, nil
}
