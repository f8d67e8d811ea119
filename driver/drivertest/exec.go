package drivertest

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
)

var execTests = []testcase{
	execExits, execIsSignalled, execNotFound, execReadsInput, execWritesErrors, execHasEnvironment, execHasTerminal,
	execOutrunsCaller, execOutrunsNobody, execIsFed, execDetached, execNameTaken, execAttachTaken, execAttachUnknown, execDiesWithGuest, execEndsWithCaller, execSurvivesDaemon,
}

func command(argv ...string) driver.ExecOptions {
	return driver.ExecOptions{ID: domain.NewUUID(), Argv: argv}
}

func execExits(s *suite) {
	l := s.start(idle).ready()
	for script, code := range map[string]uint32{"true": 0, "false": 1, "exit 3": 3, "echo out; exit 255": 255} {
		x := l.exec(command("sh", "-c", script))
		if x.Opened().PID == 0 {
			s.Errorf("%q: no process id", script)
		}
		if x.rest(); x.exit == nil || x.exit.GetSignal() != 0 || x.exit.GetCode() != code {
			s.Errorf("%q: exit %v, want code %d", script, x.exit, code)
		}
		if want := strings.Contains(script, "out"); want != (x.got.String() == "out\n") {
			s.Errorf("%q: output %q", script, x.got.String())
		}
	}
}

func execIsSignalled(s *suite) {
	l := s.start(idle).ready()
	x := l.exec(command("sleep", "infinity"))
	if err := x.Signal(int(syscall.SIGTERM)); err != nil {
		s.Fatalf("signal: %v", err)
	}
	if x.rest(); x.exit.GetSignal() != uint32(syscall.SIGTERM) {
		s.Errorf("exit %v, want signal 15", x.exit)
	}
}

func execNotFound(s *suite) {
	l := s.start(idle).ready()
	for _, program := range []string{"/nonexistent/program", "no-such-program"} {
		if _, err := l.Exec(s.Context(), command(program)); !errors.Is(err, domain.ErrNotFound) {
			s.Errorf("exec %q: %v, want NOT_FOUND", program, err)
		}
	}
}

func execReadsInput(s *suite) {
	l := s.start(idle).ready()
	o := command("cat")
	o.Stdin = true
	x := l.exec(o)
	x.send("one\n")
	x.until("one\n")
	x.send("two\n")
	if err := x.CloseSend(); err != nil {
		s.Fatalf("close input: %v", err)
	}
	if x.rest(); x.got.String() != "one\ntwo\n" || x.exit.GetCode() != 0 {
		s.Errorf("output %q, exit %v", x.got.String(), x.exit)
	}
	if x = l.exec(command("cat")).rest(); x.got.Len() != 0 {
		s.Errorf("a command without input reads %q", x.got.String())
	}
}

func execWritesErrors(s *suite) {
	l := s.start(idle).ready()
	x := l.exec(command("sh", "-c", "echo out; echo err >&2")).rest()
	if x.got.String() != "out\n" || x.stderr.String() != "err\n" {
		s.Errorf("output %q, errors %q", x.got.String(), x.stderr.String())
	}
}

func execHasEnvironment(s *suite) {
	l := s.start(idle).ready()
	o := command("env")
	o.Env = []string{"COLOUR=blue"}
	if got := "\n" + l.exec(o).rest().got.String(); !strings.Contains(got, "\nCOLOUR=blue\n") || !strings.Contains(got, "\nPATH=") {
		s.Errorf("environment %q", got)
	}
}

func execHasTerminal(s *suite) {
	l := s.start(idle).ready()
	o := command("sh", "-c", "tty; cat")
	o.TTY, o.Stdin, o.Rows, o.Columns = true, true, 24, 80
	x := l.exec(o)
	x.until("/dev/pts/")
	x.send("typed\n")
	x.until(twice("typed"))
	if err := x.Resize(50, 132); err != nil {
		s.Errorf("resize: %v", err)
	}
	x.send("\x03")
	if x.rest(); x.exit.GetSignal() != uint32(syscall.SIGINT) && x.exit.GetCode() != 130 {
		s.Errorf("exit %v, want ^C to interrupt", x.exit)
	}
}

// line is 1000 bytes with its end, and many write it often enough to fill what is between a command and its caller.
var line = strings.Repeat("0123456789", 100)[:999]

func many(times int) string { return strings.Repeat("echo $LINE; ", times) }

// A caller that reads late misses nothing of what a command wrote meanwhile; the command waits for it.
func execOutrunsCaller(s *suite) {
	l := s.start(idle).ready()
	const times = 1000
	o := command("sh", "-c", many(times)+"echo end >&2; exit 3")
	o.Env = []string{"LINE=" + line}
	x, err := l.Exec(s.Context(), o)
	if err != nil {
		s.Fatalf("exec: %v", err)
	}
	<-time.After(300 * time.Millisecond) // it has time to write what nobody reads
	read := newStream(s.T, s.patience, x).rest()
	if want := strings.Repeat(line+"\n", times); read.got.String() != want {
		s.Errorf("%d bytes of output, want %d", read.got.Len(), len(want))
	}
	if read.stderr.String() != "end\n" || read.exit.GetCode() != 3 {
		s.Errorf("errors %q, exit %v, want code 3", read.stderr.String(), read.exit)
	}
}

