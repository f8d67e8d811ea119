package domain

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// characters reads text up to the next "<"; nil if it is blank and stands between elements. before is what
// the element holds before it.
func (s *scanner) characters(before []*node, preserve bool) (*node, error) {
	start := s.pos
	end := strings.IndexByte(s.rest(), '<')
	if end < 0 {
		end = len(s.rest())
	}
	raw := s.doc[start : start+end]
	s.pos += end
	last := s.pos == len(s.doc) || strings.HasPrefix(s.rest(), "</")
	if !preserve && ignorable(before, raw, last) {
		return nil, nil
	}
	if i := strings.Index(raw, "]]>"); i >= 0 {
		return nil, s.errorf(start+i, "text holds a %q", "]]>")
	}
	text, err := s.decode(raw, start, false)
	if err != nil {
		return nil, err
	}
	return s.node(textNode, text, start), nil
}

// ignorable is libxml2's rule for blank text between elements: it is dropped unless it is all that its element holds or
// stands beside text. before is what the element holds before it; last tells that nothing follows.
func ignorable(before []*node, text string, last bool) bool {
	if strings.Trim(text, " \t\r\n") != "" {
		return false
	}
	if len(before) == 0 {
		return !last
	}
	return !before[len(before)-1].isText() && !before[0].isText()
}

// markup reads a comment or a CDATA section and refuses the rest of what begins with "<!" or "<?".
func (s *scanner) markup() (*node, error) {
	start, rest := s.pos, s.rest()
	switch {
	case strings.HasPrefix(rest, "<!--"):
		end := strings.Index(rest[4:], "--")
		if end < 0 {
			return nil, s.errorf(start, "the comment does not end")
		}
		if !strings.HasPrefix(rest[4+end:], "-->") {
			return nil, s.errorf(start+4+end, "a comment holds a %q", "--")
		}
		s.pos += 4 + end + 3
		return s.node(commentNode, unifyLines(rest[4:4+end]), start), nil
	case strings.HasPrefix(rest, "<![CDATA["):
		end := strings.Index(rest, "]]>")
		if end < 0 {
			return nil, s.errorf(start, "the CDATA section does not end")
		}
		s.pos += end + 3
		return s.node(cdataNode, unifyLines(rest[9:end]), start), nil
	case strings.HasPrefix(rest, "<!DOCTYPE"):
		return nil, s.errorf(start, "document types are not allowed")
	case strings.HasPrefix(rest, "<?"):
		return nil, s.errorf(start, "processing instructions are not allowed")
	}
	return nil, s.errorf(start, "markup that begins with %s is not allowed", quote(rest[:min(len(rest), 8)]))
}

// decode replaces references and unifies white space as XML asks.
func (s *scanner) decode(raw string, offset int, attribute bool) (string, error) {
	stop := "&\r"
	if attribute {
		stop = "&\r\n\t"
	}
	if !strings.ContainsAny(raw, stop) {
		return raw, nil
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '&':
			end := strings.IndexByte(raw[i:], ';')
			if end < 0 {
				return "", s.errorf(offset+i, "an %q that begins no reference; write %q", "&", "&amp;")
			}
			r, err := s.reference(raw[i+1:i+end], offset+i)
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			i += end
		case c == '\r':
			if i+1 < len(raw) && raw[i+1] == '\n' {
				continue
			}
			b.WriteByte(blankOr(attribute, '\n'))
		case attribute && (c == '\n' || c == '\t'):
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func blankOr(blank bool, c byte) byte {
	if blank {
		return ' '
	}
	return c
}

var references = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "apos": '\'', "quot": '"'}

// reference is the character that &name; stands for.
func (s *scanner) reference(name string, offset int) (rune, error) {
	if r, ok := references[name]; ok {
		return r, nil
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return 0, s.errorf(offset, "entity %s is not known", quote(name))
	}
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	v, err := strconv.ParseUint(digits, base, 32)
	if err != nil || strings.HasPrefix(digits, "+") || v > utf8.MaxRune || !isXMLChar(rune(v)) {
		return 0, s.errorf(offset, "%s is no character of XML", quote("&"+name+";"))
	}
	return rune(v), nil
}

// unifyLines turns every end of line into "\n".
func unifyLines(s string) string {
	if !strings.Contains(s, "\r") {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}
