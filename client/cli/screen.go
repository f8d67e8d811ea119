package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen is standard output or error. On a terminal it shows control characters, which a domain may have put into a
// title or message to move the cursor or worse, as \x1b; elsewhere it changes nothing. It remembers its first failure.
//
// A terminal whose locale is not UTF-8 (LC_ALL=C and the like; not one that says nothing) gets other characters than
// those of ASCII as \u escapes. What goes to a file or a program stays as it is in every locale: names are looked up
// again, documents are parsed.
type screen struct {
	to       io.Writer
	terminal bool
	ascii    bool   // the terminal shows nothing but ASCII
	tail     []byte // bytes of a character that is not complete yet
	err      error
	waiting  atomic.Bool // a line on it tells of a wait
}

func newScreen(to io.Writer) *screen { return &screen{to: to, terminal: isTerminal(to)} }

// inLocale makes the screen keep to the locale of an environment.
func (s *screen) inLocale(env func(string) string) *screen {
	s.ascii = s.terminal && !utf8Locale(env)
	return s
}

// utf8Locale tells whether programs are to write UTF-8: they are, unless a variable says another encoding.
func utf8Locale(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(env(name)); locale != "" {
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return true
}

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Write writes p, filtered if it is for a terminal.
func (s *screen) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	out := p
	if s.terminal {
		text := append(s.tail, p...)
		whole := len(text) - unfinished(text)
		out = []byte(s.encoded(string(visible(text[:whole]))))
		s.tail = append([]byte(nil), text[whole:]...)
	}
	if _, err := s.to.Write(out); err != nil {
		s.err = err
		return 0, err
	}
	return len(p), nil
}

// printf writes text; its failure is remembered.
func (s *screen) printf(format string, args ...any) { _, _ = fmt.Fprintf(s, format, args...) }

// failure is the first error of a write, nil if there was none.
func (s *screen) failure() error { return s.err }

// raw is the screen without its filter, for a terminal that is handed to a domain.
func (s *screen) raw() io.Writer { return rawScreen{s} }

type rawScreen struct{ *screen }

func (r rawScreen) Write(p []byte) (int, error) {
	n, err := r.to.Write(p)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n, err
}

// flush writes what waits for the rest of its character, which will not come.
func (s *screen) flush() {
	if len(s.tail) > 0 && s.err == nil {
		_, s.err = s.to.Write([]byte(s.encoded(string(visible(s.tail)))))
		s.tail = nil
	}
}

// unfinished is how many bytes at the end of p cannot be judged without what follows: the first of a longer character,
// and a carriage return.
func unfinished(p []byte) int {
	if len(p) > 0 && p[len(p)-1] == '\r' {
		return 1
	}
	for n := 1; n <= min(len(p), utf8.UTFMax-1); n++ {
		if b := p[len(p)-n:]; utf8.RuneStart(b[0]) {
			if utf8.FullRune(b) {
				return 0
			}
			return n
		}
	}
	return 0
}

// visible replaces what a terminal would act on: control characters other than newline, tab, and carriage return before
// newline, characters that turn the direction of text, and bytes that are no UTF-8.
func visible(p []byte) []byte {
	out := make([]byte, 0, len(p))
	for i := 0; i < len(p); {
		r, n := utf8.DecodeRune(p[i:])
		lineEnd := r == '\r' && i+1 < len(p) && p[i+1] == '\n'
		switch {
		case r == utf8.RuneError && n == 1, acts(r) && !lineEnd && r != '\n' && r != '\t':
			for _, b := range p[i : i+n] {
				out = fmt.Appendf(out, `\x%02x`, b)
			}
		default:
			out = append(out, p[i:i+n]...)
		}
		i += n
	}
	return out
}

// encoded is a text as the screen's locale can show it.
func (s *screen) encoded(text string) string {
	if !s.ascii {
		return text
	}
	var out []byte
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf:
			out = append(out, byte(r))
		case r > 0xffff:
			out = fmt.Appendf(out, `\U%08x`, r)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return string(out)
}

// ellipsis marks what was cut.
func (s *screen) ellipsis() string {
	if s.ascii {
		return "..."
	}
	return "…"
}

// acts tells whether a terminal does something with r other than to show it.
func acts(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// cell is text that has to stay on its line wherever it is written: no control characters, not even newline and tab.
func cell(text string) string {
	var out []byte
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if acts(r) || (r == utf8.RuneError && n == 1) {
			for _, b := range []byte(text[i : i+n]) {
				out = fmt.Appendf(out, `\x%02x`, b)
			}
		} else {
			out = append(out, text[i:i+n]...)
		}
		i += n
	}
	return string(out)
}
