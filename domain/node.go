package domain

import (
	"strings"
	"unicode/utf8"
)

// xmlName is a name with its namespace: the prefix as written and the namespace name that it stands for.
type xmlName struct {
	prefix, local string
	space         string
}

// String is the name as written.
func (n xmlName) String() string {
	if n.prefix == "" {
		return n.local
	}
	return n.prefix + ":" + n.local
}

// size is the length of the name as written.
func (n xmlName) size() int {
	if n.prefix == "" {
		return len(n.local)
	}
	return len(n.prefix) + 1 + len(n.local)
}

// is tells whether two names are the same, whatever their prefixes.
func (n xmlName) is(o xmlName) bool { return n.local == o.local && n.space == o.space }

type nodeKind uint8

const (
	elementNode nodeKind = iota
	textNode
	cdataNode
	commentNode
)

// node is one node of a scanned document.
type node struct {
	kind     nodeKind
	name     xmlName // of an element
	attrs    []attr  // of an element, as written, namespace declarations among them
	children []*node // of an element
	text     string  // of the other kinds, decoded
	offset   int     // where it begins in the document
}

// attr is one attribute. offset is where its name begins.
type attr struct {
	name   xmlName
	value  string
	offset int
}

// declares gives the prefix that an attribute declares, "" for the default namespace.
func (a attr) declares() (prefix string, ok bool) {
	switch {
	case a.name.prefix == "xmlns":
		return a.name.local, true
	case a.name.prefix == "" && a.name.local == "xmlns":
		return "", true
	}
	return "", false
}

// attr finds an attribute without namespace.
func (n *node) attr(name string) *attr {
	for i := range n.attrs {
		if a := &n.attrs[i]; a.name.prefix == "" && a.name.local == name {
			return a
		}
	}
	return nil
}

// content is the text of an element's own text nodes.
func (n *node) content() string {
	if len(n.children) == 1 && n.children[0].kind <= cdataNode && n.children[0].kind != elementNode {
		return n.children[0].text
	}
	var b strings.Builder
	for _, c := range n.children {
		if c.kind == textNode || c.kind == cdataNode {
			b.WriteString(c.text)
		}
	}
	return b.String()
}

// textOffset is where an element's text begins, less blanks before it; that of the element if it has none.
func (n *node) textOffset() int {
	for _, c := range n.children {
		if text := strings.TrimLeft(c.text, " \t\r\n"); c.kind == textNode && text != "" {
			return c.offset + len(c.text) - len(text)
		} else if c.kind == cdataNode && text != "" {
			return c.offset
		}
	}
	return n.offset
}

// isElement tells whether n is an element.
func (n *node) isElement() bool { return n.kind == elementNode }

// isText tells whether n is character data.
func (n *node) isText() bool { return n.kind == textNode || n.kind == cdataNode }

// position turns an offset into a line and a column, both from 1; the column counts characters.
func position(doc string, offset int) (line, column int) {
	offset = min(offset, len(doc))
	before := doc[:offset]
	line = strings.Count(before, "\n") + 1
	return line, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}
