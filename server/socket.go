package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// runFolder is the folder of the sockets. Sockets are bound and reached through its descriptor: the path that the
// kernel sees is short, however long the folder's is (the limit is 107 bytes).
type runFolder struct {
	name string
	root *os.Root
	dir  *os.File
}

func openRunFolder(name string) (*runFolder, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	dir, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &runFolder{name: name, root: root, dir: dir}, nil
}

// path is a name in the folder as the kernel is told it.
func (f *runFolder) path(name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.dir.Fd(), name)
}

// listen makes a socket with a mode and, unless gid is negative, a group. It is bound under another name and renamed
// when it is complete, so that who finds it can connect. What is there already is replaced if it is a socket on which
// nobody listens.
func (f *runFolder) listen(name string, mode fs.FileMode, gid int) (net.Listener, error) {
	if err := f.free(name); err != nil {
		return nil, err
	}
	beside := ".new-" + name
	if err := f.root.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %q: %w", f.name+"/"+name, err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.path(beside), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", f.name+"/"+name, err)
	}
	l.SetUnlinkOnClose(false)
	err = f.root.Chmod(beside, mode)
	if err == nil && gid >= 0 {
		err = f.root.Chown(beside, -1, gid)
	}
	if err == nil {
		err = f.root.Rename(beside, name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %q: %w", f.name+"/"+name, err), l.Close(), f.root.Remove(beside))
	}
	return &socket{Listener: l, folder: f, name: name}, nil
}

// free sees to it that a name may be taken.
func (f *runFolder) free(name string) error {
	info, err := f.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen on %q: %w", f.name+"/"+name, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen on %q: it is there and not a socket", f.name+"/"+name)
	}
	conn, err := new(net.Dialer).DialContext(context.Background(), "unix", f.path(name))
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_ = conn.Close()
	}
	return &domain.Error{
		Code:    codes.FailedPrecondition,
		Reason:  davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY,
		Op:      "listen on",
		Subject: f.name + "/" + name,
		Message: "another program listens on it",
	}
}

func (f *runFolder) close() error { return errors.Join(f.dir.Close(), f.root.Close()) }

// socket is a listener that takes its name away when it is closed.
type socket struct {
	net.Listener
	folder *runFolder
	name   string
}

func (s *socket) Close() error {
	err := s.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return errors.Join(err, s.folder.root.Remove(s.name))
}
