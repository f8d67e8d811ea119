package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/davitd/davit/internal/pty"
)

// console shows the domain's console: what it wrote, what is typed, and what it says to that.
func (s *stage) console(ctx context.Context) error {
	s.say("Its console, on a terminal: \"How are you?\" and ^] are typed.")
	s.show("", []byte(commandLine([]string{"console", "demo"})))
	user, terminal, err := pty.Open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	cmd := s.command(ctx, "console", "demo")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	_ = terminal.Close()
	defer func() { _ = user.Close() }()
	if err != nil {
		return fmt.Errorf("open console: %w", err)
	}
	screen := watch(user)
	err = typeOn(ctx, user, screen)
	if err != nil {
		_ = cmd.Process.Kill()
	}
	if ended := cmd.Wait(); err == nil && ended != nil {
		err = fmt.Errorf("davit console: %w", ended)
	}
	<-screen.done
	s.show("  ", []byte(strings.TrimLeft(strings.ReplaceAll(screen.String(), "\r", ""), "\n")))
	return err
}

// typeOn types a line, waits until the domain has said it again, and leaves.
func typeOn(ctx context.Context, user *os.File, screen *screen) error {
	const line = "How are you?"
	if err := screen.await(ctx, "Hello", 1); err != nil {
		return err
	}
	if _, err := user.WriteString(line + "\r"); err != nil {
		return fmt.Errorf("type: %w", err)
	}
	if err := screen.await(ctx, line, 2); err != nil { // the terminal's echo, and the domain's
		return err
	}
	if _, err := user.WriteString("\x1d"); err != nil {
		return fmt.Errorf("type: %w", err)
	}
	return nil
}

// screen is what was written to a terminal.
type screen struct {
	done chan struct{} // closed when nothing more comes

	mu   sync.Mutex
	text bytes.Buffer
}

func watch(user *os.File) *screen {
	s := &screen{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for p := make([]byte, 4096); ; {
			n, err := user.Read(p)
			s.mu.Lock()
			s.text.Write(p[:n])
			s.mu.Unlock()
			if err != nil { // EIO: the other end is closed
				return
			}
		}
	}()
	return s
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the screen shows a text so many times.
func (s *screen) await(ctx context.Context, text string, times int) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for strings.Count(s.String(), text) < times {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the console shows %q and not %q: %w", s.String(), text, ctx.Err())
		case <-s.done:
			return fmt.Errorf("the console ended after %q", s.String())
		case <-tick.C:
		}
	}
	return nil
}
