package client

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dialLongUnix connects to a socket whose path is longer than an address may be, through a descriptor of its folder.
func dialLongUnix(ctx context.Context, path string) (net.Conn, error) {
	dir, name := filepath.Split(path)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open folder %q: %w", dir, err)
	}
	defer func() { _ = unix.Close(fd) }()
	short := fmt.Sprintf("/proc/self/fd/%d/%s", fd, name)
	if len(short) > maxUnixPath {
		return nil, fmt.Errorf("name of socket %q is longer than %d bytes", name, maxUnixPath-len(short)+len(name))
	}
	return (&net.Dialer{}).DialContext(ctx, "unix", short)
}
