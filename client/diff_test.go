//go:build linux

package client_test

import (
	"testing"

	"github.com/davitd/davit/internal/changetest"
	"github.com/davitd/davit/internal/testdaemon"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestChanges: what the daemon says of changes is true of the domains that it runs.
func TestChanges(t *testing.T) {
	changetest.Run(t, testdaemon.Start(t).Client(), &davitv1.Domain{
		Type: davitv1.DomainType_DOMAIN_TYPE_LXC, Name: "web", Uuid: "6b3e9c1c-5f0e-4c0e-9a53-0b0b54a0a001", MemoryKib: 65536,
		Os: &davitv1.Os{Type: "exe", Init: "/sbin/init"}, Devices: &davitv1.Devices{},
	})
}
