package auth_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// The kernel tells of the process that connected, and the name of its program where it vouches for it.
func TestPeerIsWhoConnected(t *testing.T) {
	raw, err := net.Listen("unix", filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan auth.Peer, 1)
	l := auth.Listen(raw, func(p auth.Peer) davitv1.Access {
		seen <- p
		return davitv1.Access_ACCESS_READ
	}, auth.Limits{}, zap.NewNop())
	defer func() { _ = l.Close() }()
	go func() {
		if accepted, acceptErr := l.Accept(); acceptErr == nil {
			_ = accepted.Close()
		}
	}()
	conn, err := net.Dial("unix", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	p := <-seen
	if p.Kind != auth.KindUnix || int(p.UID) != os.Geteuid() || int(p.PID) != os.Getpid() || p.Certificate != nil {
		t.Errorf("peer is %+v", p)
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSuffix(string(comm), "\n")
	if fd, err := peerPidfd(t, conn); err != nil {
		want = "" // a kernel before 6.5
	} else {
		_ = unix.Close(fd)
	}
	if p.Program != want {
		t.Errorf("program is %q, want %q", p.Program, want)
	}
	if got := p.Identity(); got != strconv.Itoa(os.Geteuid()) {
		t.Errorf("identity is %q", got)
	}
}

func peerPidfd(t *testing.T, conn net.Conn) (fd int, err error) {
	t.Helper()
	raw, controlErr := conn.(*net.UnixConn).SyscallConn() //nolint:errcheck // it is one of Dial("unix")
	if controlErr != nil {
		t.Fatal(controlErr)
	}
	if controlErr = raw.Control(func(s uintptr) {
		fd, err = unix.GetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	}); controlErr != nil {
		t.Fatal(controlErr)
	}
	return fd, err
}
