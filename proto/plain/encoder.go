package plain

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"
)

// The kinds of encoding, which the lower bits of a field's tag tell.
const (
	kindVarint     = 0
	kindFixed64    = 1
	kindBytes      = 2
	kindStartGroup = 3
	kindEndGroup   = 4
	kindFixed32    = 5
	kindBits       = 3
)

// number is a type of numbers and enumerations.
type number interface {
	~int32 | ~int64 | ~uint32 | ~uint64
}

// Encoder writes the fields of a message. What it is told is written, also if it is zero.
type Encoder struct {
	b       []byte
	err     error // the first; what comes after it is of no use
	trusted bool  // strings are not looked at
}

// Number writes a number, or a value of an enumeration: signed ones with their sign over all 64 bits.
func Number[T number](e *Encoder, field int, v T) { e.varint(field, uint64(v)) }

// Bool writes a flag.
func (e *Encoder) Bool(field int, v bool) {
	bit := uint64(0)
	if v {
		bit = 1
	}
	e.varint(field, bit)
}

func (e *Encoder) varint(field int, v uint64) {
	e.tag(field, kindVarint)
	e.b = binary.AppendUvarint(e.b, v)
}

func (e *Encoder) tag(field int, kind uint64) {
	e.b = binary.AppendUvarint(e.b, uint64(field)<<kindBits|kind)
}

// String writes a text.
func (e *Encoder) String(field int, s string) {
	if !e.trusted && e.err == nil && !utf8.ValidString(s) {
		e.err = fmt.Errorf("string %q is not UTF-8", s)
	}
	e.tag(field, kindBytes)
	e.b = append(binary.AppendUvarint(e.b, uint64(len(s))), s...)
}

// Bytes writes bytes.
func (e *Encoder) Bytes(field int, p []byte) {
	e.tag(field, kindBytes)
	e.b = append(binary.AppendUvarint(e.b, uint64(len(p))), p...)
}

// Strings writes a list of texts.
func (e *Encoder) Strings(field int, list []string) {
	for _, s := range list {
		e.String(field, s)
	}
}

// Packed writes a list of numbers in a row.
func Packed[T number](e *Encoder, field int, list []T) {
	if len(list) == 0 {
		return
	}
	at := e.open(field)
	for _, v := range list {
		e.b = binary.AppendUvarint(e.b, uint64(v))
	}
	e.close(at)
}

// Message writes a message within the message.
func (e *Encoder) Message(field int, m Message) {
	at := e.open(field)
	m.Encode(e)
	e.close(at)
}

// open begins a value whose length is known at its end, and leaves a byte for it.
func (e *Encoder) open(field int) int {
	e.tag(field, kindBytes)
	e.b = append(e.b, 0)
	return len(e.b)
}

// close writes the length of the value that begins there, which is moved if a byte does not do.
func (e *Encoder) close(at int) {
	size := len(e.b) - at
	if size < 1<<7 {
		e.b[at-1] = byte(size)
		return
	}
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(size))
	e.b = slices.Replace(e.b, at-1, at, length[:n]...)
}
