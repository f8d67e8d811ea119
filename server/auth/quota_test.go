package auth_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// slow is a service whose calls last until they are let go.
type slow struct {
	davitv1.UnimplementedDomainServiceServer
	davitv1.UnimplementedEventServiceServer

	begun chan struct{}
	let   chan struct{}
}

func (s *slow) wait(ctx context.Context) error {
	s.begun <- struct{}{}
	select {
	case <-s.let:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) StartDomain(ctx context.Context, _ *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
	return &davitv1.StartDomainResponse{}, s.wait(ctx)
}

func (s *slow) WatchEvents(_ *davitv1.WatchEventsRequest, ss grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
	return s.wait(ss.Context())
}

// limited runs a server of a slow service with limits of calls, for peers of this process that are as given.
func limited(t *testing.T, limits auth.CallLimits, peers ...auth.Peer) (*slow, []*grpc.ClientConn) {
	t.Helper()
	table, err := auth.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	guard := auth.NewGuard(table)
	guard.Quota = auth.NewQuota(limits)
	server := grpc.NewServer(guard.Options()...)
	service := &slow{begun: make(chan struct{}, 100), let: make(chan struct{})}
	davitv1.RegisterDomainServiceServer(server, service)
	davitv1.RegisterEventServiceServer(server, service)
	t.Cleanup(server.Stop)
	var conns []*grpc.ClientConn
	for _, p := range peers {
		p.Access = davitv1.Access_ACCESS_ADMIN
		path, l := listenUnix(t)
		go func() { _ = server.Serve(auth.Trusted(l, p)) }()
		conns = append(conns, dial(t, path))
	}
	return service, conns
}

const (
	start   = "/davit.v1.DomainService/StartDomain"
	list    = "/davit.v1.DomainService/ListDomains"
	destroy = "/davit.v1.DomainService/DestroyDomain"
	events  = "/davit.v1.EventService/WatchEvents"
)

// wantLimit fails unless a call was refused by a limit of this name and number.
func wantLimit(t *testing.T, err error, name, value string) {
	t.Helper()
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || e.Code != codes.ResourceExhausted || e.Reason != davitv1.ErrorReason_ERROR_REASON_LIMIT_REACHED ||
		e.Detail["limit"] != name || e.Detail["value"] != value {
		t.Errorf("error is %v, want one of limit %s, which is %s", err, name, value)
	}
}

// A client that has as many calls in flight as it may is told so, can look and destroy nevertheless, and others do not
// notice.
func TestCallsInFlight(t *testing.T) {
	service, conns := limited(t, auth.CallLimits{Calls: 4, Watchers: 2}, auth.Peer{UID: 7}, auth.Peer{UID: 7}, auth.Peer{UID: 8})
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() {
			if got := call(t, conns[i%2], start, &davitv1.StartDomainRequest{}); got.Code() != codes.OK {
				t.Errorf("a call below the limit: %v", got)
			}
		})
	}
	for range 4 {
		<-service.begun
	}
	for _, conn := range conns[:2] {
		wantLimit(t, domain.FromStatus(call(t, conn, start, &emptypb.Empty{}).Err()), "limits.calls", "4")
		for _, method := range []string{list, destroy} {
			if got := call(t, conn, method, &emptypb.Empty{}); got.Code() != codes.Unimplemented {
				t.Errorf("%s at the limit: %v", method, got)
			}
		}
	}
	running.Go(func() {
		if got := call(t, conns[2], start, &davitv1.StartDomainRequest{}); got.Code() != codes.OK {
			t.Errorf("another client's call: %v", got)
		}
	})
	<-service.begun
	close(service.let)
	running.Wait()
	if got := call(t, conns[0], start, &emptypb.Empty{}); got.Code() != codes.OK {
		t.Errorf("a call when others have ended: %v", got)
	}
}

