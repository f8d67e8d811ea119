package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) detachDisk() command {
	var name, target string
	var s deviceScope
	var printXML bool
	return command{
		name: "detach-disk", help: "detach disk device",
		operands: []operand{domainOperand(&name), {name: "target", help: "target of disk device, or its source", one: &target}},
		flags: func(f *pflag.FlagSet) {
			s.flags(f)
			f.BoolVar(&printXML, "print-xml", false, "print XML document rather than detach the disk")
		},
		exclusive: deviceScopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			_, info, err := a.inspect(ctx, name, s.read())
			if err != nil {
				return failed(err, "Failed to detach disk")
			}
			disk, err := heldDisk(info.GetDefinition(), target)
			if err != nil {
				return err
			}
			if printXML {
				return a.printDevice(diskDevice(disk))
			}
			like := diskDevice(&davitv1.Disk{Type: disk.GetType(), TargetDev: disk.GetTargetDev()})
			return a.detach(ctx, name, client.ByDevice(client.DeviceModel(like)),
				deviceChange{"Disk detached successfully", "Failed to detach disk", s, nil})
		},
	}
}

// read is the definition in which a device that is to go is looked up: the stored one only if that is all that changes.
func (s deviceScope) read() scope {
	return scope{config: (s.config || s.persistent) && !s.live && !s.persistent}
}
