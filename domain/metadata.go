package domain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// dumpMetadata writes applications' XML as libvirt does, which has libxml2 write it anew: one element a namespace, each
// with the declarations that it needs; elements without a namespace and whatever stands between the elements are left
// out; indented by two spaces a level, but not inside an element that holds text; CDATA and comments kept.
//
// The result is empty, or begins with the first element's indent and ends without a line end. level is the depth of
// the outermost elements. It differs from libvirt in one thing: a namespace that was declared outside the metadata is declared on
// the element that uses it, not on <metadata>, so that each element stands for itself.
func dumpMetadata(nodes []*node, level int) string {
	d := &dumper{}
	seen := map[string]bool{}
	for _, n := range nodes {
		if n.kind != elementNode || n.name.space == "" || seen[n.name.space] {
			continue
		}
		seen[n.name.space] = true
		if len(d.buf) > 0 {
			d.buf = append(d.buf, '\n')
		}
		d.indent(level)
		d.element(n, level, layout{format: true}, nil)
	}
	return string(d.buf)
}

// dumper appends to what it has.
type dumper struct {
	buf    []byte
	single bool // attributes stand in single quotes, as outside metadata
}

// maxIndent is the level from which libxml2 indents no further.
const maxIndent = 30

func (d *dumper) indent(level int) {
	for range min(level, maxIndent) {
		d.buf = append(d.buf, "  "...)
	}
}

// layout is how blank text is treated where an element stands.
type layout struct {
	format   bool // elements are put on lines of their own
	preserve bool // xml:space asks to keep all that there is
}

// inside is the layout of what n holds. Text, and xml:space, end the formatting.
func (l layout) inside(n *node) layout {
	if space := n.attrNS("xml", "space"); space != nil {
		l.preserve = space.value == "preserve"
	}
	l.format = l.format && !l.preserve && !slices.ContainsFunc(n.children, (*node).isText)
	return l
}

// element writes n; scope is what is declared around it in the output.
func (d *dumper) element(n *node, level int, l layout, scope []declaration) {
	d.buf = append(d.buf, '<')
	d.name(n.name)
	scope = d.declarations(n, scope)
	for _, a := range n.attrs {
		if _, ok := a.declares(); !ok {
			d.attribute(a.name, a.value)
		}
	}
	if len(n.children) == 0 {
		d.buf = append(d.buf, "/>"...)
		return
	}
	d.buf = append(d.buf, '>')
	l = l.inside(n)
	for i, c := range n.children {
		if l.format {
			d.buf = append(d.buf, '\n')
			d.indent(level + 1)
		}
		switch c.kind {
		case elementNode:
			d.element(c, level+1, l, scope)
		case textNode:
			d.text(n, i, l)
		case cdataNode:
			d.buf = append(append(append(d.buf, "<![CDATA["...), c.text...), "]]>"...)
		case commentNode:
			d.buf = append(append(append(d.buf, "<!--"...), c.text...), "-->"...)
		}
	}
	if l.format {
		d.buf = append(d.buf, '\n')
		d.indent(level)
	}
	d.buf = append(d.buf, "</"...)
	d.name(n.name)
	d.buf = append(d.buf, '>')
}

// name writes a name as it was written.
func (d *dumper) name(n xmlName) {
	if n.prefix != "" {
		d.buf = append(append(d.buf, n.prefix...), ':')
	}
	d.buf = append(d.buf, n.local...)
}

// text writes the i-th node of n. Blank text that would be taken for layout when it is read again, as it can come from
// references, stays a reference.
func (d *dumper) text(n *node, i int, l layout) {
	text := n.children[i].text
	if !l.preserve && text != "" && ignorable(n.children[:i], text, i+1 == len(n.children)) {
		d.buf = append(strconv.AppendInt(append(d.buf, "&#"...), int64(text[0]), 10), ';')
		text = text[1:]
	}
	d.buf = dumpText.append(d.buf, text)
}

// declarations writes those of the element itself, then those that the element and its attributes need from around it.
func (d *dumper) declarations(n *node, scope []declaration) []declaration {
	scope = slices.Clip(scope)
	for _, a := range n.attrs {
		if prefix, ok := a.declares(); ok {
			d.attribute(a.name, a.value)
			scope = append(scope, declaration{prefix, a.value})
		}
	}
	scope = d.need(n.name, scope)
	for _, a := range n.attrs {
		if _, ok := a.declares(); !ok && a.name.prefix != "" {
			scope = d.need(a.name, scope)
		}
	}
	return scope
}

// need declares the namespace of a name unless it is.
func (d *dumper) need(name xmlName, scope []declaration) []declaration {
	if name.prefix == "xml" || name.space == "" || declared(scope, name.prefix) == name.space {
		return scope
	}
	attribute := xmlName{local: "xmlns"}
	if name.prefix != "" {
		attribute = xmlName{prefix: "xmlns", local: name.prefix}
	}
	d.attribute(attribute, name.space)
	return append(scope, declaration{name.prefix, name.space})
}

func declared(scope []declaration, prefix string) string {
	for _, d := range slices.Backward(scope) {
		if d.prefix == prefix {
			return d.uri
		}
	}
	return ""
}

func (d *dumper) attribute(name xmlName, value string) {
	d.buf = append(d.buf, ' ')
	d.name(name)
	if d.single {
		d.buf = append(attributeEscapes.append(append(d.buf, "='"...), value), '\'')
		return
	}
	d.buf = append(dumpAttribute.append(append(d.buf, `="`...), value), '"')
}

var (
	dumpText      = newEscapes("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;")
	dumpAttribute = newEscapes("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\n", "&#10;", "\t", "&#9;", "\r", "&#13;")
)

// metadataDepth is how deep the outermost elements of metadata stand in a document.
const metadataDepth = 3

// readMetadata reads the inner XML of the metadata element.
func readMetadata(inner string) ([]*node, error) {
	nodes, err := scanFragment(inner, metadataDepth)
	if err != nil {
		return nil, withPlace(inner, err)
	}
	return nodes, nil
}

// Limits of metadata: each of its elements is told of by an event that names its namespace.
const (
	// maxApplications is how many elements metadata may have, not counting those inside of them.
	maxApplications = 256
	// maxNamespace is the greatest length of the namespace of such an element in bytes.
	maxNamespace = 4096
)

// metadataFault says why the inner XML of the metadata element cannot be stored, empty if it can.
func metadataFault(inner string) string {
	nodes, err := readMetadata(inner)
	if err != nil {
		return err.Error()
	}
	count := 0
	for _, n := range nodes {
		if n.kind != elementNode {
			continue
		}
		if size := len(n.name.space); size > maxNamespace {
			return fmt.Sprintf("element %s has a namespace of %d bytes, %d are the limit", quote(n.name.String()), size, maxNamespace)
		}
		count++
	}
	if count > maxApplications {
		return fmt.Sprintf("%d elements, %d are the limit", count, maxApplications)
	}
	return ""
}

// withPlace puts line and column before a scanner's fault.
func withPlace(doc string, err error) error {
	if e, ok := errors.AsType[*syntaxError](err); ok {
		line, column := position(doc, e.offset)
		return &syntaxError{offset: e.offset, message: strconv.Itoa(line) + ":" + strconv.Itoa(column) + ": " + e.message}
	}
	return err
}
