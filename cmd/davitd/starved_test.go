package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A davitd that may open no more descriptors refuses, with the reason, what needs one, does nothing by half and answers what needs
// none; once it may open more it goes on as ever, for those as well who came meanwhile. REL-13.
func TestNoDescriptors(t *testing.T) {
	s := newSite(t, "fake")
	d := s.launch(t)
	c := s.client(t)
	s.define(t, c, "first")
	var was unix.Rlimit
	if err := unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: 1 << 10}, &was); err != nil {
		t.Fatal(err)
	}
	source := &davitv1.DefineDomainRequest{Source: client.XML(s.document("second"))}
	for what, act := range map[string]func() error{
		"define": func() error { _, err := c.DefineDomain(t.Context(), source); return err },
		"start":  func() error { return startDomain(t.Context(), c, "first") },
		"undefine": func() error {
			_, err := c.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: client.ByName("first")})
			return err
		},
	} {
		if err := act(); !errors.Is(err, domain.ErrExhausted) {
			t.Errorf("%s without a descriptor: %v, want RESOURCE_EXHAUSTED", what, err)
		}
	}
	if got := look(t, c, "first").GetState(); got != shutoff {
		t.Errorf("the first is %v", got)
	}
	if _, err := c.Lookup(t.Context(), "second"); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("the second is there, or %v", err)
	}
	late := s.client(t)
	connected := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(2*time.Minute))
		defer cancel()
		for ctx.Err() == nil && late.Connect(ctx) != nil {
			<-time.After(50 * time.Millisecond)
		}
		connected <- ctx.Err()
	}()
	if err := unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: was.Cur, Max: 1 << 10}, nil); err != nil {
		was.Cur = 1 << 10
		if err = unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 10, Max: 1 << 10}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-connected; err != nil {
		t.Fatalf("who came meanwhile: %v", err)
	}
	s.define(t, late, "second")
	for _, name := range []string{"first", "second"} {
		if err := startDomain(t.Context(), late, name); err != nil {
			t.Errorf("start %s: %v", name, err)
		}
	}
	destroyMany(t, c, []string{"first", "second"})
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}

// While davitd is stopped its domains go on, and what happened to them meanwhile is told, as it was, once it goes on itself. REL-18.
func TestStoppedDaemon(t *testing.T) {
	s := newSite(t, "lxc")
	d := s.launch(t)
	a := s.attendAll(t)
	c := s.client(t)
	const every = 300 * time.Millisecond
	if _, err := c.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(s.restless("web", every))}); err != nil {
		t.Fatal(err)
	}
	if err := startDomain(t.Context(), c, "web"); err != nil {
		t.Fatal(err)
	}
	a.until(t, "it rebooted", all(1, func(l *tale) bool { return l.reboots > 0 }))
	if err := d.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(10 * every)
	if err := d.cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	now := look(t, c, "web")
	a.until(t, "it went on", all(1, func(l *tale) bool { return l.reboots > now.GetReboots() }))
	destroy(t, c, "web")
	a.until(t, "it was destroyed", all(1, func(l *tale) bool { return !l.on && l.ends == 1 && l.starts == 1 }))
	a.compare(t, c)
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}
