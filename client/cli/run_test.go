package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/davitd/davit/client/cli"
)

// result is what a run of the program left.
type result struct {
	stdout, stderr string
	code           int
}

// run runs the program with a socket; in is its standard input.
func run(t *testing.T, socket, in string, args ...string) result {
	t.Helper()
	return runEditing(t, socket, in, "", args...)
}

// runEditing runs the program with an editor: a command to which the name of the file is added.
func runEditing(t *testing.T, socket, in, editor string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	env := func(name string) string {
		switch name {
		case "DAVIT_DEFAULT_URI":
			return socket
		case "EDITOR":
			return editor
		case "LIBVIRT_DEFAULT_URI", "VIRSH_DEFAULT_CONNECT_URI":
			return "/libvirt/is/not/asked.sock"
		}
		return ""
	}
	code := cli.Main(args, cli.IO{In: strings.NewReader(in), Out: &out, Err: &errOut, Env: env, Version: "0.1.0"})
	return result{out.String(), errOut.String(), code}
}
