package debiantest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/davitd/davit/internal/pty"
)

// console logs in on each of the domain's consoles, as somebody at a terminal does.
func (h *host) console(t *testing.T) {
	t.Helper()
	for number, terminal := range []string{"/dev/console", "/dev/pts/1"} {
		t.Run(terminal, func(t *testing.T) { h.login(t, fmt.Sprintf("console%d", number), terminal) })
	}
}

// login is a visit at a console: prompt, name, password, a command, and out again.
func (h *host) login(t *testing.T, console, terminal string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	defer cancel()
	user, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	cmd := h.command(ctx, "console", domainName, "--devname", console)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	_ = tty.Close()
	if err != nil {
		_ = user.Close()
		t.Fatal(err)
	}
	s := watch(user)
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = user.Close()
		<-s.done
	}()
	steps := []struct{ typed, answer string }{
		{"\r", "login: "},
		{"member\r", "Password: "},
		{"secret\r", "member@" + domainName},
		// The answer is not what the terminal echoes.
		{"echo on=$(tty) as=$(id -un) in=$(loginctl show-session -P TTY $XDG_SESSION_ID)\r", "on=" + terminal + " as=member in=" + strings.TrimPrefix(terminal, "/dev/")},
		{"exit\r", "login: "},
	}
	for _, step := range steps {
		from := s.len()
		if _, err := user.WriteString(step.typed); err != nil {
			t.Fatal(err)
		}
		if err := s.await(ctx, from, step.answer); err != nil {
			t.Fatalf("typed %q: %v", step.typed, err)
		}
	}
	if _, err := user.WriteString("\x1d"); err != nil { // davit's key to leave
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("davit console: %v\n%s", err, s.from(0))
	}
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

func (s *screen) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Len()
}

func (s *screen) from(place int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text.Bytes()[place:])
}

// await waits until the screen shows a text behind a place.
func (s *screen) await(ctx context.Context, place int, text string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		shown := s.from(place)
		if strings.Contains(shown, text) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the screen shows %q and not %q: %w", shown, text, ctx.Err())
		case <-s.done:
			return errors.New("the console ended after " + shown)
		case <-tick.C:
		}
	}
}
