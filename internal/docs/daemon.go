package docs

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// option begins an option in davitd's help: its name, its value if it has one, and what it does.
var option = regexp.MustCompile(`^  (--[\w-]+)(?: ([A-Z]+))?  +(.+)$`)

// daemonOptions lists the options of davitd, as its own help says them.
func daemonOptions(source string) (string, error) {
	help, err := constant(source, "usage")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(".Bl -tag -width Ds\n")
	open := false
	for line := range strings.SplitSeq(help, "\n") {
		m := option.FindStringSubmatch(line)
		switch {
		case m != nil:
			item := ".It Fl " + word(m[1][1:])
			if m[2] != "" {
				item += " Ar " + word(strings.ToLower(m[2]))
			}
			b.WriteString(item + "\n" + roff(m[3]) + "\n")
			open = true
		case open && strings.TrimSpace(line) != "":
			b.WriteString(roff(strings.TrimSpace(line)) + "\n")
		}
	}
	b.WriteString(".El\n")
	if !open {
		return "", fmt.Errorf("read options of davitd in %q: there are none", source)
	}
	return b.String(), nil
}

// constant is the value of a string constant of a Go source: that of a program cannot be imported.
func constant(source, name string) (string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
	if err != nil {
		return "", err
	}
	text := ""
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || spec.Names[0].Name != name || len(spec.Values) != 1 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			text, err = strconv.Unquote(lit.Value)
		}
		return false
	})
	if err == nil && text == "" {
		err = errors.New("no such string constant")
	}
	if err != nil {
		return "", fmt.Errorf("read constant %q of %q: %w", name, source, err)
	}
	return text, nil
}
