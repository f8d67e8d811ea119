package cli

import (
	"context"

	"github.com/spf13/pflag"
)

// connectCommand changes the daemon of a shell. Outside of one it tells whether the daemon can be reached. As with virsh
// the new connection is read-only if the command itself says so, whatever the one before was, and to the same daemon if
// none is named.
func (a *app) connectCommand() command {
	var name string
	return command{
		name: "connect", help: "(re)connect to hypervisor",
		operands: []operand{{name: "name", help: "socket or address of the daemon", optional: true, one: &name}},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			if name == "" {
				name = a.connect
			}
			return a.reconnect(ctx, name, a.readOnly && set.Changed("readonly"))
		},
	}
}
