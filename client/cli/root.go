package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:               "davit",
		Short:             "run containers that are described in libvirt's domain XML",
		Long:              "davit talks to davitd, the container daemon. Commands, options and output are those of virsh.\nA DOMAIN is given by number, UUID or name.",
		Args:              cobra.ArbitraryArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Version:           a.version,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case a.parent == nil && len(args) == 0:
				return a.startShell(c.Context())
			case a.parent == nil && len(args) == 1:
				return a.runScript(c.Context(), args[0])
			case len(args) > 0:
				return unknownCommand(c, args[0])
			}
			return c.Help()
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(flagError)
	a.globalFlags(root.PersistentFlags())
	a.completeOptions(root)
	root.SetHelpFunc(func(*cobra.Command, []string) { a.showProgram(root) })
	for _, g := range a.groups() {
		root.AddGroup(&cobra.Group{ID: g.keyword, Title: g.title + ":"})
		for _, c := range g.commands {
			made := a.make(c)
			made.GroupID = g.keyword
			root.AddCommand(made)
			if c.name == "help" {
				root.SetHelpCommand(made)
			}
		}
	}
	return root
}

// globalFlags are the options of every command. Those of a shell hold for its commands unless they say otherwise.
func (a *app) globalFlags(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringVarP(&a.connect, "connect", "c", a.connect, "where the daemon is, instead of $DAVIT_DEFAULT_URI: `socket`, davit:///system or davit+tls://host/system")
	flags.BoolVarP(&a.readOnly, "readonly", "r", a.readOnly, "change nothing; without -c, connect to the read-only socket")
	flags.BoolVarP(&a.quiet, "quiet", "q", a.quiet, "no messages, no blank lines")
	flags.VarP(&a.notation, "output", "o", "`notation` of data: text, table, json or yaml")
	flags.Var(&a.colour, "color", "`when` there are colours: auto, which is on a terminal, always or never")
	flags.StringVar(&a.identity.ca, "cacert", a.identity.ca, "`file` with the certificates that sign the daemon's, for one on the network")
	flags.StringVar(&a.identity.cert, "cert", a.identity.cert, "`file` with your certificate, for a daemon on the network")
	flags.StringVar(&a.identity.key, "key", a.identity.key, "`file` with the key of your certificate")
}

// command is what makes a command of the program.
type command struct {
	name, help string
	operands   []operand
	flags      func(*pflag.FlagSet)
	// exclusive names pairs of options that do not go together.
	exclusive [][2]string
	run       func(ctx context.Context, set *pflag.FlagSet) error
	// bare commands own their output: no blank line follows it.
	bare bool
	// greedy commands take everything after their first operand as it is.
	greedy bool
	// misuse is the exit code for arguments that cannot be understood, 1 when 0.
	misuse int
	// commands of a command that does nothing by itself.
	commands []command
}

func (a *app) make(c command) *cobra.Command {
	made := &cobra.Command{
		Use:   c.name + usageOf(c.operands),
		Short: c.help,
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(self *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			return a.completeOperand(self, c.operands, args, typed)
		},
		RunE: func(self *cobra.Command, args []string) error {
			if len(c.commands) > 0 {
				return incomplete(self, args)
			}
			if err := bind(c, self.Flags(), args); err != nil || a.rehearsing {
				return a.misused(c, err)
			}
			ctx, stop := signal.NotifyContext(self.Context(), os.Interrupt)
			defer stop()
			err := c.run(ctx, self.Flags())
			if err != nil && !errors.As(err, new(exitError)) && !a.gone() {
				a.report(err)
				err = exitError(1)
			}
			if !c.bare && a.notation == text {
				a.extra("\n")
			}
			return err
		},
	}
	made.SetFlagErrorFunc(func(self *cobra.Command, err error) error { return a.misused(c, flagError(self, err)) })
	made.Flags().SortFlags = false
	made.Flags().SetInterspersed(!c.greedy)
	if c.greedy {
		made.Annotations = map[string]string{greedyNote: "yes"}
	}
	for _, o := range c.operands {
		o.declare(made.Flags())
	}
	if c.flags != nil {
		c.flags(made.Flags())
	}
	a.completeOptions(made)
	made.SetHelpFunc(func(self *cobra.Command, _ []string) { a.showCommand(self, c) })
	for _, sub := range c.commands {
		made.AddCommand(a.make(sub))
	}
	return made
}

// incomplete is the error of a command that needs another one after it.
func incomplete(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(c, args[0])
	}
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	return usage("command '%s' requires one of %s", c.Name(), strings.Join(names, ", "))
}

// misused ends the program by an error in its arguments.
func (a *app) misused(c command, err error) error {
	if err == nil || c.misuse == 0 || errors.Is(err, pflag.ErrHelp) {
		return err
	}
	a.report(err)
	return exitError(c.misuse)
}

// print writes data.
func (a *app) print(format string, args ...any) { a.out.printf(format, args...) }

// extra writes a message, which -q hides.
func (a *app) extra(format string, args ...any) {
	if !a.quiet {
		a.print(format, args...)
	}
}
