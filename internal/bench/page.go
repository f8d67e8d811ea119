package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"
)

// Marks in a page between which the table stands.
const (
	pageBegin = "<!-- figures: make bench writes what is between these marks -->"
	pageEnd   = "<!-- end of figures -->"
)

// writePage writes the table of figures into a page, of a whole run only.
func (b *bench) writePage() error {
	if b.page == "" || !b.whole() {
		return nil
	}
	text, err := os.ReadFile(b.page)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(pageBegin))
	_, after, ended := bytes.Cut(rest, []byte(pageEnd))
	if !ok || !ended {
		return fmt.Errorf("write figures into %q: the marks %q and %q are not there", b.page, pageBegin, pageEnd)
	}
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(pageBegin + "\n\n")
	out.WriteString(b.markdown(time.Now()))
	out.WriteString("\n" + pageEnd)
	out.Write(after)
	return os.WriteFile(b.page, out.Bytes(), 0o644)
}

// markdown is the table.
func (b *bench) markdown(at time.Time) string {
	var t strings.Builder
	fmt.Fprintf(&t, "Measured on %s: %s.\n\n", at.UTC().Format(time.DateOnly), b.host())
	t.WriteString("| what | measured | p99 | promised | | beside it |\n|---|---|---|---|---|---|\n")
	for _, r := range rows(b.figures) {
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s | %s |\n", r.title, r.value, r.tail, r.promise, r.verdict, r.beside)
	}
	for _, r := range b.remarks {
		fmt.Fprintf(&t, "\nNote: %s.\n", strings.TrimSuffix(r, "."))
	}
	return t.String()
}
