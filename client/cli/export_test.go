package cli

import (
	"io"
	"strings"

	"google.golang.org/protobuf/proto"
)

// Terminal is a screen that filters, as one on a terminal does.
func Terminal(to io.Writer) *screen { return &screen{to: to, terminal: true} }

// Flush writes what a screen holds back.
func (s *screen) Flush() { s.flush() }

// Cell is text as tables have it.
func Cell(text string) string { return cell(text) }

// Table lays out rows, the first of which is the header.
func Table(rows ...[]string) string {
	t := newTable(rows[0]...)
	for _, row := range rows[1:] {
		t.add(row...)
	}
	return t.String()
}

// EncodeJSON and EncodeYAML are messages as -o prints them.
func EncodeJSON(m proto.Message) (string, error) {
	doc, err := encode(m)
	return string(doc), err
}

// EncodeYAML is a message as -o yaml prints it.
func EncodeYAML(m proto.Message) (string, error) {
	doc, err := encode(m)
	if err != nil {
		return "", err
	}
	doc, err = toYAML(doc)
	return string(doc), err
}

// SplitLine splits a line into commands of words.
func SplitLine(text string) ([][]string, error) { return splitLine(text) }

// SplitTyped splits a line that is still being typed.
func SplitTyped(text string) (words []string, last string, start int, quote byte) {
	l := splitTyped(text)
	return l.words, l.last, l.start, l.quote
}

// Quoted is a word as completion types it; the quote is left open.
func Quoted(word, quote string) string {
	if quote == "" {
		return quoted(word, 0)
	}
	return quoted(word, quote[0])
}

// Fit is a text cut to so many cells.
func Fit(text string, width int) string {
	var b strings.Builder
	for _, s := range fit([]span{{text: text}}, width, "…") {
		b.WriteString(s.text)
	}
	return b.String()
}

// Cells is how many cells a text takes.
func Cells(text string) int { return cells(text) }

// History is the history of a shell.
type History = history

// OpenHistory reads what earlier shells left.
func OpenHistory(path string) (*History, error) { return openHistory(path) }

// HistoryPath is where the history is kept.
func HistoryPath(env func(string) string) string { return historyPath(env) }

// Add keeps a line.
func (h *History) Add(line string) (bool, error) { return h.add(line) }

// Lines are what it remembers.
func (h *History) Lines() []string { return h.lines }
