package rpc

import (
	"context"

	"google.golang.org/grpc"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
	"github.com/davitd/davit/server/host"
)

// Options are what the services tell or need beside the engine.
type Options struct {
	// Version of the daemon.
	Version string
	// Logs are those of domains; there is no LogService when nil.
	Logs Logs
	// Host is the machine; "/" when nil.
	Host *host.Host
	// Diagnose looks for what the host lacks; HostService has nothing to tell of it when nil.
	Diagnose func(ctx context.Context) ([]*davitv1.Finding, error)
	// Public tells that every user of the host calls: what the kernel shows to root only is not told.
	Public bool
	// Caller names who makes a call, for request ids: those of different callers are different. One name for all when nil.
	Caller func(ctx context.Context) string
	// Operates tells whether who makes a call may act on domains, and so be shown the secrets of definitions. All may when
	// nil.
	Operates func(ctx context.Context) bool
}

// Register adds DomainService, DeviceService, EventService, ConsoleService, HostService and LogService to a server.
func Register(r grpc.ServiceRegistrar, e *engine.Engine, o Options) {
	davitv1.RegisterDomainServiceServer(r, &domainService{altering: altering{engine: e, caller: o.Caller}, operates: o.Operates})
	davitv1.RegisterDeviceServiceServer(r, &deviceService{altering: altering{engine: e, caller: o.Caller}})
	davitv1.RegisterEventServiceServer(r, &eventService{engine: e})
	davitv1.RegisterConsoleServiceServer(r, &consoleService{engine: e})
	if o.Host == nil {
		o.Host = host.At("/")
	}
	davitv1.RegisterHostServiceServer(r, &hostService{engine: e, options: o})
	if o.Logs != nil {
		davitv1.RegisterLogServiceServer(r, &logService{logs: o.Logs})
	}
}
