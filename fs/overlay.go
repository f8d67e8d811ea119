package fs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Layers are what an overlay is made of.
type Layers struct {
	// Lower folders, the topmost first; never written.
	Lower []*os.File
	// Upper is the folder where changes go.
	Upper *os.File
	// Work is an empty folder beside Upper.
	Work *os.File
	// Volatile spares all writing back, for an upper that is dropped with the overlay.
	Volatile bool
}

// The longest value that a filesystem option can have.
const maxOption = 255

// Overlay makes an overlay. All its layers must be in the mount namespace of the calling thread, opened by it.
func Overlay(l Layers) (*os.File, error) {
	options := []Option{
		{"source", "overlay"},
		{"upperdir", SelfPath(l.Upper)},
		{"workdir", SelfPath(l.Work)},
	}
	if l.Volatile {
		options = append(options, Option{Name: "volatile"})
	}
	return Make("overlay", 0, append(lowerOptions(l.Lower), options...)...)
}

// lowerOptions is one option where it fits, which every kernel understands, else one a layer (Linux 6.5).
func lowerOptions(lower []*os.File) []Option {
	paths := make([]string, len(lower))
	for i, f := range lower {
		paths[i] = SelfPath(f)
	}
	if joined := strings.Join(paths, ":"); len(joined) <= maxOption {
		return []Option{{"lowerdir", joined}}
	}
	options := make([]Option, len(paths))
	for i, path := range paths {
		options[i] = Option{"lowerdir+", path}
	}
	return options
}

// Upper is a place for the changes of an overlay.
type Upper struct {
	// Dir and Work are the folders that an overlay takes.
	Dir, Work *os.File
	// Created tells that Dir was made now, and has no owner and mode yet that anybody chose.
	Created bool
}

// Close lets go of the folders.
func (u *Upper) Close() error {
	return errors.Join(u.Dir.Close(), u.Work.Close())
}

// OpenUpper opens the folders "upper" and "work" in dir and makes them if they do not exist. Neither may be a symbolic
// link.
func OpenUpper(dir *os.File) (*Upper, error) {
	upper, created, err := openOrMake(dir, "upper", 0o755)
	if err != nil {
		return nil, err
	}
	work, _, err := openOrMake(dir, "work", 0o700)
	if err != nil {
		_ = upper.Close()
		return nil, err
	}
	return &Upper{Dir: upper, Work: work, Created: created}, nil
}

func openOrMake(dir *os.File, name string, mode uint32) (*os.File, bool, error) {
	err := unix.Mkdirat(int(dir.Fd()), name, mode)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, false, fmt.Errorf("make folder %q in %q: %w", name, dir.Name(), err)
	}
	created := err == nil
	file, err := open(int(dir.Fd()), name, unix.O_DIRECTORY|unix.O_NOFOLLOW, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return nil, false, fmt.Errorf("open folder of overlay in %q: %w", dir.Name(), err)
	}
	return file, created, nil
}

// TakeOwner gives a folder a mode and, as the host's ids, an owner.
func TakeOwner(dir *os.File, uid, gid int, mode uint32) error {
	if err := unix.Fchownat(int(dir.Fd()), "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("change owner of %q to %d:%d: %w", dir.Name(), uid, gid, err)
	}
	// The folder is open for lookups only, which fchmod(2) does not take.
	if err := unix.Chmod(SelfPath(dir), mode); err != nil {
		return fmt.Errorf("change mode of %q to %#o: %w", dir.Name(), mode, err)
	}
	return nil
}
