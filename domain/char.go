package domain

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// isXMLChar tells whether XML 1.0 can hold a character at all (production 2).
func isXMLChar(r rune) bool {
	return r >= 0x20 && r <= 0xd7ff || r == '\t' || r == '\n' || r == '\r' ||
		r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= utf8.MaxRune
}

// nameStart are the characters that begin a name, beside the colon (production 4).
var nameStart = &unicode.RangeTable{
	R16: []unicode.Range16{
		{'A', 'Z', 1},
		{'_', '_', 1},
		{'a', 'z', 1},
		{0xc0, 0xd6, 1},
		{0xd8, 0xf6, 1},
		{0xf8, 0x2ff, 1},
		{0x370, 0x37d, 1},
		{0x37f, 0x1fff, 1},
		{0x200c, 0x200d, 1},
		{0x2070, 0x218f, 1},
		{0x2c00, 0x2fef, 1},
		{0x3001, 0xd7ff, 1},
		{0xf900, 0xfdcf, 1},
		{0xfdf0, 0xfffd, 1},
	},
	R32: []unicode.Range32{{0x10000, 0xeffff, 1}},
}

// isNameChar tells whether a character may stand in a name, beside the colon (production 4a).
func isNameChar(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', r == '.':
		return true
	case r < 0x80:
		return false
	}
	return unicode.Is(nameStart, r) || r == 0xb7 || r >= 0x300 && r <= 0x36f || r == 0x203f || r == 0x2040
}

// nameEnd is where a name with colons, which s begins with, ends.
func nameEnd(s string) int {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c != ':' && !isNameChar(rune(c)) {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if !isNameChar(r) {
			return i
		}
		i += size
	}
	return len(s)
}

// strangeChar is where a string, which is UTF-8, has a character that XML cannot hold, -1 if it has none.
func strangeChar(s string) int {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if !isXMLChar(r) {
			return i
		}
		i += size
	}
	return -1
}

// isNCName tells whether s, made of name characters, is a name without a colon.
func isNCName(s string) bool {
	if s == "" || strings.Contains(s, ":") {
		return false
	}
	if c := s[0] | 0x20; c >= 'a' && c <= 'z' {
		return true
	}
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.Is(nameStart, r)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// maxQuoted is how much of a refused value an error repeats.
const maxQuoted = 64

// quote is a string of somebody else for a message: quoted, and cut if it is long.
func quote(s string) string {
	if len(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	cut := maxQuoted
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "..."
}

// quoteFirst quotes the first character of s.
func quoteFirst(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return quote(s[:n])
}
