package monitor_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A request that a monitor or the keeper does not know, of a release to come, is refused by its number and their version, and the talk
// goes on.
func TestRequestOfALaterRelease(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	for name, folder := range map[string]*os.File{client.MonitorSocket: d.folder, client.KeeperSocket: h.run} {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err = unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name)}); err != nil {
			t.Fatal(err)
		}
		conn, err := wire.NewConn(fd)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err = conn.Greet(&monitorv1.Hello{Version: "v9.9.9"}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			body := protowire.AppendBytes(protowire.AppendTag(nil, 999, protowire.BytesType), []byte("what is to come"))
			frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
			if _, err = unix.Write(fd, frame); err != nil {
				t.Fatal(err)
			}
			response := new(monitorv1.MonitorResponse)
			if _, err = conn.Receive(response); err != nil {
				t.Fatal(err)
			}
			refusal := wire.FromProto(response.GetError())
			if wire.KindOf(refusal) != monitorv1.ErrorKind_ERROR_KIND_INVALID ||
				!strings.HasPrefix(refusal.Error(), `answer request "999": version `) {
				t.Errorf("%s: %v, want it refused by its number", name, refusal)
			}
		}
	}
}

// What was kept of a run by a keeper of the first release, which answers nothing but that it was done, is told apart.
func TestKeeperOfTheFirstRelease(t *testing.T) {
	folder := openFolder(t, t.TempDir())
	listener, err := wire.Listen(folder, client.KeeperSocket)
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pidfd.Close() }()
	done := &monitorv1.KeeperResponse_Done{Done: &monitorv1.Done{}}
	server := &wire.Server{
		Hello: &monitorv1.Hello{Version: "v0.1.0", Pid: uint32(os.Getpid())}, Limit: 8, Fault: func(err error) { t.Error(err) },
		Talk: func(conn *wire.Conn) error {
			for {
				request := new(monitorv1.KeeperRequest)
				files, failed := conn.Receive(request)
				if failed != nil {
					return failed
				}
				wire.CloseAll(files)
				if request.GetWithdraw() != nil {
					failed = conn.Send(&monitorv1.KeeperResponse{
						Response: done, Descriptors: []monitorv1.DescriptorKind{monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD},
					}, pidfd)
				} else {
					failed = conn.Send(&monitorv1.KeeperResponse{Error: &monitorv1.Error{
						Operation: "answer request", Message: "it is of no known kind", Kind: monitorv1.ErrorKind_ERROR_KIND_INVALID,
					}})
				}
				if failed != nil {
					return failed
				}
			}
		},
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	defer func() { _ = listener.Close(); server.HangUp(); <-served }()
	k, err := client.DialKeeper(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	kept, err := k.Withdraw(t.Context(), uuid)
	if err != nil || kept.InitPID != 0 || kept.Pidfd == nil || len(kept.Events) != 0 {
		t.Fatalf("withdrew %+v, %v, want a pidfd and nothing else", kept, err)
	}
	kept.Close()
	if held, namespaces, err := k.Held(t.Context(), uuid); err != nil || len(held)+len(namespaces) != 0 {
		t.Errorf("it holds %d and %d, %v", len(held), len(namespaces), err)
	}
	if err := k.Hold(t.Context(), uuid, []*os.File{pidfd}, nil); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
		t.Errorf("hold: %v, want invalid", err)
	}
}
