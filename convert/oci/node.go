package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/davitd/davit/convert"
)

// Bounds of a document.
const (
	maxBytes  = 1 << 20
	maxValues = 50000
	maxDepth  = 32
)

// node is a value of a JSON document.
type node struct {
	kind    kind
	text    string // of strings, numbers and booleans
	members []member
	items   []*node
	line    int
	carried bool   // it is in the result, or told of
	unknown bool   // OCI has no such field
	odd     bool   // it, or something in it, is unknown
	near    string // the known name that may have been meant
}

type member struct {
	name  string
	value *node
}

// kind is what a value is, in words.
type kind string

const (
	isObject kind = "an object"
	isList   kind = "a list"
	isString kind = "a string"
	isNumber kind = "a number"
	isBool   kind = "true or false"
	isNull   kind = "null"
)

// says tells whether a value says anything: false, null and what is empty do not.
func (n *node) says() bool {
	switch n.kind {
	case isObject:
		return len(n.members) > 0
	case isList:
		return len(n.items) > 0
	case isString:
		return n.text != ""
	case isBool:
		return n.text == "true"
	case isNull:
		return false
	default: // a number always does
		return true
	}
}

// mark notes which values are odd.
func (n *node) mark() bool {
	n.odd = n.unknown
	for _, m := range n.members {
		n.odd = m.value.mark() || n.odd
	}
	for _, item := range n.items {
		n.odd = item.mark() || n.odd
	}
	return n.odd
}

// scanner reads a document as nodes.
type scanner struct {
	decoder *json.Decoder
	text    []byte
	values  int
	// where lines have been counted up to
	offset, lines int
}

// scan reads a document. A fault of its syntax is the only one that is told alone.
func scan(text []byte) (*node, int, error) {
	if len(text) > maxBytes {
		return nil, 0, fmt.Errorf("the document has %d bytes, %d are the limit", len(text), maxBytes)
	}
	s := &scanner{decoder: json.NewDecoder(bytes.NewReader(text)), text: text}
	s.decoder.UseNumber()
	root, err := s.value(0)
	if err == nil {
		if _, more := s.decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("the document goes on after its end")
		}
	}
	line := s.line()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line = 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the document ends too early")
	}
	return root, line, err
}

// line is where the scanner stands, which only moves on.
func (s *scanner) line() int {
	offset := int(s.decoder.InputOffset())
	s.lines += bytes.Count(s.text[s.offset:offset], []byte("\n"))
	s.offset = offset
	return 1 + s.lines
}

func (s *scanner) value(depth int) (*node, error) {
	token, err := s.decoder.Token()
	if err != nil {
		return nil, err
	}
	if s.values++; s.values > maxValues {
		return nil, fmt.Errorf("the document has more than %d values", maxValues)
	}
	n := &node{line: s.line()}
	switch v := token.(type) {
	case json.Delim:
		if depth >= maxDepth {
			return nil, fmt.Errorf("values are more than %d deep", maxDepth)
		}
		if v == '{' {
			n.kind = isObject
			return n, s.object(n, depth+1)
		}
		n.kind = isList
		return n, s.list(n, depth+1)
	case string:
		n.kind, n.text = isString, v
	case json.Number:
		n.kind, n.text = isNumber, v.String()
	case bool:
		n.kind, n.text = isBool, strconv.FormatBool(v)
	default:
		n.kind = isNull
	}
	return n, nil
}

func (s *scanner) object(n *node, depth int) error {
	seen := map[string]bool{}
	for s.decoder.More() {
		token, err := s.decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the decoder takes nothing else for a name
		if seen[name] {
			return fmt.Errorf("%s is given twice", convert.Quote(name))
		}
		seen[name] = true
		value, err := s.value(depth)
		if err != nil {
			return err
		}
		n.members = append(n.members, member{name, value})
	}
	_, err := s.decoder.Token()
	return err
}

func (s *scanner) list(n *node, depth int) error {
	for s.decoder.More() {
		value, err := s.value(depth)
		if err != nil {
			return err
		}
		n.items = append(n.items, value)
	}
	_, err := s.decoder.Token()
	return err
}
