package native

import (
	"context"
	"errors"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// refit makes the devices of the container those of a definition: first those that the monitor has to do with, nodes and
// mounts, then the network interfaces. If the latter fail, the former are made as they were.
func (i *instance) refit(ctx context.Context, def *davitv1.Domain) error {
	if err := i.refurnish(ctx, def); err != nil {
		return err
	}
	if err := i.rewire(ctx, def); err != nil {
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangTime)
		defer cancel()
		return errors.Join(err, i.refurnish(brief, i.definition()))
	}
	return nil
}
