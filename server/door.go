package server

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"slices"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/admin"
	"github.com/davitd/davit/server/auth"
	"github.com/davitd/davit/server/host"
	"github.com/davitd/davit/server/rpc"
)

// door is a way into the daemon: a socket, and the server of those who come through it. Each has limits of its own, so
// that whoever is at one keeps nobody out of another.
type door struct {
	server  *grpc.Server
	sockets []net.Listener
}

// openServices makes what the servers of all doors share.
func (s *Server) openServices() error {
	table, err := auth.NewTable()
	if err != nil {
		return fmt.Errorf("make access table: %w", err)
	}
	s.table, s.gate = table, admin.NewGate(table)
	over, end := context.WithCancel(context.Background())
	s.calls, s.end = &calls{log: s.log, lull: s.lull, over: over}, end
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	return nil
}

// openSockets listens; connections wait until Serve.
func (s *Server) openSockets() error {
	c := s.options.Config
	var err error
	if s.run, err = openRunFolder(c.Paths.Run); err != nil {
		return fmt.Errorf("open run folder: %w", err)
	}
	gid, err := c.Socket.gid()
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if gid >= 0 {
		mode = 0o660
	}
	err = s.openDoor(doorway{
		name: AdminSocket, word: "daemon", mode: mode, gid: gid, grant: auth.Admin(gid),
		connections: c.Socket.limits(), calls: adminLimits(c.Limits.streams()), quota: c.Limits.quota(), services: s.services(false),
	})
	if err == nil && c.Socket.ReadOnly {
		err = s.openDoor(doorway{
			name: ReadOnlySocket, word: "read-only", mode: 0o666, gid: -1, grant: auth.ReadOnly,
			connections: c.Socket.readLimits(), calls: readLimits(c.Limits.read().streams(), s.table), quota: c.Limits.read().quota(), services: s.services(true),
		})
	}
	if err == nil && len(c.TLS.Listen) > 0 {
		err = s.openNetwork()
	}
	if err == nil && c.Socket.Admin {
		err = s.openDoor(doorway{
			name: RootSocket, word: "admin", mode: 0o600, gid: -1, grant: auth.Admin(-1),
			calls: adminLimits(c.Limits.streams()), quota: c.Limits.quota(), services: s.adminService,
		})
	}
	return err
}

// doorway is what a door is made of.
type doorway struct {
	name, word  string // of the socket's file, and the socket for people
	mode        fs.FileMode
	gid         int // negative for none
	grant       auth.Grant
	connections auth.Limits
	calls       []grpc.ServerOption
	quota       *auth.Quota // of calls; nil for none
	services    func(grpc.ServiceRegistrar)
}

// services adds those for domains and the host. What the host shows to root only is not told where public is true.
func (s *Server) services(public bool) func(grpc.ServiceRegistrar) {
	return func(r grpc.ServiceRegistrar) {
		rpc.Register(r, s.engine, rpc.Options{
			Version: s.options.Version, Caller: caller, Operates: operates, Logs: s.logs, Host: host.At("/"), Public: public,
			Diagnose: func(ctx context.Context) ([]*davitv1.Finding, error) { return s.diagnose(ctx, public) },
		})
	}
}

// openDoor makes a server and listens for it.
func (s *Server) openDoor(d doorway) error {
	server, err := s.newServer(d, auth.Credentials())
	if err != nil {
		return err
	}
	l, ok := s.options.Sockets[d.name]
	if !ok {
		if l, err = s.run.listen(d.name, d.mode, d.gid); err != nil {
			return err
		}
	}
	log := s.log.With(zap.String("socket", d.name))
	s.doors = append(s.doors, door{server, []net.Listener{auth.Listen(l, d.grant, d.connections, log)}})
	return nil
}

// newServer makes the server of a door. A service with a method that has no access rule is refused.
func (s *Server) newServer(d doorway, by credentials.TransportCredentials) (*grpc.Server, error) {
	guard := auth.NewGuard(s.table)
	guard.Quota = d.quota
	calls := slices.Concat(s.clients.Options(d.word, by), s.gate.Options(), d.calls)
	server := newGRPC(guard, s.recorder.At(d.word), s.calls, calls)
	d.services(server)
	healthv1.RegisterHealthServer(server, s.health)
	reflection.Register(server)
	if err := s.table.Covers(server.GetServiceInfo()); err != nil {
		return nil, fmt.Errorf("make access table: %w", err)
	}
	return server, nil
}
