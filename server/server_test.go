package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// moodyDriver is a driver whose Capabilities do as they are told.
type moodyDriver struct {
	*fake.Driver
	mood *atomic.Pointer[func() (driver.Capabilities, error)]
}

func (d moodyDriver) Capabilities(ctx context.Context) (driver.Capabilities, error) {
	if mood := d.mood.Load(); mood != nil {
		return (*mood)()
	}
	return d.Driver.Capabilities(ctx)
}

// house is a daemon of a test.
type house struct {
	config server.Config
	logs   *observer.ObservedLogs
	mood   atomic.Pointer[func() (driver.Capabilities, error)]
	server *server.Server
	stop   func() error // ends it as a signal does
}

// start runs a daemon until the test ends.
func start(t *testing.T, root string, change ...func(*server.Options)) *house {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	h := &house{config: server.Rooted(root), logs: logs}
	h.config.Driver = "fake"
	o := server.Options{
		Config: h.config,
		Driver: func(server.Config, string, *zap.Logger) (driver.Driver, error) {
			return moodyDriver{fake.New(fake.Options{}), &h.mood}, nil
		},
		Logger: zap.New(core), Version: "1.2.3",
	}
	for _, f := range change {
		f(&o)
	}
	h.config = o.Config
	ready := make(chan struct{})
	o.Ready = func() { close(ready) }
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.server = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	h.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("daemon ended: %v", err)
	}
	return h
}

func (h *house) path(name string) string { return filepath.Join(h.config.Paths.Run, name) }

// dial connects to a socket, through its folder where its path is too long.
func dial(t *testing.T, path string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///davit", append(options, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			dir, err := os.Open(filepath.Dir(path))
			if err != nil {
				return nil, err
			}
			defer func() { _ = dir.Close() }()
			short := filepath.Join("/proc/self/fd", itoa(dir.Fd()), filepath.Base(path))
			return new(net.Dialer).DialContext(ctx, "unix", short)
		}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestServesItsServices(t *testing.T) {
	h := start(t, t.TempDir())
	for _, name := range []string{server.AdminSocket, server.ReadOnlySocket} {
		conn := dial(t, h.path(name))
		v, err := davitv1.NewHostServiceClient(conn).GetVersion(t.Context(), &davitv1.GetVersionRequest{})
		if err != nil || v.GetVersion() != "1.2.3" || v.GetDriver() != "fake" {
			t.Errorf("%s: version is %v, %v", name, v, err)
		}
		for _, service := range []string{"", "davit.v1.DomainService", "davit.v1.EventService"} {
			health, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || health.GetStatus() != healthv1.HealthCheckResponse_SERVING {
				t.Errorf("%s: health of %q is %v, %v", name, service, health, err)
			}
		}
		services := offered(t, conn)
		for _, service := range []string{"davit.v1.DomainService", "davit.v1.HostService", "grpc.health.v1.Health"} {
			if !strings.Contains(services, service) {
				t.Errorf("%s: reflection tells %q", name, services)
			}
		}
	}
	define := &davitv1.DefineDomainRequest{}
	_, err := davitv1.NewDomainServiceClient(dial(t, h.path(server.ReadOnlySocket))).DefineDomain(t.Context(), define)
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("define through the read-only socket: %v", err)
	}
	_, err = davitv1.NewDomainServiceClient(dial(t, h.path(server.AdminSocket))).DefineDomain(t.Context(), define)
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("define of nothing: %v", err)
	}
}

// offered asks a server for its services.
func offered(t *testing.T, conn *grpc.ClientConn) string {
	t.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	if err = stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetListServicesResponse().String()
}

// A call that dies, and one that fails by a fault of davit's own, tell the caller an id that the log has, and the
// daemon goes on.
func TestFaultsAreLoggedUnderAnID(t *testing.T) {
	h := start(t, t.TempDir())
	host := davitv1.NewHostServiceClient(dial(t, h.path(server.AdminSocket)))
	for name, mood := range map[string]func() (driver.Capabilities, error){
		"panic": func() (driver.Capabilities, error) { panic("the roof is on fire") },
		"error": func() (driver.Capabilities, error) {
			return driver.Capabilities{}, errors.New("the roof is on fire")
		},
	} {
		h.mood.Store(&mood)
		_, err := host.GetVersion(t.Context(), &davitv1.GetVersionRequest{})
		var e *domain.Error
		if !errors.As(domain.FromStatus(err), &e) || e.Code != codes.Internal || e.Reason != davitv1.ErrorReason_ERROR_REASON_INTERNAL {
			t.Fatalf("%s: error is %v", name, err)
		}
		id := e.Detail["log_id"]
		if id == "" || !strings.Contains(e.Message, id) {
			t.Errorf("%s: error %v does not tell id %q", name, e, id)
		}
		lines := h.logs.FilterField(zap.String("log_id", id)).All()
		if len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0].ContextMap()["error"]), "the roof is on fire") {
			t.Errorf("%s: log under the id is %v", name, lines)
		}
	}
	h.mood.Store(nil)
	if _, err := host.GetVersion(t.Context(), &davitv1.GetVersionRequest{}); err != nil {
		t.Error(err)
	}
}

