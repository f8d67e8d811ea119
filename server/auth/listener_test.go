package auth_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/davitd/davit/internal/testenv"
	"github.com/davitd/davit/server/auth"
)

// Who is refused again and again gets all of it into the log, in a line a second.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the peers of these connections cannot be known
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.WarnLevel)
	guarded := auth.Listen(l, auth.ReadOnly, auth.Limits{}, zap.New(core))
	accepted := make(chan error, 1)
	go func() {
		_, err := guarded.Accept()
		accepted <- err
	}()
	const flood = 500
	begun := time.Now()
	for range flood {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	told := func() (sum int64) {
		for _, line := range logs.All() {
			count, _ := line.ContextMap()["count"].(int64)
			sum += count
		}
		return sum
	}
	for end := time.Now().Add(testenv.Scale(time.Minute)); told() < flood; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log tells of %d refusals, want %d", told(), flood)
		}
	}
	if lines, most := logs.Len(), int(time.Since(begun)/time.Second)+1; lines > most {
		t.Errorf("%d lines in %v, want at most %d", lines, time.Since(begun), most)
	}
	_ = l.Close()
	if err := <-accepted; err == nil {
		t.Error("a connection whose peer is not known was accepted")
	}
}

// A socket that has as many connections as it may takes none from another.
func TestSocketsHaveLimitsOfTheirOwn(t *testing.T) {
	testenv.Require(t, testenv.Root)
	full := serve(t, auth.ReadOnly, auth.Limits{Total: 1})
	other := serve(t, auth.ReadOnly, auth.Limits{Total: 1})
	call(t, dial(t, full), "/davit.v1.HostService/GetHost", &emptypb.Empty{})
	nobody := syscall.Credential{Uid: 65534, Gid: 65534}
	if got := callAs(t, full, nobody); got != "ResourceExhausted" {
		t.Errorf("define is %s at the full socket, want ResourceExhausted", got)
	}
	if got := callAs(t, other, nobody); got != "PermissionDenied" {
		t.Errorf("define is %s at the other socket, want PermissionDenied", got)
	}
}
