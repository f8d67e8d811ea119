package cli_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/davitd/davit/client/cli"
)

func TestScreenShowsWhatWouldAct(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain\ttext\n", "plain\ttext\n"},
		{"\x1b[2Jclear", `\x1b[2Jclear`},
		{"\x1b]0;title\x07", `\x1b]0;title\x07`},
		{"over\rwritten", `over\x0dwritten`},
		{"dos\r\nline", "dos\r\nline"},
		{"ends with\r", `ends with\x0d`},
		{"C1: \u009b2J", `C1: \xc2\x9b2J`},
		{"raw C1: \x9b2J", `raw C1: \x9b2J`},
		{"\x7f\x00\x08", `\x7f\x00\x08`},
		{"Grüße, 日本 🚢", "Grüße, 日本 🚢"},
		{"half: \xc3", `half: \xc3`},
		{"bidi \u202egpj.exe", `bidi \xe2\x80\xaegpj.exe`},
		{"backslash \\x1b stays", "backslash \\x1b stays"},
	}
	for _, tt := range tests {
		for size := 1; size <= len(tt.in); size++ {
			if got := throughTerminal(t, tt.in, size); got != tt.want {
				t.Errorf("%q in pieces of %d bytes shows %q, want %q", tt.in, size, got, tt.want)
			}
		}
	}
}

// throughTerminal writes a text in pieces.
func throughTerminal(t *testing.T, text string, size int) string {
	t.Helper()
	var out bytes.Buffer
	s := cli.Terminal(&out)
	for rest := text; rest != ""; {
		n := min(size, len(rest))
		if m, err := s.Write([]byte(rest[:n])); m != n || err != nil {
			t.Fatalf("Write of %d bytes: %d, %v", n, m, err)
		}
		rest = rest[n:]
	}
	s.Flush()
	return out.String()
}

// FuzzScreen writes anything, in two pieces cut anywhere: nothing that a terminal acts on comes out, what is harmless
// comes out as it is, and where it was cut makes no difference.
func FuzzScreen(f *testing.F) {
	for _, seed := range []string{"text\r\n", "\x1b[31m", "é\u009b", "\xf0\x9f\x9a", "\r\r\n"} {
		f.Add(seed, 1)
	}
	f.Fuzz(func(t *testing.T, text string, cut int) {
		if text == "" {
			return
		}
		got := throughTerminal(t, text, 1+max(cut, -cut-1)%len(text))
		if whole := throughTerminal(t, text, len(text)); got != whole {
			t.Errorf("in pieces %q, whole %q", got, whole)
		}
		if !utf8.ValidString(got) {
			t.Errorf("%q is no UTF-8", got)
		}
		for _, r := range strings.ReplaceAll(got, "\r\n", "\n") {
			if r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
				t.Errorf("%q lets %q through", got, r)
			}
		}
		if strings.Trim(text, "abcdefghijklmnopqrstuvwxyz \n\t") == "" && got != text {
			t.Errorf("harmless %q became %q", text, got)
		}
	})
}

func TestCellStaysOnItsLine(t *testing.T) {
	if got, want := cli.Cell("a\nb\tc\x1b\xff é"), `a\x0ab\x09c\x1b\xff é`; got != want {
		t.Errorf("cell %q, want %q", got, want)
	}
}

func TestTable(t *testing.T) {
	got := cli.Table([]string{"Id", "Name", "State"}, []string{"9120", "rx2", "running"}, []string{"-", "grüße", "shut off"})
	want := "" +
		" Id     Name    State\n" +
		"--------------------------\n" +
		" 9120   rx2     running\n" +
		" -      grüße   shut off\n"
	if got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
}
