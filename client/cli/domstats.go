package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// domstatsOptions is what domstats was told.
type domstatsOptions struct {
	state, cpu, balloon, vcpu, iface, block, cgroup                              bool
	active, inactive, persistent, transient, running, paused, shutoff, otherwise bool
	raw, enforce, nowait                                                         bool
	names                                                                        []string
}

func (o *domstatsOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.state, "state", false, "report domain state")
	f.BoolVar(&o.cpu, "cpu-total", false, "report domain physical cpu usage")
	f.BoolVar(&o.balloon, "balloon", false, "report domain balloon statistics")
	f.BoolVar(&o.vcpu, "vcpu", false, "report domain virtual cpu information")
	f.BoolVar(&o.iface, "interface", false, "report domain network interface information")
	f.BoolVar(&o.block, "block", false, "report domain block device statistics")
	f.BoolVar(&o.cgroup, "cgroup", false, "report the counters of the domain's cgroup")
	f.BoolVar(&o.active, "list-active", false, "list only active domains")
	f.BoolVar(&o.inactive, "list-inactive", false, "list only inactive domains")
	f.BoolVar(&o.persistent, "list-persistent", false, "list only persistent domains")
	f.BoolVar(&o.transient, "list-transient", false, "list only transient domains")
	f.BoolVar(&o.running, "list-running", false, "list only running domains")
	f.BoolVar(&o.paused, "list-paused", false, "list only paused domains")
	f.BoolVar(&o.shutoff, "list-shutoff", false, "list only shutoff domains")
	f.BoolVar(&o.otherwise, "list-other", false, "list only domains in other states")
	f.BoolVar(&o.raw, "raw", false, "do not pretty-print the fields: they never are")
	f.BoolVar(&o.enforce, "enforce", false, "an active domain that cannot be measured is an error")
	f.BoolVar(&o.nowait, "nowait", false, "report only stats that are accessible instantly: all are")
}

func (a *app) domstats() command {
	var o domstatsOptions
	return command{
		name: "domstats", help: "get statistics about one or multiple domains",
		operands: []operand{{name: "domain", optional: true, rest: &o.names}},
		flags:    o.flags,
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, err := a.daemon(ctx)
			if err != nil {
				return err
			}
			var refs []*davitv1.DomainRef
			for _, name := range o.names {
				_, info, err := a.lookup(ctx, name)
				if err != nil {
					return err
				}
				refs = append(refs, client.ByUUID(info.GetUuid()))
			}
			var all []*davitv1.DomainMeasurement
			for m, err := range c.Measure(ctx, o.filter(), refs...) {
				if err != nil {
					return err
				}
				if o.enforce && m.GetStats() == nil && m.GetDomain().GetId() != 0 {
					return unmeasured(m.GetDomain().GetName())
				}
				all = append(all, m)
			}
			slices.SortStableFunc(all, func(x, y *davitv1.DomainMeasurement) int {
				return virshOrder(x.GetDomain(), y.GetDomain())
			})
			return a.showDomstats(all, o)
		},
	}
}

func unmeasured(name string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE,
		Message: "domain '" + cell(name) + "' cannot be measured",
	}
}

func (o domstatsOptions) filter() *davitv1.DomainFilter {
	f := &davitv1.DomainFilter{Active: either(o.active, o.inactive), Persistent: either(o.persistent, o.transient)}
	for _, choice := range []struct {
		given  bool
		states []davitv1.DomainState
	}{
		{o.running, []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_RUNNING}},
		{o.paused, []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_PAUSED}},
		{o.shutoff, []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_SHUTOFF}},
		{o.otherwise, []davitv1.DomainState{
			davitv1.DomainState_DOMAIN_STATE_SHUTDOWN, davitv1.DomainState_DOMAIN_STATE_CRASHED,
		}},
	} {
		if choice.given {
			f.States = append(f.States, choice.states...)
		}
	}
	return f
}

func (a *app) showDomstats(all []*davitv1.DomainMeasurement, o domstatsOptions) error {
	if a.notation != text {
		rows := []any{}
		for _, m := range all {
			rows = append(rows, append(object{{"domain", m.GetDomain().GetName()}}, o.statistics(m)...))
		}
		return a.show(rows)
	}
	for i, m := range all {
		if i > 0 {
			a.print("\n")
		}
		a.print("Domain: '%s'\n", cell(m.GetDomain().GetName()))
		for _, s := range o.statistics(m) {
			a.print("  %s=%s\n", s.name, cell(fmt.Sprint(s.value)))
		}
	}
	return nil
}

// statistic is a number, under libvirt's name for it; those of "cgroup." are davit's own.
type statistic struct {
	name  string
	value uint64
}

// statistics are the numbers, and names of devices, of the groups that were chosen, all of them when none was.
func (o domstatsOptions) statistics(m *davitv1.DomainMeasurement) []member {
	if !o.state && !o.cpu && !o.balloon && !o.vcpu && !o.iface && !o.block && !o.cgroup {
		o.state, o.cpu, o.balloon, o.vcpu, o.iface, o.block, o.cgroup = true, true, true, true, true, true, true
	}
	stats := m.GetStats()
	var all []member
	for _, group := range []struct {
		chosen bool
		of     func() []member
	}{
		{o.state, func() []member {
			state, reason := libvirtState(m.GetDomain().GetState(), m.GetDomain().GetReason())
			return []member{{"state.state", state}, {"state.reason", reason}}
		}},
		{o.cpu && stats != nil, func() []member { return processor(stats) }},
		{o.balloon, func() []member { return balloon(m) }},
		{o.vcpu, func() []member {
			return []member{{"vcpu.current", m.GetDomain().GetVcpus()}, {"vcpu.maximum", m.GetDomain().GetVcpus()}}
		}},
		{o.iface && stats != nil, func() []member { return network(stats.GetInterfaces()) }},
		{o.block && stats != nil, func() []member { return blocks(stats.GetBlockDevices()) }},
		{o.cgroup && stats != nil, func() []member { return counters(stats) }},
	} {
		if group.chosen {
			all = append(all, group.of()...)
		}
	}
	return all
}

// processor is the time that processors spent on a domain, in nanoseconds.
func processor(stats *davitv1.DomainStats) []member {
	return []member{
		{"cpu.time", uint64(stats.GetCpuTime().AsDuration())},
		{"cpu.user", uint64(stats.GetUserTime().AsDuration())},
		{"cpu.system", uint64(stats.GetSystemTime().AsDuration())},
	}
}

// balloon is memory in libvirt's words.
func balloon(m *davitv1.DomainMeasurement) []member {
	all := []member{
		{"balloon.current", m.GetDomain().GetMemoryKib()}, {"balloon.maximum", m.GetMaximumMemoryKib()},
	}
	if m.GetStats() != nil {
		all = append(all, member{"balloon.rss", m.GetStats().GetMemoryBytes() / 1024})
	}
	return all
}

// counters are what the cgroup counts; a limit that is not there has no line.
func counters(stats *davitv1.DomainStats) []member {
	all := []member{
		{"cgroup.memory.current", stats.GetMemoryBytes()},
		{"cgroup.memory.peak", stats.GetMemoryPeakBytes()},
		{"cgroup.swap.current", stats.GetSwapBytes()},
		{"cgroup.oom_kill", stats.GetOomKills()},
		{"cgroup.pids.current", stats.GetPids()},
	}
	if limit := stats.GetMemoryLimitBytes(); limit > 0 {
		all = append(all, member{"cgroup.memory.max", limit})
	}
	if limit := stats.GetPidsLimit(); limit > 0 {
		all = append(all, member{"cgroup.pids.max", limit})
	}
	return all
}
