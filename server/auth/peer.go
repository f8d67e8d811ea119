package auth

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Peer is who is at the other end of a connection, as it was when the connection was accepted.
type Peer struct {
	// UID and GID of the process that connected.
	UID, GID uint32
	// PID of it, for logs only: by now it may be another's.
	PID int32
	// Groups are its supplementary groups.
	Groups []uint32
	// Access is what it may do at most.
	Access davitv1.Access
}

// String names the peer in logs.
func (p Peer) String() string { return fmt.Sprintf("uid %d pid %d (%s)", p.UID, p.PID, p.Access) }

// Grant decides what a peer may do.
type Grant func(Peer) davitv1.Access

// ReadOnly grants everybody to read.
func ReadOnly(Peer) davitv1.Access { return davitv1.Access_ACCESS_READ }

// Admin grants everything to root, to the daemon's user and to the members of a group, nothing to others. A negative
// gid stands for no group.
func Admin(gid int) Grant {
	own := uint32(os.Geteuid())
	return func(p Peer) davitv1.Access {
		member := gid >= 0 && (p.GID == uint32(gid) || slices.Contains(p.Groups, uint32(gid)))
		if p.UID == 0 || p.UID == own || member {
			return davitv1.Access_ACCESS_ADMIN
		}
		return davitv1.Access_ACCESS_UNSPECIFIED
	}
}

// peerOf asks the kernel who is at the other end.
func peerOf(conn net.Conn) (Peer, error) {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return Peer{}, fmt.Errorf("ask for peer: connection is %T, not a unix socket's", conn)
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("ask for peer: %w", err)
	}
	var p Peer
	var asked error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); asked != nil {
			return
		}
		p.UID, p.GID, p.PID = cred.Uid, cred.Gid, cred.Pid
		p.Groups, asked = peerGroups(fd)
	})
	if err = errors.Join(err, asked); err != nil {
		return Peer{}, fmt.Errorf("ask for peer: %w", err)
	}
	return p, nil
}

// maxGroups is the kernel's NGROUPS_MAX.
const maxGroups = 65536

// peerGroups asks for the supplementary groups (SO_PEERGROUPS, Linux 4.13).
func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(4 * len(groups))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(unsafe.SliceData(groups))), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno == unix.ERANGE && len(groups) < maxGroups:
			groups = make([]uint32, maxGroups)
		default:
			return nil, errno
		}
	}
}
