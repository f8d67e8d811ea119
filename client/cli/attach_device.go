package cli

import (
	"context"

	"github.com/spf13/pflag"
)

func (a *app) attachDevice() command {
	var name, file string
	var s deviceScope
	return command{
		name: "attach-device", help: "attach device from an XML file",
		operands:  []operand{domainOperand(&name), deviceFileOperand(&file)},
		flags:     s.flags,
		exclusive: deviceScopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			source, err := a.readDevice(file)
			if err != nil {
				return err
			}
			return a.attach(ctx, name, source, deviceChange{"Device attached successfully", "Failed to attach device from " + file, s, nil})
		},
	}
}
