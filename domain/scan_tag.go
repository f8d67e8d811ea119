package domain

import (
	"slices"
	"strings"
)

// element reads an element; s.pos is at its "<".
func (s *scanner) element(depth int, preserve bool) (*node, error) {
	n := s.node(elementNode, "", s.pos)
	if s.elements++; s.elements > MaxElements {
		return nil, s.errorf(s.pos, "the document has more than %d elements", MaxElements)
	}
	if depth > MaxDepth {
		return nil, s.errorf(s.pos, "elements are nested deeper than %d", MaxDepth)
	}
	s.pos++
	var err error
	if n.name, err = s.name(); err != nil {
		return nil, err
	}
	scope := len(s.spaces)
	if err := s.attributes(n); err != nil {
		return nil, err
	}
	if a := n.attrNS("xml", "space"); a != nil {
		preserve = a.value == "preserve"
	}
	if strings.HasPrefix(s.rest(), "/>") {
		s.pos += 2
		s.spaces = s.spaces[:scope]
		return n, nil
	}
	s.pos++ // the ">" at which attributes stopped
	if err := s.content(n, depth+1, preserve); err != nil {
		return nil, err
	}
	s.spaces = s.spaces[:scope]
	return n, s.endTag(n)
}

// attrNS finds an attribute by its prefix.
func (n *node) attrNS(prefix, local string) *attr {
	for i := range n.attrs {
		if a := &n.attrs[i]; a.name.prefix == prefix && a.name.local == local {
			return a
		}
	}
	return nil
}

func (s *scanner) endTag(n *node) error {
	if s.pos == len(s.doc) {
		return s.errorf(n.offset, "element %s does not end", quote(n.name.String()))
	}
	start := s.pos
	s.pos += len("</")
	if rest, ok := strings.CutPrefix(s.rest(), s.doc[n.offset+1:][:n.name.size()]); ok && strings.HasPrefix(rest, ">") {
		s.pos += n.name.size() + 1
		return nil
	}
	name, err := s.name()
	if err != nil {
		return err
	}
	if name.prefix != n.name.prefix || name.local != n.name.local {
		return s.errorf(start, "element %s is ended by %s", quote(n.name.String()), quote("</"+name.String()+">"))
	}
	s.skipSpace()
	if !strings.HasPrefix(s.rest(), ">") {
		return s.errorf(s.pos, "the end tag of %s has no %q", quote(name.String()), ">")
	}
	s.pos++
	return nil
}

// attributes reads up to the ">" or "/>" of a start tag and resolves the names of the element and its attributes.
func (s *scanner) attributes(n *node) error {
	s.tag = s.tag[:0]
	for {
		before := s.pos
		s.skipSpace()
		rest := s.rest()
		if strings.HasPrefix(rest, ">") || strings.HasPrefix(rest, "/>") {
			n.attrs = s.attrs.take(len(s.tag))
			copy(n.attrs, s.tag)
			return s.resolve(n)
		}
		if rest == "" {
			return s.errorf(n.offset, "the start tag of %s does not end", quote(n.name.String()))
		}
		if s.pos == before {
			return s.errorf(s.pos, "the start tag of %s has a stray %s", quote(n.name.String()), quoteFirst(rest))
		}
		if len(s.tag) == MaxAttributes {
			return s.errorf(s.pos, "element %s has more than %d attributes", quote(n.name.String()), MaxAttributes)
		}
		a, err := s.attribute()
		if err != nil {
			return err
		}
		s.tag = append(s.tag, a)
	}
}

func (s *scanner) attribute() (attr, error) {
	a := attr{offset: s.pos}
	var err error
	if a.name, err = s.name(); err != nil {
		return a, err
	}
	s.skipSpace()
	if !strings.HasPrefix(s.rest(), "=") {
		return a, s.errorf(a.offset, "attribute %s has no value", quote(a.name.String()))
	}
	s.pos++
	s.skipSpace()
	rest := s.rest()
	if rest == "" || (rest[0] != '"' && rest[0] != '\'') {
		return a, s.errorf(a.offset, "the value of attribute %s is not quoted", quote(a.name.String()))
	}
	end := strings.IndexByte(rest[1:], rest[0])
	if end < 0 {
		return a, s.errorf(a.offset, "the value of attribute %s does not end", quote(a.name.String()))
	}
	raw := rest[1 : 1+end]
	if i := strings.IndexByte(raw, '<'); i >= 0 {
		return a, s.errorf(s.pos+1+i, "the value of attribute %s holds a %q", quote(a.name.String()), "<")
	}
	a.value, err = s.decode(raw, s.pos+1, true)
	s.pos += 1 + end + 1
	return a, err
}

// resolve refuses duplicate attributes and gives every name of a start tag its namespace.
func (s *scanner) resolve(n *node) error {
	for _, a := range n.attrs {
		prefix, ok := a.declares()
		if !ok {
			continue
		}
		switch {
		case prefix == "xmlns", prefix == "xml" && a.value != xmlSpace:
			return s.errorf(a.offset, "prefix %q cannot be declared", prefix)
		case prefix != "" && a.value == "":
			return s.errorf(a.offset, "prefix %s is declared without a namespace", quote(prefix))
		}
		if len(s.spaces) == MaxNamespaces {
			return s.errorf(a.offset, "more than %d namespaces are declared", MaxNamespaces)
		}
		s.spaces = append(s.spaces, declaration{prefix, a.value})
	}
	if err := s.lookup(&n.name, n.offset); err != nil {
		return err
	}
	for i := range n.attrs {
		a := &n.attrs[i]
		if _, ok := a.declares(); !ok && a.name.prefix != "" {
			if err := s.lookup(&a.name, a.offset); err != nil {
				return err
			}
		}
		for j := range n.attrs[:i] {
			b := &n.attrs[j]
			if a.name.local == b.name.local && a.name.prefix == b.name.prefix || (a.name.space != "" && a.name.is(b.name)) {
				return s.errorf(a.offset, "attribute %s is given twice", quote(a.name.String()))
			}
		}
	}
	return nil
}

// lookup finds what a prefix stands for.
func (s *scanner) lookup(n *xmlName, offset int) error {
	if n.prefix == "xml" {
		n.space = xmlSpace
		return nil
	}
	for _, d := range slices.Backward(s.spaces) {
		if d.prefix == n.prefix {
			n.space = d.uri
			return nil
		}
	}
	if n.prefix != "" {
		return s.errorf(offset, "prefix %s is not declared", quote(n.prefix))
	}
	return nil
}

// name reads a name with at most one colon.
func (s *scanner) name() (xmlName, error) {
	start, rest := s.pos, s.rest()
	end := nameEnd(rest)
	if end > MaxName {
		return xmlName{}, s.errorf(start, "a name has %d bytes, %d are the limit", end, MaxName)
	}
	prefix, local, ok := strings.Cut(rest[:end], ":")
	if !ok {
		prefix, local = "", prefix
	}
	if !isNCName(local) || ok && !isNCName(prefix) {
		if end == 0 {
			return xmlName{}, s.errorf(start, "a name is expected, not %s", quoteFirst(rest))
		}
		return xmlName{}, s.errorf(start, "%s is not a name", quote(rest[:end]))
	}
	s.pos += end
	return xmlName{prefix: prefix, local: local}, nil
}
