package engine

import (
	"context"

	"github.com/davitd/davit/driver"
)

// Capabilities tells what the driver is and what the host lets it do.
func (e *Engine) Capabilities(ctx context.Context) (driver.Capabilities, error) {
	return e.driver.Capabilities(ctx)
}
