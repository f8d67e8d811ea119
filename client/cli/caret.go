package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/davitd/davit/domain"
)

// maxExcerpt is how many cells of a line are shown, maxExcerpts how many lines: each fault is told anyway.
const (
	maxExcerpt  = 76
	maxExcerpts = 20
)

// excerpts are the places of a document that an error is about, one for each line that lines gives of it, empty where there
// is none: the line of the document and a caret below the column. Nothing of it can act on a terminal.
func (a *app) excerpts(err error, lines int) []string {
	all := make([]string, lines)
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || a.given == "" || len(e.Violations) == 0 || len(e.Violations) > lines {
		return all
	}
	first, shown := lines-len(e.Violations), 0 // what was being done stands before them
	for i, v := range e.Violations {
		if v.Line > 0 && shown < maxExcerpts {
			all[first+i] = excerpt(a.err, a.given, v.Line, v.Column)
			shown++
		}
	}
	return all
}

// find gives the faults of a document in JSON or YAML their places, where the daemon had no document but a message, and puts
// them in its order.
func (a *app) find(err error) {
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || a.given == "" || notationOf("", []byte(a.given)) == inXML {
		return
	}
	e.Violations = slices.Clone(e.Violations)
	for i := range e.Violations {
		if v := &e.Violations[i]; v.Line == 0 {
			v.Line, v.Column = modelPlace(a.given, v.Field)
		}
	}
	slices.SortStableFunc(e.Violations, func(x, y domain.Violation) int {
		if (x.Line == 0) != (y.Line == 0) {
			return cmp.Compare(y.Line, x.Line)
		}
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
}

// modelPlace finds a field of the model in a document in JSON or YAML, or the innermost place around it that is there; no
// line if the document is neither. Faults of values come without a place where the daemon had no document, but a message.
func modelPlace(doc, field string) (line, column int) {
	var root yaml.Node
	if field == "" || notationOf("", []byte(doc)) == inXML || yaml.Unmarshal([]byte(doc), &root) != nil || len(root.Content) == 0 {
		return 0, 0
	}
	at := root.Content[0]
	for step := range strings.SplitSeq(field, ".") {
		name, index, _ := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		next := valueOf(at, name)
		if next == nil {
			break
		}
		at = next
		if i, err := strconv.Atoi(index); err == nil && at.Kind == yaml.SequenceNode && i < len(at.Content) {
			at = at.Content[i]
		}
	}
	return at.Line, at.Column
}

// valueOf is what a mapping has under a key.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// excerpt is the line of a document with a caret below a column, both from 1, cut around it where it is long; empty if the
// document has no such line.
func excerpt(s *screen, doc string, line, column int) string {
	text, ok := nthLine(doc, line)
	if !ok {
		return ""
	}
	before, after := splitColumn(text, column)
	label := fmt.Sprintf("%5d | ", line)
	left, right := shown(s, before), shown(s, after)
	most := maxExcerpt - cells(label)
	if cells(left)+cells(right) > most {
		left = keepEnd(left, max(most*2/3, most-cells(right)), s.ellipsis())
		right = keepStart(right, most-cells(left), s.ellipsis())
	}
	margin := strings.Repeat(" ", cells(label)-2) + "| "
	return label + left + right + "\n" + margin + strings.Repeat(" ", cells(left)) + "^\n"
}

// nthLine is a line of a document without its end.
func nthLine(doc string, n int) (string, bool) {
	for ; n > 1; n-- {
		_, rest, ok := strings.Cut(doc, "\n")
		if !ok {
			return "", false
		}
		doc = rest
	}
	text, _, _ := strings.Cut(doc, "\n")
	return strings.TrimSuffix(text, "\r"), true
}

// maxAround is how many characters beside a column are looked at: more than are shown, whatever they are.
const maxAround = 4 * maxExcerpt

// splitColumn gives what stands before a column, and from there on.
func splitColumn(text string, column int) (before, after string) {
	at := 0
	for i := 1; i < column && at < len(text); i++ {
		_, n := utf8.DecodeRuneInString(text[at:])
		at += n
	}
	start, end := at, at
	for i := 0; i < maxAround && start > 0; i++ {
		_, n := utf8.DecodeLastRuneInString(text[:start])
		start -= n
	}
	for i := 0; i < maxAround && end < len(text); i++ {
		_, n := utf8.DecodeRuneInString(text[end:])
		end += n
	}
	return text[start:at], text[at:end]
}

// tabStop is what a tab is shown as.
const tabStop = "    "

// shown is a piece of a document as the screen can show it on one line.
func shown(s *screen, text string) string {
	return s.encoded(cell(strings.ReplaceAll(text, "\t", tabStop)))
}

// keepStart cuts a text that takes more than so many cells, and marks where.
func keepStart(text string, width int, mark string) string {
	if cells(text) <= width {
		return text
	}
	return cutCells(text, max(width-cells(mark), 0)) + mark
}

// keepEnd cuts the beginning of a text that takes more than so many cells, and marks where.
func keepEnd(text string, width int, mark string) string {
	over := cells(text) + cells(mark) - width
	if cells(text) <= width {
		return text
	}
	for over > 0 && text != "" {
		_, n := utf8.DecodeRuneInString(text)
		over -= cells(text[:n])
		text = text[n:]
	}
	return mark + text
}
