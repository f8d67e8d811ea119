package drivertest

import (
	"strings"
	"syscall"
	"time"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var processTests = []testcase{processesListed, processSignalled, statsMeasure, initHasEnvironment, initHasDirectory}

// process finds a process by its id on the host.
func (l *life) process(pid uint32) *davitv1.Process {
	l.s.Helper()
	list, err := l.Processes(l.s.Context())
	if err != nil {
		l.s.Fatalf("processes: %v", err)
	}
	for _, p := range list {
		if p.GetPid() == pid {
			return p
		}
	}
	return nil
}

// until waits for something that nobody tells.
func (l *life) until(what string, holds func() bool) {
	l.s.Helper()
	late := time.After(l.s.patience)
	for !holds() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-late:
			l.s.Fatalf("not within %v: %s", l.s.patience, what)
		}
	}
}

func processesListed(s *suite) {
	l := s.start(idle).ready()
	x := l.exec(command("sleep", "1000"))
	init, slept := l.process(l.status().InitPID), l.process(x.Opened().PID)
	if init.GetGuestPid() != 1 || init.GetComm() != "sh" || init.GetState() == "" {
		s.Errorf("init is %v", init)
	}
	if slept.GetGuestPid() < 2 || strings.Join(slept.GetArgv(), " ") != "sleep 1000" {
		s.Errorf("the command is %v", slept)
	}
}

func processSignalled(s *suite) {
	l := s.start(idle).ready()
	x := l.exec(command("sleep", "1000"))
	guest := l.process(x.Opened().PID).GetGuestPid()
	if err := l.Signal(s.Context(), guest, int(syscall.SIGHUP)); err != nil {
		s.Fatalf("signal: %v", err)
	}
	if x.rest(); x.exit.GetSignal() != uint32(syscall.SIGHUP) {
		s.Errorf("exit %v, want signal 1", x.exit)
	}
	if !l.status().Running {
		s.Error("it does not run")
	}
}

func statsMeasure(s *suite) {
	l := s.start(idle).ready()
	st, err := l.Stats(s.Context())
	if err != nil {
		s.Fatalf("stats: %v", err)
	}
	if age := time.Since(st.GetTime().AsTime()); age < 0 || age > s.patience {
		s.Errorf("measured %v ago", age)
	}
	c, err := s.driver.Capabilities(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, controller := range c.Controllers {
		switch {
		case controller == "memory" && (st.GetMemoryBytes() == 0 || st.GetMemoryLimitBytes() != 256<<20):
			s.Errorf("memory %d of %d bytes", st.GetMemoryBytes(), st.GetMemoryLimitBytes())
		case controller == "pids" && st.GetPids() == 0:
			s.Error("no process is counted")
		}
	}
}

func initHasEnvironment(s *suite) {
	l := s.start("env; echo ready; sleep infinity", func(def *davitv1.Domain) {
		def.Os.Initenv = []*davitv1.InitEnv{{Name: "COLOUR", Value: "red and blue"}}
	}).ready()
	c := l.console(driver.ConsoleOptions{Scrollback: true, ReadOnly: true})
	c.until("ready")
	got := "\n" + strings.ReplaceAll(c.got.String(), "\r", "")
	for _, line := range []string{
		"container=lxc-libvirt", "container_uuid=" + l.spec.UUID, "LIBVIRT_LXC_UUID=" + l.spec.UUID,
		"LIBVIRT_LXC_NAME=" + l.spec.Definition.GetName(), "TERM=linux", "COLOUR=red and blue",
	} {
		if !strings.Contains(got, "\n"+line+"\n") {
			s.Errorf("no %q in the environment:%s", line, got)
		}
	}
}

func initHasDirectory(s *suite) {
	l := s.start("pwd; echo ready; sleep infinity", func(def *davitv1.Domain) { def.Os.Initdir = "/tmp" }).ready()
	c := l.console(driver.ConsoleOptions{Scrollback: true, ReadOnly: true})
	if c.until("ready"); !strings.Contains(c.got.String(), "/tmp\r\n") {
		s.Errorf("init is in %q, want /tmp", c.got.String())
	}
}
