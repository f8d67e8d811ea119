package native_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A serial port is a terminal at /dev/ttyS and its number that can be opened by its alias; what it and a console say is in the files
// that the definition names, anew with each start or going on, also over a reboot of the guest.
func TestSerialAndLogFiles(t *testing.T) {
	h := newHost(t, "10900002")
	d := closing(t, h.open(t))
	dir := t.TempDir()
	spec := h.spec("test -c /dev/ttyS3 && echo from console; echo from serial >/dev/ttyS3; read x </dev/ttyS3; exit 7")
	devices := spec.Definition.GetDevices()
	devices.Console = []*davitv1.Console{{LogFile: filepath.Join(dir, "console")}}
	devices.Serial = []*davitv1.Serial{{TargetPort: new(uint32(3)), LogFile: filepath.Join(dir, "serial"), LogAppend: new(true)}}
	for range 2 {
		i := start(t, d, spec)
		stream, err := i.OpenConsole(t.Context(), driver.ConsoleOptions{Alias: "serial0"})
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send([]byte("x\n")); err != nil {
			t.Error(err)
		}
		events(t, i)
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
		kill(t, i)
	}
	for name, want := range map[string]int{"console": 1, "serial": 2} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.Count(string(text), "from "+name) != want {
			t.Errorf("the file of the %s has %q, %v, want %d lines", name, text, err, want)
		}
	}
	h.empty(t)

	// A start that fails leaves what the last run said.
	program := spec.Definition.Os.Init
	spec.Definition.Os.Init = "/nonexistent/init"
	if _, err := d.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("a start without init: %v", err)
	}
	spec.Definition.Os.Init = program
	if text, err := os.ReadFile(filepath.Join(dir, "console")); err != nil || !strings.Contains(string(text), "from console") {
		t.Errorf("after a start that failed the file of the console has %q, %v", text, err)
	}
	h.empty(t)

	// Nothing is made for a domain whose file cannot be.
	devices.Console[0].LogFile = filepath.Join(dir, "absent", "console")
	if _, err := d.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "its folder does not exist and is not made") {
		t.Errorf("a start without the folder: %v", err)
	}
	h.empty(t)
}

// A file that a console of a running domain is written to is no domain's of another davitd of the host, also after the file was rotated and
// its own davitd has ended; the error names the file and the domain. Nothing of the file is lost, and it is free when the domain has ended.
func TestLogFileOfAnotherDavitd(t *testing.T) {
	one, two := newHost(t, "10900003"), newHost(t, "10900004")
	two.options.Pool = one.options.Pool
	file := filepath.Join(t.TempDir(), "console")
	logged := func(h *host) driver.Spec {
		spec := h.spec("echo said; " + idle)
		spec.Definition.GetDevices().Console = []*davitv1.Console{{LogFile: file}}
		return spec
	}
	first, second := one.open(t), closing(t, two.open(t))
	spec := logged(one)
	start(t, first, spec)
	refused := func(when string) {
		t.Helper()
		other := logged(two)
		_, err := second.Start(t.Context(), other)
		for _, want := range []string{file, "running domain " + strconv.Quote(spec.Definition.GetName()), spec.UUID, one.options.StateDir, "/domain/devices/console[1]/log/@file"} {
			if !errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", when, err, want)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(two.options.StateDir, "*")); len(left) > 0 {
			t.Errorf("%s: state is left: %q", when, left)
		}
	}
	waitFile(t, file, "said")
	refused("while it runs")
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "said") {
		t.Errorf("after a start that was refused the file has %q, %v", text, err)
	}
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	refused("rotated")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	refused("its davitd has ended")

	first = closing(t, one.open(t))
	running, err := first.Recover(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err = first.Sweep(t.Context(), []driver.Ref{spec.Ref}); err != nil {
		t.Fatal(err)
	}
	refused("recovered")
	kill(t, running)
	kill(t, start(t, second, logged(two)))
	if left, err := os.ReadDir(filepath.Join(one.options.Pool.Dir, "consoles")); err != nil || len(left) != 0 {
		t.Errorf("listed are %v, %v", left, err)
	}
}

// waitFile waits until a file has a text.
func waitFile(t *testing.T, name, want string) {
	t.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(name)
		if strings.Contains(string(text), want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s has %q, %v, want %q", name, text, err, want)
		}
	}
}
