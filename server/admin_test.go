package server_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// AdminService is on its own socket, which has no other, and on none of the others, whatever the right of the caller.
func TestAdministrationIsOnItsOwnSocket(t *testing.T) {
	h := start(t, t.TempDir())
	info, err := os.Stat(h.path(server.RootSocket))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket is %v, %v", info, err)
	}
	for name, want := range map[string]codes.Code{
		server.AdminSocket: codes.Unimplemented, server.ReadOnlySocket: codes.PermissionDenied, server.RootSocket: codes.OK,
	} {
		conn := dial(t, h.path(name))
		_, err := davitv1.NewAdminServiceClient(conn).GetDaemon(t.Context(), &davitv1.GetDaemonRequest{})
		if status.Code(err) != want {
			t.Errorf("%s: administration: %v, want %v", name, err, want)
		}
		services := offered(t, conn)
		if has := strings.Contains(services, "AdminService"); has != (want == codes.OK) {
			t.Errorf("%s offers %s", name, services)
		}
		if has := strings.Contains(services, "DomainService"); has == (want == codes.OK) {
			t.Errorf("%s offers %s", name, services)
		}
	}
}

func TestNoAdministrationSocket(t *testing.T) {
	h := start(t, t.TempDir(), func(o *server.Options) { o.Config.Socket.Admin = false })
	if _, err := os.Lstat(h.path(server.RootSocket)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket is there: %v", err)
	}
}

func TestDaemonTellsOfItself(t *testing.T) {
	level := zap.NewAtomicLevelAt(zap.WarnLevel)
	h := start(t, t.TempDir(), func(o *server.Options) { o.Level = level })
	root := davitv1.NewAdminServiceClient(dial(t, h.path(server.RootSocket)))
	define(t, h, "web")
	d, err := root.GetDaemon(t.Context(), &davitv1.GetDaemonRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if d.GetVersion() != "1.2.3" || d.GetPid() != uint32(os.Getpid()) || d.GetLogLevel() != davitv1.LogLevel_LOG_LEVEL_WARN ||
		d.GetDomains() != 1 || d.GetActiveDomains() != 0 || d.GetDraining() || d.GetMemoryBytes() < 1<<20 || d.GetCalls() != 1 ||
		d.GetClients() < 1 || len(d.GetInstance()) < 4 || time.Since(d.GetStarted().AsTime()) > time.Hour {
		t.Errorf("daemon is %v", d)
	}
	set, err := root.SetLogLevel(t.Context(), &davitv1.SetLogLevelRequest{Level: davitv1.LogLevel_LOG_LEVEL_DEBUG})
	if err != nil || set.GetPrevious() != davitv1.LogLevel_LOG_LEVEL_WARN || level.Level() != zap.DebugLevel {
		t.Errorf("previous level was %v, now it is %v, %v", set, level, err)
	}
	for _, wrong := range []davitv1.LogLevel{0, 99} {
		if _, err := root.SetLogLevel(t.Context(), &davitv1.SetLogLevelRequest{Level: wrong}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("level %v: %v", wrong, err)
		}
	}
}

// define defines a domain on the daemon.
func define(t *testing.T, h *house, name string) davitv1.DomainServiceClient {
	t.Helper()
	domains := davitv1.NewDomainServiceClient(dial(t, h.path(server.AdminSocket)))
	xml := "<domain type='lxc'><name>" + name + "</name><memory>65536</memory><os><type>exe</type><init>/bin/init</init></os></domain>"
	_, err := domains.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{
		Source: &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: xml}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return domains
}

// Connections are told with who they are and what they call, and can be cut off.
func TestClients(t *testing.T) {
	h := start(t, t.TempDir())
	root := davitv1.NewAdminServiceClient(dial(t, h.path(server.RootSocket)))
	conn := dial(t, h.path(server.ReadOnlySocket))
	watch, err := davitv1.NewEventServiceClient(conn).WatchEvents(t.Context(), &davitv1.WatchEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = watch.Recv(); err != nil {
		t.Fatal(err)
	}
	list := clients(t, root)
	at := slices.IndexFunc(list, func(c *davitv1.ConnectedClient) bool { return c.GetSocket() == "read-only" })
	if len(list) != 2 || at < 0 || list[0].GetId() >= list[1].GetId() {
		t.Fatalf("clients are %v", list)
	}
	watcher, self := list[at], list[1-at]
	if !slices.Equal(watcher.GetCalls(), []string{davitv1.EventService_WatchEvents_FullMethodName}) ||
		watcher.GetPid() != uint32(os.Getpid()) || watcher.GetUid() != uint32(os.Getuid()) || self.GetSocket() != "admin" ||
		!slices.Equal(self.GetCalls(), []string{davitv1.AdminService_ListClients_FullMethodName}) {
		t.Errorf("clients are %v", list)
	}
	if _, err = root.DisconnectClient(t.Context(), &davitv1.DisconnectClientRequest{Id: watcher.GetId()}); err != nil {
		t.Fatal(err)
	}
	if _, err = watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("watcher that was cut off was told %v", err)
	}
	if list = clients(t, root); len(list) != 1 {
		t.Errorf("clients are %v", list)
	}
	_, err = root.DisconnectClient(t.Context(), &davitv1.DisconnectClientRequest{Id: watcher.GetId()})
	if status.Code(err) != codes.NotFound {
		t.Errorf("cut off again: %v", err)
	}
	// A number is not used again.
	if _, err = davitv1.NewHostServiceClient(dial(t, h.path(server.ReadOnlySocket))).GetVersion(t.Context(), &davitv1.GetVersionRequest{}); err != nil {
		t.Fatal(err)
	}
	if list = clients(t, root); list[len(list)-1].GetId() <= watcher.GetId() {
		t.Errorf("clients are %v", list)
	}
}

func clients(t *testing.T, root davitv1.AdminServiceClient) []*davitv1.ConnectedClient {
	t.Helper()
	r, err := root.ListClients(t.Context(), &davitv1.ListClientsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetClients()
}

// A drained daemon finishes what runs, refuses what changes something, and answers what only asks; consoles stay open.
func TestDrain(t *testing.T) {
	gate := newGate()
	h := start(t, t.TempDir(), gate.guard)
	root := davitv1.NewAdminServiceClient(dial(t, h.path(server.RootSocket)))
	domains := define(t, h, "web")
	web := &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: "web"}}
	starting := make(chan error, 1)
	go func() {
		_, err := domains.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: web})
		starting <- err
	}()
	<-gate.reached

	_, err := root.Drain(t.Context(), &davitv1.DrainRequest{Timeout: durationpb.New(50 * time.Millisecond)})
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "1 calls and 1 jobs") {
		t.Errorf("drain while a domain starts: %v", err)
	}
	if _, err = root.Drain(t.Context(), &davitv1.DrainRequest{Timeout: durationpb.New(-1)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("drain for less than no time: %v", err)
	}
	refused := func(err error) bool {
		var e *domain.Error
		return errors.As(domain.FromStatus(err), &e) && e.Code == codes.Unavailable &&
			e.Reason == davitv1.ErrorReason_ERROR_REASON_DAEMON_DRAINING
	}
	if _, err = domains.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: web}); !refused(err) {
		t.Errorf("destroy on a drained daemon: %v", err)
	}
	if _, err = domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: web}); err != nil {
		t.Errorf("look on a drained daemon: %v", err)
	}
	if _, err = root.Undrain(t.Context(), &davitv1.UndrainRequest{}); err != nil {
		t.Error(err)
	}
	define(t, h, "mail")
	close(gate.open)
	if err = <-starting; err != nil {
		t.Errorf("the start that was not awaited to its end: %v", err)
	}
}

