package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// operand is an argument of a command. As with virsh it is given by position or as an option of its name.
type operand struct {
	name, help string
	optional   bool
	one        *string   // where its value goes
	rest       *[]string // or where all that are left go
}

// domainOperand is the argument that most commands have.
func domainOperand(to *string) operand {
	return operand{name: "domain", help: "domain name, id or uuid", one: to}
}

func fileOperand(to *string) operand {
	return operand{name: "file", help: "file with a definition in XML, JSON or YAML, - for standard input", one: to}
}

func (o operand) declare(flags *pflag.FlagSet) {
	if o.one != nil {
		flags.StringVar(o.one, o.name, "", o.help)
	}
}

// given tells whether the operand has a value already.
func (o operand) given(flags *pflag.FlagSet) bool { return o.one != nil && flags.Changed(o.name) }

func usageOf(operands []operand) string {
	var b strings.Builder
	for _, o := range operands {
		word := "<" + o.name + ">"
		if o.rest != nil {
			word += "..."
		}
		if o.optional {
			word = "[" + word + "]"
		}
		b.WriteString(" " + word)
	}
	return b.String()
}

// bind hands the arguments to the operands that options have not given, and checks what goes together.
func bind(c command, flags *pflag.FlagSet, args []string) error {
	for _, o := range c.operands {
		switch {
		case o.given(flags):
		case o.rest != nil && (len(args) > 0 || o.optional):
			*o.rest, args = args, nil
		case len(args) > 0:
			*o.one, args = args[0], args[1:]
		case !o.optional:
			return usage("command '%s' requires <%s> option", c.name, o.name)
		}
	}
	if len(args) > 0 {
		return usage("unexpected data '%s'", args[0])
	}
	for _, pair := range c.exclusive {
		if flags.Changed(pair[0]) && flags.Changed(pair[1]) {
			return usage("Options --%s and --%s are mutually exclusive", pair[0], pair[1])
		}
	}
	return nil
}

// flagError puts what is wrong with an option into virsh's words.
func flagError(c *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown) && !c.HasParent() && isWord(c.Flags().Arg(0)):
		return unknownCommand(c, c.Flags().Arg(0)) // the option is that command's
	case errors.As(err, &unknown) && !c.HasParent():
		name := unknown.GetSpecifiedName()
		return unknownOption(c.Flags(), name, usage("unsupported option '%s'. See --help.", dashed(name)))
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		return unknownOption(c.Flags(), name, usage("command '%s' doesn't support option %s", c.Name(), dashed(name)))
	case errors.As(err, &missing):
		kind := "string"
		if strings.Contains(missing.GetFlag().Value.Type(), "int") {
			kind = "number"
		}
		return usage("expected syntax: --%s <%s>", missing.GetFlag().Name, kind)
	case errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "bool":
		return usage("invalid '=' after option --%s", invalid.GetFlag().Name)
	case errors.As(err, &invalid) && strings.Contains(invalid.GetFlag().Value.Type(), "int"):
		return usage("Numeric value '%s' for <%s> option is malformed or out of range", invalid.GetValue(), invalid.GetFlag().Name)
	case errors.As(err, &invalid):
		return usage("option --%s: %s", invalid.GetFlag().Name, invalid.Unwrap())
	}
	return usage("%s", err)
}

// isWord tells whether an argument of the program can be meant as the name of a command, and not as a line of commands.
func isWord(argument string) bool { return argument != "" && !strings.ContainsAny(argument, " \t\n;#") }

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
