package cli

import (
	"encoding/xml"
	"strings"
	"unicode/utf8"
)

// markup is an element of XML that is made of what options gave. Names are the program's own; values are the user's, and
// whatever they are they stay values.
type markup struct {
	name       string
	attributes []attribute
	text       string
	inside     []*markup
}

type attribute struct{ name, value string }

// with gives the element an attribute, unless its value is empty.
func (m *markup) with(name, value string) *markup {
	if value != "" {
		m.attributes = append(m.attributes, attribute{name, value})
	}
	return m
}

// add puts elements into it, less those that have nothing to say.
func (m *markup) add(all ...*markup) *markup {
	for _, e := range all {
		if e != nil {
			m.inside = append(m.inside, e)
		}
	}
	return m
}

// given is an element with an attribute, nil when the attribute is empty.
func given(name, attribute, value string) *markup {
	if value == "" {
		return nil
	}
	return (&markup{name: name}).with(attribute, value)
}

// mark is an element that is there or not.
func mark(name string, there bool) *markup {
	if !there {
		return nil
	}
	return &markup{name: name}
}

// write gives the element as a document. A value that XML cannot hold, such as an escape character, is an error: it would
// become another.
func (m *markup) write() (string, error) {
	var b strings.Builder
	if err := m.writeTo(&b, ""); err != nil {
		return "", err
	}
	return b.String(), nil
}

func (m *markup) writeTo(b *strings.Builder, indent string) error {
	b.WriteString(indent + "<" + m.name)
	for _, a := range m.attributes {
		value, err := escapedValue(a.value)
		if err != nil {
			return err
		}
		b.WriteString(" " + a.name + "='" + value + "'")
	}
	switch {
	case m.text != "":
		text, err := escapedValue(m.text)
		if err != nil {
			return err
		}
		b.WriteString(">" + text)
	case len(m.inside) > 0:
		b.WriteString(">\n")
		for _, e := range m.inside {
			if err := e.writeTo(b, indent+"  "); err != nil {
				return err
			}
		}
		b.WriteString(indent)
	default:
		b.WriteString("/>\n")
		return nil
	}
	b.WriteString("</" + m.name + ">\n")
	return nil
}

// escapedValue is a text as XML has it, in an attribute too.
func escapedValue(text string) (string, error) {
	for i, r := range text {
		_, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 || !holds(r) {
			return "", failed(nil, "invalid argument: '%s' has a character that XML cannot hold", cell(text))
		}
	}
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(text))
	return b.String(), err
}

// holds tells whether a document of XML 1.0 can have a character (production Char).
func holds(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000
}
