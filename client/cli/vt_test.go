package cli_test

import (
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// vt is what a terminal shows: enough of a VT100 for what the program writes. It is safe to look at while it is written
// to.
type vt struct {
	mu            sync.Mutex
	rows, columns int
	cells         [][]rune
	x, y          int
	pending       []byte
	main          [][]rune // the usual screen, while the other is shown
	// wrapped counts lines that went on in the next row, scrolled those that left the screen.
	wrapped, scrolled int
	// unknown holds sequences that nobody here understands.
	unknown []string
	raw     []byte
}

func newVT(rows, columns int) *vt {
	v := &vt{}
	v.resize(rows, columns)
	return v
}

func (v *vt) resize(rows, columns int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.cells
	v.rows, v.columns = rows, columns
	v.cells = v.blank()
	for y := range min(rows, len(old)) {
		copy(v.cells[y], old[y])
	}
	v.y, v.x = min(v.y, rows-1), min(v.x, columns-1)
}

func (v *vt) blank() [][]rune {
	cells := make([][]rune, v.rows)
	for y := range cells {
		cells[y] = []rune(strings.Repeat(" ", v.columns))
	}
	return cells
}

// Write shows p.
func (v *vt) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.raw = append(v.raw, p...)
	v.pending = append(v.pending, p...)
	for len(v.pending) > 0 {
		n := v.step(v.pending)
		if n == 0 {
			break
		}
		v.pending = v.pending[n:]
	}
	return len(p), nil
}

// step shows what p begins with and tells how long that is, 0 if more is needed to know.
func (v *vt) step(p []byte) int {
	switch p[0] {
	case '\x1b':
		return v.escape(p)
	case '\r':
		v.x = 0
		return 1
	case '\n':
		v.down()
		return 1
	case '\b':
		v.x = max(v.x-1, 0)
		return 1
	case '\a':
		return 1
	}
	if !utf8.FullRune(p) {
		return 0
	}
	r, n := utf8.DecodeRune(p)
	v.put(r)
	return n
}

func (v *vt) put(r rune) {
	width := runewidth.RuneWidth(r)
	if width == 0 {
		return
	}
	if v.x+width > v.columns {
		v.wrapped++
		v.x = 0
		v.down()
	}
	v.cells[v.y][v.x] = r
	if width == 2 {
		v.cells[v.y][v.x+1] = 0
	}
	v.x += width
}

func (v *vt) down() {
	if v.y < v.rows-1 {
		v.y++
		return
	}
	v.scrolled++
	v.cells = append(v.cells[1:], []rune(strings.Repeat(" ", v.columns)))
}

func (v *vt) escape(p []byte) int {
	if len(p) < 2 {
		return 0
	}
	if p[1] != '[' {
		v.unknown = append(v.unknown, string(p[:2]))
		return 2
	}
	end := 2
	for end < len(p) && (p[end] < 0x40 || p[end] > 0x7e) {
		end++
	}
	if end == len(p) {
		return 0
	}
	v.control(string(p[2:end]), p[end])
	return end + 1
}

func (v *vt) control(parameter string, final byte) {
	n, err := strconv.Atoi(parameter)
	if err != nil || n == 0 {
		n = 1
	}
	switch final {
	case 'A':
		v.y = max(v.y-n, 0)
	case 'B':
		v.y = min(v.y+n, v.rows-1)
	case 'C':
		v.x = min(v.x+n, v.columns-1)
	case 'D':
		v.x = max(v.x-n, 0)
	case 'G':
		v.x = min(n, v.columns) - 1
	case 'H':
		v.x, v.y = 0, 0
	case 'J':
		if parameter == "2" {
			v.cells = v.blank()
			return
		}
		v.clearRight()
		for y := v.y + 1; y < v.rows; y++ {
			v.cells[y] = []rune(strings.Repeat(" ", v.columns))
		}
	case 'K':
		v.clearRight()
	case 'h', 'l':
		if parameter == "?1049" {
			v.swap(final == 'h')
		}
	case 'm':
	default:
		v.unknown = append(v.unknown, parameter+string(final))
	}
}

func (v *vt) clearRight() {
	for x := v.x; x < v.columns; x++ {
		v.cells[v.y][x] = ' '
	}
}

func (v *vt) swap(other bool) {
	switch {
	case other && v.main == nil:
		v.main, v.cells = v.cells, v.blank()
	case !other && v.main != nil:
		v.cells, v.main = v.main, nil
	}
}

// lines are the rows of the screen, without the blanks at their ends.
func (v *vt) lines() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []string
	for _, row := range v.cells {
		all = append(all, strings.TrimRight(strings.ReplaceAll(string(row), "\x00", ""), " "))
	}
	return all
}

// cursorLine is the row that the cursor is on.
func (v *vt) cursorLine() string {
	all := v.lines()
	v.mu.Lock()
	defer v.mu.Unlock()
	return all[min(v.y, len(all)-1)]
}

// text is the screen as one text, without the empty rows below.
func (v *vt) text() string { return strings.TrimRight(strings.Join(v.lines(), "\n"), "\n") }
