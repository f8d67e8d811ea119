package domain

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of documents. They hold before anything is built from a document, so that its cost is bounded by its size.
const (
	// MaxDocument is the greatest size of a document in XML in bytes.
	MaxDocument = 1 << 20
	// MaxTree is that of a document in JSON or YAML, which say in more bytes what XML says in MaxDocument.
	MaxTree = 4 * MaxDocument
	// MaxDepth is how deep elements may be nested.
	MaxDepth = 32
	// MaxElements is how many elements a document may have.
	MaxElements = 20000
	// MaxAttributes is how many attributes an element may have.
	MaxAttributes = 64
	// MaxName is the greatest length of a name of an element or attribute in bytes.
	MaxName = 128
	// MaxNamespaces is how many declarations of namespaces may be in scope at once.
	MaxNamespaces = 64
)

// xmlSpace is what the prefix xml always stands for.
const xmlSpace = "http://www.w3.org/XML/1998/namespace"

// scanner reads XML 1.0 in UTF-8 with namespaces into nodes. It knows no document types, no processing instructions
// and no entities but the five that XML itself has; a document with others is refused, not read otherwise.
//
// Blank text between elements is dropped where libxml2, told to ignore it, drops it.
type scanner struct {
	doc      string
	pos      int
	elements int
	spaces   []declaration // in scope, innermost last
	open     []*node       // what the elements around s.pos hold so far, outermost first
	tag      []attr        // of the start tag that is read

	nodes arena[node]
	lists arena[*node]
	attrs arena[attr]
}

// reset makes the scanner ready for another document. The nodes of the last one must not be used any more.
func (s *scanner) reset(doc string) {
	s.doc, s.pos, s.elements = doc, 0, 0
	s.spaces, s.open, s.tag = s.spaces[:0], s.open[:0], s.tag[:0]
	s.nodes.rewind()
	s.lists.rewind()
	s.attrs.rewind()
}

// node makes one.
func (s *scanner) node(kind nodeKind, text string, offset int) *node {
	n := &s.nodes.take(1)[0]
	n.kind, n.text, n.offset = kind, text, offset
	return n
}

type declaration struct{ prefix, uri string }

// syntaxError is the first place where a document is not what the scanner reads.
type syntaxError struct {
	offset  int
	message string
}

func (e *syntaxError) Error() string { return e.message }

func (s *scanner) errorf(offset int, format string, args ...any) error {
	return &syntaxError{offset: offset, message: fmt.Sprintf(format, args...)}
}

// scanDocument reads a whole document and gives its root element.
func scanDocument(doc string) (*node, error) {
	s := &scanner{doc: doc}
	if err := s.check(); err != nil {
		return nil, err
	}
	s.pos = len(doc) - len(strings.TrimPrefix(doc, "\ufeff"))
	if err := s.declaration(); err != nil {
		return nil, err
	}
	if err := s.misc(); err != nil {
		return nil, err
	}
	if s.pos == len(doc) {
		return nil, s.errorf(s.pos, "the document has no root element")
	}
	if doc[s.pos] != '<' {
		return nil, s.errorf(s.pos, "text before the root element")
	}
	root, err := s.element(1, false)
	if err != nil {
		return nil, err
	}
	if err := s.misc(); err != nil {
		return nil, err
	}
	if s.pos != len(doc) {
		return nil, s.errorf(s.pos, "text after the root element")
	}
	return root, nil
}

// scanFragment reads what may stand inside an element.
func scanFragment(doc string, depth int) ([]*node, error) {
	return new(scanner).fragment(doc, depth)
}

// fragment is scanFragment with a scanner that others used before, whose nodes it takes back.
func (s *scanner) fragment(doc string, depth int) ([]*node, error) {
	s.reset(doc)
	if err := s.check(); err != nil {
		return nil, err
	}
	var parent node
	if err := s.content(&parent, depth, false); err != nil {
		return nil, err
	}
	if s.pos != len(doc) {
		return nil, s.errorf(s.pos, "an end tag without its element")
	}
	return parent.children, nil
}

