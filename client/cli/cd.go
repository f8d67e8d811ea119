package cli

import (
	"context"
	"os"

	"github.com/spf13/pflag"
)

func (a *app) cd() command {
	var dir string
	return command{
		name: "cd", help: "change the current directory, of the shell",
		operands: []operand{{name: "dir", help: "directory to switch to (default: home or else root)", optional: true, one: &dir}},
		run: func(context.Context, *pflag.FlagSet) error {
			if !a.interactive() {
				return failed(nil, "cd: command valid only in interactive mode")
			}
			if dir == "" {
				dir = "/"
				if home := a.env("HOME"); home != "" {
					dir = home
				}
			}
			if err := os.Chdir(dir); err != nil {
				return failed(nil, "cd: %s: %s", dir, plain(err))
			}
			return nil
		},
	}
}

func (a *app) pwd() command {
	return command{
		name: "pwd", help: "print the current directory",
		run: func(context.Context, *pflag.FlagSet) error {
			dir, err := os.Getwd()
			if err != nil {
				return failed(nil, "pwd: cannot get current directory: %s", plain(err))
			}
			a.print("%s\n", dir)
			return nil
		},
	}
}
