package escape_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davitd/davit/internal/testenv"
)

// state is how an attack ended.
type state string

const (
	held    state = "held"
	escaped state = "ESCAPED"
	without state = "without its feature"
	broken  state = "BROKEN"
)

// cell is an attack from one profile.
type cell struct {
	attack   attack
	profile  profile
	state    state
	happened string
}

// table is what the suite prints.
type table struct {
	cells    []*cell
	controls map[string]string
}

func (t *table) begin(a attack, p profile) *cell {
	c := &cell{attack: a, profile: p, state: broken, happened: "it was not finished"}
	t.cells = append(t.cells, c)
	return c
}

func (t *table) control(a attack, text string) {
	if t.controls == nil {
		t.controls = map[string]string{}
	}
	t.controls[a.id] = text
}

// summary is the last line.
func (t *table) summary() string {
	n := map[state]int{}
	for _, c := range t.cells {
		n[c.state]++
	}
	return fmt.Sprintf("%d cases, %d held, %d escaped, %d without their feature", len(t.cells), n[held], n[escaped], n[without])
}

// finish prints the table where somebody reads along, and writes it into the documentation where that is asked for.
func (t *table) finish(tb testing.TB) {
	tb.Helper()
	var out bytes.Buffer
	for _, c := range t.cells {
		fmt.Fprintf(&out, "%-7s %-20s %-12s %-20s %s: %s\n", c.attack.id, c.attack.name, c.profile, c.state, c.attack.tries, c.happened)
	}
	for _, c := range t.rows() {
		fmt.Fprintf(&out, "%-7s %-20s %-12s %s\n", c.attack.id, c.attack.name, "control", t.controls[c.attack.id])
	}
	fmt.Fprintln(&out, t.summary())
	if path := os.Getenv("DAVIT_ESCAPE_TABLE"); path != "" {
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			tb.Error(err)
		}
	} else if testing.Verbose() {
		_, _ = os.Stdout.Write(out.Bytes())
	}
	if *update {
		t.document(tb)
	}
}

// rows gives one cell of each attack, in order.
func (t *table) rows() []*cell {
	seen := map[string]bool{}
	var rows []*cell
	for _, a := range attacks() {
		for _, c := range t.cells {
			if c.attack.id == a.id && !seen[a.id] {
				seen[a.id] = true
				rows = append(rows, c)
			}
		}
	}
	return rows
}

// The marks between which the page has the table.
const (
	beginMark = "<!-- escape suite: begin, written by go test ./internal/escape -update -->"
	endMark   = "<!-- escape suite: end -->"
)

// document writes the table into the page.
func (t *table) document(tb testing.TB) {
	tb.Helper()
	path := filepath.Join(testenv.Module(), "docs", "security.md")
	page, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), beginMark+"\n")
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		tb.Fatalf("%s lacks the marks of the table", path)
	}
	var out strings.Builder
	out.WriteString(before + beginMark + "\n\n| case | what is tried | what happened | control |\n|---|---|---|---|\n")
	for _, row := range t.rows() {
		fmt.Fprintf(&out, "| %s %s | %s | %s | %s |\n", row.attack.id, row.attack.name, markdown(row.attack.tries), t.outcome(row.attack.id), markdown(t.controls[row.attack.id]))
	}
	out.WriteString("\n" + t.summary() + "\n\n" + endMark + after)
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil { //nolint:gosec // a page is for everybody
		tb.Fatal(err)
	}
}

// outcome tells what happened in each profile, once where it was the same.
func (t *table) outcome(id string) string {
	var texts []string
	var profiles [][]string
	for _, c := range t.cells {
		if c.attack.id != id {
			continue
		}
		text := string(c.state) + ": " + c.happened
		if n := len(texts); n > 0 && texts[n-1] == text {
			profiles[n-1] = append(profiles[n-1], string(c.profile))
			continue
		}
		texts, profiles = append(texts, text), append(profiles, []string{string(c.profile)})
	}
	for i := range texts {
		texts[i] = markdown("*" + strings.Join(profiles[i], ", ") + "*: " + texts[i])
	}
	return strings.Join(texts, "<br>")
}

func markdown(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", ">", "&gt;").Replace(s)
}
