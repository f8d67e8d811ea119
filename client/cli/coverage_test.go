package cli_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/davitd/davit/client/cli"
)

// TestEveryCommandHasATranscript looks for a command in testdata that nobody plays.
func TestEveryCommandHasATranscript(t *testing.T) {
	played := playedCommands(t)
	root := cli.New(cli.IO{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Env: func(string) string { return "" }})
	count := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		path := strings.TrimSpace(strings.TrimPrefix(c.CommandPath(), root.Name()))
		if path == "" || c.Hidden {
			return
		}
		count++
		if !slices.ContainsFunc(played, func(line string) bool { return plays(line, path) }) {
			t.Errorf("no transcript plays %q", path)
		}
	}
	visit(root)
	if count < 60 {
		t.Errorf("the tree has %d commands: it is not looked at as it should be", count)
	}
}

// playedCommands are the command lines of all transcripts.
func playedCommands(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(script)) {
			if command, ok := strings.CutPrefix(line, "$ davit "); ok {
				all = append(all, strings.TrimSpace(command))
			}
		}
	}
	return all
}

// plays tells whether a line runs a command, which options of the program may precede.
func plays(line, path string) bool {
	for strings.HasPrefix(line, "-") {
		option, rest, _ := strings.Cut(line, " ")
		if slices.Contains([]string{"-c", "-o", "--connect", "--output"}, option) {
			_, rest, _ = strings.Cut(rest, " ")
		}
		line = rest
	}
	return line == path || strings.HasPrefix(line, path+" ")
}
