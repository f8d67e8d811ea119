package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// cpuInterval is how long nodecpustats --percent measures.
const cpuInterval = time.Second

func (a *app) nodecpustats() command {
	var cpu int
	var percent bool
	return command{
		name: "nodecpustats", help: "prints cpu stats of the node",
		flags: func(f *pflag.FlagSet) {
			f.IntVar(&cpu, "cpu", -1, "prints specified cpu statistics only")
			f.BoolVar(&percent, "percent", false, "prints by percentage during 1 second")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			first, err := a.cpuTimes(ctx, cpu)
			if err != nil {
				return failed(err, "Unable to get node cpu stats")
			}
			if !percent {
				return a.showCPUTimes(first)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(cpuInterval):
			}
			second, err := a.cpuTimes(ctx, cpu)
			if err != nil {
				return failed(err, "Unable to get node cpu stats")
			}
			return a.showCPUShares(first, second)
		},
	}
}

// cpuTime is a kind of time of a processor.
type cpuTime struct {
	name string
	time time.Duration
}

// cpuTimes are those of a processor, or of all together when it is negative, in virsh's order.
func (a *app) cpuTimes(ctx context.Context, cpu int) ([]cpuTime, error) {
	stats, err := a.hostStats(ctx)
	if err != nil {
		return nil, err
	}
	t := stats.GetTotal()
	if cpu >= 0 {
		i := slices.IndexFunc(stats.GetCpus(), func(t *davitv1.CpuTime) bool { return int(t.GetCpu()) == cpu })
		if i < 0 {
			return nil, failed(nil, "invalid argument: Invalid cpuNum in virHostCPUGetStatsLinux")
		}
		t = stats.GetCpus()[i]
	}
	return []cpuTime{
		{"user", t.GetUser().AsDuration()},
		{"system", t.GetSystem().AsDuration()},
		{"idle", t.GetIdle().AsDuration()},
		{"iowait", t.GetIowait().AsDuration()},
	}, nil
}

func (a *app) showCPUTimes(times []cpuTime) error {
	if a.notation != text {
		var o object
		for _, t := range times {
			o = append(o, member{t.name, int64(t.time)})
		}
		return a.show(o)
	}
	for _, t := range times {
		a.print("%-15s %20d\n", t.name+":", int64(t.time))
	}
	return nil
}

// showCPUShares prints what part of the time between two measurements was spent how.
func (a *app) showCPUShares(before, after []cpuTime) error {
	var total, used time.Duration
	shares := make([]float64, len(after))
	for i := range after {
		spent := after[i].time - before[i].time
		total += spent
		if i < 2 { // user and system
			used += spent
		}
		shares[i] = float64(spent)
	}
	part := func(spent float64) float64 {
		if total <= 0 {
			return 0
		}
		return spent / float64(total) * 100
	}
	o := object{{"usage", part(float64(used))}}
	for i, t := range after {
		o = append(o, member{t.name, part(shares[i])})
	}
	if a.notation != text {
		return a.show(o)
	}
	for _, m := range o {
		a.print("%-15s %5.1f%%\n", m.name+":", m.value)
	}
	return nil
}
