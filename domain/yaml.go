package domain

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ParseYAML reads a domain from YAML: the tree of [ParseJSON] in YAML's spelling. A plain scalar is taken as text where
// the schema wants text, so a name like 8675309 needs no quotes. Anchors, aliases, tags and more than one document are
// refused.
func ParseYAML(doc []byte) (*davitv1.Domain, error) {
	const op = "read domain YAML"
	root, err := scanYAMLWithin(string(doc), MaxTree)
	if err != nil {
		return nil, malformed(op, string(doc), err)
	}
	d := &decoder{lenient: true}
	return d.decode(op, root)
}

// FormatYAML writes a domain as YAML in the schema's order. It fails only on text that is not UTF-8.
func FormatYAML(def *davitv1.Domain) (string, error) {
	root := encodeMessage(domainSchema(), def.ProtoReflect())
	if err := style(root, 0); err != nil {
		return "", fmt.Errorf("write domain YAML: %w", err)
	}
	var b strings.Builder
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return "", fmt.Errorf("write domain YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return "", fmt.Errorf("write domain YAML: %w", err)
	}
	return b.String(), nil
}

var (
	// plainText can stand without quotes in every YAML.
	plainText = regexp.MustCompile(`^[A-Za-z/_][A-Za-z0-9/_.+-]*$`)
	// reserved are the words that YAML 1.1 or 1.2 take for something else than text.
	reserved = regexp.MustCompile(`^(?i:y|yes|n|no|true|false|on|off|null)$`)
)

// style chooses how each string is written: plain where no YAML could take it for something else, as a block where it is made of
// ordinary lines, in quotes otherwise. depth is that of n, which a block is indented by.
func style(n *yaml.Node, depth int) error {
	for _, c := range n.Content {
		if err := style(c, depth+1); err != nil {
			return err
		}
	}
	if n.Kind != yaml.ScalarNode || n.Tag != strTag {
		return nil
	}
	switch {
	case !utf8.ValidString(n.Value):
		return fmt.Errorf("%s is not UTF-8", quote(n.Value))
	case plainText.MatchString(n.Value) && !reserved.MatchString(n.Value):
	case isBlock(n.Value, 2*depth):
		n.Style = yaml.LiteralStyle
	default:
		n.Style = yaml.DoubleQuotedStyle
	}
	return nil
}

// isBlock tells whether a text is several lines that a block keeps as they are, and that are not mostly indentation then.
func isBlock(s string, indent int) bool {
	if !strings.Contains(s, "\n") || strings.HasPrefix(s, " ") || strings.HasPrefix(s, "\n") {
		return false
	}
	if indent*strings.Count(s, "\n") > 2*len(s) {
		return false
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		if line == "" || strings.HasSuffix(line, " ") || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return false
		}
	}
	return true
}

// scanYAML reads a YAML stream of one document.
func scanYAML(doc string) (*yaml.Node, error) { return scanYAMLWithin(doc, MaxDocument) }

// scanYAMLWithin is scanYAML for texts of a greatest size.
func scanYAMLWithin(doc string, limit int) (*yaml.Node, error) {
	if err := checkText(doc, limit); err != nil {
		return nil, err
	}
	dec := yaml.NewDecoder(strings.NewReader(doc))
	var root, more yaml.Node
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, &syntaxError{0, "the document is empty"}
		}
		return nil, yamlSyntax(doc, err)
	}
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, yamlSyntax(doc, err)
	default:
		return nil, &syntaxError{offsetOf(doc, more.Line, more.Column), "text after the document"}
	}
	nodes := 0
	return root.Content[0], plain(doc, root.Content[0], 1, &nodes)
}

// plain refuses what a tree of the schema has no use for.
func plain(doc string, n *yaml.Node, depth int, nodes *int) error {
	what := ""
	*nodes++
	switch {
	case n.Kind == yaml.AliasNode:
		what = "aliases are not allowed"
	case n.Anchor != "":
		what = "anchors are not allowed"
	case n.Style&yaml.TaggedStyle != 0:
		what = "tags are not allowed"
	case depth > MaxDepth:
		what = fmt.Sprintf("values are nested deeper than %d", MaxDepth)
	case *nodes > maxNodes:
		what = fmt.Sprintf("the document has more than %d values", maxNodes)
	}
	if what != "" {
		return &syntaxError{offsetOf(doc, n.Line, n.Column), what}
	}
	for _, c := range n.Content {
		if err := plain(doc, c, depth+1, nodes); err != nil {
			return err
		}
	}
	return nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// yamlSyntax gives an error of the YAML library its place.
func yamlSyntax(doc string, err error) error {
	text := err.Error()
	m := yamlLine.FindStringSubmatch(text)
	line := 1
	if len(m) > 1 && m[1] != "" {
		line, _ = strconv.Atoi(m[1])
	}
	return &syntaxError{offsetOf(doc, line, 1), strings.TrimPrefix(text, yamlLine.FindString(text))}
}

// offsetOf is the way back from a line and column to an offset.
func offsetOf(doc string, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		next := strings.IndexByte(doc[offset:], '\n')
		if next < 0 {
			return len(doc)
		}
		offset += next + 1
	}
	for ; column > 1 && offset < len(doc) && doc[offset] != '\n'; column-- {
		_, n := utf8.DecodeRuneInString(doc[offset:])
		offset += n
	}
	return offset
}
