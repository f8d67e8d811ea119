package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ParseJSON reads a domain from JSON: the fields of the schema by name, enums in the words of the XML. Keys that the schema
// does not know, that are given twice, and values of another kind are errors.
func ParseJSON(doc []byte) (*davitv1.Domain, error) {
	const op = "read domain JSON"
	root, err := scanJSONWithin(string(doc), MaxTree)
	if err != nil {
		return nil, malformed(op, string(doc), err)
	}
	d := &decoder{}
	return d.decode(op, root)
}

// FormatJSON writes a domain as indented JSON in the schema's order. It fails only on text that is not UTF-8.
func FormatJSON(def *davitv1.Domain) (string, error) {
	var b bytes.Buffer
	if err := writeJSON(&b, encodeMessage(domainSchema(), def.ProtoReflect())); err != nil {
		return "", fmt.Errorf("write domain JSON: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
		return "", fmt.Errorf("write domain JSON: %w", err)
	}
	return out.String() + "\n", nil
}

func writeJSON(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		return writeJSONList(b, "{", n.Content, "}", ":")
	case yaml.SequenceNode:
		return writeJSONList(b, "[", n.Content, "]", ",")
	default:
	}
	if n.Tag != strTag {
		b.WriteString(n.Value)
		return nil
	}
	if !utf8.ValidString(n.Value) {
		return fmt.Errorf("%s is not UTF-8", quote(n.Value))
	}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(n.Value); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the line end that Encode adds
	return nil
}

// writeJSONList writes nodes between brackets; second stands after each node with an even place.
func writeJSONList(b *bytes.Buffer, open string, nodes []*yaml.Node, end, second string) error {
	b.WriteString(open)
	for i, c := range nodes {
		if i > 0 && i%2 == 1 {
			b.WriteString(second)
		} else if i > 0 {
			b.WriteByte(',')
		}
		if err := writeJSON(b, c); err != nil {
			return err
		}
	}
	b.WriteString(end)
	return nil
}

// scanJSON reads a JSON text into a tree with places.
func scanJSON(doc string) (*yaml.Node, error) { return scanJSONWithin(doc, MaxDocument) }

// scanJSONWithin is scanJSON for texts of a greatest size.
func scanJSONWithin(doc string, limit int) (*yaml.Node, error) {
	if err := checkText(doc, limit); err != nil {
		return nil, err
	}
	r := &jsonReader{doc: doc, dec: json.NewDecoder(strings.NewReader(doc)), line: 1}
	r.dec.UseNumber()
	root, err := r.value(1)
	if err != nil {
		return nil, r.syntax(err)
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &syntaxError{int(r.dec.InputOffset()), "text after the document"}
	}
	return root, nil
}

// checkText refuses a document that is too large or not UTF-8.
func checkText(doc string, limit int) error {
	if len(doc) > limit {
		return &syntaxError{0, fmt.Sprintf("the document has %d bytes, %d are the limit", len(doc), limit)}
	}
	if utf8.ValidString(doc) {
		return nil
	}
	for i, r := range doc {
		if r != utf8.RuneError {
			continue
		}
		if _, n := utf8.DecodeRuneInString(doc[i:]); n == 1 {
			return &syntaxError{i, fmt.Sprintf("byte 0x%02x is not UTF-8", doc[i])}
		}
	}
	return nil
}

// jsonReader turns tokens into nodes. line and column follow seen, so that finding places costs one pass in all.
type jsonReader struct {
	doc                string
	dec                *json.Decoder
	seen, line, column int
	nodes              int
}

// syntax gives an error of the decoder its place.
func (r *jsonReader) syntax(err error) error {
	var own *syntaxError
	var theirs *json.SyntaxError
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &syntaxError{len(r.doc), "the document ends too early"}
	case errors.As(err, &theirs):
		return &syntaxError{max(int(theirs.Offset)-1, 0), theirs.Error()}
	}
	return &syntaxError{int(r.dec.InputOffset()), err.Error()}
}

// place sets line and column of the token that begins after what was read last.
func (r *jsonReader) place(n *yaml.Node) {
	start := int(r.dec.InputOffset())
	for start < len(r.doc) && strings.IndexByte(" \t\r\n,:", r.doc[start]) >= 0 {
		start++
	}
	for _, c := range r.doc[r.seen:start] {
		if r.column++; c == '\n' {
			r.line, r.column = r.line+1, 0
		}
	}
	r.seen = start
	n.Line, n.Column = r.line, r.column+1
}

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.ScalarNode}
	r.place(n)
	if depth > MaxDepth {
		return nil, &syntaxError{r.seen, fmt.Sprintf("values are nested deeper than %d", MaxDepth)}
	}
	if r.nodes++; r.nodes > maxNodes {
		return nil, &syntaxError{r.seen, fmt.Sprintf("the document has more than %d values", maxNodes)}
	}
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		n.Kind = yaml.SequenceNode
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		return n, r.children(n, depth)
	case string:
		n.Tag, n.Value = strTag, t
	case json.Number:
		n.Tag, n.Value = intTag, t.String()
	case bool:
		n.Tag, n.Value = boolTag, fmt.Sprint(t)
	default:
		n.Tag = nullTag
	}
	return n, nil
}

// maxNodes is how many values and keys a tree may have: as many as an XML document of the greatest size with elements of many
// attributes comes to. An attribute is a key and a value.
const maxNodes = 12 * MaxElements

func (r *jsonReader) children(n *yaml.Node, depth int) error {
	for r.dec.More() {
		c, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.Content = append(n.Content, c)
	}
	_, err := r.dec.Token()
	return err
}
