//go:build !linux

package client

import (
	"context"
	"fmt"
	"net"
)

// dialLongUnix refuses: only Linux reaches a socket through a descriptor of its folder.
func dialLongUnix(_ context.Context, path string) (net.Conn, error) {
	return nil, fmt.Errorf("path of socket has %d bytes, more than %d", len(path), maxUnixPath)
}
