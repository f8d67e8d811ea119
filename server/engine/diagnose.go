package engine

import (
	"context"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Diagnose tells what the driver found the host to have and to lack; nothing if it does not look.
func (e *Engine) Diagnose(ctx context.Context) ([]*davitv1.Finding, error) {
	d, ok := e.driver.(driver.Diagnoser)
	if !ok {
		return nil, nil
	}
	return d.Diagnose(ctx)
}
