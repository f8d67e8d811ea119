package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// gracePeriod is how long destroy --graceful waits for the guest to end by itself.
const gracePeriod = 10 * time.Second

func (a *app) destroy() command {
	var name string
	var graceful, removeLogs bool
	return command{
		name: "destroy", help: "destroy (stop) a domain; its definition stays",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&graceful, "graceful", false, "ask the guest first and give it 10 seconds")
			f.BoolVar(&removeLogs, "remove-logs", false, "remove its log, too")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			return a.onDomain(ctx, name, "Domain '%s' destroyed", "Failed to destroy domain '%s'",
				func(c *client.Client, ref *davitv1.DomainRef) error {
					req := &davitv1.DestroyDomainRequest{Domain: ref}
					if graceful {
						req.Grace = durationpb.New(gracePeriod)
					}
					defer a.awaiting("domain '%s' to stop", name)()
					if _, err := c.DestroyDomain(ctx, req); err != nil || !removeLogs {
						return err
					}
					_, err := c.RemoveLog(ctx, &davitv1.RemoveLogRequest{Domain: ref.GetUuid()})
					if errors.Is(err, domain.ErrNotFound) {
						return nil
					}
					return err
				})
		},
	}
}
