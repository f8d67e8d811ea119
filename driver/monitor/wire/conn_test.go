package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

func pair(t *testing.T) (a, b *wire.Conn) {
	t.Helper()
	a, b, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	for _, c := range []*wire.Conn{a, b} {
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// raw is a connection of which a test writes the bytes itself.
func raw(t *testing.T) (fd int, conn *wire.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	conn, err = wire.NewConn(fds[1])
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	closeRaw := func() { once.Do(func() { _ = unix.Close(fds[0]) }) }
	t.Cleanup(func() { closeRaw(); _ = conn.Close() })
	return fds[0], conn
}

func temp(t *testing.T, text string) *os.File {
	t.Helper()
	f, err := os.OpenFile(t.TempDir()+"/file", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f
}

func descriptorCount(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A message arrives as it was sent, from nothing to the largest, and descriptors arrive with it, open and closed on exec.
func TestSendReceive(t *testing.T) {
	a, b := pair(t)
	cgroup2, pidfd := monitorv1.DescriptorKind_DESCRIPTOR_KIND_CGROUP2, monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD
	files := []*os.File{temp(t, "one"), temp(t, "two")}
	big := strings.Repeat("x", wire.MaxFrame-64)
	for name, message := range map[string]*monitorv1.MonitorRequest{
		"empty":       {},
		"plain":       {Request: &monitorv1.MonitorRequest_Signal{Signal: &monitorv1.Signal{Signal: 15}}},
		"descriptors": {Descriptors: []monitorv1.DescriptorKind{cgroup2, pidfd}},
		"large": {
			Descriptors: []monitorv1.DescriptorKind{pidfd, cgroup2},
			Request:     &monitorv1.MonitorRequest_Start{Start: &monitorv1.Start{Plan: &monitorv1.Plan{Name: big}}},
		},
	} {
		sent := make(chan error, 1)
		go func() { sent <- a.Send(message, files[:len(message.GetDescriptors())]...) }()
		got := new(monitorv1.MonitorRequest)
		received, err := b.Receive(got)
		if err = errors.Join(err, <-sent); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(message, got); diff != "" {
			t.Errorf("%s (-sent +received):\n%s", name, diff)
		}
		for i, f := range received {
			want, text := []string{"one", "two"}[i], make([]byte, 3)
			if _, err := f.ReadAt(text, 0); err != nil || string(text) != want {
				t.Errorf("%s: descriptor %d reads %q, %v, want %q", name, i, text, err, want)
			}
			flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
			if err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: descriptor %d is passed on by exec (%v)", name, i, err)
			}
		}
		wire.CloseAll(received)
	}
}

// What breaks a rule is not sent.
func TestSendRefuses(t *testing.T) {
	a, _ := pair(t)
	file := temp(t, "")
	for name, err := range map[string]error{
		"too large": a.Send(&monitorv1.StreamInput{Input: &monitorv1.StreamInput_Data{
			Data: make([]byte, wire.MaxFrame),
		}}),
		"descriptor that is not named":                     a.Send(&monitorv1.MonitorRequest{}, file),
		"descriptor beside a message that names none ever": a.Send(&monitorv1.StreamInput{}, file),
		"name without descriptor": a.Send(&monitorv1.MonitorRequest{
			Descriptors: []monitorv1.DescriptorKind{monitorv1.DescriptorKind_DESCRIPTOR_KIND_LOG},
		}),
		"too many": a.Send(&monitorv1.MonitorRequest{
			Descriptors: make([]monitorv1.DescriptorKind, wire.MaxDescriptors+1),
		}, make([]*os.File, wire.MaxDescriptors+1)...),
	} {
		if err == nil {
			t.Errorf("%s: it was sent", name)
		}
	}
}

// frame is the bytes of a frame with that body.
func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// What breaks a rule is refused when it comes, and the descriptors that came with it are closed.
func TestReceiveRefuses(t *testing.T) {
	file := temp(t, "")
	rights := func(n int) []byte {
		fds := make([]int, n)
		for i := range fds {
			fds[i] = int(file.Fd())
		}
		return unix.UnixRights(fds...)
	}
	log := []byte{0x7a, 1, 6} // descriptors: one log
	before := descriptorCount(t)
	for name, test := range map[string]struct {
		pieces [][]byte
		rights [][]byte
		want   error
	}{
		"nothing":                      {nil, nil, io.EOF},
		"half a header":                {[][]byte{{0, 0}}, nil, io.ErrUnexpectedEOF},
		"half a body":                  {[][]byte{frame(log)[:5]}, nil, io.ErrUnexpectedEOF},
		"too large":                    {[][]byte{{0, 0x10, 0, 1}}, nil, wire.ErrBroken},
		"four gigabytes":               {[][]byte{{0xff, 0xff, 0xff, 0xff}}, nil, wire.ErrBroken},
		"no message":                   {[][]byte{frame([]byte{0xff})}, nil, wire.ErrBroken},
		"name without descriptor":      {[][]byte{frame(log)}, nil, wire.ErrBroken},
		"descriptor without name":      {[][]byte{frame(nil)}, [][]byte{rights(1)}, wire.ErrBroken},
		"two descriptors for one":      {[][]byte{frame(log)}, [][]byte{rights(2)}, wire.ErrBroken},
		"descriptors within a body":    {[][]byte{frame(log)[:4], log}, [][]byte{rights(1), rights(1)}, wire.ErrBroken},
		"too many descriptors":         {[][]byte{frame(log)}, [][]byte{rights(wire.MaxDescriptors + 1)}, wire.ErrBroken},
		"as many as the kernel allows": {[][]byte{frame(log)}, [][]byte{rights(253)}, wire.ErrBroken},
	} {
		func() {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := wire.NewConn(fds[1])
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			for i, piece := range test.pieces {
				var control []byte
				if i < len(test.rights) {
					control = test.rights[i]
				}
				if err = unix.Sendmsg(fds[0], piece, control, nil, 0); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			_ = unix.Close(fds[0])
			files, err := conn.Receive(new(monitorv1.MonitorRequest))
			if !errors.Is(err, test.want) || files != nil {
				t.Errorf("%s: received %d descriptors and %v, want %v", name, len(files), err, test.want)
			}
		}()
	}
	if after := descriptorCount(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

// A frame that trickles in arrives like any other; it need not come in one piece.
func TestReceivePieces(t *testing.T) {
	fd, conn := raw(t)
	file := temp(t, "")
	bytes := frame([]byte{0x7a, 1, 6})
	sent := make(chan struct{})
	defer func() { <-sent }()
	go func() {
		defer close(sent)
		for i, b := range bytes {
			var control []byte
			if i == 0 {
				control = unix.UnixRights(int(file.Fd()))
			}
			_ = unix.Sendmsg(fd, []byte{b}, control, nil, 0)
			time.Sleep(time.Millisecond)
		}
	}()
	files, err := conn.Receive(new(monitorv1.MonitorRequest))
	if err != nil || len(files) != 1 {
		t.Fatalf("received %d descriptors and %v", len(files), err)
	}
	wire.CloseAll(files)
}

// A large message and a reader that takes its time: nothing is lost, and several senders do not mix.
func TestSendersTakeTurns(t *testing.T) {
	a, b := pair(t)
	const senders, each = 4, 20
	for i := range senders {
		go func() {
			data := bytes.Repeat([]byte{byte(i)}, 200<<10)
			for range each {
				if err := a.Send(&monitorv1.StreamInput{Input: &monitorv1.StreamInput_Data{Data: data}}); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for range senders * each {
		input := new(monitorv1.StreamInput)
		if _, err := b.Receive(input); err != nil {
			t.Fatal(err)
		}
		data := input.GetData()
		if len(data) != 200<<10 || bytes.Count(data, data[:1]) != len(data) {
			t.Fatal("frames are mixed")
		}
	}
}

// Abort ends what waits.
func TestAbort(t *testing.T) {
	a, _ := pair(t)
	time.AfterFunc(10*time.Millisecond, a.Abort)
	if _, err := a.Receive(new(monitorv1.Hello)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("receiving ended with %v", err)
	}
}

// Hangup waits for the other side to go and takes nothing of what it says; HungUp sees that it is gone behind what it
// said.
func TestHangup(t *testing.T) {
	a, b := pair(t)
	if b.HungUp() {
		t.Error("a connection that stands is hung up")
	}
	if err := a.Send(&monitorv1.Ack{Sequence: 7}); err != nil {
		t.Fatal(err)
	}
	if b.Hangup() {
		t.Error("who says something has hung up")
	}
	_ = a.Close()
	if !b.HungUp() {
		t.Error("who is gone has not hung up")
	}
	ack := new(monitorv1.Ack)
	if _, err := b.Receive(ack); err != nil || ack.GetSequence() != 7 {
		t.Errorf("received %v, %v, want what was said before", ack, err)
	}
	if !b.Hangup() {
		t.Error("who is gone has not hung up")
	}
}