// Root is many programs: each has its own limits.
func TestProgramsOfRootHaveTheirOwn(t *testing.T) {
	service, conns := limited(t, auth.CallLimits{Calls: 1}, auth.Peer{PID: 10}, auth.Peer{PID: 11})
	var running sync.WaitGroup
	for _, conn := range conns {
		running.Go(func() { call(t, conn, start, &emptypb.Empty{}) })
		<-service.begun
		wantLimit(t, domain.FromStatus(call(t, conn, start, &emptypb.Empty{}).Err()), "limits.calls", "1")
	}
	close(service.let)
	running.Wait()
}

func TestWatchersAreBounded(t *testing.T) {
	service, conns := limited(t, auth.CallLimits{Calls: 1, Watchers: 2}, auth.Peer{UID: 7})
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		stream, err := davitv1.NewEventServiceClient(conns[0]).WatchEvents(ctx, &davitv1.WatchEventsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = stream.Recv() }()
		<-service.begun
	}
	wantLimit(t, domain.FromStatus(call(t, conns[0], events, &emptypb.Empty{}).Err()), "limits.watchers", "2")
	if got := call(t, conns[0], list, &emptypb.Empty{}); got.Code() != codes.Unimplemented {
		t.Errorf("list beside watchers: %v", got)
	}
	cancel()
	// The daemon hears of it when it hears of it.
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(10 * time.Millisecond) {
		waiting, stop := context.WithTimeout(t.Context(), testenv.Scale(time.Minute))
		stream, err := davitv1.NewEventServiceClient(conns[0]).WatchEvents(waiting, &davitv1.WatchEventsRequest{})
		refused := make(chan error, 1)
		go func() {
			if err == nil {
				_, err = stream.Recv()
			}
			refused <- err
		}()
		select {
		case <-service.begun:
			stop()
			if err := <-refused; err == nil {
				t.Error("a cancelled watcher ends well")
			}
			return
		case err := <-refused:
			stop()
			if time.Now().After(end) {
				t.Fatalf("a watcher when others have gone: %v", err)
			}
		}
	}
}

// Who calls too often is refused, also where the calls are denied, and may call again later.
func TestCallRate(t *testing.T) {
	_, conns := limited(t, auth.CallLimits{Rate: 1, Burst: 5}, auth.Peer{UID: 7}, auth.Peer{UID: 8})
	var refused error
	for range 1000 { // far more than are regained meanwhile
		if got := call(t, conns[0], "/davit.v1.DomainService/NoSuchMethod", &emptypb.Empty{}); got.Code() == codes.ResourceExhausted {
			refused = domain.FromStatus(got.Err())
			break
		}
	}
	wantLimit(t, refused, "limits.calls_per_second", "1")
	if got := call(t, conns[1], list, &emptypb.Empty{}); got.Code() != codes.Unimplemented {
		t.Errorf("another client's call: %v", got)
	}
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(50 * time.Millisecond) {
		got := call(t, conns[0], list, &emptypb.Empty{})
		if got.Code() == codes.Unimplemented {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a call later: %v", got)
		}
	}
}

// Calls that are cancelled give their place back, however many they are.
func TestCancelledCallsGiveTheirPlaceBack(t *testing.T) {
	service, conns := limited(t, auth.CallLimits{Calls: 2}, auth.Peer{UID: 7})
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := conns[0].NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, start) // no request follows
		if err == nil {
			_ = stream.Header // it may be at the daemon or not
		}
		cancel()
	}
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(10 * time.Millisecond) {
		done := make(chan codes.Code, 1)
		go func() { done <- call(t, conns[0], start, &emptypb.Empty{}).Code() }()
		select {
		case <-service.begun:
			close(service.let)
			if code := <-done; code != codes.OK {
				t.Errorf("the call ends with %v", code)
			}
			return
		case code := <-done:
			if time.Now().After(end) {
				t.Fatalf("a call when all others are cancelled: %v", code)
			}
		}
	}
}

func listenUnix(t *testing.T) (path string, l net.Listener) {
	t.Helper()
	dir, err := os.MkdirTemp("", "davit-auth-") //nolint:usetesting // the path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "sock")
	if l, err = net.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	return path, l
}
