package cli

import (
	"context"
	"strconv"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) allocpages() command {
	var size, count string
	var cell int
	var add, all bool
	return command{
		name: "allocpages", help: "manipulate pages pool size",
		operands: []operand{
			{name: "pagesize", help: "page size (in kibibytes)", one: &size},
			{name: "pagecount", help: "page count", one: &count},
		},
		flags: func(f *pflag.FlagSet) {
			f.IntVar(&cell, "cellno", -1, "NUMA cell number")
			f.BoolVar(&add, "add", false, "instead of setting new pool size add pages to it")
			f.BoolVar(&all, "all", false, "set on all NUMA cells, as without --cellno")
		},
		exclusive: [][2]string{{"all", "cellno"}},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			kib, ok := sizeKiB(size)
			if !ok {
				return badSize(size, "pagesize")
			}
			pages, err := strconv.ParseUint(count, 10, 64)
			if err != nil {
				return badNumber(count, "pagecount")
			}
			change := &davitv1.PageAllocation{PageKib: kib, Count: pages, Add: add}
			if set.Changed("cellno") && cell != -1 {
				if cell < 0 {
					return badNumber(strconv.Itoa(cell), "cellno")
				}
				one := uint32(cell)
				change.Cell = &one
			}
			c, err := a.daemon(ctx)
			if err != nil {
				return err
			}
			resp, err := c.UpdateHost(ctx, &davitv1.UpdateHostRequest{Pages: []*davitv1.PageAllocation{change}})
			if err != nil {
				return unsure(err)
			}
			if a.notation != text {
				return a.show(resp)
			}
			return nil
		},
	}
}
