package cli

import (
	"context"

	"github.com/spf13/pflag"
)

func (a *app) convert() command {
	var file, to string
	return command{
		name: "convert", help: "print a definition in another notation; needs no daemon",
		operands: []operand{fileOperand(&file)},
		flags:    func(f *pflag.FlagSet) { f.StringVar(&to, "to", "", "the notation: xml, json or yaml") },
		bare:     true,
		run: func(_ context.Context, _ *pflag.FlagSet) error {
			if to == "" {
				to = string(a.notation)
			}
			switch to {
			case inXML, inJSON, inYAML:
			case "":
				return failed(nil, "command 'convert' requires --to option")
			default:
				return failed(nil, "unknown notation '%s', expecting 'xml', 'json', or 'yaml'", to)
			}
			def, warnings, err := a.parseLocally(file, false)
			if err != nil {
				return err
			}
			a.warnAll(warnings)
			return a.printDefinition(def, to)
		},
	}
}
