package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Exit codes of exec beside the command's own, as env(1) and its kin have them.
const (
	exitOurs          = 125 // davit's own fault: no such domain, no daemon
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // and the signal's number
)

// execOptions is what exec was told.
type execOptions struct {
	name, attach     string
	tty, interactive bool
	detach           bool
	env              []string
	cwd, user        string
	argv             []string
}

func (o *execOptions) flags(f *pflag.FlagSet) {
	f.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal")
	f.BoolVarP(&o.interactive, "interactive", "i", false, "give the command standard input")
	f.StringArrayVarP(&o.env, "env", "e", nil, "variable of its environment, NAME=VALUE")
	f.StringVarP(&o.cwd, "workdir", "w", "", "working directory inside the domain")
	f.StringVarP(&o.user, "user", "u", "", "user, USER[:GROUP] as the domain knows it")
	f.BoolVarP(&o.detach, "detach", "d", false, "let it run on; print its id")
	f.StringVar(&o.attach, "attach", "", "attach to the command with this id instead of starting one")
}

func (a *app) exec() command {
	var o execOptions
	return command{
		name: "exec", help: "run a command in a domain and exit with its code",
		operands: []operand{domainOperand(&o.name), {name: "command", optional: true, rest: &o.argv}},
		flags:    o.flags,
		bare:     true, greedy: true, misuse: exitOurs,
		exclusive: [][2]string{{"attach", "detach"}},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			if len(o.argv) > 0 && o.argv[0] == "--" {
				o.argv = o.argv[1:]
			}
			switch {
			case o.attach == "" && len(o.argv) == 0:
				return ours(a, usage("command 'exec' requires <command> option"))
			case o.attach != "" && len(o.argv) > 0:
				return ours(a, usage("unexpected data '%s'", o.argv[0]))
			case o.tty && !isTerminal(a.in):
				return ours(a, failed(nil, "Cannot run command with a terminal without a controlling TTY"))
			}
			return a.runExec(ctx, o)
		},
	}
}

// ours reports an error that is not the command's.
func ours(a *app, err error) error {
	a.report(err)
	return exitError(exitOurs)
}

func (a *app) runExec(ctx context.Context, o execOptions) error {
	c, info, err := a.lookup(ctx, o.name)
	if err != nil {
		return ours(a, err)
	}
	ctx, signals, err := holdSignals(ctx)
	if err != nil {
		return ours(a, err)
	}
	defer signals.release()
	s, err := a.open(ctx, c, client.ByUUID(info.GetUuid()), o)
	if err != nil {
		a.report(failed(err, "Failed to run command in domain '%s'", o.name))
		if o.attach != "" {
			return exitError(exitOurs)
		}
		return exitError(refusal(err))
	}
	defer func() { _ = s.Close() }()
	if o.detach {
		return a.showDetached(s)
	}
	exit, err := a.attend(ctx, s, o, signals)
	if err != nil {
		if a.gone() {
			return exitError(exitOurs)
		}
		return ours(a, failed(err, "Failed to follow command in domain '%s'", o.name))
	}
	return exitError(exitCode(exit))
}

func (a *app) open(ctx context.Context, c *client.Client, ref *davitv1.DomainRef, o execOptions) (*client.Session, error) {
	if o.attach != "" {
		return c.Attach(ctx, ref, o.attach)
	}
	opts := client.ExecOptions{
		Argv: o.argv, Env: o.env, Cwd: o.cwd, User: o.user, TTY: o.tty, Detach: o.detach,
		Stdin: (o.interactive || o.tty) && !o.detach,
	}
	if f, ok := a.in.(*os.File); ok && o.tty {
		opts.Size = sizeOf(f)
	}
	return c.Exec(ctx, ref, opts)
}

func (a *app) showDetached(s *client.Session) error {
	if a.notation != text {
		return a.show(object{{"exec_id", s.ID()}, {"pid", s.PID()}})
	}
	a.print("%s\n", s.ID())
	return nil
}

// attend connects the command to the user until it ends.
func (a *app) attend(ctx context.Context, s *client.Session, o execOptions, signals *heldSignals) (*davitv1.Exit, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	signals.started()
	go signals.forward(ctx, s)
	in, out := io.Reader(nil), io.Writer(a.out)
	if o.interactive || o.tty {
		keys, letGo := takeKeyboard(a.in)
		defer letGo()
		in = keys
	}
	if o.tty {
		t, err := rawTerminal(a.in)
		if err != nil {
			return nil, err
		}
		defer t.restore()
		defer t.followSize(ctx, s.Resize)()
		in, out = lastKey{in, func() { _ = s.Close() }}, a.out.raw()
	}
	return s.Copy(in, out, a.err)
}

// exitCode is the code to exit with for a command that ended.
func exitCode(exit *davitv1.Exit) int {
	switch how := exit.GetHow().(type) {
	case *davitv1.Exit_Code:
		return int(how.Code)
	case *davitv1.Exit_Signal:
		return exitSignal + int(how.Signal)
	}
	return exitOurs
}

// refusal is the code to exit with for a command that could not be run: the daemon tells a program that is not there
// from one that cannot be executed by the error's code.
func refusal(err error) int {
	var e *domain.Error
	switch {
	case !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND:
		return exitOurs
	case e.Code == codes.NotFound:
		return exitNotFound
	}
	return exitNotExecutable
}