// Without a caller a command waits for nobody, and the last that it wrote is kept.
func execOutrunsNobody(s *suite) {
	l := s.start(idle).ready()
	o := command("sh", "-c", "echo first; sleep 0.2; "+many(500)+"exit 5")
	o.Env, o.Detach = []string{"LINE=" + line}, true
	x := l.exec(o)
	x.until("first")
	x.close()
	l.until("the command has ended", func() bool { return l.process(x.Opened().PID) == nil })
	again := l.exec(driver.ExecOptions{ID: o.ID, Attach: true}).rest()
	if n := again.got.Len(); n < 32<<10 || n > 128<<10 || !strings.HasSuffix(again.got.String(), line+"\n") {
		s.Errorf("%d bytes are kept, want some 64 KiB, the last", n)
	}
	if again.exit.GetCode() != 5 {
		s.Errorf("exit %v, want code 5", again.exit)
	}
}

// A command gets all that it is sent, and gives all of it back, whoever of the two is slower.
func execIsFed(s *suite) {
	l := s.start(idle).ready()
	o := command("cat")
	o.Stdin = true
	x := l.exec(o)
	text := strings.Repeat(line+"\n", 1000)
	sent := make(chan error, 1)
	go func() {
		for piece := range slices.Chunk([]byte(text), 10000) {
			if err := x.Send(piece); err != nil {
				sent <- err
				return
			}
		}
		sent <- x.CloseSend()
	}()
	if x.rest(); x.got.String() != text || x.exit.GetCode() != 0 {
		s.Errorf("%d bytes of %d came back, exit %v", x.got.Len(), len(text), x.exit)
	}
	if err := <-sent; err != nil {
		s.Errorf("send: %v", err)
	}
}

// A session has one caller at a time.
func execAttachTaken(s *suite) {
	l := s.start(idle).ready()
	o := command("sleep", "infinity")
	o.Detach = true
	x := l.exec(o)
	if _, err := l.Exec(s.Context(), driver.ExecOptions{ID: o.ID, Attach: true}); !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("attach: %v, want FAILED_PRECONDITION", err)
	}
	x.close()
	l.until("the session is free", func() bool {
		again, err := l.Exec(s.Context(), driver.ExecOptions{ID: o.ID, Attach: true})
		return err == nil && again.Close() == nil
	})
}

// A command that is kept runs on without a caller, and its output and exit are there for the next.
func execDetached(s *suite) {
	l := s.start(idle).ready()
	o := command("sh", "-c", "echo first; sleep 0.3; echo second; exit 4")
	o.Detach = true
	x := l.exec(o)
	x.until("first")
	x.close()
	again := l.exec(driver.ExecOptions{ID: o.ID, Attach: true}).rest()
	if again.got.String() != "first\nsecond\n" || again.exit.GetCode() != 4 {
		s.Errorf("output %q, exit %v", again.got.String(), again.exit)
	}
	late := l.exec(driver.ExecOptions{ID: o.ID, Attach: true}).rest()
	if late.exit.GetCode() != 4 {
		s.Errorf("exit %v for who comes late, want code 4", late.exit)
	}
}

func execNameTaken(s *suite) {
	l := s.start(idle).ready()
	o := command("sleep", "infinity")
	l.exec(o)
	if _, err := l.Exec(s.Context(), o); !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("exec: %v, want FAILED_PRECONDITION", err)
	}
}

func execAttachUnknown(s *suite) {
	l := s.start(idle).ready()
	_, err := l.Exec(s.Context(), driver.ExecOptions{ID: domain.NewUUID(), Attach: true})
	if !errors.Is(err, domain.ErrNotFound) {
		s.Errorf("attach: %v, want NOT_FOUND", err)
	}
}

func execDiesWithGuest(s *suite) {
	l := s.start(idle).ready()
	x := l.exec(command("sleep", "infinity"))
	l.kill()
	if x.rest(); x.exit.GetSignal() != uint32(syscall.SIGKILL) {
		s.Errorf("exit %v, want signal 9", x.exit)
	}
}

// A command whose caller goes away does not stay.
func execEndsWithCaller(s *suite) {
	l := s.start(idle).ready()
	x := l.exec(command("sleep", "infinity"))
	x.close()
	l.until("the command is gone", func() bool { return l.process(x.Opened().PID) == nil })
}

// A command that is kept can be attached to after the daemon was started again.
func execSurvivesDaemon(s *suite) {
	l := s.start(idle).ready()
	o := command("sh", "-c", "echo first; sleep 0.5; exit 8")
	o.Detach = true
	l.exec(o).until("first")
	s.reopen()
	l.recover()
	if x := l.exec(driver.ExecOptions{ID: o.ID, Attach: true}).rest(); x.exit.GetCode() != 8 || x.got.String() != "first\n" {
		s.Errorf("output %q, exit %v", x.got.String(), x.exit)
	}
}
