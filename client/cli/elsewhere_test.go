package cli_test

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/davitd/davit/client/cli"
)

// commandNames are the names of all commands of the program.
func commandNames() []string {
	root := cli.New(cli.IO{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Env: func(string) string { return "" }})
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	return names
}

// TestElsewhere finds commands in the lists of those that davit does not have: whoever adds one takes it out there.
func TestElsewhere(t *testing.T) {
	for _, name := range commandNames() {
		if told := cli.HintOf(name); told != "" {
			t.Errorf("%q is a command, and elsewhere.go says of it: %s", name, told)
		}
	}
	seen := map[string]bool{}
	for _, word := range cli.ElsewhereWords() {
		if seen[word] {
			t.Errorf("elsewhere.go has %q twice", word)
		}
		seen[word] = true
	}
}

// TestElsewhereNamesCommands follows what the hints send to.
func TestElsewhereNamesCommands(t *testing.T) {
	names := commandNames()
	quoted := regexp.MustCompile(`(?:^|[^a-z])'([a-z-]+)[^']*'`)
	sent := 0
	for _, text := range cli.ElsewhereTexts() {
		for _, found := range quoted.FindAllStringSubmatch(regexp.MustCompile(`='[^']*'`).ReplaceAllString(text, ""), -1) {
			sent++
			if !slices.Contains(names, found[1]) {
				t.Errorf("%q sends to %q, which is no command", text, found[1])
			}
		}
	}
	if sent < 30 {
		t.Errorf("the hints send to %d commands: they are not read as they should be", sent)
	}
}

// TestVirshCommands has every command of virsh either made or explained.
func TestVirshCommands(t *testing.T) {
	list, err := os.ReadFile("testdata/virsh-9.0.list")
	if err != nil {
		t.Fatal(err)
	}
	names := commandNames()
	for word := range strings.FieldsSeq(string(list)) {
		if !slices.Contains(names, word) && cli.HintOf(word) == "" {
			t.Errorf("virsh has %q, and nobody says why davit has not", word)
		}
	}
}
