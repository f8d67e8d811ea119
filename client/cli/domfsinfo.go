package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domfsinfo() command {
	var name string
	return command{
		name: "domfsinfo", help: "get information of domain's mounted filesystems",
		operands: []operand{domainOperand(&name)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			resp, err := c.ListFilesystems(ctx, &davitv1.ListFilesystemsRequest{Domain: client.ByUUID(info.GetUuid())})
			if err != nil {
				return failed(err, "Unable to get filesystem information")
			}
			return a.showFilesystems(resp.GetFilesystems())
		},
	}
}

// showFilesystems prints mounts. Target is the device of the definition, where virsh has the disk's.
func (a *app) showFilesystems(all []*davitv1.MountedFilesystem) error {
	if a.notation != text {
		return a.show(rowsOf(all))
	}
	if len(all) == 0 {
		a.extra("No filesystems are mounted in the domain\n")
		return nil
	}
	t := newTable("Mountpoint", "Name", "Type", "Target")
	for _, f := range all {
		t.add(f.GetMountpoint(), f.GetSource(), f.GetType(), f.GetAlias())
	}
	a.printTable(t)
	return nil
}