// A drain that waits ends when what it waits for has, or when calls are let in again.
func TestDrainWaits(t *testing.T) {
	gate := newGate()
	h := start(t, t.TempDir(), gate.guard)
	root := davitv1.NewAdminServiceClient(dial(t, h.path(server.RootSocket)))
	domains := define(t, h, "web")
	web := &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: "web"}}
	starting := make(chan error, 1)
	go func() {
		_, err := domains.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: web})
		starting <- err
	}()
	<-gate.reached
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		awaitDraining(t, root)
		close(gate.open)
	}()
	answer, err := root.Drain(t.Context(), &davitv1.DrainRequest{})
	if err != nil || answer.GetAwaited() != 1 {
		t.Errorf("drained: %v, %v", answer, err)
	}
	<-opened
	select {
	case err = <-starting:
		if err != nil {
			t.Errorf("the start that was awaited: %v", err)
		}
	case <-time.After(testenv.Scale(time.Minute)):
		t.Error("the start goes on")
	}
	d, err := root.GetDaemon(t.Context(), &davitv1.GetDaemonRequest{})
	if err != nil || !d.GetDraining() || d.GetActiveDomains() != 1 {
		t.Errorf("daemon is %v, %v", d, err)
	}
	console, err := davitv1.NewConsoleServiceClient(dial(t, h.path(server.AdminSocket))).OpenConsole(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = console.Send(&davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Open{Open: &davitv1.ConsoleOpen{Domain: web}}})
	if _, e := console.Recv(); err != nil || e != nil {
		t.Errorf("console on a drained daemon: %v, %v", err, e)
	}
	if answer, err = root.Drain(t.Context(), &davitv1.DrainRequest{}); err != nil || answer.GetAwaited() != 0 {
		t.Errorf("drained again: %v, %v", answer, err)
	}
}

// gate is where a start waits.
type gate struct {
	driver.Driver
	reached, open chan struct{}
}

func newGate() *gate { return &gate{reached: make(chan struct{}), open: make(chan struct{})} }

// guard puts the gate before the fake driver.
func (g *gate) guard(o *server.Options) {
	o.Driver = func(server.Config, string, *zap.Logger) (driver.Driver, error) {
		g.Driver = fake.New(fake.Options{})
		return g, nil
	}
}

func (g *gate) Start(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	close(g.reached)
	<-g.open
	return g.Driver.Start(ctx, spec)
}

// awaitDraining waits until the daemon lets no more changes in.
func awaitDraining(t *testing.T, root davitv1.AdminServiceClient) {
	t.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if d, err := root.GetDaemon(t.Context(), &davitv1.GetDaemonRequest{}); err != nil || d.GetDraining() {
			return
		}
	}
	t.Error("the daemon does not drain")
}
