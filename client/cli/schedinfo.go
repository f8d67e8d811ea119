package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// What the kernel does without a word about it in the definition.
const (
	defaultShares = 1024
	defaultPeriod = 100000
	noQuota       = -1
)

func (a *app) schedinfo() command {
	var name string
	var sets, more []string
	var s scope
	return command{
		name: "schedinfo", help: "show or set scheduler parameters",
		operands: []operand{domainOperand(&name), {name: "parameter=value", optional: true, rest: &more}},
		flags: func(f *pflag.FlagSet) {
			f.StringArrayVar(&sets, "set", nil, "parameter=value: cpu_shares, vcpu_period or vcpu_quota")
			s.flags(f, "get/set for")
		},
		exclusive: scopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			tune, paths, err := schedulerParameters(slices.Concat(sets, more))
			if err != nil {
				return err
			}
			if len(paths) > 0 {
				if err := a.change(ctx, name, s, &davitv1.Domain{Cputune: tune}, paths...); err != nil {
					return unsure(err)
				}
			}
			return a.showSchedinfo(ctx, name, s)
		},
	}
}

// schedulerParameters reads what was set and gives the paths of the fields.
func schedulerParameters(sets []string) (*davitv1.CpuTune, []string, error) {
	tune := &davitv1.CpuTune{}
	var paths []string
	for _, set := range sets {
		name, value, ok := strings.Cut(set, "=")
		if !ok {
			return nil, nil, failed(nil, "invalid syntax for --set, expecting name=value")
		}
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil, n < 0 && name != "vcpu_quota":
			return nil, nil, failed(nil, "invalid scheduler option: %s", set)
		case name == "cpu_shares":
			tune.Shares = uint64(n)
			paths = append(paths, "cputune.shares")
		case name == "vcpu_period":
			tune.Period = uint64(n)
			paths = append(paths, "cputune.period")
		case name == "vcpu_quota":
			tune.Quota = n
			paths = append(paths, "cputune.quota")
		default:
			return nil, nil, failed(nil, "invalid scheduler option: %s", name)
		}
	}
	return tune, paths, nil
}

func (a *app) showSchedinfo(ctx context.Context, name string, s scope) error {
	_, info, err := a.inspect(ctx, name, s)
	if err != nil {
		return err
	}
	tune := info.GetDefinition().GetCputune()
	number := func(n, otherwise int64) string {
		if n == 0 {
			n = otherwise
		}
		return strconv.FormatInt(n, 10)
	}
	return a.showParameters([]parameter{
		{"Scheduler", "posix"},
		{"cpu_shares", number(int64(tune.GetShares()), defaultShares)},
		{"vcpu_period", number(int64(tune.GetPeriod()), defaultPeriod)},
		{"vcpu_quota", number(max(tune.GetQuota(), noQuota), noQuota)},
	})
}
