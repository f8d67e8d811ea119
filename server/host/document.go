package host

import (
	"fmt"
	"strings"
)

// document writes XML as libvirt does: two spaces a level, attributes in single quotes, in order.
type document struct {
	strings.Builder
	depth int
}

// attr is an attribute.
type attr struct{ name, value string }

func number[N ~int | ~uint64](name string, n N) attr { return attr{name, fmt.Sprint(n)} }

func (d *document) begin(name string, attrs []attr) {
	d.WriteString(strings.Repeat("  ", d.depth) + "<" + name)
	for _, a := range attrs {
		d.WriteString(" " + a.name + "='" + escaper.Replace(a.value) + "'")
	}
}

// empty writes an element without content.
func (d *document) empty(name string, attrs ...attr) {
	d.begin(name, attrs)
	d.WriteString("/>\n")
}

// text writes an element with text.
func (d *document) text(name, text string, attrs ...attr) {
	d.begin(name, attrs)
	d.WriteString(">" + escaper.Replace(text) + "</" + name + ">\n")
}

// element writes an element with what inside writes; an empty one if that is nothing.
func (d *document) element(name string, attrs []attr, inside func()) {
	before := d.Len()
	d.begin(name, attrs)
	d.WriteString(">\n")
	opened := d.Len()
	d.depth++
	inside()
	d.depth--
	if d.Len() == opened {
		whole := d.String()[:before]
		d.Reset()
		d.WriteString(whole)
		d.empty(name, attrs...)
		return
	}
	d.WriteString(strings.Repeat("  ", d.depth) + "</" + name + ">\n")
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;", "\r", "&#13;", "\n", "&#10;", "\t", "&#9;")
