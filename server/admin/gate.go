package admin

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// asks are the methods that need more than the right to read, and change nothing that a drain has to wait for.
var asks = map[string]bool{
	davitv1.ConsoleService_OpenConsole_FullMethodName:    true,
	davitv1.ConsoleService_Exec_FullMethodName:           true,
	davitv1.HostService_ConvertDefinition_FullMethodName: true,
	davitv1.LogService_ReadLog_FullMethodName:            true,
	davitv1.LogService_ListLogs_FullMethodName:           true,
	davitv1.AuditService_ReadAudit_FullMethodName:        true,

	davitv1.AdminService_GetDaemon_FullMethodName:        true,
	davitv1.AdminService_GetMetrics_FullMethodName:       true,
	davitv1.AdminService_SetLogLevel_FullMethodName:      true,
	davitv1.AdminService_ListClients_FullMethodName:      true,
	davitv1.AdminService_DisconnectClient_FullMethodName: true,
	davitv1.AdminService_Drain_FullMethodName:            true,
	davitv1.AdminService_Undrain_FullMethodName:          true,
}

// Gate lets calls in that change something, or does not.
type Gate struct {
	table auth.Table

	mu       sync.Mutex
	draining bool
	running  int
	changed  chan struct{} // closed at the next change, if somebody waits for it
}

// NewGate makes a gate that is open; the table tells what right a method needs.
func NewGate(t auth.Table) *Gate { return &Gate{table: t} }

// Options are what a server needs for its calls to go through the gate.
func (g *Gate) Options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(g.unary), grpc.ChainStreamInterceptor(g.stream)}
}

// Changes tells whether a method changes something.
func (g *Gate) Changes(method string) bool {
	return g.table[method] != davitv1.Access_ACCESS_READ && !asks[method]
}

func (g *Gate) unary(ctx context.Context, q any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	leave, err := g.enter(call.FullMethod)
	if err != nil {
		return nil, domain.ToStatus(err).Err()
	}
	defer leave()
	return next(ctx, q)
}

func (g *Gate) stream(server any, stream grpc.ServerStream, call *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	leave, err := g.enter(call.FullMethod)
	if err != nil {
		return domain.ToStatus(err).Err()
	}
	defer leave()
	return next(server, stream)
}

// enter lets a call in, or refuses it.
func (g *Gate) enter(method string) (leave func(), err error) {
	if !g.Changes(method) {
		return func() {}, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		return nil, &domain.Error{
			Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_DAEMON_DRAINING,
			Op: "call", Subject: method, Message: "the daemon is being drained and takes no changes",
			Detail: map[string]string{"method": method},
		}
	}
	g.running++
	return g.leave, nil
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.tell()
}

// tell wakes those who wait for a change. The mutex is held.
func (g *Gate) tell() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// Close lets nothing in that changes something, and tells how many calls that do are running.
func (g *Gate) Close() (running int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
	return g.running
}

// Open lets calls in again.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = false
	g.tell()
}

// Draining tells whether calls that change something are refused.
func (g *Gate) Draining() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining
}

// look tells how many calls run that change something, whether more are refused, and gives what is closed when that changes.
func (g *Gate) look() (running int, draining bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	return g.running, g.draining, g.changed
}
