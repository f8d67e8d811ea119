package cli

import "github.com/mattn/go-runewidth"

// cells is how many cells of a terminal a text takes: characters of East Asia and emoji take two, combining marks none.
// Those that are wide in some places only count as narrow, as terminals have them.
func cells(text string) int { return ruler().StringWidth(text) }

// cutCells is the beginning of a text that takes no more than so many cells.
func cutCells(text string, width int) string { return ruler().Truncate(text, width, "") }

func ruler() *runewidth.Condition { return &runewidth.Condition{StrictEmojiNeutral: true} }

// span is a piece of a line in one style. Its text stays on the line, see [cell].
type span struct {
	text  string
	style style
}

// spanCells is how many cells a line takes.
func spanCells(line []span) int {
	n := 0
	for _, s := range line {
		n += cells(s.text)
	}
	return n
}

// fit cuts a line that takes more than so many cells, and marks where.
func fit(line []span, width int, mark string) []span {
	if spanCells(line) <= width {
		return line
	}
	left := max(width-cells(mark), 0)
	var out []span
	for _, s := range line {
		n := cells(s.text)
		if n > left {
			return append(out, span{cutCells(s.text, left), s.style}, span{cutCells(mark, width), ""})
		}
		out, left = append(out, s), left-n
	}
	return out
}
