package cli

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/domain"
)

func (a *app) nodecpumap() command {
	var pretty bool
	return command{
		name: "nodecpumap", help: "node cpu map",
		flags: func(f *pflag.FlagSet) { f.BoolVar(&pretty, "pretty", false, "return human readable output") },
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			host, err := a.host(ctx)
			if err != nil {
				return failed(err, "Unable to get cpu map")
			}
			online := host.GetCpusOnline()
			if a.notation != text {
				return a.show(object{{"present", host.GetCpusPresent()}, {"online", host.GetCpus()}, {"map", online}})
			}
			if !pretty {
				if online, err = cpuMap(online, int(host.GetCpusPresent())); err != nil {
					return failed(err, "Unable to get cpu map")
				}
			}
			a.print("%-15s %d\n", "CPUs present:", host.GetCpusPresent())
			a.print("%-15s %d\n", "CPUs online:", host.GetCpus())
			a.print("%-15s %s\n", "CPU map:", online)
			return nil
		},
	}
}

// cpuMap is a letter a processor, y for one that is online.
func cpuMap(online string, present int) (string, error) {
	set, err := domain.ParseCpuset(online)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for cpu := range present {
		if set.Has(cpu) {
			b.WriteByte('y')
		} else {
			b.WriteByte('-')
		}
	}
	return b.String(), nil
}
