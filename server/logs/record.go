package logs

import (
	"bytes"
	"time"
)

// maxHead is the longest beginning of a line that is one: time, origin, mark.
const maxHead = 128

// record is a line of a file. Its slices are the reader's, until that reads on.
type record struct {
	time    time.Time
	origin  []byte
	partial bool
	text    []byte
}

// parse takes a line apart; ok is false if it is none.
func parse(line []byte) (r record, ok bool) {
	head := line[:min(len(line), maxHead)]
	stamp, rest, ok := bytes.Cut(head, []byte(" "))
	if !ok {
		return r, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return r, false
	}
	origin, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok || !isOrigin(origin) || len(rest) == 0 || rest[0] != 'F' && rest[0] != 'P' {
		return r, false
	}
	if len(rest) > 1 && rest[1] != ' ' {
		return r, false
	}
	begin := min(len(stamp)+1+len(origin)+1+2, len(line))
	return record{time: at.UTC(), origin: origin, partial: rest[0] == 'P', text: line[begin:]}, true
}

// isOrigin tells whether a word can be an origin: it has letters and digits, as the alias of a device has.
func isOrigin(word []byte) bool {
	for _, c := range word {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(word) > 0
}
