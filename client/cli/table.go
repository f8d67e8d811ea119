package cli

import "strings"

// table is rows of cells, laid out as virsh does: columns as wide as their widest cell and three spaces, a line of
// dashes under the header.
type table struct{ rows [][]span }

func newTable(header ...string) *table {
	t := &table{}
	t.add(header...)
	return t
}

func (t *table) add(cells ...string) {
	row := make([]span, len(cells))
	for i, c := range cells {
		row[i].text = cell(c)
	}
	t.rows = append(t.rows, row)
}

// paint gives a cell of the last row a style.
func (t *table) paint(column int, how style) { t.rows[len(t.rows)-1][column].style = how }

// lines lays the table out. Its texts are written as s can show them.
func (t *table) lines(s *screen) [][]span {
	widths := make([]int, len(t.rows[0]))
	texts := make([][]string, len(t.rows))
	for n, row := range t.rows {
		for i, c := range row {
			text := s.encoded(c.text)
			texts[n] = append(texts[n], text)
			widths[i] = max(widths[i], cells(text))
		}
	}
	rule := 0
	for _, w := range widths {
		rule += w + 3
	}
	var all [][]span
	for n, row := range t.rows {
		var line []span
		for i, c := range row {
			text := texts[n][i]
			line = append(line, span{text: " "}, span{text, c.style})
			if i < len(row)-1 {
				line = append(line, span{text: strings.Repeat(" ", widths[i]-cells(text)+2)})
			}
		}
		all = append(all, line)
		if n == 0 {
			all = append(all, []span{{text: strings.Repeat("-", rule)}})
		}
	}
	return all
}

// String is the table without styles.
func (t *table) String() string {
	var b strings.Builder
	for _, line := range t.lines(&screen{}) {
		for _, s := range line {
			b.WriteString(s.text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// printTable writes a table to standard output.
func (a *app) printTable(t *table) { a.printLines(t.lines(a.out)) }

// printLines writes lines with their styles.
func (a *app) printLines(lines [][]span) {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(a.styled(a.out, line))
		b.WriteByte('\n')
	}
	a.out.flush()
	_, _ = a.out.raw().Write([]byte(b.String()))
}
