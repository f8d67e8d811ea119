package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) detachFilesystem() command {
	var name, target string
	var s deviceScope
	return command{
		name: "detach-filesystem", help: "detach what is mounted at a place of the domain",
		operands:  []operand{domainOperand(&name), {name: "target", help: "where it is mounted in the domain", one: &target}},
		flags:     s.flags,
		exclusive: deviceScopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			_, info, err := a.inspect(ctx, name, s.read())
			if err != nil {
				return failed(err, "Failed to detach filesystem")
			}
			for _, f := range info.GetDefinition().GetDevices().GetFilesystem() {
				if f.GetTargetDir() != target {
					continue
				}
				like := filesystemDevice(&davitv1.Filesystem{Type: f.GetType(), TargetDir: target})
				return a.detach(ctx, name, client.ByDevice(client.DeviceModel(like)),
					deviceChange{"Filesystem detached successfully", "Failed to detach filesystem", s, nil})
			}
			return failed(nil, "No filesystem found whose target is %s", cell(target))
		},
	}
}
