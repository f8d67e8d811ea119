package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// lxcEnterNamespace runs a command as exec does. Unlike libvirt's it has the confinement of the domain and not the rights
// of who calls, who need not be root.
func (a *app) lxcEnterNamespace() command {
	var name string
	var unlabelled bool
	var argv []string
	return command{
		name: "lxc-enter-namespace", help: "run a command in a domain, with its confinement; see exec for more",
		operands: []operand{domainOperand(&name), {name: "cmd", help: "command to run", rest: &argv}},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&unlabelled, "noseclabel", false, "taken and without effect: a command never has fewer bounds than its domain")
		},
		greedy: true,
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			for _, word := range []string{"--noseclabel", "--"} {
				if len(argv) > 0 && argv[0] == word {
					argv = argv[1:]
				}
			}
			if len(argv) == 0 {
				return usage("command 'lxc-enter-namespace' requires <cmd> option")
			}
			return a.enter(ctx, name, argv)
		},
	}
}

// enter runs a command with the user's input and output. A command that fails is an error, as with virsh.
func (a *app) enter(ctx context.Context, name string, argv []string) error {
	c, info, err := a.lookup(ctx, name)
	if err != nil {
		return err
	}
	ctx, signals, err := holdSignals(ctx)
	if err != nil {
		return err
	}
	defer signals.release()
	s, err := c.Exec(ctx, client.ByUUID(info.GetUuid()), client.ExecOptions{Argv: argv, Stdin: true})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	exit, err := a.attend(ctx, s, execOptions{interactive: true}, signals)
	if err != nil {
		return failed(err, "Failed to follow command in domain '%s'", name)
	}
	switch how := exit.GetHow().(type) {
	case *davitv1.Exit_Code:
		if how.Code != 0 {
			return failed(nil, "internal error: Child process (%d) unexpected exit status %d", s.PID(), how.Code)
		}
	case *davitv1.Exit_Signal:
		return failed(nil, "internal error: Child process (%d) unexpected fatal signal %d: %s",
			s.PID(), how.Signal, domain.SignalName(int(how.Signal)))
	}
	return nil
}
