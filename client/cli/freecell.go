package cli

import (
	"context"

	"github.com/spf13/pflag"
)

func (a *app) freecell() command {
	var cell int
	var all bool
	return command{
		name: "freecell", help: "NUMA free memory",
		flags: func(f *pflag.FlagSet) {
			f.IntVar(&cell, "cellno", -1, "NUMA cell number")
			f.BoolVar(&all, "all", false, "show free memory for all NUMA cells")
		},
		exclusive: [][2]string{{"all", "cellno"}},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			stats, err := a.hostStats(ctx)
			if err != nil {
				return err
			}
			free := stats.GetMemory().GetFreeKib()
			if set.Changed("cellno") {
				one, err := findCell(stats, cell)
				if err != nil {
					return err
				}
				free = one.GetMemory().GetFreeKib()
			}
			switch {
			case a.notation != text:
				return a.show(object{{"free_kib", free}, {"cells", messages(stats.GetCells())}})
			case set.Changed("cellno"):
				a.print("%d: %d KiB\n", cell, free)
				return nil
			case !all:
				a.print("Total: %d KiB\n", free)
				return nil
			}
			total := uint64(0)
			for _, c := range stats.GetCells() {
				a.print("%5d: %10d KiB\n", c.GetId(), c.GetMemory().GetFreeKib())
				total += c.GetMemory().GetFreeKib()
			}
			a.extra("--------------------\n%5s: %10d KiB\n", "Total", total)
			return nil
		},
	}
}

// messages is a list as [app.show] takes it.
func messages[M any](all []M) []any {
	list := make([]any, 0, len(all))
	for _, m := range all {
		list = append(list, m)
	}
	return list
}
