package convert

import (
	"strconv"
	"unicode/utf8"
)

// How much of a document's values and names is repeated in what is told about it.
const (
	maxQuoted = 80
	maxName   = 256
)

// Quote is a document's word for a message: quoted, and cut if it is long.
func Quote(s string) string {
	if short := cut(s, maxQuoted); short != s {
		return strconv.Quote(short) + "..."
	}
	return strconv.Quote(s)
}

// cut is the beginning of a long text, in whole characters.
func cut(s string, end int) string {
	if len(s) <= end {
		return s
	}
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
