package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Limits of patience: with a step, and with what is cleared away.
const (
	stepLimit  = time.Minute
	clearLimit = 30 * time.Second
)

// stage is where it is shown: a daemon in a folder, and the screen.
type stage struct {
	programs programs
	folder   string
	fake     bool
	instance string

	daemon  *exec.Cmd
	ended   chan error // gives how the daemon ended
	outcome error      // how it did
	events  *eventLog

	screen sync.Mutex
}

// say writes a line of explanation.
func (s *stage) say(format string, args ...any) {
	s.screen.Lock()
	defer s.screen.Unlock()
	_, _ = fmt.Fprintf(os.Stdout, "\n# "+format+"\n", args...)
}

// show writes lines that a program wrote, behind a mark.
func (s *stage) show(mark string, text []byte) {
	s.screen.Lock()
	defer s.screen.Unlock()
	for line := range strings.Lines(strings.TrimRight(string(text), "\n") + "\n") {
		_, _ = fmt.Fprintln(os.Stdout, strings.TrimRight(mark+line, " \n"))
	}
}

func (s *stage) socket() string { return filepath.Join(s.folder, "run", "davit.sock") }

// command is davit, connected to the demo's daemon.
func (s *stage) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, s.programs.davit, args...)
	c.Env = append(os.Environ(), "DAVIT_DEFAULT_URI="+s.socket())
	return c
}

// davit shows a command line and what it says.
func (s *stage) davit(ctx context.Context, args ...string) error {
	return s.davitExits(ctx, 0, args...)
}

// davitExits is davit for a command that exits with a code.
func (s *stage) davitExits(ctx context.Context, want int, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	s.show("", []byte(commandLine(args)))
	out, err := s.command(ctx, args...).CombinedOutput()
	s.show("  ", out)
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && ctx.Err() == nil:
		code = exit.ExitCode()
	case err != nil:
		return fmt.Errorf("%s: %w", commandLine(args), err)
	}
	if code != 0 {
		s.show("  ", fmt.Appendf(nil, "(exit code %d)", code))
	}
	if code != want {
		return fmt.Errorf("%s: exit code %d, want %d", commandLine(args), code, want)
	}
	return nil
}

// quietly runs davit and returns what it says.
func (s *stage) quietly(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	out, err := s.command(ctx, args...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", commandLine(args), err)
	}
	return out, nil
}

// commandLine is a command as it would be typed.
func commandLine(args []string) string {
	words := []string{"$", "davit"}
	for _, a := range args {
		if strings.ContainsAny(a, " ;$&") {
			a = "'" + a + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// eventLog is davit event, running beside everything else.
type eventLog struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed, and made anew, at every line
}

// followEvents shows events as they come.
func (s *stage) followEvents(ctx context.Context) error {
	args := []string{"event", "--all", "--loop", "--timestamp", "--oldest"}
	s.say("Events, as they come: %s &", strings.TrimPrefix(commandLine(args), "$ "))
	l := &eventLog{cmd: s.command(context.WithoutCancel(ctx), args...), done: make(chan struct{}), more: make(chan struct{})}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	l.cmd.Stderr = os.Stderr
	if err := l.cmd.Start(); err != nil {
		return fmt.Errorf("follow events: %w", err)
	}
	s.events = l
	go func() {
		defer close(l.done)
		_, _ = io.Copy(lineWriter(func(line []byte) {
			if len(bytes.TrimSpace(line)) > 0 {
				s.show("  event | ", line)
			}
			l.add(line)
		}), out)
		_ = l.cmd.Wait()
	}()
	return nil
}

func (l *eventLog) add(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(line)
	close(l.more)
	l.more = make(chan struct{})
}

// seen tells whether an event came, and what to wait on if not.
func (l *eventLog) seen(words string) (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), words), l.more
}

// event waits until an event was shown.
func (s *stage) event(ctx context.Context, words string) error {
	limit := time.After(stepLimit)
	for {
		seen, more := s.events.seen(words)
		if seen {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.events.done:
			return fmt.Errorf("davit event ended before the event %q", words)
		case <-limit:
			return fmt.Errorf("no event %q within %s", words, stepLimit)
		}
	}
}

// lineWriter calls a function with every whole line.
func lineWriter(each func([]byte)) io.Writer { return &lines{each: each} }

type lines struct {
	each func([]byte)
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.each(l.rest[:i+1])
		l.rest = l.rest[i+1:]
	}
}
