package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/davitd/davit/domain"
)

// hinted is an error with a word on what may have been meant.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// unknownCommand is the error of a command that there is not.
func unknownCommand(parent *cobra.Command, name string) error {
	var known []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	err := usage("unknown command: '%s'", name)
	if told := hintOf(name); told != "" && !parent.HasParent() {
		return &hinted{err, told}
	}
	return hint(err, "", nearest(name, known))
}

// unknownOption is the error of an option that there is not.
func unknownOption(flags *pflag.FlagSet, name string, err error) error {
	var known []string
	flags.VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if len(name) == 1 {
		return err
	}
	return hint(err, "--", nearest(name, known))
}

// hint adds what may have been meant, if anything.
func hint(err error, dashes string, meant []string) error {
	if len(meant) == 0 {
		return err
	}
	for i, word := range meant {
		meant[i] = "'" + dashes + word + "'"
	}
	return &hinted{err, "did you mean " + strings.Join(meant, " or ") + "?"}
}

// nearest are the known words that may have been meant by one that is not known.
func nearest(word string, known []string) []string { return domain.Nearest(word, known) }
