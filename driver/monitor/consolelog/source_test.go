package consolelog_test

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/driver/monitor/consolelog"
)

// page is what a log wrote.
type page struct {
	mu   sync.Mutex
	text []byte
}

func (p *page) write(lines []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = append(p.text, lines...)
	return len(lines), nil
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.text)
}

// head is the beginning of each line, to the letter.
var head = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ([a-z0-9]+ [FP] )`)

// bare are the lines of a log without their times. A line that is none is an error.
func bare(tb testing.TB, text string) []string {
	tb.Helper()
	var all []string
	for line := range strings.Lines(text) {
		match := head.FindStringSubmatch(line)
		if match == nil || !strings.HasSuffix(line, "\n") {
			tb.Errorf("%q is no line", line)
			continue
		}
		all = append(all, match[1]+strings.TrimSuffix(line[len(match[0]):], "\n"))
	}
	return all
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", consolelog.Longest)
	for _, test := range []struct {
		name  string
		write []string // an empty one is half a second of silence, "END" the end of a run
		want  []string
	}{
		{"lines", []string{"a\nb\r\n\n", "c\n"}, []string{"F a", "F b", "F ", "F c"}},
		{"one CR of several", []string{"a\r\r\nb\rc\n"}, []string{"F a\r", "F b\rc"}},
		{"in pieces", []string{"a", "b", "c\r", "\nd", "\n"}, []string{"F abc", "F d"}},
		{"any bytes", []string{"\x00\xff\x1b[1m\xe2\x82\n"}, []string{"F \x00\xff\x1b[1m\xe2\x82"}},
		{"prompt", []string{"login: ", "", "root\n"}, []string{"P login: ", "F root"}},
		{"prompt in pieces", []string{"lo", "gin: ", "", "r", "", "oot\n"}, []string{"P login: ", "P r", "F oot"}},
		{"silence after a line", []string{"a\n", "", "", "b\n"}, []string{"F a", "F b"}},
		{"longest", []string{long, "\n"}, []string{"F " + long}},
		{"longer", []string{long + "y\n"}, []string{"P " + long, "F y"}},
		{"much longer", []string{long[1:], long, "yz\nq\n"}, []string{"P " + long, "P " + long, "F z", "F q"}},
		{"end", []string{"bye", "END", "hello\n"}, []string{"F bye", "F hello"}},
		{"end after a part", []string{"bye", "", "END", "END", "hello\n"}, []string{"P bye", "F ", "F hello"}},
	} {
		if test.name == "much longer" {
			test.want[1] = "P " + long[1:] + "y"
		}
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p page
				l := consolelog.OpenOn(p.write, nil)
				s := l.Source("console0")
				for _, piece := range test.write {
					switch piece {
					case "":
						time.Sleep(510 * time.Millisecond)
					case "END":
						s.End()
					default:
						s.Write([]byte(piece))
						time.Sleep(100 * time.Millisecond)
					}
				}
				l.Close()
				want := make([]string, len(test.want))
				for i, line := range test.want {
					want[i] = "console0 " + line
				}
				if diff := cmp.Diff(want, bare(t, p.String())); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Lines of consoles and of init are in one order, with their times in UTC.
func TestOrigins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		l := consolelog.OpenOn(p.write, nil)
		first, second := l.Source("console0"), l.Source("console1")
		l.Note(consolelog.Init, "started pid 1")
		first.Write([]byte("he"))
		second.Write([]byte("you\n"))
		time.Sleep(time.Millisecond)
		first.Write([]byte("llo\n"))
		l.Note(consolelog.Init, "two\nlines")
		l.Close()
		l.Note(consolelog.Init, "too late")
		first.Write([]byte("too late\n"))
		synctest.Wait()
		// A bubble's clock begins at midnight of 2000.
		const midnight, later = "2000-01-01T00:00:00.000000000Z", "2000-01-01T00:00:00.001000000Z"
		want := midnight + " init F started pid 1\n" + midnight + " console1 F you\n" + later + " console0 F hello\n" +
			later + " init F two lines\n"
		if diff := cmp.Diff(want, p.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// A log that is not there takes everything.
func TestNoLog(*testing.T) {
	var l *consolelog.Log
	s := l.Source("console0")
	s.Write([]byte("a\nb"))
	s.End()
	l.Note(consolelog.Init, "x")
	l.Close()
}

// However output is cut, its lines say what was written, and none is too long.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\r\nb\n\nc"), uint16(2), false)
	f.Add(bytes.Repeat([]byte("x\r"), 20000), uint16(4096), true)
	f.Add([]byte("\r\r\n\n\r"), uint16(1), true)
	f.Fuzz(func(t *testing.T, output []byte, size uint16, end bool) {
		if len(output) > 200<<10 {
			return // more than that could be dropped
		}
		var p page
		l := consolelog.OpenOn(p.write, nil)
		s := l.Source("c")
		for rest := output; len(rest) > 0; {
			n := min(max(int(size), 1), len(rest))
			s.Write(rest[:n])
			rest = rest[n:]
		}
		if end {
			s.End()
		}
		l.Close()
		var got strings.Builder
		for _, line := range bare(t, p.String()) {
			text := line[len("c F "):]
			if len(text) > consolelog.Longest {
				t.Errorf("a line has %d bytes", len(text))
			}
			got.WriteString(text)
			if strings.HasPrefix(line, "c F ") {
				got.WriteString("\n")
			}
		}
		want := string(output)
		if cut := strings.LastIndexByte(want, '\n') + 1; !end {
			// What is behind the last line may be told in parts, or not yet.
			if !strings.HasPrefix(plain(want), plain(got.String())) || !strings.HasPrefix(plain(got.String()), plain(want[:cut])) {
				t.Error("another text")
			}
			return
		}
		if len(want) > 0 && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if plain(got.String()) != plain(want) {
			t.Errorf("%q is told as %q", want, got.String())
		}
	})
}

// plain is a text without CR, of which some are told and some are not, by where the output is cut.
func plain(s string) string { return strings.ReplaceAll(s, "\r", "") }
