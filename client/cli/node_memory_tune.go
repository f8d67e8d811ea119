package cli

import (
	"context"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) nodeMemoryTune() command {
	var pages, sleep, across uint32
	return command{
		name: "node-memory-tune", help: "get or set node memory parameters",
		flags: func(f *pflag.FlagSet) {
			f.Uint32Var(&pages, "shm-pages-to-scan", 0, "number of pages to scan before the shared memory service goes to sleep")
			f.Uint32Var(&sleep, "shm-sleep-millisecs", 0, "number of millisecs the shared memory service should sleep before next scan")
			f.Uint32Var(&across, "shm-merge-across-nodes", 0, "Specifies if pages from different numa nodes can be merged")
		},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			change := &davitv1.MemoryMerging{}
			if set.Changed("shm-pages-to-scan") {
				change.PagesToScan = &pages
			}
			if set.Changed("shm-sleep-millisecs") {
				change.SleepMillisecs = &sleep
			}
			if set.Changed("shm-merge-across-nodes") {
				if across > 1 {
					return failed(nil, "invalid argument: shm_merge_across_nodes is 0 or 1, not %d", across)
				}
				merge := across == 1
				change.MergeAcrossNodes = &merge
			}
			if change.PagesToScan == nil && change.SleepMillisecs == nil && change.MergeAcrossNodes == nil {
				return a.showMerging(ctx)
			}
			c, err := a.daemon(ctx)
			if err != nil {
				return err
			}
			if _, err := c.UpdateHost(ctx, &davitv1.UpdateHostRequest{Merging: change}); err != nil {
				return failed(unsure(err), "Unable to change memory parameters")
			}
			return nil
		},
	}
}

func (a *app) showMerging(ctx context.Context) error {
	stats, err := a.hostStats(ctx)
	if err != nil {
		return failed(err, "Unable to get memory parameters")
	}
	m := stats.GetMerging()
	if a.notation != text {
		return a.show(object{{"merging", m}})
	}
	if m == nil {
		return nil // virsh prints nothing, too
	}
	across := 0
	if m.GetMergeAcrossNodes() {
		across = 1
	}
	a.print("Shared memory:\n")
	for _, p := range []struct {
		name  string
		value any
	}{
		{"shm_pages_to_scan", m.GetPagesToScan()},
		{"shm_sleep_millisecs", m.GetSleepMillisecs()},
		{"shm_pages_shared", m.GetPagesShared()},
		{"shm_pages_sharing", m.GetPagesSharing()},
		{"shm_pages_unshared", m.GetPagesUnshared()},
		{"shm_pages_volatile", m.GetPagesVolatile()},
		{"shm_full_scans", m.GetFullScans()},
		{"shm_merge_across_nodes", across},
	} {
		a.print("\t%-15s %d\n", p.name, p.value)
	}
	return nil
}
