package rpc_test

import (
	"testing"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/drivertest"
	"github.com/davitd/davit/internal/remotedriver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// remote gives drivers that ask a daemon on the fake driver. To close one stops the daemon, to open one starts it.
type remote struct {
	d      *daemon
	memory remotedriver.Memory
}

func (r *remote) Open(t *testing.T) driver.Driver {
	t.Helper()
	if r.d == nil {
		r.d = newDaemon(t)
	}
	r.d.start()
	return remotedriver.New(r.d.conn, &r.memory, func() error {
		r.d.stop()
		return nil
	})
}

func (r *remote) Complete(*testing.T, *davitv1.Domain) {}

func (r *remote) Omit() map[string]string { return remotedriver.Omitted() }

// What a driver promises holds through engine, journal, services and wire.
func TestConformance(t *testing.T) {
	drivertest.Run(t, func(*testing.T) drivertest.Factory { return &remote{} })
}
