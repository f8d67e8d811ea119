package cli

import (
	"context"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) updateDevice() command {
	var name, file string
	var s deviceScope
	return command{
		name: "update-device", help: "update device from an XML file",
		operands:  []operand{domainOperand(&name), deviceFileOperand(&file)},
		flags:     s.flags,
		exclusive: deviceScopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			source, err := a.readDevice(file)
			if err != nil {
				return err
			}
			_, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			return a.alter(ctx, info, &davitv1.UpdateDeviceRequest{
				Source: source, Affect: s.affects(info, davitv1.Affect_AFFECT_CURRENT),
			}, deviceChange{done: "Device updated successfully", failure: "Failed to update device from " + file})
		},
	}
}
