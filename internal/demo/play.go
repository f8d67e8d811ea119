package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// play is the demonstration, in the order of a domain's life.
func (s *stage) play(ctx context.Context, definition string) error {
	if s.fake && os.Geteuid() != 0 {
		s.say("This is not root: the fake driver plays the containers. sudo make demo shows real ones.")
	}
	s.say("A daemon of its own, with all its state in %s.", s.folder)
	if err := s.startDaemon(ctx); err != nil {
		return err
	}
	if err := s.followEvents(ctx); err != nil {
		return err
	}
	steps := []func(context.Context) error{
		func(ctx context.Context) error { return s.define(ctx, definition) },
		s.start, s.look, s.inside, s.console, s.end,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) define(ctx context.Context, definition string) error {
	s.say("A domain is described once, in libvirt's XML.")
	if err := s.davit(ctx, "define", definition); err != nil {
		return err
	}
	return s.event(ctx, "Defined Added")
}

func (s *stage) start(ctx context.Context) error {
	s.say("It starts.")
	began := time.Now()
	if err := s.davit(ctx, "start", "demo"); err != nil {
		return err
	}
	took := time.Since(began)
	if err := s.event(ctx, "Started Booted"); err != nil {
		return err
	}
	out, err := s.quietly(ctx, "dominfo", "demo", "-o", "json")
	if err != nil {
		return err
	}
	var info struct {
		Domain struct {
			StartDuration string `json:"start_duration"`
		} `json:"domain"`
	}
	if err = json.Unmarshal(out, &info); err != nil {
		return fmt.Errorf("read dominfo: %w", err)
	}
	inDaemon, err := time.ParseDuration(info.Domain.StartDuration)
	if err != nil {
		return fmt.Errorf("read dominfo: %w", err)
	}
	s.say("The start took %s in the daemon, %s as the user sees it, the davit program included.",
		inDaemon.Round(10*time.Microsecond), took.Round(100*time.Microsecond))
	return nil
}

func (s *stage) look(ctx context.Context) error {
	s.say("What is there, and what is known about it.")
	if err := s.davit(ctx, "list"); err != nil {
		return err
	}
	return s.davit(ctx, "dominfo", "demo")
}

func (s *stage) inside(ctx context.Context) error {
	s.say("A command inside it; davit exits with the command's own code.")
	if err := s.davitExits(ctx, 3, "exec", "demo", "sh", "-c", "echo I am in $LIBVIRT_LXC_NAME, container=$container; exit 3"); err != nil {
		return err
	}
	if s.fake {
		return nil
	}
	s.say("Its own processes, devices and ids: root in there is nobody out here, and what it writes stays in there.")
	return s.davit(ctx, "exec", "demo", "sh", "-c", "cat /proc/1/comm; ls /dev; cat /proc/self/uid_map; id -u; touch /written-by-demo && ls /written-by-demo")
}

func (s *stage) end(ctx context.Context) error {
	s.say("It is asked to end, and removed.")
	if err := s.davit(ctx, "shutdown", "demo"); err != nil {
		return err
	}
	if err := s.event(ctx, "Stopped Shutdown"); err != nil {
		return err
	}
	if err := s.davit(ctx, "domstate", "demo", "--reason"); err != nil {
		return err
	}
	if err := s.davit(ctx, "undefine", "demo"); err != nil {
		return err
	}
	if err := s.event(ctx, "Undefined Removed"); err != nil {
		return err
	}
	return s.davit(ctx, "list", "--all")
}