// check refuses what is too large or is not text.
func (s *scanner) check() error {
	if strings.HasPrefix(s.doc, "\xff\xfe") || strings.HasPrefix(s.doc, "\xfe\xff") {
		return s.errorf(0, "the document is in UTF-16, it must be in UTF-8")
	}
	if err := checkText(s.doc, MaxDocument); err != nil {
		return err
	}
	if i := strangeChar(s.doc); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s.doc[i:])
		return s.errorf(i, "character %U is not allowed in XML", r)
	}
	return nil
}

// declaration reads <?xml ...?>, if it is there.
func (s *scanner) declaration() error {
	start := s.pos
	if !strings.HasPrefix(s.rest(), "<?xml") || len(s.rest()) < 6 || !isSpace(s.rest()[5]) {
		return nil
	}
	end := strings.Index(s.rest(), "?>")
	if end < 0 {
		return s.errorf(start, "the XML declaration does not end")
	}
	body := s.rest()[len("<?xml"):end]
	s.pos += end + len("?>")
	if v, ok := pseudoAttribute(body, "version"); !ok || v != "1.0" {
		return s.errorf(start, "the XML declaration does not name version 1.0")
	}
	if v, ok := pseudoAttribute(body, "encoding"); ok && !strings.EqualFold(v, "utf-8") && !strings.EqualFold(v, "us-ascii") {
		return s.errorf(start, "encoding %s is not supported, it must be UTF-8", quote(v))
	}
	return nil
}

// pseudoAttribute finds name="value" in the body of an XML declaration.
func pseudoAttribute(body, name string) (string, bool) {
	_, after, ok := strings.Cut(body, name)
	if !ok {
		return "", false
	}
	after = strings.TrimLeft(after, " \t\r\n")
	after, ok = strings.CutPrefix(after, "=")
	after = strings.TrimLeft(after, " \t\r\n")
	if !ok || after == "" || (after[0] != '"' && after[0] != '\'') {
		return "", false
	}
	value, _, ok := strings.Cut(after[1:], after[:1])
	return value, ok
}

// misc skips white space and comments outside the root element.
func (s *scanner) misc() error {
	for {
		s.skipSpace()
		if !strings.HasPrefix(s.rest(), "<!") && !strings.HasPrefix(s.rest(), "<?") {
			return nil
		}
		start := s.pos
		n, err := s.markup()
		if err != nil {
			return err
		}
		if n.kind != commentNode {
			return s.errorf(start, "text outside the root element")
		}
	}
}

// content reads what stands inside an element, up to its end tag or the end of the document.
func (s *scanner) content(n *node, depth int, preserve bool) error {
	base := len(s.open)
	err := s.contents(base, depth, preserve)
	n.children = s.lists.take(len(s.open) - base)
	copy(n.children, s.open[base:])
	s.open = s.open[:base]
	return err
}

// contents puts what stands inside an element at the end of s.open, from base on.
func (s *scanner) contents(base, depth int, preserve bool) error {
	for s.pos < len(s.doc) {
		var child *node
		var err error
		rest := s.rest()
		switch {
		case strings.HasPrefix(rest, "</"):
			return nil
		case strings.HasPrefix(rest, "<!"), strings.HasPrefix(rest, "<?"):
			child, err = s.markup()
		case rest[0] == '<':
			child, err = s.element(depth, preserve)
		default:
			child, err = s.characters(s.open[base:], preserve)
		}
		if err != nil {
			return err
		}
		if child != nil {
			s.open = append(s.open, child)
		}
	}
	return nil
}

func (s *scanner) rest() string { return s.doc[s.pos:] }

func (s *scanner) skipSpace() {
	for s.pos < len(s.doc) && isSpace(s.doc[s.pos]) {
		s.pos++
	}
}
