package cli

import (
	"context"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// pagesOptions is what freepages was told.
type pagesOptions struct {
	cell int
	size string
	all  bool
}

func (a *app) freepages() command {
	var o pagesOptions
	return command{
		name: "freepages", help: "NUMA free pages",
		flags: func(f *pflag.FlagSet) {
			f.IntVar(&o.cell, "cellno", -1, "NUMA cell number")
			f.StringVar(&o.size, "pagesize", "", "page size (in kibibytes)")
			f.BoolVar(&o.all, "all", false, "show free pages for all NUMA cells")
		},
		exclusive: [][2]string{{"all", "cellno"}},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			kib, ok := uint64(0), true
			if set.Changed("pagesize") {
				kib, ok = sizeKiB(o.size)
			}
			switch {
			case !ok:
				return badSize(o.size, "pagesize")
			case !o.all && !set.Changed("cellno"):
				return failed(nil, "missing cellno argument")
			case !o.all && o.cell < -1:
				return failed(nil, "cell number must be non-negative integer or -1")
			case !o.all && !set.Changed("pagesize"):
				return failed(nil, "missing pagesize argument")
			}
			stats, err := a.hostStats(ctx)
			if err != nil {
				return err
			}
			switch {
			case a.notation != text:
				return a.show(messages(stats.GetCells()))
			case o.all:
				return a.showPools(stats.GetCells(), kib)
			}
			free, err := freePages(stats, o.cell, kib)
			if err != nil {
				return err
			}
			a.print("%dKiB: %d\n", kib, free)
			return nil
		},
	}
}

// showPools prints the pools of each cell, those of one size if it is not 0.
func (a *app) showPools(cells []*davitv1.HostCell, kib uint64) error {
	for _, c := range cells {
		a.print("Node %d:\n", c.GetId())
		for _, p := range c.GetPages() {
			if kib == 0 || p.GetPageKib() == kib {
				a.print("%dKiB: %d\n", p.GetPageKib(), p.GetFree())
			}
		}
		a.print("\n")
	}
	return nil
}

// freePages counts the free pages of a size in a cell, or in all cells when it is negative.
func freePages(stats *davitv1.GetHostStatsResponse, cell int, kib uint64) (uint64, error) {
	cells := stats.GetCells()
	if cell >= 0 {
		one, err := findCell(stats, cell)
		if err != nil {
			return 0, err
		}
		cells = []*davitv1.HostCell{one}
	}
	free, found := uint64(0), false
	for _, c := range cells {
		for _, p := range c.GetPages() {
			if p.GetPageKib() == kib {
				free, found = free+p.GetFree(), true
			}
		}
	}
	if !found {
		return 0, failed(nil, "operation failed: page size %d is not available", kib)
	}
	return free, nil
}
