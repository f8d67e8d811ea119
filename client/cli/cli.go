// Package cli is davit's command line: virsh's commands, options, words, tables and exit codes over davit's API.
//
// [Main] is the whole program. Every command stands in a file of its own and is made by a method of the same name; what
// they share is here and in
//
//   - operand.go: arguments, which virsh takes by position or as an option of their name
//   - failure.go: errors in virsh's two lines
//   - screen.go: the filter that keeps escape sequences of domains from the terminal
//   - table.go, format.go: tables, JSON and YAML
//   - terminal.go: raw mode, size and signals for console and exec
//   - shell.go, words.go, editor.go, history.go: the interactive shell
//   - completion.go, choices.go: what Tab offers, in the shell and in bash, zsh and fish
//
// A command exits with 0 or 1; exec exits with the command's own code, or 125, 126, 127 or 128 and the signal; diff exits
// as diff(1) does, with 0, 1 when there are differences, 2 on errors.
package cli

import (
	"context"
	"errors"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/davitd/davit/client"
)

// IO is what the program is connected to.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	// Env looks up a variable of the environment.
	Env func(string) string
	// Version of the program.
	Version string
	// Dial connects to the daemon; [client.Dial] when nil.
	Dial func(target string, opts ...client.Option) (*client.Client, error)
}

// Main runs the program with its arguments, without its name, and returns its exit code.
func Main(args []string, stdio IO) int {
	// A reader that goes away is an error of a write and no signal, so that the terminal is always restored.
	signal.Ignore(syscall.SIGPIPE)
	a := newApp(stdio)
	root := a.root()
	root.SetArgs(args)
	// An interrupt ends a command, and the program with it unless it is a shell: see command.run.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return a.finish(root.ExecuteContext(ctx))
}

// New is the program as a cobra command, for whoever makes its manual.
func New(stdio IO) *cobra.Command { return newApp(stdio).root() }

// app is one run of the program, or of one command of a shell, whose parent is the shell's.
type app struct {
	parent *app
	shell  *shell // what runs the command, nil when it was given in the arguments of the program
	// rehearsing commands only look whether they are understood.
	rehearsing bool

	in       io.Reader
	out, err *screen
	env      func(string) string
	version  string
	dial     func(target string, opts ...client.Option) (*client.Client, error)

	connect  string
	readOnly bool
	quiet    bool
	notation notation
	colour   colour
	identity identity
	client   *client.Client
	subject  string // the domain that a line to complete is about
	given    string // the definition that the user gave, in which faults have their places
}

func newApp(stdio IO) *app {
	a := &app{
		in: stdio.In, out: newScreen(stdio.Out).inLocale(stdio.Env), err: newScreen(stdio.Err).inLocale(stdio.Env),
		env: stdio.Env, version: stdio.Version, dial: stdio.Dial,
	}
	if a.dial == nil {
		a.dial = client.Dial
	}
	return a
}

// finish ends a run: it reports what it ended with and gives the exit code.
func (a *app) finish(err error) int {
	a.hangUp()
	return a.conclude(err)
}

// conclude reports what a command ended with and gives its exit code.
func (a *app) conclude(err error) int {
	defer a.err.flush()
	a.out.flush()
	if status, ok := errors.AsType[exitError](err); ok {
		return int(status)
	}
	if err != nil && !a.gone() {
		a.report(err)
	}
	if lost := a.out.failure(); err == nil && lost != nil {
		if !a.gone() {
			a.report(failed(nil, "Failed to write output: %s", plain(lost)))
		}
		return 1
	}
	if err != nil {
		return 1
	}
	return 0
}

// gone tells that nobody reads the output any more: no reason to say anything.
func (a *app) gone() bool { return errors.Is(a.out.failure(), syscall.EPIPE) }

// exitError ends the program with this code and no further word.
type exitError int

func (exitError) Error() string { return "exit code" }
