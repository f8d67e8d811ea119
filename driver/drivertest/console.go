package drivertest

import (
	"errors"
	"strings"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var consoleTests = []testcase{
	consoleEchoes, consoleResumes, consoleHasOneWriter, consoleReadOnly, consoleUnknown, consoleEndsWithGuest,
	consoleFollows, consoleSecond,
}

const reads = "echo ready; cat"

// twice is what is seen of a line that is typed: the terminal's echo, and cat's output.
func twice(line string) string { return strings.Repeat(line+"\r\n", 2) }

func consoleEchoes(s *suite) {
	l := s.start(reads).ready()
	c := l.console(driver.ConsoleOptions{})
	if name := c.Opened().Name; name != "console0" {
		s.Errorf("opened %q, want console0", name)
	}
	c.send("hello\n")
	c.until(twice("hello"))
	if err := c.Resize(40, 100); err != nil {
		s.Errorf("resize: %v", err)
	}
}

// Every byte has an offset that never changes, and can be read again from there.
func consoleResumes(s *suite) {
	l := s.start(reads).ready()
	c := l.console(driver.ConsoleOptions{Scrollback: true})
	c.until("ready\r\n")
	c.send("one\n")
	c.until(twice("one"))
	c.close()
	again := l.console(driver.ConsoleOptions{Scrollback: true})
	if again.offset != 0 {
		s.Errorf("the oldest byte has offset %d, want 0", again.offset)
	}
	again.until(twice("one"))
	if got := again.got.String(); got != c.got.String() {
		s.Errorf("read again %q, was %q", got, c.got.String())
	}
	again.close()
	at := uint64(strings.Index(c.got.String(), "one"))
	from := l.console(driver.ConsoleOptions{Offset: &at})
	from.until(twice("one"))
	if got := from.got.String(); got != twice("one") {
		s.Errorf("from offset %d: %q", at, got)
	}
}

func consoleHasOneWriter(s *suite) {
	l := s.start(reads).ready()
	first := l.console(driver.ConsoleOptions{})
	if _, err := l.OpenConsole(s.Context(), driver.ConsoleOptions{}); !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("open a second time: %v, want FAILED_PRECONDITION", err)
	}
	reader := l.console(driver.ConsoleOptions{ReadOnly: true})
	second := l.console(driver.ConsoleOptions{Force: true})
	if first.rest(); !first.taken {
		s.Error("the first was not told that its console was taken")
	}
	second.send("mine\n")
	second.until(twice("mine"))
	reader.until(twice("mine"))
	second.close()
	l.console(driver.ConsoleOptions{}).close()
}

func consoleReadOnly(s *suite) {
	l := s.start(reads).ready()
	c := l.console(driver.ConsoleOptions{ReadOnly: true})
	if err := c.Send([]byte("no\n")); err == nil {
		s.Error("a read-only console takes input")
	}
}

func consoleUnknown(s *suite) {
	l := s.start(idle).ready()
	if _, err := l.OpenConsole(s.Context(), driver.ConsoleOptions{Alias: "console9"}); !errors.Is(err, domain.ErrNotFound) {
		s.Errorf("open: %v, want NOT_FOUND", err)
	}
}

// The last words of a guest arrive before the end.
func consoleEndsWithGuest(s *suite) {
	l := s.start("trap 'echo bye; exit 0' TERM; echo ready; sleep infinity & wait").ready()
	c := l.console(driver.ConsoleOptions{})
	if err := l.Shutdown(s.Context(), 0, false); err != nil {
		s.Fatal(err)
	}
	if got := c.rest().got.String(); !strings.HasSuffix(got, "bye\r\n") || c.taken {
		s.Errorf("the console ends with %q", got)
	}
}

func consoleFollows(s *suite) {
	l := s.start("echo ready; sleep 0.2; exit 1", restartOn(poweroff))
	c := l.console(driver.ConsoleOptions{Follow: true, Scrollback: true})
	c.until(twice("ready"))
	l.kill()
	c.rest()
}

func consoleSecond(s *suite) {
	l := s.start(idle, func(def *davitv1.Domain) {
		def.Devices.Console = append(def.Devices.Console, &davitv1.Console{})
	}).ready()
	c := l.console(driver.ConsoleOptions{Alias: "console1"})
	c.send("typed\n")
	c.until("typed\r\n")
	if first := l.console(driver.ConsoleOptions{Scrollback: true, ReadOnly: true}); strings.Contains(first.got.String(), "typed") {
		s.Error("what is typed at the second console shows on the first")
	}
}
