package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// vcpuOptions is what vcpucount was told.
type vcpuOptions struct {
	maximum, active, guest bool
	scope
}

func (o *vcpuOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.maximum, "maximum", false, "get maximum count of vcpus")
	f.BoolVar(&o.active, "active", false, "get number of currently active vcpus")
	f.BoolVar(&o.live, "live", false, "get value from running domain")
	f.BoolVar(&o.config, "config", false, "get value to be used on next boot")
	f.BoolVar(&o.current, "current", false, "get value according to current domain state")
	f.BoolVar(&o.guest, "guest", false, "get the count of processors on which the guest may run")
}

func (a *app) vcpucount() command {
	var name string
	var o vcpuOptions
	return command{
		name: "vcpucount", help: "domain vcpu counts",
		operands: []operand{domainOperand(&name)},
		flags:    o.flags,
		exclusive: [][2]string{
			{"live", "config"}, {"current", "live"}, {"current", "config"}, {"active", "maximum"}, {"guest", "config"},
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.lookup(ctx, name)
			switch {
			case err != nil:
				return err
			case o == vcpuOptions{}:
				return a.showVcpuTable(ctx, c, info)
			}
			count, err := a.countVcpus(ctx, name, o)
			if err != nil {
				what := "current"
				if o.maximum {
					what = "maximum"
				}
				return failed(err, "Failed to retrieve %s vcpu count", what)
			}
			if a.notation != text {
				return a.show(object{{"vcpus", count}})
			}
			a.print("%d\n", count)
			return nil
		},
	}
}

// countVcpus is the number that was asked for.
func (a *app) countVcpus(ctx context.Context, name string, o vcpuOptions) (uint32, error) {
	s := o.scope
	s.live = s.live || o.guest
	c, info, err := a.inspect(ctx, name, s)
	if err != nil {
		return 0, err
	}
	if !o.guest {
		return info.GetDefinition().GetVcpu().GetCount(), nil
	}
	host, err := c.GetHost(ctx, &davitv1.GetHostRequest{})
	if err != nil {
		return 0, err
	}
	return usable(info.GetDefinition().GetVcpu().GetCpuset(), host)
}

// usable counts the processors of the host that are online and in a set; an empty one is all.
func usable(set string, host *davitv1.GetHostResponse) (uint32, error) {
	if set == "" {
		return host.GetCpus(), nil
	}
	chosen, err := domain.ParseCpuset(set)
	if err != nil {
		return 0, err
	}
	online, err := domain.ParseCpuset(host.GetCpusOnline())
	if err != nil {
		return 0, err
	}
	count := uint32(0)
	for cpu := range domain.MaxCPU {
		if chosen.Has(cpu) && online.Has(cpu) {
			count++
		}
	}
	return count, nil
}

// showVcpuTable prints all the numbers that there are.
func (a *app) showVcpuTable(ctx context.Context, c *client.Client, info *davitv1.DomainInfo) error {
	var rows []any
	var lines strings.Builder
	for _, what := range []string{"maximum", "current"} {
		for _, inactive := range []bool{true, false} {
			if inactive && !info.GetPersistent() || !inactive && info.GetId() == 0 {
				continue
			}
			resp, err := c.GetDomain(ctx, &davitv1.GetDomainRequest{
				Domain: client.ByUUID(info.GetUuid()), View: davitv1.DomainView_DOMAIN_VIEW_FULL, Inactive: inactive,
			})
			if err != nil {
				return failed(err, "Failed to retrieve %s vcpu count", what)
			}
			of := "live"
			if inactive {
				of = "config"
			}
			count := resp.GetDomain().GetDefinition().GetVcpu().GetCount()
			rows = append(rows, object{{"what", what}, {"of", of}, {"vcpus", count}})
			fmt.Fprintf(&lines, "%-12s %-12s %3d\n", what, of, count)
		}
	}
	if a.notation != text {
		return a.show(rows)
	}
	a.print("%s", &lines)
	return nil
}
