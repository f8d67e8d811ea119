package cli

import (
	"context"

	"github.com/spf13/pflag"
)

func (a *app) ttyconsole() command {
	var name string
	return command{
		name: "ttyconsole", help: "tty console",
		operands: []operand{domainOperand(&name)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			_, info, err := a.inspect(ctx, name, scope{live: true})
			if err != nil {
				return err
			}
			for _, console := range info.GetDefinition().GetDevices().GetConsole() {
				if console.GetTty() == "" {
					continue
				}
				if a.notation != text {
					return a.show(object{{"tty", console.GetTty()}})
				}
				a.print("%s\n", console.GetTty())
				return nil
			}
			return failed(nil, "The domain has no console with a tty of the host; 'console' and 'logs' need none")
		},
	}
}
