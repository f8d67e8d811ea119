package rpc_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"golang.org/x/tools/txtar"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/admin"
	"github.com/davitd/davit/server/audit"
	"github.com/davitd/davit/server/engine"
	"github.com/davitd/davit/server/events"
	"github.com/davitd/davit/server/host"
	"github.com/davitd/davit/server/logs"
	"github.com/davitd/davit/server/rpc"
	"github.com/davitd/davit/server/store"
)

// daemon is a whole daemon in this process, behind a connection of which both ends are here. Its host, the fake driver
// and the folder, outlives it.
type daemon struct {
	t       testing.TB
	dir     string
	host    *fake.Driver
	machine *host.Host
	wrap    func(driver.Driver) driver.Driver

	store    *store.Store
	journal  *events.Journal
	engine   *engine.Engine
	server   *grpc.Server
	serving  sync.WaitGroup
	listener *bufconn.Listener
	conn     *grpc.ClientConn

	domains  davitv1.DomainServiceClient
	events   davitv1.EventServiceClient
	consoles davitv1.ConsoleServiceClient
	hosts    davitv1.HostServiceClient
	reading  davitv1.LogServiceClient

	logs    *logs.Logs
	audit   *audit.Log
	endLogs func()

	looks   atomic.Bool  // callers may only look
	running atomic.Int64 // calls that the services have not ended

	mu     sync.Mutex
	called map[string]int // by full method
}

func newDaemon(tb testing.TB) *daemon {
	tb.Helper()
	dir := tb.TempDir()
	return &daemon{
		t: tb, dir: dir, host: fake.New(fake.Options{LogDir: logs.Dir(dir + "/log")}), called: map[string]int{},
		machine: machine(tb),
	}
}

// start opens everything and answers.
func (d *daemon) start() {
	d.t.Helper()
	var err error
	if d.store, err = store.Open(store.Options{LibDir: d.dir + "/lib", RunDir: d.dir + "/run"}); err != nil {
		d.t.Fatal(err)
	}
	if d.journal, err = events.Open(d.dir+"/events", events.Options{MaxEvents: events.MinEvents}); err != nil {
		d.t.Fatal(err)
	}
	driver := driver.Driver(d.host)
	if d.wrap != nil {
		driver = d.wrap(driver)
	}
	d.engine, err = engine.New(engine.Options{
		Driver: driver, Store: d.store, Journal: d.journal, Host: domain.HostDefaults{Arch: "x86_64"},
		Logger: zaptest.NewLogger(d.t, zaptest.Level(zap.ErrorLevel)),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.engine.Recover(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	d.openLogs()
	d.serve()
}

// openLogs opens the logs and lets them follow the journal.
func (d *daemon) openLogs() {
	d.t.Helper()
	var err error
	d.logs, err = logs.Open(logs.Options{
		Dir: d.dir + "/log", Domains: d.engine, Journal: d.journal, Keep: time.Hour, MaxGone: 100,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := d.logs.Run(ctx); err != nil {
			d.t.Errorf("follow journal: %v", err)
		}
	})
	d.endLogs = func() {
		cancel()
		running.Wait()
	}
}

// machine is a host in a folder, of which everything may be changed: that of a fixture of package host.
func machine(tb testing.TB) *host.Host {
	tb.Helper()
	ar, err := txtar.ParseFile("../host/testdata/two-sockets.txtar")
	if err != nil {
		tb.Fatal(err)
	}
	root := tb.TempDir()
	for _, f := range ar.Files {
		path := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return host.At(root)
}

// serve puts the services on a server, and a client before it.
func (d *daemon) serve() {
	d.t.Helper()
	unary, stream := rpc.Interceptors()
	d.server = grpc.NewServer(
		grpc.ChainUnaryInterceptor(unary, func(ctx context.Context, q any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			d.count(info.FullMethod)
			defer d.running.Add(-1)
			return next(ctx, q)
		}),
		grpc.ChainStreamInterceptor(stream, func(s any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			d.count(info.FullMethod)
			defer d.running.Add(-1)
			return next(s, ss)
		}))
	rpc.Register(d.server, d.engine, rpc.Options{
		Version: "1.2.3", Logs: d.logs, Host: d.machine,
		Operates: func(context.Context) bool { return !d.looks.Load() },
		Diagnose: func(context.Context) ([]*davitv1.Finding, error) {
			return d.machine.Diagnose(host.Places{Lib: d.dir, Run: d.dir, Log: d.dir}), nil
		},
	})
	var err error
	d.audit, err = audit.OpenLog(audit.LogOptions{Dir: d.dir + "/audit", MaxFileBytes: 1 << 20, MaxFiles: 2})
	if err != nil {
		d.t.Fatal(err)
	}
	audit.Register(d.server, d.audit)
	admin.Register(d.server, admin.Options{
		Version: "1.2.3", Instance: "fake0000", Level: zap.NewAtomicLevel(), Logger: zap.NewNop(),
		Clients: new(admin.Clients), Gate: admin.NewGate(nil),
		Census: func() (domains, active, jobs int) {
			c := d.engine.Census()
			return c.Domains, c.Active, c.Jobs
		},
		Metrics: func() []*davitv1.Histogram { return nil },
	})
	d.listener = bufconn.Listen(256 << 10)
	server, listener := d.server, d.listener
	d.serving.Go(func() { _ = server.Serve(listener) })
	conn, err := grpc.NewClient("passthrough:///daemon", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		d.t.Fatal(err)
	}
	d.conn = conn
	d.domains, d.events = davitv1.NewDomainServiceClient(conn), davitv1.NewEventServiceClient(conn)
	d.consoles, d.hosts = davitv1.NewConsoleServiceClient(conn), davitv1.NewHostServiceClient(conn)
	d.reading = davitv1.NewLogServiceClient(conn)
}

// stop ends the daemon as a signal does; its domains run on.
func (d *daemon) stop() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d.serving.Go(d.server.GracefulStop)
	err := d.engine.Close(ctx)
	hard := time.AfterFunc(10*time.Second, d.server.Stop)
	defer hard.Stop()
	d.serving.Wait()
	d.endLogs()
	if err = errors.Join(err, d.conn.Close(), d.logs.Close(), d.audit.Close(), d.host.Close(), d.journal.Close(), d.store.Close()); err != nil {
		d.t.Errorf("stop: %v", err)
	}
}

func (d *daemon) count(method string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.called[method]++
	d.running.Add(1)
}

// methods are those that were called.
func (d *daemon) methods() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.called))
}

// source is a definition of a domain whose init is a script.
func source(name, uuid, script string) *davitv1.DefinitionSource {
	return &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Definition{Definition: &davitv1.Domain{
		Type: davitv1.DomainType_DOMAIN_TYPE_LXC, Name: name, Uuid: uuid, MemoryKib: 65536,
		Os: &davitv1.Os{Type: "exe", Init: "/bin/sh", Initarg: []string{"-c", script}},
	}}}
}

const uuidWeb = "11111111-1111-4111-8111-111111111111"

func byName(name string) *davitv1.DomainRef {
	return &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: name}}
}

// run creates a domain whose init is a script.
func (d *daemon) run(name, script string) {
	d.t.Helper()
	if _, err := d.domains.CreateDomain(d.t.Context(), &davitv1.CreateDomainRequest{Source: source(name, uuidWeb, script)}); err != nil {
		d.t.Fatalf("create %s: %v", name, err)
	}
}

// reason is that of an error that crossed the wire.
func reason(err error) davitv1.ErrorReason {
	if e, ok := errors.AsType[*domain.Error](domain.FromStatus(err)); ok {
		return e.Reason
	}
	return 0
}
