package cli

import (
	"context"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) nodememstats() command {
	var cell int
	return command{
		name: "nodememstats", help: "prints memory stats of the node",
		flags: func(f *pflag.FlagSet) { f.IntVar(&cell, "cell", -1, "prints specified cell statistics only") },
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			stats, err := a.hostStats(ctx)
			if err != nil {
				return failed(err, "Unable to get memory stats")
			}
			m := stats.GetMemory()
			all := object{
				{"total", m.GetTotalKib()},
				{"free", m.GetFreeKib()},
				{"buffers", m.GetBuffersKib()},
				{"cached", m.GetCachedKib()},
			}
			if cell >= 0 {
				one, err := findCell(stats, cell)
				if err != nil {
					return failed(err, "Unable to get memory stats")
				}
				all = object{{"total", one.GetMemory().GetTotalKib()}, {"free", one.GetMemory().GetFreeKib()}}
			}
			if a.notation != text {
				return a.show(all)
			}
			for _, m := range all {
				a.print("%-7s: %20d KiB\n", m.name, m.value)
			}
			return nil
		},
	}
}

// findCell is the cell of a number.
func findCell(stats *davitv1.GetHostStatsResponse, id int) (*davitv1.HostCell, error) {
	for _, c := range stats.GetCells() {
		if int(c.GetId()) == id {
			return c, nil
		}
	}
	return nil, failed(nil, "operation failed: NUMA node %d is not available", id)
}
