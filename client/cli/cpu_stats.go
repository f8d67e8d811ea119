package cli

import (
	"context"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// cpuStatsOptions is what cpu-stats was told.
type cpuStatsOptions struct {
	total        bool
	start, count int
}

func (a *app) cpuStats() command {
	var name string
	var o cpuStatsOptions
	return command{
		name: "cpu-stats", help: "show domain cpu statistics",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&o.total, "total", false, "Show total statistics only")
			f.IntVar(&o.start, "start", 0, "Show statistics from this CPU")
			f.IntVar(&o.count, "count", 0, "Number of shown CPUs at most")
		},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			switch {
			case o.start < 0:
				return failed(nil, "Invalid value for start CPU")
			case o.count < 0:
				return failed(nil, "Invalid value for number of CPUs to show")
			}
			c, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			resp, err := c.GetDomainStats(ctx, &davitv1.GetDomainStatsRequest{Domain: client.ByUUID(info.GetUuid())})
			if err != nil {
				return failed(err, "Failed to retrieve CPU statistics for domain '%s'", info.GetName())
			}
			each := set.Changed("start") || set.Changed("count") || !o.total
			if !set.Changed("count") {
				o.count = -1
			}
			both := !o.total && !set.Changed("start") && !set.Changed("count")
			return a.showCPUStats(resp.GetStats(), o, each, o.total || both)
		},
	}
}

// showCPUStats prints the times of each processor, if the host counts them, and of all together.
func (a *app) showCPUStats(stats *davitv1.DomainStats, o cpuStatsOptions, each, total bool) error {
	if a.notation != text {
		return a.show(object{
			{"cpu_time", stats.GetCpuTime()},
			{"user_time", stats.GetUserTime()},
			{"system_time", stats.GetSystemTime()},
			{"per_cpu_time", durations(stats.GetPerCpuTime())},
		})
	}
	if each {
		if err := a.printEachCPU(stats.GetPerCpuTime(), o, total); err != nil {
			return err
		}
	}
	if total {
		a.print("Total:\n")
		a.printCPUTime("cpu_time", stats.GetCpuTime())
		a.printCPUTime("user_time", stats.GetUserTime())
		a.printCPUTime("system_time", stats.GetSystemTime())
	}
	return nil
}

func (a *app) printEachCPU(times []*durationpb.Duration, o cpuStatsOptions, total bool) error {
	switch {
	case len(times) == 0 && total:
		a.print("No per-CPU stats available\n")
		return nil
	case len(times) == 0:
		a.print("No per-CPU stats available\n")
		return exitError(1)
	case o.start >= len(times):
		return failed(nil, "Start CPU %d is out of range (min: 0, max: %d)", o.start, len(times)-1)
	case o.count > len(times):
		a.print("Only %d CPUs available to show\n", len(times))
	}
	end := len(times)
	if o.count >= 0 {
		end = min(end, o.start+o.count)
	}
	for cpu := o.start; cpu < end; cpu++ {
		a.print("CPU%d:\n", cpu)
		a.printCPUTime("cpu_time", times[cpu])
	}
	return nil
}

func (a *app) printCPUTime(name string, d *durationpb.Duration) {
	t := d.AsDuration()
	a.print("\t%-12s %9d.%09d seconds\n", name, t/time.Second, t%time.Second)
}

func durations(all []*durationpb.Duration) []any {
	list := make([]any, 0, len(all))
	for _, d := range all {
		list = append(list, d)
	}
	return list
}
