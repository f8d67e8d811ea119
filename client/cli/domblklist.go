package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domblklist() command {
	var name string
	var inactive, details bool
	return command{
		name: "domblklist", help: "list all domain blocks",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&inactive, "inactive", false, "get inactive rather than running configuration")
			f.BoolVar(&details, "details", false, "additionally display the type and device value")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			all, err := a.disks(ctx, name, inactive)
			if err != nil {
				return err
			}
			if a.notation != text {
				return a.show(rowsOf(all))
			}
			t := newTable("Target", "Source")
			if details {
				t = newTable("Type", "Device", "Target", "Source")
			}
			for _, d := range all {
				if details {
					t.add(diskTypeWord(d.GetType()), "disk", d.GetTarget(), orDash(d.GetSource()))
				} else {
					t.add(d.GetTarget(), orDash(d.GetSource()))
				}
			}
			a.printTable(t)
			return nil
		},
	}
}

// disks are those of a domain.
func (a *app) disks(ctx context.Context, name string, inactive bool) ([]*davitv1.BlockDeviceStatus, error) {
	c, info, err := a.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	resp, err := c.ListBlockDevices(ctx, &davitv1.ListBlockDevicesRequest{Domain: client.ByUUID(info.GetUuid()), Inactive: inactive})
	return resp.GetBlockDevices(), err
}

// diskTypeWord is where the content comes from, in the word of the XML.
func diskTypeWord(t davitv1.DiskType) string {
	if t == davitv1.DiskType_DISK_TYPE_BLOCK {
		return "block"
	}
	return "file"
}
