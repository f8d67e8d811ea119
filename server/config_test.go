package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/server"
)

func TestDefaultIsValidAndWritten(t *testing.T) {
	for _, want := range []server.Config{server.Default(), server.Rooted("/some/where \"else\"")} {
		got, err := server.ParseConfig(want.TOML(), "written", server.Config{})
		if err != nil {
			t.Fatalf("%v\n%s", err, want.TOML())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	var check func(reflect.Type)
	check = func(table reflect.Type) {
		for f := range table.Fields() {
			if f.Tag.Get("toml") == "" || len(f.Tag.Get("doc")) < 5 {
				t.Errorf("%s.%s has no key or no doc", table.Name(), f.Name)
			}
			if f.Type.Kind() == reflect.Struct {
				check(f.Type)
			}
		}
	}
	check(reflect.TypeFor[server.Config]())
}

func TestConfigIsReadOverTheDefault(t *testing.T) {
	got, err := server.ParseConfig(`
driver = "fake"
events.max_lag = 7
logs.keep = "90m"
[socket]
read_only = false
group = "12"
[log]
level = "debug"
`, "test", server.Default())
	if err != nil {
		t.Fatal(err)
	}
	want := server.Default()
	want.Driver, want.Events.MaxLag, want.Socket.ReadOnly, want.Socket.Group, want.Log.Level = "fake", 7, false, "12", "debug"
	want.Logs.Keep = 90 * time.Minute
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// All faults of a file come at once, each with its line.
func TestConfigFaults(t *testing.T) {
	_, err := server.ParseConfig(strings.TrimPrefix(`
drivr = "fake"
cgroup_root = 3
level = "debug"
[events]
max_event = 5
max_lag = "many"
max_bytes = 1
[paths]
lib = "relative"
[sockets]
group = "x"
[idmap]
base = 0
count = 70000
[socket]
group = "no such group"
[log]
level = "loud"
format = "xml"
entirely_different = true
[logs]
keep = 3
max_files = 0
max_gone = "2h"
[audit]
kernel = "on"
max_files = 0
`, "\n"), "davitd.toml", server.Default())
	var e *domain.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v", err)
	}
	var got []string
	for _, v := range e.Violations {
		got = append(got, v.String())
	}
	want := []string{
		`1:0: drivr: no such key, is "driver" meant?`,
		`2:0: cgroup_root: 3 is not a text in quotes`,
		`3:0: level: no such key, is "log.level" meant?`,
		`5:0: events.max_event: no such key, is "events.max_events" meant?`,
		`6:0: events.max_lag: many is not a whole number`,
		`7:0: events.max_bytes: 1 is not from 65536 to 1099511627776`,
		`9:0: paths.lib: "relative" is not an absolute path`,
		`10:0: sockets: no such key, is "socket" meant?`,
		`13:0: idmap.base: 0 is not from 100000 to 2147483647`,
		`14:0: idmap.count: the last range ends at id 4587519999, the last id is 2147483647`,
		`16:0: socket.group: group "no such group" is not in /etc/group`,
		`18:0: log.level: "loud" is none of debug, info, warn and error`,
		`19:0: log.format: "xml" is none of auto, json and console`,
		`20:0: log.entirely_different: no such key`,
		`22:0: logs.keep: 3 is not a duration in quotes, as in "36h" or "90s"`,
		`23:0: logs.max_files: 0 is not from 1 to 100`,
		`24:0: logs.max_gone: 2h is not a whole number`,
		`26:0: audit.kernel: "on" is neither "auto" nor "off"`,
		`27:0: audit.max_files: 0 is not from 1 to 1000`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A pool of ids ends where the kernel's terminals do, and what does not fit is refused here, with its line, not at the start.
func TestConfigPool(t *testing.T) {
	read := func(count string) error {
		_, err := server.ParseConfig("[idmap]\nbase = 1000000\nsize = 65536\ncount = "+count+"\n", "davitd.toml", server.Default())
		return err
	}
	if err := read("32752"); err != nil {
		t.Errorf("the largest pool: %v", err)
	}
	err := read("32753")
	if err == nil || !strings.Contains(err.Error(), "4:0: idmap.count: the last range ends at id 2147500607, the last id is 2147483647") {
		t.Errorf("a pool that is one range too large: %v", err)
	}
}

func TestConfigSyntaxFault(t *testing.T) {
	_, err := server.ParseConfig("driver = \"fake\"\nlevel = = 3\n", "davitd.toml", server.Default())
	var e *domain.Error
	if !errors.As(err, &e) || len(e.Violations) != 1 || e.Violations[0].Line != 2 || !strings.Contains(err.Error(), "davitd.toml") {
		t.Errorf("error is %v", err)
	}
}

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "davitd.toml")
	got, err := server.ReadConfig(path, false, server.Default())
	if err != nil || !cmp.Equal(got, server.Default()) {
		t.Errorf("without a file: %v, %v", got, err)
	}
	if _, err = server.ReadConfig(path, true, server.Default()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("file that was asked for: %v", err)
	}
	if err = os.WriteFile(path, []byte(`driver = "fake"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err = server.ReadConfig(path, true, server.Default()); err != nil || got.Driver != "fake" {
		t.Errorf("read %v, %v", got, err)
	}
	if err = os.WriteFile(path, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = server.ReadConfig(path, true, server.Default()); err == nil || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("file that is too long: %v", err)
	}
}

func TestMonitorIsFound(t *testing.T) {
	dir := t.TempDir()
	named, other := filepath.Join(dir, "named"), filepath.Join(dir, "other")
	for _, path := range []string{named, other} {
		if err := os.WriteFile(path, nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c := server.Default()
	c.MonitorPath = named
	t.Setenv("DAVIT_MONITOR", other)
	if got, err := c.Monitor(); err != nil || got != named {
		t.Errorf("monitor is %q, %v", got, err)
	}
	c.MonitorPath = ""
	if got, err := c.Monitor(); err != nil || got != other {
		t.Errorf("monitor is %q, %v", got, err)
	}
	if err := os.Chmod(other, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Monitor(); err == nil {
		t.Errorf("monitor is %q, though $DAVIT_MONITOR is no program", got)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(server.Default().TOML())
	f.Add("[a]\n[[a]]\n a.b.c = [1, {x = 2}]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := server.ParseConfig(text, "fuzz", server.Default())
		if err != nil {
			return
		}
		again, err := server.ParseConfig(c.TOML(), "again", server.Config{})
		if err != nil || !cmp.Equal(again, c) {
			t.Errorf("written and read again: %v, %v\n%s", again, err, c.TOML())
		}
	})
}
