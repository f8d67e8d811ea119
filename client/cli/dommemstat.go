package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// dommemstat tells what libvirt's LXC driver tells: swap_in is the use of memory and swap together there.
func (a *app) dommemstat() command {
	var name string
	return command{
		name: "dommemstat", help: "get memory statistics for a domain",
		operands: []operand{domainOperand(&name)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.inspect(ctx, name, scope{})
			if err != nil {
				return err
			}
			resp, err := c.GetDomainStats(ctx, &davitv1.GetDomainStatsRequest{Domain: client.ByUUID(info.GetUuid())})
			if err != nil {
				return failed(err, "Failed to get memory statistics for domain '%s'", name)
			}
			actual := info.GetDefinition().GetCurrentMemoryKib()
			rss := resp.GetStats().GetMemoryBytes() / 1024
			both := rss + resp.GetStats().GetSwapBytes()/1024
			if a.notation != text {
				return a.show(object{{"actual", actual}, {"swap_in", both}, {"rss", rss}})
			}
			a.print("actual %d\nswap_in %d\nrss %d\n", actual, both, rss)
			return nil
		},
	}
}
