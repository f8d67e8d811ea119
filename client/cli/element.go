package cli

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// element is an outermost element of metadata as it is written.
type element struct {
	raw        string
	start, end int // where it is in the metadata
	uri        string
	indent     string // blanks before its first line
}

// elements finds the outermost elements of inner XML.
func elements(inner string) ([]element, error) {
	var all []element
	d := xml.NewDecoder(strings.NewReader(inner))
	depth, start := 0, 0
	var uri string
	for {
		from := int(d.InputOffset())
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, malformed(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				start, uri = from, t.Name.Space
			}
			depth++
		case xml.EndElement:
			if depth--; depth == 0 {
				end := int(d.InputOffset())
				all = append(all, element{inner[start:end], start, end, uri, indentBefore(inner, start)})
			}
		}
	}
}

func malformed(err error) error {
	return failed(nil, "XML error: metadata is not well-formed: %s", strings.TrimPrefix(err.Error(), "XML syntax error "))
}

// indentBefore is the blanks between the start of a line and a place in it.
func indentBefore(text string, at int) string {
	line := text[strings.LastIndexByte(text[:at], '\n')+1 : at]
	if strings.TrimLeft(line, " \t") != "" {
		return ""
	}
	return line
}

// findElement finds the outermost element of a namespace.
func findElement(inner, uri string) (element, bool, error) {
	all, err := elements(inner)
	for _, e := range all {
		if e.uri == uri {
			return e, true, err
		}
	}
	return element{}, false, err
}

// replaceElement is inner XML with an element in the place of the one of its namespace; an empty one removes it.
func replaceElement(inner, uri, with string) (string, error) {
	old, found, err := findElement(inner, uri)
	if err != nil {
		return "", err
	}
	if !found {
		return inner + with, nil
	}
	return inner[:old.start] + with + inner[old.end:], nil
}

// bare is the element without its namespace and the indent of where it stands, as virsh prints it.
func (e element) bare() string {
	out, err := rewriteTags(e.raw, func(name xml.Name, raw string, _ int) string {
		if prefix, ok := prefixOf(raw); ok && name.Space == e.uri {
			raw = strings.Replace(raw, prefix+":", "", 1)
			raw = strings.Replace(raw, fmt.Sprintf(" xmlns:%s=%s", prefix, quotedAttribute(e.uri)), "", 1)
		}
		return strings.Replace(raw, " xmlns="+quotedAttribute(e.uri), "", 1)
	})
	if err != nil {
		return e.raw
	}
	return strings.ReplaceAll(out, "\n"+e.indent, "\n")
}

// newElement reads an element that was given without its namespace and puts it there: it and all inside of it that have no
// namespace of their own.
func newElement(doc, key, uri string) (string, error) {
	if key == "" || strings.ContainsAny(key, " \t\r\n<>&'\":=/") {
		return "", failed(nil, "invalid argument: key '%s' cannot be a prefix in XML", key)
	}
	out, err := rewriteTags(strings.TrimSpace(doc), func(name xml.Name, raw string, depth int) string {
		closing := strings.HasPrefix(raw, "</")
		if _, prefixed := prefixOf(raw); name.Space == "" && !prefixed {
			at := 1
			if closing {
				at = 2
			}
			raw = raw[:at] + key + ":" + raw[at:]
		}
		if depth == 0 && !closing {
			at := len("<") + strings.IndexAny(raw[1:], " \t\r\n/>")
			raw = raw[:at] + " xmlns:" + key + "=" + quotedAttribute(uri) + raw[at:]
		}
		return raw
	})
	if err != nil {
		return "", err
	}
	switch all, err := elements(out); {
	case err != nil:
		return "", err
	case len(all) != 1:
		return "", failed(nil, "XML error: metadata is %d elements, not one", len(all))
	}
	return out, nil
}

// rewriteTags writes XML anew with each tag as change gives it; depth is how many elements it is inside of. Everything
// else stays byte for byte.
func rewriteTags(doc string, change func(name xml.Name, raw string, depth int) string) (string, error) {
	var b strings.Builder
	d := xml.NewDecoder(strings.NewReader(doc))
	depth := 0
	for {
		from := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return "", malformed(err)
		}
		raw := doc[from:d.InputOffset()]
		switch t := token.(type) {
		case xml.StartElement:
			raw = change(t.Name, raw, depth)
			depth++
		case xml.EndElement:
			depth--
			if raw != "" { // <a/> ends without a tag of its own
				raw = change(t.Name, raw, depth)
			}
		}
		b.WriteString(raw)
	}
}

// prefixOf is the prefix of the name of a tag.
func prefixOf(raw string) (string, bool) {
	name := strings.TrimLeft(raw, "</")
	if end := strings.IndexAny(name, " \t\r\n/>"); end >= 0 {
		name = name[:end]
	}
	prefix, _, ok := strings.Cut(name, ":")
	return prefix, ok
}

// quotedAttribute is a value as the daemon writes the attributes of metadata.
func quotedAttribute(value string) string {
	return `"` + strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(value) + `"`
}
