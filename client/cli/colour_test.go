//go:build linux

package cli_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/client/cli"
	"github.com/davitd/davit/internal/pty"
	"github.com/davitd/davit/internal/testdaemon"
)

// printed runs the program in an environment, with its output on a terminal or in a pipe, and returns what it wrote.
func printed(t *testing.T, terminal bool, env map[string]string, args ...string) string {
	t.Helper()
	var all bytes.Buffer
	out := io.Writer(&all)
	var user, line *os.File
	read := make(chan struct{})
	close(read)
	if terminal {
		var err error
		if user, line, err = pty.Open(); err != nil {
			t.Fatal(err)
		}
		out, read = line, make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.Copy(&all, user) // ends with an error when the other end is closed
		}()
	}
	cli.Main(args, cli.IO{
		In: strings.NewReader(""), Out: out, Err: out, Version: "0.1.0",
		Env: func(name string) string { return env[name] },
	})
	if terminal {
		_ = line.Close()
	}
	<-read
	if terminal {
		_ = user.Close()
	}
	return all.String()
}

func TestColours(t *testing.T) {
	d, _ := echoDomain(t)
	const painted, plain = "\x1b[2mshut off\x1b[0m\n\n", "shut off\n\n"
	tests := []struct {
		name     string
		terminal bool
		env      map[string]string
		option   string
		want     string
	}{
		{"terminal", true, nil, "auto", painted},
		{"pipe", false, nil, "auto", plain},
		{"NO_COLOR", true, map[string]string{"NO_COLOR": "1"}, "auto", plain},
		{"dumb terminal", true, map[string]string{"TERM": "dumb"}, "auto", plain},
		{"CLICOLOR_FORCE", false, map[string]string{"CLICOLOR_FORCE": "1"}, "auto", painted},
		{"CLICOLOR_FORCE=0", false, map[string]string{"CLICOLOR_FORCE": "0"}, "auto", plain},
		{"both", false, map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, "auto", plain},
		{"never", true, nil, "never", plain},
		{"always", false, map[string]string{"NO_COLOR": "1"}, "always", painted},
	}
	for _, tt := range tests {
		got := printed(t, tt.terminal, tt.env, "-c", d.Socket, "--color", tt.option, "domstate", "echo")
		if got = strings.ReplaceAll(got, "\r\n", "\n"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got, want := printed(t, true, nil, "-c", d.Socket, "domid", "x\x1b[2J"),
		"\x1b[31merror:\x1b[0m failed to get domain 'x\\x1b[2J'\r\n\r\n"; got != want {
		t.Errorf("error: %q, want %q", got, want)
	}
	if got, want := printed(t, false, nil, "--color=blue", "list"),
		"error: option --color: unknown value 'blue', expecting 'auto', 'always', or 'never'\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestListIsPainted does not count the colours as width.
func TestListIsPainted(t *testing.T) {
	d := stage(t)
	got := printed(t, false, map[string]string{"CLICOLOR_FORCE": "1"}, "-c", d.Socket, "list", "--state-running", "--state-paused", "--title")
	want := "" +
		" Id   Name   State     Title\n" +
		"------------------------------\n" +
		" 1    up     \x1b[32mrunning\x1b[0m   \n" +
		" 2    it's   \x1b[33mpaused\x1b[0m    \n\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLocale writes what a terminal cannot show as escapes, and nothing else of them.
func TestLocale(t *testing.T) {
	d := testdaemon.Start(t)
	define(t, d.Client(), "日本🚢é")
	const ship = " -    日本🚢é   shut off\n\n"
	const escaped = ` -    \u65e5\u672c\U0001f6a2\u00e9   shut off` + "\n\n"
	tests := []struct {
		terminal bool
		env      map[string]string
		want     string
	}{
		{true, map[string]string{"LC_ALL": "C"}, escaped},
		{true, map[string]string{"LC_CTYPE": "de_DE.ISO-8859-1", "LANG": "de_DE.UTF-8"}, escaped},
		{true, map[string]string{"LANG": "de_DE.UTF-8"}, ship},
		{true, map[string]string{"LC_ALL": "C.utf8", "LANG": "C"}, ship},
		{true, nil, ship},
		{false, map[string]string{"LC_ALL": "C"}, ship},
	}
	for _, tt := range tests {
		got := printed(t, tt.terminal, tt.env, "-c", d.Socket, "--color=never", "list", "--all")
		if got = strings.ReplaceAll(got, "\r\n", "\n"); !strings.HasSuffix(got, "\n"+tt.want) {
			t.Errorf("%v, terminal %v: %q, want %q", tt.env, tt.terminal, got, tt.want)
		}
		lines := strings.Split(got, "\n")
		if rule, row := cli.Cells(lines[1]), cli.Cells(lines[2]); rule != row+2 {
			t.Errorf("%v: the rule takes %d cells, the row %d", tt.env, rule, row)
		}
	}
}
