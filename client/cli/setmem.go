package cli

import (
	"context"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) setmem() command {
	return a.memoryCommand("setmem", "change memory allocation", "new memory size, as scaled integer (default KiB)",
		func(ctx context.Context, name string, s scope, kib uint64) error {
			return unsure(a.change(ctx, name, s, &davitv1.Domain{CurrentMemoryKib: kib}, "current_memory_kib"))
		})
}

func (a *app) setmaxmem() command {
	return a.memoryCommand("setmaxmem", "change maximum memory limit",
		"new maximum memory size, as scaled integer (default KiB)",
		func(ctx context.Context, name string, s scope, kib uint64) error {
			if err := a.change(ctx, name, s, &davitv1.Domain{MemoryKib: kib}, "memory_kib"); err != nil {
				return failed(unsure(err), "Unable to change MaxMemorySize")
			}
			return nil
		})
}

// memoryCommand is a command that sets a size of memory.
func (a *app) memoryCommand(name, help, sizeHelp string, set func(context.Context, string, scope, uint64) error) command {
	var domainName, size string
	var s scope
	return command{
		name: name, help: help,
		operands:  []operand{domainOperand(&domainName), {name: "size", help: sizeHelp, one: &size}},
		flags:     func(f *pflag.FlagSet) { s.flags(f, "affect") },
		exclusive: scopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			kib, ok := sizeKiB(size)
			if !ok {
				return badSize(size, "size")
			}
			return set(ctx, domainName, s, kib)
		},
	}
}
