package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// lastLines is how many lines of a log why shows, and lookBack among how many of the last it looks for those: an init that
// draws on its console says many that are empty without their drawing.
const (
	lastLines = 10
	lookBack  = 60
)

// lastOf are the last lines of a log that say something. A caller who may not read it, and a domain that has none, get
// none.
func lastOf(ctx context.Context, c *client.Client, uuid string) ([]*davitv1.LogLine, error) {
	var all []*davitv1.LogLine
	tail := uint32(lookBack)
	for line, err := range c.Log(ctx, uuid, client.LogOptions{Tail: &tail}) {
		switch {
		case errors.Is(err, domain.ErrNotFound), errors.Is(err, domain.ErrPermission), errors.Is(err, domain.ErrUnsupported):
			return nil, nil
		case err != nil:
			return nil, err
		}
		if n := len(all); n > 0 && all[n-1].GetPartial() && all[n-1].GetOrigin() == line.GetOrigin() {
			all[n-1].Text = append(all[n-1].GetText(), line.GetText()...)
			all[n-1].Partial = line.GetPartial()
			continue
		}
		all = append(all, line)
	}
	var telling []*davitv1.LogLine
	for _, line := range all {
		if strings.TrimSpace(saying(line.GetText())) != "" {
			telling = append(telling, line)
		}
	}
	return telling[max(len(telling)-lastLines, 0):], nil
}

// saying is what a line of a console says to who reads it, without how it looked there: no colours and other sequences of
// a terminal, and of what was written over on its row only what came last.
func saying(line []byte) string {
	text := undrawn(string(line))
	text = strings.TrimRight(text, "\r")
	if i := strings.LastIndexByte(text, '\r'); i >= 0 {
		text = text[i+1:]
	}
	out := make([]byte, 0, len(text))
	for _, c := range []byte(text) {
		if c >= ' ' && c != 0x7f || c == '\t' {
			out = append(out, c)
		}
	}
	return string(out)
}

// undrawn takes the sequences of a terminal out of a text (ECMA-48, section 5): those that select a colour or move the
// cursor, those that carry a text of their own, as for a window's title, and those of few characters.
func undrawn(text string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '\x1b')
		if i < 0 {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:i])
		text = text[i+escapeLength(text[i:]):]
	}
}

// escapeLength is how long the sequence is that a text begins with.
func escapeLength(text string) int {
	if len(text) < 2 {
		return len(text)
	}
	switch c := text[1]; {
	case c == '[': // parameters, intermediates, and a final character
		i := 2
		for i < len(text) && text[i] >= ' ' && text[i] <= '?' {
			i++
		}
		if i < len(text) && text[i] >= '@' && text[i] <= '~' {
			i++
		}
		return i
	case strings.IndexByte("]PX^_", c) >= 0: // up to BEL or ESC \
		for i := 2; i < len(text); i++ {
			if text[i] == '\a' {
				return i + 1
			}
			if text[i] == '\x1b' {
				return i + min(len(text)-i, 2)
			}
		}
		return len(text)
	case c >= ' ' && c <= '/': // intermediates, as in the choice of a character set
		i := 2
		for i < len(text) && text[i] >= ' ' && text[i] <= '/' {
			i++
		}
		return min(i+1, len(text))
	case c >= '0' && c <= '~':
		return 2
	}
	return 1
}
