package cli

import (
	"fmt"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// colour says when output has colours: the value of --color.
type colour string

// The values of --color.
const (
	colourAuto   colour = ""
	colourAlways colour = "always"
	colourNever  colour = "never"
)

// Set, String and Type make it the value of an option.
func (c *colour) Set(word string) error {
	switch word {
	case "auto":
		*c = colourAuto
	case "always", "never":
		*c = colour(word)
	default:
		return fmt.Errorf("unknown value '%s', expecting 'auto', 'always', or 'never'", word)
	}
	return nil
}

func (c *colour) String() string { return string(*c) }

// Type names the kind of value in help.
func (c *colour) Type() string { return "when" }

// style is how a piece of text looks on a terminal: parameters of the sequence that selects it (SGR of ECMA-48).
type style string

// The styles that are used; plain text has none.
const (
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	dim    style = "2"
)

// styleOf is how a state is shown.
func styleOf(state davitv1.DomainState) style {
	switch state {
	case davitv1.DomainState_DOMAIN_STATE_RUNNING:
		return green
	case davitv1.DomainState_DOMAIN_STATE_PAUSED, davitv1.DomainState_DOMAIN_STATE_SHUTDOWN:
		return yellow
	case davitv1.DomainState_DOMAIN_STATE_CRASHED:
		return red
	case davitv1.DomainState_DOMAIN_STATE_SHUTOFF:
		return dim
	default:
		return ""
	}
}

// colours tells whether what is written to s may have colours. Unless --color says so, a terminal has them, and
// $CLICOLOR_FORCE gives them to anything else; $NO_COLOR takes them from both (no-color.org), and so does a terminal that
// says that it can do nothing.
func (a *app) colours(s *screen) bool {
	switch {
	case a.colour != colourAuto:
		return a.colour == colourAlways
	case a.env("NO_COLOR") != "":
		return false
	case a.env("CLICOLOR_FORCE") != "" && a.env("CLICOLOR_FORCE") != "0":
		return true
	}
	return s.terminal && a.env("TERM") != "dumb"
}

// styled is a line with the sequences of its styles. They are the only ones: a span has none.
func (a *app) styled(s *screen, line []span) string {
	var b strings.Builder
	painted := a.colours(s)
	for _, piece := range line {
		if piece.style == "" || piece.text == "" || !painted {
			b.WriteString(piece.text)
			continue
		}
		b.WriteString("\x1b[" + string(piece.style) + "m" + piece.text + "\x1b[0m")
	}
	return b.String()
}

// paint writes a text in a style.
func (a *app) paint(s *screen, how style, text string) {
	s.flush()
	_, _ = s.raw().Write([]byte(a.styled(s, []span{{s.encoded(cell(text)), how}})))
}
