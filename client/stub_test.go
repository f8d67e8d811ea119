package client_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// stub is a daemon in this process whose answers a test makes up. It can be stopped and started again.
type stub struct {
	davitv1.UnimplementedDomainServiceServer
	davitv1.UnimplementedDeviceServiceServer
	davitv1.UnimplementedHostServiceServer
	davitv1.UnimplementedEventServiceServer
	davitv1.UnimplementedConsoleServiceServer

	start   func(context.Context, *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error)
	get     func(context.Context, *davitv1.GetDomainRequest) (*davitv1.GetDomainResponse, error)
	attach  func(context.Context, *davitv1.AttachDeviceRequest) (*davitv1.AttachDeviceResponse, error)
	detach  func(context.Context, *davitv1.DetachDeviceRequest) (*davitv1.DetachDeviceResponse, error)
	list    func(context.Context, *davitv1.ListDomainsRequest) (*davitv1.ListDomainsResponse, error)
	watch   func(*davitv1.WatchEventsRequest, grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error
	console func(grpc.BidiStreamingServer[davitv1.OpenConsoleRequest, davitv1.OpenConsoleResponse]) error
	update  func(context.Context, *davitv1.UpdateHostRequest) (*davitv1.UpdateHostResponse, error)
	log     *logStub // no LogService when nil
	exec    func(grpc.BidiStreamingServer[davitv1.ExecRequest, davitv1.ExecResponse]) error

	mu       sync.Mutex
	server   *grpc.Server
	listener *bufconn.Listener
}

func (s *stub) StartDomain(ctx context.Context, r *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
	return s.start(ctx, r)
}

func (s *stub) GetDomain(ctx context.Context, r *davitv1.GetDomainRequest) (*davitv1.GetDomainResponse, error) {
	return s.get(ctx, r)
}

func (s *stub) AttachDevice(ctx context.Context, r *davitv1.AttachDeviceRequest) (*davitv1.AttachDeviceResponse, error) {
	return s.attach(ctx, r)
}

func (s *stub) DetachDevice(ctx context.Context, r *davitv1.DetachDeviceRequest) (*davitv1.DetachDeviceResponse, error) {
	return s.detach(ctx, r)
}

func (s *stub) ListDomains(ctx context.Context, r *davitv1.ListDomainsRequest) (*davitv1.ListDomainsResponse, error) {
	return s.list(ctx, r)
}

func (s *stub) GetVersion(context.Context, *davitv1.GetVersionRequest) (*davitv1.GetVersionResponse, error) {
	return &davitv1.GetVersionResponse{Version: "0.1.0"}, nil
}

func (s *stub) UpdateHost(ctx context.Context, r *davitv1.UpdateHostRequest) (*davitv1.UpdateHostResponse, error) {
	return s.update(ctx, r)
}

func (s *stub) WatchEvents(r *davitv1.WatchEventsRequest, out grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
	return s.watch(r, out)
}

func (s *stub) OpenConsole(io grpc.BidiStreamingServer[davitv1.OpenConsoleRequest, davitv1.OpenConsoleResponse]) error {
	return s.console(io)
}

func (s *stub) Exec(io grpc.BidiStreamingServer[davitv1.ExecRequest, davitv1.ExecResponse]) error {
	return s.exec(io)
}

// run starts the daemon on a fresh listener.
func (s *stub) run(opts ...grpc.ServerOption) {
	server, listener := grpc.NewServer(opts...), bufconn.Listen(1<<20)
	davitv1.RegisterDomainServiceServer(server, s)
	davitv1.RegisterDeviceServiceServer(server, s)
	davitv1.RegisterHostServiceServer(server, s)
	davitv1.RegisterEventServiceServer(server, s)
	davitv1.RegisterConsoleServiceServer(server, s)
	if s.log != nil {
		davitv1.RegisterLogServiceServer(server, s.log)
	}
	s.mu.Lock()
	s.server, s.listener = server, listener
	s.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

// stop breaks every connection at once, as a daemon that is killed does.
func (s *stub) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server.Stop()
}

func (s *stub) dial(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	listener := s.listener
	s.mu.Unlock()
	return listener.DialContext(ctx)
}

// connect runs the stub and gives a client of it; both end with the test.
func (s *stub) connect(t *testing.T, opts ...client.Option) *client.Client {
	t.Helper()
	s.run()
	c, err := client.Dial("/stub", append([]client.Option{client.WithDialer(s.dial)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		s.stop()
	})
	return c
}
