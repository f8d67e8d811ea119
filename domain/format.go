package domain

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// FormatOptions change how a definition is written.
type FormatOptions struct {
	// Inactive leaves out what belongs to a running domain: its number, aliases, terminals and made-up names of
	// interfaces.
	Inactive bool
}

// FormatXML writes a domain in libvirt's form: two spaces a level, single quotes, libvirt's order. Read again it gives
// an equal message, provided that the message is pruned: no singular message in it is present but empty, and no string
// holds what XML cannot, which [Validate] refuses. It fails only if the metadata, or an element
// that is kept, is no XML.
func FormatXML(def *davitv1.Domain, o FormatOptions) (string, error) {
	if o.Inactive {
		def = withoutGenerated(def)
	}
	s := domainSchema()
	w := &writer{inactive: o.Inactive, schema: s, used: make([]bool, len(s.spaces))}
	w.element(s.self, s.root.String(), def.ProtoReflect(), true)
	if w.err != nil {
		return "", fmt.Errorf("write domain XML: %w", w.err)
	}
	return w.finish(), nil
}

// writer builds a document. An element that turns out to be empty is taken back.
type writer struct {
	buf      []byte
	level    int
	inactive bool
	schema   *schema
	used     []bool  // namespaces of the schema that the document uses
	rootEnd  int     // where the declarations of the root belong
	scanner  scanner // of elements that are kept
	err      error
}

// finish puts the declarations of the namespaces that are used on the root.
func (w *writer) finish() string {
	var b strings.Builder
	b.Write(w.buf[:w.rootEnd])
	for i, ns := range w.schema.spaces {
		if w.used[i] {
			b.WriteString(" xmlns:" + ns.prefix + "='" + string(attributeEscapes.append(nil, ns.uri)) + "'")
		}
	}
	b.Write(w.buf[w.rootEnd:])
	return b.String()
}

func (w *writer) indent() {
	for range w.level {
		w.buf = append(w.buf, "  "...)
	}
}

// element writes an element of the message m. It is left out when nothing is in it, unless it is kept.
func (w *writer) element(e *element, name string, m protoreflect.Message, keep bool) {
	start := len(w.buf)
	w.indent()
	w.buf = append(append(w.buf, '<'), name...)
	mark := len(w.buf)
	w.attributes(e, m)
	empty := len(w.buf) == mark
	if w.level == 0 {
		w.rootEnd = len(w.buf)
	}
	if f := e.value; f != nil && f.hasText() && m.Has(f.desc) && !w.skips(f) {
		w.text(f.format(m.Get(f.desc)), name)
		return
	}
	mark = len(w.buf)
	w.buf = append(w.buf, ">\n"...)
	inner := len(w.buf)
	w.level++
	w.children(e, m)
	w.level--
	switch {
	case len(w.buf) > inner:
		w.end(name)
	case empty && !keep:
		w.buf = w.buf[:start]
	default:
		w.buf = append(w.buf[:mark], "/>\n"...)
	}
}

// text ends an element that holds text and nothing else.
func (w *writer) text(text, name string) {
	if text == "" {
		w.buf = append(w.buf, "/>\n"...)
		return
	}
	w.buf = append(w.buf, '>')
	w.buf = append(textEscapes.append(w.buf, text), "</"...)
	w.buf = append(append(w.buf, name...), ">\n"...)
}

func (w *writer) end(name string) {
	w.indent()
	w.buf = append(w.buf, "</"...)
	w.buf = append(append(w.buf, name...), ">\n"...)
}

func (w *writer) attributes(e *element, m protoreflect.Message) {
	for _, a := range e.attrs {
		if !m.Has(a.field.desc) || w.skips(a.field) {
			continue
		}
		value := a.field.unitName()
		if !a.unit {
			value = a.field.format(m.Get(a.field.desc))
		}
		w.buf = append(append(append(w.buf, ' '), a.name...), "='"...)
		w.buf = append(attributeEscapes.append(w.buf, value), '\'')
	}
}

func (w *writer) skips(f *field) bool { return w.inactive && f.opts.GetLive() }

func (w *writer) children(e *element, m protoreflect.Message) {
	for _, c := range e.children {
		before := len(w.buf)
		w.child(c, m)
		if len(w.buf) > before {
			w.use(c.name.prefix)
		}
	}
	if e.kept != nil && m.Has(e.kept.desc) {
		w.kept(e.kept, m.Get(e.kept.desc).List())
	}
}

// kept writes elements of other drivers anew at their depth.
func (w *writer) kept(f *field, list protoreflect.List) {
	for i := range list.Len() {
		n, err := f.readKept(&w.scanner, list.Get(i).String())
		if err != nil {
			w.err = fmt.Errorf("%s[%d]: %w", f.name, i, err)
			return
		}
		w.indent()
		w.buf = append(appendKept(w.buf, n, w.level), '\n')
	}
}

// use notes that a prefix of the schema appears.
func (w *writer) use(prefix string) {
	for i, ns := range w.schema.spaces {
		if ns.prefix == prefix {
			w.used[i] = true
		}
	}
}

// child writes one of the elements of a message, as often as the message has it.
func (w *writer) child(c *element, m protoreflect.Message) {
	name, f := c.name.String(), c.value
	switch {
	case f == nil || f.hasText():
		w.element(c, name, m, false)
	case !m.Has(f.desc) || w.skips(f):
	case f.list:
		w.list(f, name, m.Get(f.desc).List())
	case f.message != nil:
		w.element(f.message.self, name, m.Get(f.desc).Message(), false)
	case f.opts.GetRaw():
		w.raw(m.Get(f.desc).String(), name)
	default: // a flag
		w.indent()
		w.buf = append(append(append(w.buf, '<'), name...), "/>\n"...)
	}
}

func (w *writer) list(f *field, name string, list protoreflect.List) {
	for i := range list.Len() {
		if f.message != nil {
			w.element(f.message.self, name, list.Get(i).Message(), true)
			continue
		}
		w.indent()
		w.buf = append(append(w.buf, '<'), name...)
		w.text(f.format(list.Get(i)), name)
	}
}

// raw writes inner XML anew at its depth.
func (w *writer) raw(inner, name string) {
	nodes, err := readMetadata(inner)
	if err != nil {
		w.err = fmt.Errorf("%s: %w", name, err)
		return
	}
	dump := dumpMetadata(nodes, w.level+1)
	if dump == "" {
		return
	}
	w.indent()
	w.buf = append(append(append(w.buf, '<'), name...), ">\n"...)
	w.buf = append(append(w.buf, dump...), '\n')
	w.end(name)
}

// escapes are what is written for bytes that XML would take for something else.
type escapes [256]string

// newEscapes takes pairs of a character and what is written for it.
func newEscapes(pairs ...string) *escapes {
	e := &escapes{}
	for i := 0; i+1 < len(pairs); i += 2 {
		e[pairs[i][0]] = pairs[i+1]
	}
	return e
}

// append writes s at the end of buf.
func (e *escapes) append(buf []byte, s string) []byte {
	done := 0
	for i := range len(s) {
		if e[s[i]] != "" {
			buf = append(append(buf, s[done:i]...), e[s[i]]...)
			done = i + 1
		}
	}
	return append(buf, s[done:]...)
}

// The escapes of libvirt. In attributes line ends and tabs are written as references, too, or they would come back as spaces.
var (
	textEscapes      = newEscapes("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;", "\r", "&#13;")
	attributeEscapes = newEscapes("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;", "\r", "&#13;", "\n", "&#10;", "\t", "&#9;")
)
