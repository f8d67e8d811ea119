package escape_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// extremes are requests with one field set each, to rubbish.
func extremes(message protoreflect.MessageDescriptor, depth int) []*dynamicpb.Message {
	all := []*dynamicpb.Message{dynamicpb.NewMessage(message)}
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		for _, value := range extremeValues(field, depth) {
			m := dynamicpb.NewMessage(message)
			if field.IsList() {
				list := m.Mutable(field).List()
				list.Append(value)
			} else {
				m.Set(field, value)
			}
			all = append(all, m)
		}
	}
	return all
}

func extremeValues(field protoreflect.FieldDescriptor, depth int) []protoreflect.Value {
	if field.IsMap() {
		return nil
	}
	switch field.Kind() {
	case protoreflect.MessageKind:
		if depth == 0 {
			return []protoreflect.Value{protoreflect.ValueOfMessage(dynamicpb.NewMessage(field.Message()))}
		}
		var values []protoreflect.Value
		for _, m := range extremes(field.Message(), depth-1) {
			values = append(values, protoreflect.ValueOfMessage(m))
		}
		return values
	case protoreflect.StringKind:
		return []protoreflect.Value{protoreflect.ValueOfString(strings.Repeat("../", 3000)), protoreflect.ValueOfString("\x00")}
	case protoreflect.BytesKind:
		return []protoreflect.Value{protoreflect.ValueOfBytes(make([]byte, 100_000))}
	case protoreflect.BoolKind:
		return []protoreflect.Value{protoreflect.ValueOfBool(true)}
	case protoreflect.EnumKind:
		return []protoreflect.Value{protoreflect.ValueOfEnum(-1), protoreflect.ValueOfEnum(1 << 30)}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return []protoreflect.Value{protoreflect.ValueOfInt32(-1 << 31)}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return []protoreflect.Value{protoreflect.ValueOfInt64(-1 << 63), protoreflect.ValueOfInt64(1<<63 - 1)}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return []protoreflect.Value{protoreflect.ValueOfUint32(1<<32 - 1)}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return []protoreflect.Value{protoreflect.ValueOfUint64(1<<64 - 1)}
	default:
		return nil
	}
}

func nilPanic(c *scene) string {
	t := c.t
	conn := dial(t, c.socket())
	depth := 1
	if rounds() >= 100 {
		depth = 2
	}
	calls, panics := 0, strings.Count(c.log.String(), "panic")
	for _, m := range methods() {
		if m.access == davitv1.Access_ACCESS_READ && m.descriptor.IsStreamingServer() && m.descriptor.Name() == "WatchEvents" {
			continue // it waits for events, whatever the message
		}
		for _, request := range extremes(m.descriptor.Input(), depth) {
			ctx, cancel := context.WithTimeout(t.Context(), testenv.Scale(5*time.Second))
			err := call(ctx, conn, m, request)
			cancel()
			calls++
			if code := status.Code(err); code == codes.Internal || code == codes.Unavailable {
				c.escapes(t, "%s: %v answers %v", m.path(), request, err)
			}
		}
	}
	if got := strings.Count(c.log.String(), "panic"); got != panics {
		c.escapes(t, "the daemon panicked")
	}
	if err := c.daemon.Process.Signal(syscall.Signal(0)); err != nil {
		c.escapes(t, "the daemon is gone: %v", err)
	}
	if calls < 300 {
		t.Fatalf("only %d messages were sent", calls)
	}
	return "every message is answered, none by an internal error"
}

func nilPanicNaive(c *scene) string {
	panicked := false
	func() {
		defer func() { panicked = recover() != nil }()
		var request *davitv1.DefineDomainRequest
		_ = request.Source //nolint:govet // that it panics is the point
	}()
	if !panicked {
		c.t.Fatal("a message that is not there does not panic any more")
	}
	return "a field of a message that is not there panics"
}

// sendRights sends descriptors over a socket until that fails.
func sendRights(t *testing.T, fd int) int {
	t.Helper()
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	many := make([]int, 200)
	for i := range many {
		many[i] = int(null.Fd())
	}
	sent := 0
	for range 50 {
		if unix.Sendmsg(fd, []byte("PRI"), unix.UnixRights(many...), nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) != nil {
			break
		}
		sent += len(many)
	}
	return sent
}

// descriptorsOf counts those of a process that lead to null.
func descriptorsOf(pid int) int {
	n := 0
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, e := range entries {
		if target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name())); target == "/dev/null" {
			n++
		}
	}
	return n
}

func rightsFlood(c *scene) string {
	before, sent := descriptorsOf(c.daemon.Process.Pid), 0
	for range max(rounds()/5, 3) {
		for _, socket := range []string{c.readOnly(), c.socket()} {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				c.t.Fatal(err)
			}
			if err = unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err == nil {
				sent += sendRights(c.t, fd)
			}
			_ = unix.Close(fd)
		}
	}
	if sent == 0 {
		c.t.Fatal("no descriptor was sent")
	}
	if after := descriptorsOf(c.daemon.Process.Pid); after > before+100 {
		c.escapes(c.t, "the daemon holds %d descriptors more", after-before)
	}
	if _, err := c.client.ListDomains(c.t.Context(), &davitv1.ListDomainsRequest{}); err != nil {
		c.escapes(c.t, "the daemon does not answer: %v", err)
	}
	return "the daemon takes none of them"
}

func rightsFloodNaive(c *scene) string {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = unix.Close(pair[0]); _ = unix.Close(pair[1]) }()
	if sendRights(c.t, pair[0]) == 0 {
		c.t.Fatal("no descriptor was sent")
	}
	oob := make([]byte, unix.CmsgSpace(200*4))
	_, n, _, _, err := unix.Recvmsg(pair[1], make([]byte, 3), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		c.t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		c.t.Fatalf("no descriptors came: %v", err)
	}
	fds, _ := unix.ParseUnixRights(&messages[0])
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
	if len(fds) == 0 {
		c.t.Fatal("no descriptors came")
	}
	return "a reader that takes control messages gets them"
}
