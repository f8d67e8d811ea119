//go:build linux

package cli_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/davitd/davit/client/cli"
	"github.com/davitd/davit/internal/testdaemon"
)

// writeTo runs the program with an output that fails.
func writeTo(out *os.File, args ...string) (code int, stderr string) {
	var errOut bytes.Buffer
	code = cli.Main(args, cli.IO{
		In: strings.NewReader(""), Out: out, Err: &errOut, Env: func(string) string { return "" }, Version: "0.1.0",
	})
	return code, errOut.String()
}

// TestBrokenPipe ends without a word when nobody reads any more.
func TestBrokenPipe(t *testing.T) {
	d := testdaemon.Start(t)
	if r := run(t, d.Socket, "", "define", "testdata/web.xml"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	for _, args := range [][]string{{"list", "--all"}, {"event", "--list"}, {"event", "--all", "--loop", "--oldest"}, {"dumpxml", "web"}, {"nonsense"}} {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
		code, stderr := writeTo(writer, append([]string{"-c", d.Socket}, args...)...)
		if args[0] != "nonsense" && (code != 1 || stderr != "") {
			t.Errorf("%q with nobody reading: exit code %d, %q; want 1 in silence", args, code, stderr)
		}
		if args[0] == "nonsense" && stderr == "" {
			t.Errorf("%q writes nothing to its output and says nothing", args)
		}
		_ = writer.Close()
	}
}

// TestFullDisk says that its output was lost.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("needs /dev/full: %v", err)
	}
	defer func() { _ = full.Close() }()
	code, stderr := writeTo(full, "event", "--list")
	if want := "error: Failed to write output: No space left on device\n"; code != 1 || stderr != want {
		t.Errorf("exit code %d, %q; want 1, %q", code, stderr, want)
	}
}
