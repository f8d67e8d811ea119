package server

import (
	"context"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/davitd/davit/server/audit"
	"github.com/davitd/davit/server/auth"
)

// NetworkDoor is what the way in from the network is called where clients are listed.
const NetworkDoor = "network"

// openNetwork listens on the network. Whoever looks only is told no more than at the read-only socket, and has the limits that
// everybody has there: a server of its own.
func (s *Server) openNetwork() error {
	c := s.options.Config
	policy, err := c.TLS.policy()
	if err != nil {
		return fmt.Errorf("open way in from the network: %w", err)
	}
	log := s.log.With(zap.String("socket", NetworkDoor))
	s.network = auth.NewNetwork(policy, c.TLS.limits(), log)
	server, err := s.newServer(doorway{
		word: NetworkDoor, calls: networkLimits(c.Limits.streams(), s.table), quota: c.Limits.quota(), services: s.networkServices,
	}, s.network.Credentials())
	if err != nil {
		return err
	}
	readers, err := s.newServer(doorway{
		word: NetworkDoor, calls: readLimits(c.Limits.read().streams(), s.table), quota: c.Limits.read().quota(), services: s.networkServices,
	}, s.network.Credentials())
	if err != nil {
		return err
	}
	opened := door{server: server}
	for _, address := range c.TLS.Listen {
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(context.Background(), "tcp", address); err != nil {
			break
		}
		log.Info("davitd listens on the network", zap.Stringer("address", l.Addr()))
		opened.sockets = append(opened.sockets, s.network.Listen(l))
	}
	// What is open is closed with the rest.
	s.doors = append(s.doors, opened, door{readers, []net.Listener{s.network.Readers()}})
	if err != nil {
		return fmt.Errorf("open way in from the network: %w", err)
	}
	s.tellPolicy(c.TLS, policy)
	return nil
}

// networkServices adds what everybody is told, and to those who may do everything also what all callers did.
func (s *Server) networkServices(r grpc.ServiceRegistrar) {
	s.services(true)(r)
	audit.Register(r, s.audit)
}

// endsSoon is how long before its end the daemon's certificate is warned of.
const endsSoon = 14 * 24 * time.Hour

// tellPolicy logs what an admin should know of a policy.
func (s *Server) tellPolicy(t TLS, p *auth.Policy) {
	if len(t.Role) == 0 {
		s.log.Warn("no certificate has a role: nobody on the network may do anything (tls.role)")
	}
	if time.Until(p.Ends()) < endsSoon {
		s.log.Warn("the daemon's certificate ends soon", zap.String("certificate", t.Certificate), zap.Time("end", p.Ends()))
	}
}