// Watchers, health checks and reflection that never end by themselves do not keep the daemon from ending, and are told.
func TestStopEndsStreams(t *testing.T) {
	h := start(t, t.TempDir())
	conn := dial(t, h.path(server.AdminSocket))
	watch, err := davitv1.NewEventServiceClient(conn).WatchEvents(t.Context(), &davitv1.WatchEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = watch.Recv(); err != nil {
		t.Fatal(err)
	}
	health, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = health.Recv(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err = h.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > server.StopLimit/2 {
		t.Errorf("it took %v to end", took)
	}
	_, err = watch.Recv()
	var e *domain.Error
	if !errors.As(domain.FromStatus(err), &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN {
		t.Errorf("watcher was told %v", err)
	}
	if last, err := health.Recv(); err == nil && last.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health is %v at the end", last)
	}
	for _, name := range []string{server.AdminSocket, server.ReadOnlySocket} {
		if _, err := os.Lstat(h.path(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("socket %s is left: %v", name, err)
		}
	}
}

// A message above the limit is refused; so is a watcher more than a client may have, at once, and other calls on its
// connection do not notice.
func TestLimits(t *testing.T) {
	h := start(t, t.TempDir())
	conn := dial(t, h.path(server.AdminSocket))
	big := &davitv1.DefineDomainRequest{Source: &davitv1.DefinitionSource{
		Source: &davitv1.DefinitionSource_Xml{Xml: strings.Repeat(" ", 3<<20)},
	}}
	if _, err := davitv1.NewDomainServiceClient(conn).DefineDomain(t.Context(), big); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("3 MiB of definition: %v", err)
	}
	client := davitv1.NewEventServiceClient(conn)
	for n := range h.config.Limits.Watchers {
		watch, err := client.WatchEvents(t.Context(), &davitv1.WatchEventsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := watch.Recv(); err != nil {
			t.Fatalf("watcher %d: %v", n, err)
		}
	}
	watch, err := client.WatchEvents(t.Context(), &davitv1.WatchEventsRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if e, ok := errors.AsType[*domain.Error](domain.FromStatus(err)); !ok || e.Detail["limit"] != "limits.watchers" {
		t.Errorf("one more watcher: %v", err)
	}
	if _, err := client.GetEventPosition(t.Context(), &davitv1.GetEventPositionRequest{}); err != nil {
		t.Errorf("another call on the connection: %v", err)
	}
	other := davitv1.NewEventServiceClient(dial(t, h.path(server.AdminSocket)))
	if _, err := other.GetEventPosition(t.Context(), &davitv1.GetEventPositionRequest{}); err != nil {
		t.Errorf("another connection: %v", err)
	}
}

// Calls that are begun and cancelled, thousands on one connection, leave nothing in the daemon, and the next is answered.
func TestCancelledCallsLeaveNothing(t *testing.T) {
	h := start(t, t.TempDir())
	conn := dial(t, h.path(server.AdminSocket))
	client := davitv1.NewEventServiceClient(conn)
	begin := func() {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		// Every second one is cancelled before it can have been answered.
		if watch, err := client.WatchEvents(ctx, &davitv1.WatchEventsRequest{}); err == nil && rand.IntN(2) == 0 {
			_, _ = watch.Recv()
		}
	}
	begin()
	before := runtime.NumGoroutine()
	for range 5000 {
		begin()
	}
	if _, err := client.GetEventPosition(t.Context(), &davitv1.GetEventPositionRequest{}); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before+5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// Who connects and says nothing, or only half of the preface, is cut off, and does not keep others waiting.
func TestSilentConnections(t *testing.T) {
	h := start(t, t.TempDir())
	var silent []net.Conn
	for n := range 20 {
		conn, err := net.Dial("unix", h.path(server.AdminSocket))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if n%2 == 0 {
			if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		silent = append(silent, conn)
	}
	if err := answers(t, h.path(server.AdminSocket)); err != nil {
		t.Error(err)
	}
	for _, conn := range silent {
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("a silent connection: %v", err)
		}
	}
}

func TestDriverThatCannotBeMadeLeavesNothing(t *testing.T) {
	root := t.TempDir()
	o := server.Options{
		Config: server.Rooted(root), Logger: zap.NewNop(),
		Driver: func(server.Config, string, *zap.Logger) (driver.Driver, error) { return nil, errors.New("no") },
	}
	if _, err := server.New(o); err == nil || !strings.Contains(err.Error(), `open driver "lxc": no`) {
		t.Errorf("error is %v", err)
	}
	start(t, root) // the lock is free
}
