package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) help() command {
	var words []string
	return command{
		name: "help", help: "print help",
		operands: []operand{{name: "command", optional: true, rest: &words}},
		bare:     true,
		run: func(context.Context, *pflag.FlagSet) error {
			if len(words) == 0 {
				a.print("Grouped commands:\n\n")
				a.printGroups(a.groups())
				return nil
			}
			for _, g := range a.groups() {
				if len(words) == 1 && g.keyword == words[0] {
					a.printGroups([]group{g})
					return nil
				}
			}
			root := a.root() //nolint:contextcheck // it is asked, not executed
			c, rest, err := root.Find(words)
			if err != nil || c == root || len(rest) > 0 {
				err := failed(nil, "command or command group '%s' doesn't exist", strings.Join(words, " "))
				if told := hintOf(words[0]); told != "" {
					err = &hinted{err, told}
				}
				return err
			}
			return c.Help()
		},
	}
}

// printGroups lists commands as virsh's help does.
func (a *app) printGroups(groups []group) {
	for _, g := range groups {
		a.print(" %s (help keyword '%s'):\n", g.title, g.keyword)
		for _, c := range g.commands {
			a.print("    %-30s %s\n", c.name, c.help)
		}
		a.print("\n")
	}
}

// showProgram is the help of the program as a whole.
func (a *app) showProgram(root *cobra.Command) {
	a.print("\ndavit [options]... [<command_string>]\ndavit [options]... <command> [args...]\n\n%s\n\n  options:\n", root.Long)
	a.printOptions(root.PersistentFlags(), nil)
	a.print("\n  commands:\n\n")
	a.printGroups(a.groups())
	a.print("  (specify help <group> for details about the commands in the group)\n")
	a.print("\n  (specify help <command> for details about the command)\n\n")
}

// showCommand is the help of a command.
func (a *app) showCommand(self *cobra.Command, c command) {
	name := strings.TrimPrefix(self.CommandPath(), self.Root().Name()+" ")
	a.print("  NAME\n    %s - %s\n\n  SYNOPSIS\n    %s%s\n", name, c.help, name, synopsis(self, c))
	if len(c.commands) > 0 {
		a.print("\n  COMMANDS\n")
		for _, sub := range c.commands {
			a.print("    %-30s %s\n", sub.name, sub.help)
		}
	}
	if len(c.operands) > 0 || c.flags != nil {
		a.print("\n  OPTIONS\n")
		a.printOptions(self.LocalFlags(), c.operands)
	}
	a.print("\n")
}

// synopsis is what may follow the name of a command.
func synopsis(self *cobra.Command, c command) string {
	if len(c.commands) > 0 {
		return " <command>"
	}
	text := usageOf(c.operands)
	self.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !isOperand(f.Name, c.operands) && f.Name != "help" {
			text += " [" + optionText(f) + "]"
		}
	})
	return text
}

func isOperand(name string, operands []operand) bool {
	for _, o := range operands {
		if o.name == name && o.one != nil {
			return true
		}
	}
	return false
}

// optionText is an option with the kind of its value.
func optionText(f *pflag.Flag) string {
	switch kind, _ := pflag.UnquoteUsage(f); {
	case kind == "":
		return "--" + f.Name
	case strings.Contains(f.Value.Type(), "int"):
		return "--" + f.Name + " <number>"
	case f.Value.Type() == "stringArray":
		return "--" + f.Name + " <string>"
	default:
		return "--" + f.Name + " <" + kind + ">"
	}
}

// printOptions explains options, in two columns.
func (a *app) printOptions(flags *pflag.FlagSet, operands []operand) {
	var labels, texts []string
	width := 15 // virsh's
	flags.VisitAll(func(f *pflag.Flag) {
		label := optionText(f)
		switch {
		case f.Name == "help":
			return // every command has it
		case isOperand(f.Name, operands):
			label = fmt.Sprintf("[--%s] <string>", f.Name)
		case f.Shorthand != "":
			label = "-" + f.Shorthand + " | " + label
		}
		_, text := pflag.UnquoteUsage(f)
		labels, texts = append(labels, label), append(texts, text)
		width = max(width, len(label))
	})
	for i, label := range labels {
		a.print("    %-*s  %s\n", width, label, texts[i])
	}
}
