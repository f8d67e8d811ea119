package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// memoryLimits are the limits of memory: virsh's options, the words of its answer and the fields of the definition.
type memoryLimits struct{ hard, soft, swap, guarantee string }

func (l *memoryLimits) flags(f *pflag.FlagSet) {
	f.StringVar(&l.hard, "hard-limit", "", "Max memory, as scaled integer (default KiB)")
	f.StringVar(&l.soft, "soft-limit", "", "Memory during contention, as scaled integer (default KiB)")
	f.StringVar(&l.swap, "swap-hard-limit", "", "Max memory plus swap, as scaled integer (default KiB)")
	f.StringVar(&l.guarantee, "min-guarantee", "", "Min guaranteed memory, as scaled integer (default KiB); containers have none")
}

func (a *app) memtune() command {
	var name string
	var limits memoryLimits
	var s scope
	return command{
		name: "memtune", help: "get or set memory parameters",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			limits.flags(f)
			s.flags(f, "affect")
		},
		exclusive: scopesExclude(),
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			tune, paths, err := limits.read(set)
			switch {
			case err != nil:
				return err
			case len(paths) == 0:
				return a.showMemtune(ctx, name, s)
			}
			if err := a.change(ctx, name, s, &davitv1.Domain{Memtune: tune}, paths...); err != nil {
				return failed(unsure(err), "Unable to change memory parameters")
			}
			return nil
		},
	}
}

// read gives the limits that were set and the paths of all that were named: those below 0 are lifted.
func (l memoryLimits) read(set *pflag.FlagSet) (*davitv1.MemoryTune, []string, error) {
	tune := &davitv1.MemoryTune{}
	var paths []string
	for _, limit := range []struct {
		option, value, path string
		field               *uint64
	}{
		{"hard-limit", l.hard, "memtune.hard_limit_kib", &tune.HardLimitKib},
		{"soft-limit", l.soft, "memtune.soft_limit_kib", &tune.SoftLimitKib},
		{"swap-hard-limit", l.swap, "memtune.swap_hard_limit_kib", &tune.SwapHardLimitKib},
	} {
		if !set.Changed(limit.option) {
			continue
		}
		paths = append(paths, limit.path)
		if n, err := strconv.ParseInt(limit.value, 10, 64); err == nil && n < 0 {
			continue
		}
		kib, ok := sizeKiB(limit.value)
		if !ok {
			return nil, nil, failed(nil, "Unable to parse integer parameter %s", limit.option)
		}
		*limit.field = kib
	}
	if set.Changed("min-guarantee") {
		return nil, nil, failed(&domain.Error{
			Code: codes.Unimplemented, Reason: davitv1.ErrorReason_ERROR_REASON_CONFIG_UNSUPPORTED,
			Message: "containers have no guaranteed memory",
		}, "Unable to change memory parameters")
	}
	return tune, paths, nil
}

// showMemtune prints the limits. A running domain without a limit of its own has its memory as the hard one.
func (a *app) showMemtune(ctx context.Context, name string, s scope) error {
	_, info, err := a.inspect(ctx, name, s)
	if err != nil {
		return failed(err, "Unable to get number of memory parameters")
	}
	def := info.GetDefinition()
	hard := def.GetMemtune().GetHardLimitKib()
	if hard == 0 && info.GetId() != 0 && !s.config {
		hard = def.GetMemoryKib()
	}
	return a.showParameters([]parameter{
		{"hard_limit", limitText(hard)},
		{"soft_limit", limitText(def.GetMemtune().GetSoftLimitKib())},
		{"swap_hard_limit", limitText(def.GetMemtune().GetSwapHardLimitKib())},
	})
}

// limitText is a limit in KiB as virsh shows it; 0 is none.
func limitText(kib uint64) string {
	if kib == 0 || kib >= domain.Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(kib, 10)
}

// parameter is a name and its value.
type parameter struct{ name, value string }

// showParameters prints names and values as virsh does.
func (a *app) showParameters(all []parameter) error {
	if a.notation != text {
		var o object
		for _, p := range all {
			o = append(o, member{strings.ToLower(p.name), parameterValue(p.value)})
		}
		return a.show(o)
	}
	for _, p := range all {
		a.print("%-15s: %s\n", p.name, p.value)
	}
	return nil
}

// parameterValue is a number where the text is one.
func parameterValue(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	return text
}
