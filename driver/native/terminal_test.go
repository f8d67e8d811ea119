package native_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davitd/davit/driver"
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
