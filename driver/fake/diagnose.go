package fake

import (
	"context"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var _ driver.Diagnoser = (*Driver)(nil)

// Diagnose tells that nothing is real.
func (d *Driver) Diagnose(context.Context) ([]*davitv1.Finding, error) {
	return []*davitv1.Finding{{
		Subject: "driver", Health: davitv1.Health_HEALTH_LIMITED, Seen: "the fake driver only plays containers",
		Disables: "real domains", Remedy: "start davitd with --driver lxc, as root",
	}}, nil
}
