package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completionPatience is how long the daemon has for the names of domains: nobody waits for Tab.
const completionPatience = 300 * time.Millisecond

// completion prints what bash, zsh or fish need to complete davit's commands. Their scripts ask the program itself (the
// hidden command __complete), which answers with the same functions as the shell of davit.
func (a *app) completion() command {
	var shell string
	return command{
		name: "completion", help: "print the completion script for bash, zsh or fish",
		operands: []operand{{name: "shell", help: "bash, zsh or fish", one: &shell}},
		bare:     true,
		run: func(context.Context, *pflag.FlagSet) error {
			// A tree of its own: the scripts hold its name only.
			root := New(IO{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Env: a.env}) //nolint:contextcheck // it is never executed
			switch shell {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			}
			return failed(nil, "Unknown shell '%s', expecting 'bash', 'zsh' or 'fish'", shell)
		},
	}
}

// completeOperand offers what an operand may be: the first that is not given yet.
func (a *app) completeOperand(c *cobra.Command, operands []operand, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	left := given
	for _, o := range operands {
		switch {
		case o.given(c.Flags()):
		case o.rest != nil, len(left) == 0:
			return a.offer(c, given, o.name, typed)
		default:
			left = left[1:]
		}
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completeOptions makes the options of a command offer their values to bash, zsh and fish. A shell of ours looks for
// itself, see [shell.complete].
func (a *app) completeOptions(c *cobra.Command) {
	if a.parent != nil {
		return // cobra would keep the functions of every line that is run
	}
	register := func(f *pflag.Flag) {
		err := c.RegisterFlagCompletionFunc(f.Name, func(c *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
			return a.offer(c, given, f.Name, typed)
		})
		if err != nil {
			panic(err) // the option is there, and is seen once
		}
	}
	c.LocalNonPersistentFlags().VisitAll(register)
	c.PersistentFlags().VisitAll(register)
}

// offer gives what an operand or the value of an option of a command may be and begins with what was typed; given are the
// operands before it.
func (a *app) offer(c *cobra.Command, given []string, name, typed string) ([]string, cobra.ShellCompDirective) {
	found := choiceOf(c.Name(), name)
	if found == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	a.subject = subjectOf(c, given)
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := context.WithTimeoutCause(ctx, completionPatience, errors.New("nobody waits longer"))
	defer stop()
	return found(ctx, a, typed)
}

// complete offers what may stand at a place of a line that is being edited. What it returns is quoted as the line is.
func (s *shell) complete(line string, at int) (head string, offers []string, tail string) {
	runes := []rune(line)
	before, tail := string(runes[:at]), string(runes[at:])
	typed := splitTyped(before)
	all, space := s.offers(typed.words, typed.last)
	for _, word := range all {
		offers = append(offers, quoted(word, typed.quote))
	}
	if len(offers) == 1 && space {
		if typed.quote != 0 {
			offers[0] += string(typed.quote)
		}
		offers[0] += " "
	}
	return before[:typed.start], offers, tail
}

// offers gives what may follow the words of a command and begins with what was typed, and whether a single one of them is
// a whole word.
func (s *shell) offers(words []string, typed string) (all []string, space bool) {
	a := s.child()
	a.err = newScreen(io.Discard)
	defer a.hangUp()
	root := a.root()
	c, rest, err := root.Find(words)
	if err != nil {
		return nil, false
	}
	if c == root || c.HasSubCommands() {
		if c.ParseFlags(rest) != nil || c.Flags().NArg() > 0 {
			return nil, false
		}
		return commandNames(c, typed), true
	}
	c.InitDefaultHelpFlag()
	option, rest := openOption(c, rest)
	if err := c.ParseFlags(rest); err != nil {
		return nil, false
	}
	prefix := ""
	name, value, assigned := strings.Cut(typed, "=")
	switch {
	case option != nil:
	case c.ArgsLenAtDash() >= 0, !strings.HasPrefix(typed, "-"), greedily(c):
		return sortOut(c.ValidArgsFunction(c, c.Flags().Args(), typed))
	case assigned:
		if option = c.Flags().Lookup(strings.TrimPrefix(name, "--")); option == nil {
			return nil, false
		}
		prefix, typed = name+"=", value
	default:
		return optionNames(c, typed), true
	}
	all, space = sortOut(a.offer(c, c.Flags().Args(), option.Name, typed))
	for i := range all {
		all[i] = prefix + all[i]
	}
	return all, space
}

// sortOut takes the descriptions from offers, which the shells of others show and ours does not.
func sortOut(offers []string, directive cobra.ShellCompDirective) ([]string, bool) {
	for i, o := range offers {
		offers[i], _, _ = strings.Cut(o, "\t")
	}
	return offers, directive&cobra.ShellCompDirectiveNoSpace == 0
}

// openOption is the option at the end of the words that still needs its value, which comes next.
func openOption(c *cobra.Command, words []string) (*pflag.Flag, []string) {
	if len(words) == 0 || words[len(words)-1] == "--" {
		return nil, words
	}
	last := words[len(words)-1]
	var f *pflag.Flag
	switch name, long := strings.CutPrefix(last, "--"); {
	case long:
		f = c.Flags().Lookup(name)
		if f == nil {
			f = c.InheritedFlags().Lookup(name)
		}
	case len(last) == 2 && last[0] == '-':
		f = c.Flags().ShorthandLookup(last[1:])
		if f == nil {
			f = c.InheritedFlags().ShorthandLookup(last[1:])
		}
	}
	if f == nil || f.NoOptDefVal != "" {
		return nil, words
	}
	return f, words[:len(words)-1]
}

// greedily tells that what follows is no option of this command any more.
func greedily(c *cobra.Command) bool { return c.Annotations[greedyNote] != "" && c.Flags().NArg() > 0 }

// greedyNote marks commands that take everything after their first operand as it is.
const greedyNote = "greedy"

func commandNames(of *cobra.Command, typed string) []string {
	var names []string
	for _, c := range of.Commands() {
		if strings.HasPrefix(c.Name(), typed) {
			names = append(names, c.Name())
		}
	}
	return names
}

// optionNames are the options of a command that are not given yet.
func optionNames(c *cobra.Command, typed string) []string {
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		_, many := f.Value.(pflag.SliceValue)
		if name := "--" + f.Name; !f.Hidden && (!f.Changed || many) && strings.HasPrefix(name, typed) {
			names = append(names, name)
		}
	})
	return names
}
