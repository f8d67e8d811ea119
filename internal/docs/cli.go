package docs

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/davitd/davit/client/cli"
)

const cliHead = `<!-- Written by go test ./internal/docs -update from the commands of client/cli. -->
# The command line

Commands, options, output and exit codes are virsh's where virsh has them; [from-virsh.md](from-virsh.md) says what differs. A
domain is given by number, UUID or name. What is required stands in angle brackets and may be given by position or as the
option of its name. Without a command, davit opens a shell.
`

// program is the tree of commands.
func program() *cobra.Command {
	return cli.New(cli.IO{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Env: func(string) string { return "" }})
}

// chapter is a group of commands as help shows them.
type chapter struct {
	title    string
	commands []*cobra.Command
}

// chapters are the groups of a program, and at the end the commands that are in none.
func chapters(root *cobra.Command) []chapter {
	var all []chapter
	for _, g := range root.Groups() {
		all = append(all, chapter{title: strings.TrimSuffix(g.Title, ":"), commands: inGroup(root, g.ID)})
	}
	if rest := inGroup(root, ""); len(rest) > 0 {
		all = append(all, chapter{title: "Other", commands: rest})
	}
	return all
}

func inGroup(root *cobra.Command, group string) []*cobra.Command {
	var some []*cobra.Command
	for _, c := range root.Commands() {
		if c.GroupID == group && c.IsAvailableCommand() {
			some = append(some, leaves(c)...)
		}
	}
	return some
}

// leaves are a command, or where it has commands below, those.
func leaves(c *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	if c.Runnable() || !c.HasAvailableSubCommands() {
		all = append(all, c)
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, leaves(sub)...)
		}
	}
	return all
}

// name is a command without the program's own.
func name(c *cobra.Command) string { return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ") }

// usage is how a command is called, without its options.
func usage(c *cobra.Command) string {
	_, operands, _ := strings.Cut(c.Use, " ")
	return strings.TrimSpace(name(c) + " " + operands)
}

// options are those of a command, in its own order.
func options(set *pflag.FlagSet) []*pflag.Flag {
	var all []*pflag.Flag
	set.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" && f.Name != "version" {
			all = append(all, f)
		}
	})
	return all
}

// cliPage writes the reference of the command line.
func cliPage() string {
	var b strings.Builder
	b.WriteString(cliHead)
	root := program()
	all := chapters(root)
	for _, ch := range all {
		fmt.Fprintf(&b, "\n**%s**: ", ch.title)
		for i, c := range ch.commands {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "[%s](#%s)", name(c), anchor(name(c)))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## Options of all commands\n\n")
	optionTable(&b, options(root.PersistentFlags()))
	for _, ch := range all {
		fmt.Fprintf(&b, "\n## %s\n", ch.title)
		for _, c := range ch.commands {
			fmt.Fprintf(&b, "\n### %s\n\n%s\n\n```\ndavit %s\n```\n", name(c), sentence(c), usage(c))
			if own := options(c.NonInheritedFlags()); len(own) > 0 {
				b.WriteString("\n")
				optionTable(&b, own)
			}
			if c.Example != "" {
				fmt.Fprintf(&b, "\n```\n%s\n```\n", strings.TrimSpace(c.Example))
			}
		}
	}
	return b.String()
}

// sentence says what a command does: at length where it does so itself.
func sentence(c *cobra.Command) string {
	text := c.Long
	if text == "" {
		text = c.Short
	}
	return escapeHTML.Replace(strings.TrimSpace(text))
}

func optionTable(b *strings.Builder, flags []*pflag.Flag) {
	b.WriteString("| option | meaning |\n|---|---|\n")
	for _, f := range flags {
		value, text := pflag.UnquoteUsage(f)
		fmt.Fprintf(b, "| `%s` | %s |\n", spelling(f, value), strings.ReplaceAll(escapeHTML.Replace(text), "|", `\|`))
	}
}

// spelling is how an option is written.
func spelling(f *pflag.Flag, value string) string {
	text := "--" + f.Name
	if f.Shorthand != "" {
		text = "-" + f.Shorthand + ", " + text
	}
	if value != "" {
		text += " <" + value + ">"
	}
	return text
}

// mention is where a page speaks of a command: in an example or in code, with its options or without.
var mention = regexp.MustCompile("(?m)(?:`|^|sudo )davit((?: (?:-[qr]|-[co] \\S+))*) ([a-z][a-z-]*)([^`|\n]*)")

// UnknownCommands are the commands and options of davit that a page names and that there are not.
func UnknownCommands(page string) []string {
	root := program()
	var unknown []string
	for _, m := range mention.FindAllStringSubmatch(examples(page), -1) {
		c, _, err := root.Find([]string{m[2]})
		if err != nil || c == root {
			unknown = append(unknown, "davit "+m[2])
			continue
		}
		arguments, _, _ := strings.Cut(m[3], " -- ")
		for option := range strings.FieldsSeq(arguments) {
			name, isLong := strings.CutPrefix(strings.Trim(option, "[],;."), "--")
			name, _, _ = strings.Cut(name, "=")
			if isLong && name != "" && c.Flags().Lookup(name) == nil && c.InheritedFlags().Lookup(name) == nil {
				unknown = append(unknown, "davit "+m[2]+" --"+name)
			}
		}
	}
	return unknown
}

// examples are the parts of a page that are code, each on lines of its own.
func examples(page string) string { return strings.Join(code.FindAllString(page, -1), "\n") }
