package cli

import (
	"context"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) nodeinfo() command {
	return command{
		name: "nodeinfo", help: "node information",
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			host, err := a.host(ctx)
			if err != nil {
				return failed(err, "failed to get node information")
			}
			if a.notation != text {
				return a.show(host)
			}
			a.print("%-20s %s\n", "CPU model:", host.GetArch())
			a.print("%-20s %d\n", "CPU(s):", host.GetCpus())
			if host.GetCpuMhz() > 0 {
				a.print("%-20s %d MHz\n", "CPU frequency:", host.GetCpuMhz())
			}
			a.print("%-20s %d\n", "CPU socket(s):", host.GetCpuSockets())
			a.print("%-20s %d\n", "Core(s) per socket:", host.GetCpuCores())
			a.print("%-20s %d\n", "Thread(s) per core:", host.GetCpuThreads())
			a.print("%-20s %d\n", "NUMA cell(s):", host.GetCells())
			a.print("%-20s %d KiB\n", "Memory size:", host.GetMemoryBytes()/1024)
			return nil
		},
	}
}

func (a *app) host(ctx context.Context) (*davitv1.GetHostResponse, error) {
	c, err := a.daemon(ctx)
	if err != nil {
		return nil, err
	}
	return c.GetHost(ctx, &davitv1.GetHostRequest{})
}

func (a *app) hostStats(ctx context.Context) (*davitv1.GetHostStatsResponse, error) {
	c, err := a.daemon(ctx)
	if err != nil {
		return nil, err
	}
	return c.GetHostStats(ctx, &davitv1.GetHostStatsRequest{})
}
