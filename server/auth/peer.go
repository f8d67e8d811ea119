package auth

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Kind is what a peer is known by.
type Kind int

// The kinds of peers.
const (
	// KindUnix is a process of this host, which the kernel tells of.
	KindUnix Kind = iota
	// KindTLS is somebody on the network, whom a certificate names.
	KindTLS
)

// String is the word for it: "unix" or "tls".
func (k Kind) String() string {
	if k == KindTLS {
		return "tls"
	}
	return "unix"
}

// Peer is who is at the other end of a connection, as it was when the connection was accepted.
type Peer struct {
	// Kind tells which of the rest is set.
	Kind Kind

	// UID and GID of the process that connected.
	UID, GID uint32
	// PID of it, for logs only: by now it may be another's.
	PID int32
	// Program is the name that the process gave itself, for logs only. It is empty where the kernel could not vouch for it.
	Program string
	// Groups are its supplementary groups.
	Groups []uint32

	// Certificate is whom the client proved to be; nil for a process of this host.
	Certificate *Certificate
	// Address that the client connected from, host and port.
	Address string

	// Access is what it may do at most. That of a certificate is as the roles are now, which a reload may change.
	Access davitv1.Access
	// Held is the most that the holder of a certificate could do since it connected: what its streams may have been opened
	// with.
	Held davitv1.Access
	// Ends is when the holder's certificate, or one above it, is no longer valid; zero if nothing is to be lost then.
	Ends time.Time
	// Denied is why the peer may do less than it may expect, or nothing: words for people. Empty otherwise.
	Denied string

	// over is why every call of the connection is refused, whatever the peer may do.
	over error
}

// Certificate is what identifies the holder of a certificate.
type Certificate struct {
	// Subject as RFC 2253 writes it, and CommonName, a part of it.
	Subject, CommonName string
	// Names are the alternative ones, each with its kind: "DNS:host", "email:name", "IP:address", "URI:uri".
	Names []string
	// Serial number in hexadecimal.
	Serial string
	// Fingerprint is the SHA-256 of the whole certificate, "sha256:" and hexadecimal.
	Fingerprint string
	// NotAfter is when it ends to be valid.
	NotAfter time.Time
}

// Identity tells callers apart: two peers with the same are the same user, or hold the same certificate. It is the number
// of the user, or "tls:" and the fingerprint.
func (p Peer) Identity() string {
	if p.Kind == KindTLS {
		if p.Certificate == nil {
			return "tls:"
		}
		return "tls:" + p.Certificate.Fingerprint
	}
	return strconv.FormatUint(uint64(p.UID), 10)
}

// String names the peer in logs.
func (p Peer) String() string {
	if p.Kind != KindTLS {
		return fmt.Sprintf("uid %d pid %d (%s)", p.UID, p.PID, p.Access)
	}
	if p.Certificate == nil {
		return fmt.Sprintf("no certificate, from %s (%s)", p.Address, p.Access)
	}
	return fmt.Sprintf("certificate %q serial %s, from %s (%s)", p.Certificate.Subject, p.Certificate.Serial, p.Address, p.Access)
}

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
		p.Program = program(int(fd), p.PID)
	})
	if err = errors.Join(err, asked); err != nil {
		return Peer{}, fmt.Errorf("ask for peer: %w", err)
	}
	return p, nil
}

// program is the name of the process that connected, which it may choose itself. Only a descriptor of the process makes
// sure that the number is still that of the same one (SO_PEERPIDFD, Linux 6.5): without it nothing is read.
func program(fd int, pid int32) string {
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(pidfd) }()
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	// It had the number while its name was read if it has not ended since: then the descriptor would be readable.
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 0); n != 0 || err != nil {
		return ""
	}
	return strings.TrimSuffix(string(name), "\n")
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
