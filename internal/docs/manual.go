package docs

import (
	"embed"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"text/template"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/server"
)

// texts are what people have written of the manual pages.
//
//go:embed text
var texts embed.FS

// manual writes a manual page.
func manual(tree, name string) (string, error) {
	t, err := template.New(name).Funcs(template.FuncMap{
		"options":    func() string { return optionList(options(program().PersistentFlags())) },
		"commands":   commandSections,
		"daemon":     func() (string, error) { return daemonOptions(filepath.Join(tree, "cmd/davitd/flags.go")) },
		"keys":       configuration,
		"configPath": func() string { return server.DefaultConfigPath },
	}).ParseFS(texts, "text/"+name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(".\\\" Written by go test ./internal/docs -update.\n")
	err = t.ExecuteTemplate(&b, name, nil)
	return b.String(), err
}

// roff makes plain text that of a page: nothing in it is a request or an escape. Each sentence begins a line, as mdoc(7)
// asks for.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "\n\n", "\n.Pp\n", ". ", ".\n").Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line != ".Pp" && (strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'")) {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

// word makes text one argument of a macro, whatever macros are called.
func word(text string) string {
	text = strings.NewReplacer(`\`, `\e`, `"`, `""`, "-", `\-`).Replace(text)
	return `"\&` + text + `"`
}

// commandSections are all commands, a section a group.
func commandSections() string {
	var b strings.Builder
	for _, ch := range chapters(program()) {
		fmt.Fprintf(&b, ".Ss %s\n.Bl -tag -width Ds\n", ch.title)
		for _, c := range ch.commands {
			_, operands, _ := strings.Cut(c.Use, " ")
			line := ".It Cm " + word(name(c))
			if operands != "" {
				line += " No " + word(operands)
			}
			text := c.Long
			if text == "" {
				text = c.Short
			}
			b.WriteString(line + "\n" + roff(strings.TrimSpace(text)) + "\n" + optionList(options(c.NonInheritedFlags())))
		}
		b.WriteString(".El\n")
	}
	return b.String()
}

// optionList is a list of options, nothing where there are none.
func optionList(flags []*pflag.Flag) string {
	if len(flags) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(".Bl -tag -width Ds\n")
	for _, f := range flags {
		value, text := pflag.UnquoteUsage(f)
		line := ".It Fl "
		if f.Shorthand != "" {
			line += f.Shorthand + " , Fl "
		}
		line += word("-" + f.Name)
		if value != "" {
			line += " Ar " + word(value)
		}
		b.WriteString(line + "\n" + roff(text) + "\n")
	}
	b.WriteString(".El\n")
	return b.String()
}

// configuration lists the keys of the configuration, a section a table.
func configuration() string {
	var b strings.Builder
	defaults := reflect.ValueOf(server.Default())
	list(&b, defaults)
	for field, value := range defaults.Fields() {
		if value.Kind() == reflect.Struct {
			fmt.Fprintf(&b, ".Ss [%s]\n%s\n", field.Tag.Get("toml"), roff(field.Tag.Get("doc")))
			list(&b, value)
			tables(&b, field.Tag.Get("toml"), value)
		}
	}
	return b.String()
}

// tables lists the keys of the tables that a table may have many of.
func tables(b *strings.Builder, name string, table reflect.Value) {
	for field := range table.Fields() {
		if isTables(field.Type) {
			fmt.Fprintf(b, ".Ss [[%s.%s]]\n%s\n", name, field.Tag.Get("toml"), roff(field.Tag.Get("doc")))
			list(b, reflect.Zero(field.Type.Elem()))
		}
	}
}

// isTables tells whether a key is a list of tables.
func isTables(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

// list lists the plain keys of a table.
func list(b *strings.Builder, table reflect.Value) {
	b.WriteString(".Bl -tag -width Ds\n")
	for field, value := range table.Fields() {
		if value.Kind() == reflect.Struct || isTables(field.Type) {
			continue
		}
		text := fmt.Sprint(value.Interface())
		if value.Kind() == reflect.String {
			text = `"` + text + `"`
		}
		fmt.Fprintf(b, ".It Ic %s Pq %s\n%s\n", word(field.Tag.Get("toml")), word(text), roff(field.Tag.Get("doc")))
	}
	b.WriteString(".El\n")
}
