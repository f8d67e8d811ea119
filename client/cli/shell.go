package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
)

// shell runs lines of commands: those that a person types, those of a script, or those of one argument of the program.
// Its commands share a connection, which is made when the first of them needs it and survives a daemon that restarts.
type shell struct {
	app *app
	// interactive shells have a person in front of them.
	interactive bool
	// left says that quit or exit was run.
	left bool
	// code is the exit code of the last command.
	code int
	// interrupts are those that came while a command of an interactive shell ran.
	interrupts chan os.Signal
}

// startShell reads commands from standard input until it ends, the user leaves or a signal ends the program.
func (a *app) startShell(ctx context.Context) error {
	s := &shell{app: a, interactive: isTerminal(a.in)}
	if a.connect != "" { // with a daemon that was asked for it is best to fail now
		if _, err := a.daemon(ctx); err != nil {
			return err
		}
	}
	if !s.interactive {
		return s.runInput(ctx)
	}
	s.interrupts = make(chan os.Signal, 1)
	signal.Notify(s.interrupts, os.Interrupt)
	defer signal.Stop(s.interrupts)
	return s.converse(ctx)
}

// runScript runs the commands of one argument.
func (a *app) runScript(ctx context.Context, line string) error {
	s := &shell{app: a}
	s.runLine(ctx, line)
	return exitError(s.code)
}

// runInput runs a script from standard input, which is therefore no input for its commands.
func (s *shell) runInput(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	script := newPlainLines(s.app.in, func(string) {})
	s.app.in = strings.NewReader("")
	if err := s.runLines(ctx, script, nil); err != nil {
		return failed(nil, "Failed to read commands: %s", plain(err))
	}
	return exitError(s.code)
}

// converse runs what a person types.
func (s *shell) converse(ctx context.Context) error {
	a := s.app
	a.extra("Welcome to davit, the container interactive terminal.\n\n" +
		"Type:  'help' for help with commands\n       'quit' to quit\n\n")
	if !a.editable() {
		show := func(prompt string) { a.print("%s", prompt) }
		return s.leave(s.runLines(ctx, newPlainLines(a.in, show), nil))
	}
	kept, err := openHistory(historyPath(a.env))
	if err != nil {
		a.warn("%s", plain(err))
	}
	e, err := newEditor(kept.lines, s.complete)
	if err != nil {
		return failed(err, "Failed to use terminal")
	}
	defer e.close()
	return s.leave(s.runLines(ctx, e, func(line string) {
		added, err := kept.add(line)
		if added {
			e.remember(line)
		}
		if err != nil {
			a.warn("%s", plain(err))
		}
	}))
}

// leave ends a conversation. That its last command went wrong is known to who typed it.
func (s *shell) leave(err error) error {
	if err != nil && !errors.Is(err, context.Canceled) {
		return exitError(1) // the terminal is gone: nobody to tell
	}
	if !s.left {
		s.app.out.printf("\n") // the line of the prompt is still open
	}
	return nil
}

// runLines runs one line after the other; typed is told each before.
func (s *shell) runLines(ctx context.Context, from lineSource, typed func(string)) error {
	for !s.left && ctx.Err() == nil && s.app.out.failure() == nil {
		line, err := from.next(ctx, s.prompt())
		switch {
		case errors.Is(err, errAbandoned):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if typed != nil {
			typed(line)
		}
		s.runLine(ctx, line)
	}
	return nil
}

// quit ends the shell that runs the command, once the command has ended.
func (a *app) quit() {
	if a.shell != nil {
		a.shell.left = true
	}
}

// interactive tells whether the command was typed into a shell.
func (a *app) interactive() bool { return a.shell != nil && a.shell.interactive }

// prompt tells by its sign whether the connection can change anything.
func (s *shell) prompt() string {
	if s.app.readOnly {
		return "davit > "
	}
	return "davit # "
}

// runLine runs the commands of a line, all of them, whether or not one fails. When one cannot be understood, none is run.
func (s *shell) runLine(ctx context.Context, line string) {
	commands, err := splitLine(line)
	if err != nil {
		s.code = s.app.conclude(err)
		return
	}
	if len(commands) > 1 {
		for _, words := range commands {
			if !s.understands(ctx, words) {
				commands = [][]string{words} // which says why
				break
			}
		}
	}
	s.interrupted()
	for _, words := range commands {
		s.code = s.run(ctx, words)
		if s.left || ctx.Err() != nil || s.interrupted() {
			return
		}
	}
}

// run runs a command and gives its exit code.
func (s *shell) run(ctx context.Context, words []string) int {
	a := s.child()
	root := a.root() //nolint:contextcheck // it is executed with ctx
	root.SetArgs(words)
	err := root.ExecuteContext(ctx)
	a.hangUp() // a connection of its own
	return a.conclude(err)
}

// child is what a command of the shell begins with.
func (s *shell) child() *app {
	a := *s.app
	a.parent, a.shell, a.client = s.app, s, nil
	return &a
}

// understands tells whether a command and its options exist.
func (s *shell) understands(ctx context.Context, words []string) bool {
	a := s.child()
	a.rehearsing, a.out, a.err = true, newScreen(io.Discard), newScreen(io.Discard)
	root := a.root() //nolint:contextcheck // it is executed with ctx
	root.SetArgs(words)
	return root.ExecuteContext(ctx) == nil
}

// interrupted tells whether the user interrupted since it was last asked.
func (s *shell) interrupted() bool {
	select {
	case <-s.interrupts:
		return true
	default:
		return false
	}
}
