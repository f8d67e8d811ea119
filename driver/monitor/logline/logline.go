// Package logline writes the logs of the monitors and the keeper: one JSON object a line, in a few dozen lines of code,
// for what a logging library would add to each monitor's memory is multiplied by the number of domains.
package logline

import (
	"encoding/hex"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// Level is how grave a line is.
type Level string

// The levels.
const (
	Info  Level = "info"
	Warn  Level = "warn"
	Error Level = "error"
)

// Log writes lines. It may be used from any goroutine; a nil one drops them.
type Log struct {
	mu  sync.Mutex
	out io.Writer
}

// New makes a log. Each line is written at once and by itself, as a file that is open for appending wants it.
func New(out io.Writer) *Log { return &Log{out: out} }

// Attr is a key and a value.
type Attr struct {
	key   string
	value string // as JSON
}

// String is a text.
func String(key, value string) Attr { return Attr{key, string(quote(nil, value))} }

// Int is a number.
func Int[T ~int | ~int32 | ~int64 | ~uint32](key string, value T) Attr {
	return Attr{key, strconv.FormatInt(int64(value), 10)}
}

// Duration is a time span in seconds.
func Duration(key string, value time.Duration) Attr {
	return Attr{key, strconv.FormatFloat(value.Seconds(), 'f', -1, 64)}
}

// Err is an error.
func Err(err error) Attr { return String("error", err.Error()) }

// Write writes a line: what happened, and to what. A log that cannot be written is not worth more than the domain.
func (l *Log) Write(level Level, message string, attrs ...Attr) {
	if l == nil {
		return
	}
	line := append(time.Now().UTC().AppendFormat([]byte(`{"time":"`), "2006-01-02T15:04:05.000000Z"), `","level":"`...)
	line = append(append(line, level...), `","msg":`...)
	line = quote(line, message)
	for _, a := range attrs {
		line = append(quote(append(line, ','), a.key), ':')
		line = append(line, a.value...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.out.Write(append(line, "}\n"...))
}

// quote appends a JSON string.
func quote(line []byte, s string) []byte {
	line = append(line, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			line = append(line, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			line = hex.AppendEncode(append(line, `\u00`...), []byte{byte(r)})
		default:
			line = utf8.AppendRune(line, r)
		}
	}
	return append(line, '"')
}
