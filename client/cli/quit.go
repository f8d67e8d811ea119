package cli

import (
	"context"

	"github.com/spf13/pflag"
)

func (a *app) quitCommand() command { return a.leaving("quit") }

func (a *app) exitCommand() command { return a.leaving("exit") }

// leaving is a command that ends a shell; without one there is nothing to end.
func (a *app) leaving(name string) command {
	return command{
		name: name, help: "quit this interactive terminal",
		bare: true,
		run: func(context.Context, *pflag.FlagSet) error {
			a.quit()
			return nil
		},
	}
}
