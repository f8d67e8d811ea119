package wire_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// folder opens a folder with a path that is far too long for a socket.
func folder(t *testing.T) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), strings.Repeat("long/", 50))
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return dir
}

// echo serves callers that each are sent back their Ack.
func echo(t *testing.T, dir *os.File, limit int) (faults chan error) {
	t.Helper()
	listener, err := wire.Listen(dir, "test.sock")
	if err != nil {
		t.Fatal(err)
	}
	faults = make(chan error, 100)
	server := &wire.Server{
		Hello: &monitorv1.Hello{Version: "test", Pid: 42}, Limit: limit, Fault: func(err error) { faults <- err },
		Talk: func(conn *wire.Conn) error {
			for {
				ack := new(monitorv1.Ack)
				if _, err := conn.Receive(ack); err != nil {
					return err
				}
				if err := conn.Send(ack); err != nil {
					return err
				}
			}
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = listener.Close()
		server.HangUp()
		if err := <-served; !errors.Is(err, os.ErrClosed) {
			t.Errorf("serving ended with %v", err)
		}
	})
	return faults
}

func dial(t *testing.T, dir *os.File) *wire.Conn {
	t.Helper()
	conn, err := wire.Dial(dir, "test.sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func ask(conn *wire.Conn, sequence uint64) error {
	if err := conn.Send(&monitorv1.Ack{Sequence: sequence}); err != nil {
		return err
	}
	ack := new(monitorv1.Ack)
	if _, err := conn.Receive(ack); err != nil {
		return err
	}
	if ack.GetSequence() != sequence {
		return fmt.Errorf("asked %d, answered %d", sequence, ack.GetSequence())
	}
	return nil
}

// A server is found through its folder, however long its path is, greets, and serves many at once; nobody else can connect
// to its socket, and one that died is replaced.
func TestServer(t *testing.T) {
	dir := folder(t)
	if _, err := wire.Dial(dir, "test.sock"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("dialled nobody: %v, want ENOENT", err)
	}
	stale, err := wire.Listen(dir, "test.sock")
	if err != nil {
		t.Fatal(err)
	}
	_ = stale.Close()
	if _, err = wire.Dial(dir, "test.sock"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("dialled a socket that nobody listens on: %v, want ECONNREFUSED", err)
	}
	echo(t, dir, 100)
	info, err := os.Stat(filepath.Join("/proc/self/fd", fmt.Sprint(dir.Fd()), "test.sock"))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("socket is %v, %v, want one for its owner only", info, err)
	}
	for i := range 20 {
		conn := dial(t, dir)
		hello, err := conn.Greet(&monitorv1.Hello{})
		if err != nil || hello.GetPid() != 42 || hello.GetProtocol() != wire.Protocol {
			t.Fatalf("greeted by %v, %v", hello, err)
		}
		for range 3 {
			if err := ask(conn, uint64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := wire.Remove(dir, "test.sock"); err != nil {
		t.Error(err)
	}
	if err := wire.Remove(dir, "test.sock"); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
}

// Whoever speaks another protocol is told so, on both sides, and not served.
func TestOtherProtocol(t *testing.T) {
	dir := folder(t)
	faults := echo(t, dir, 100)
	conn := dial(t, dir)
	if err := conn.Send(&monitorv1.Hello{Protocol: 2, Version: "9.0"}); err != nil {
		t.Fatal(err)
	}
	hello, told := new(monitorv1.Hello), new(monitorv1.Error)
	if _, err := conn.Receive(hello); err != nil || hello.GetProtocol() != 1 {
		t.Errorf("greeted by %v, %v", hello, err)
	}
	if _, err := conn.Receive(told); err != nil || told.GetMessage() != `version "9.0" speaks protocol 2, not 1` {
		t.Errorf("told %v, %v", told, err)
	}
	if err := <-faults; wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
		t.Errorf("fault is %v", err)
	}

	a, b := pair(t)
	go func() {
		_, _ = b.Receive(new(monitorv1.Hello))
		_ = b.Send(&monitorv1.Hello{Protocol: 3})
	}()
	if _, err := a.Greet(&monitorv1.Hello{}); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
		t.Errorf("greeting a server of another protocol: %v", err)
	}
}

// More callers than the limit are hung up on; there is room again when one goes.
func TestLimit(t *testing.T) {
	dir := folder(t)
	faults := echo(t, dir, 2)
	conns := []*wire.Conn{dial(t, dir), dial(t, dir)}
	for _, conn := range conns {
		if _, err := conn.Greet(&monitorv1.Hello{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := dial(t, dir).Greet(&monitorv1.Hello{}); err == nil {
		t.Error("a third caller was served")
	}
	if err := <-faults; !strings.Contains(err.Error(), "2 connections are the limit") {
		t.Errorf("fault is %v", err)
	}
	_ = conns[0].Close()
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := dial(t, dir).Greet(&monitorv1.Hello{}); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("there is no room after a caller went")
		}
	}
	if err := ask(conns[1], 1); err != nil {
		t.Error(err)
	}
}

// Without descriptors callers are hung up on and not left waiting, and served again once there are some.
func TestNoDescriptors(t *testing.T) {
	dir := folder(t)
	echo(t, dir, 100)
	var old, low syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fds[1])
	// All descriptors below the first socket are taken, so that one is left for our end of the connection, and none for
	// the server's.
	if err := unix.Close(fds[0]); err != nil {
		t.Fatal(err)
	}
	low = syscall.Rlimit{Cur: uint64(fds[0]) + 1, Max: old.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	conn, dialErr := wire.Dial(dir, "test.sock")
	if dialErr == nil {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, dialErr = conn.Greet(&monitorv1.Hello{})
		_ = conn.Close()
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if dialErr == nil || errors.Is(dialErr, os.ErrDeadlineExceeded) {
		t.Errorf("without descriptors: %v, want to be hung up on", dialErr)
	}
	conn = dial(t, dir)
	if _, err := conn.Greet(&monitorv1.Hello{}); err != nil {
		t.Errorf("with descriptors again: %v", err)
	}
}

// Somebody else takes the last descriptor, the one with which a caller is hung up on: the server listens on.
func TestLastDescriptorIsTaken(t *testing.T) {
	dir := folder(t)
	low, err := unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, dir, 100) // what it opens lies above, and over the limit
	if err = unix.Close(low); err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(low) + 1, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	waiting, dialErr := wire.Dial(dir, "test.sock")
	// The server's first look at its queue takes the descriptor for an instant.
	for deadline := time.Now().Add(time.Minute); errors.Is(dialErr, unix.EMFILE) && time.Now().Before(deadline); {
		waiting, dialErr = wire.Dial(dir, "test.sock")
	}
	time.Sleep(100 * time.Millisecond) // so that it is tried
	if err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if dialErr != nil {
		t.Fatal(dialErr)
	}
	defer func() { _ = waiting.Close() }()
	for _, conn := range []*wire.Conn{waiting, dial(t, dir)} {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Greet(&monitorv1.Hello{}); err != nil {
			t.Errorf("with descriptors again: %v", err)
		}
	}
}
