package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/davitd/davit/client"
)

// configuration keeps the ranges of user ids in the folder, too, and away from those of other daemons of the host.
const configuration = `[idmap]
dir = %q
base = 2000000000
count = 16
`

// startDaemon starts davitd and waits until it answers.
func (s *stage) startDaemon(ctx context.Context) error {
	config := filepath.Join(s.folder, "davitd.toml")
	text := fmt.Appendf(nil, configuration, filepath.Join(s.folder, "ids"))
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return err
	}
	args := []string{"--root", s.folder, "--log-level", "warn"}
	if s.fake {
		args = append(args, "--driver", "fake")
	}
	s.show("$ davitd ", []byte("--root "+s.folder+" &"))
	s.daemon = exec.Command(s.programs.davitd, args...)
	s.daemon.Stdout, s.daemon.Stderr = os.Stdout, os.Stderr
	// A key that interrupts the demo is for the demo, which ends the daemon in order.
	s.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.daemon.Start(); err != nil {
		s.daemon = nil
		return fmt.Errorf("start davitd: %w", err)
	}
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.daemon.Wait() }()
	return s.awaitDaemon(ctx)
}

func (s *stage) awaitDaemon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	c, err := client.Dial(s.socket())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		if err = c.Connect(ctx); err == nil {
			break
		}
		select {
		case end := <-s.ended:
			s.daemon = nil
			return fmt.Errorf("davitd ended at once: %w", orNothing(end))
		case <-ctx.Done():
			return fmt.Errorf("davitd does not answer: %w", err)
		case <-tick.C:
		}
	}
	out, err := s.quietly(ctx, "version", "-o", "json")
	if err != nil {
		return err
	}
	var v struct {
		Daemon struct {
			Instance string `json:"instance"`
		} `json:"daemon"`
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	s.instance = v.Daemon.Instance
	return nil
}

func orNothing(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

// clear ends whatever still runs, in order: the domain, the events, the daemon, and what they may have left.
func (s *stage) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), clearLimit)
	defer cancel()
	if s.daemon != nil {
		// Both fail when the demo came to its end: there is no such domain any more.
		_ = s.command(ctx, "destroy", "demo").Run()
		_ = s.command(ctx, "undefine", "demo").Run()
	}
	if s.events != nil {
		_ = s.events.cmd.Process.Signal(os.Interrupt)
		wait(ctx, s.events.done)
	}
	if s.daemon != nil {
		s.say("The daemon stops.")
		_ = s.daemon.Process.Signal(syscall.SIGTERM)
		select {
		case s.outcome = <-s.ended:
		case <-ctx.Done():
			_ = s.daemon.Process.Kill()
			s.outcome = <-s.ended
		}
	}
}

// checkDaemon tells whether the daemon ended as it should.
func (s *stage) checkDaemon() error {
	if s.outcome != nil {
		return fmt.Errorf("davitd: %w", s.outcome)
	}
	return nil
}

func wait(ctx context.Context, done <-chan struct{}) {
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (s *stage) removeFolder() error {
	if err := os.RemoveAll(s.folder); err != nil {
		return fmt.Errorf("remove the demo's folder: %w", err)
	}
	return nil
}
