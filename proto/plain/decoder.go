package plain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Why bytes are no message.
var (
	errTruncated = errors.New("message ends within a field")
	errOverflow  = errors.New("number has more than 64 bits")
	errNumber    = errors.New("number of a field is out of range")
	errKind      = errors.New("field is of no known encoding")
	errGroup     = errors.New("group ends that did not begin")
	errDepth     = errors.New("groups are nested deeper than 10001") // fmt would cost each monitor several page faults
)

const (
	// maxField is the greatest number of a field. Within groups package proto takes more, and so does this one.
	maxField        = 1<<29 - 1
	maxFieldInGroup = 1<<31 - 1
	// maxDepth is how deep groups may be in each other.
	maxDepth = 10_001
)

// Decoder reads the fields of a message. A field that is encoded otherwise than its type is, is none of this release's.
type Decoder struct {
	rest    []byte // what has not been read
	err     error  // the first; there is no next field after it
	trusted bool   // strings are not looked at

	field  int
	kind   uint64
	varint uint64 // the value, if it is one
	value  []byte // the value, if it has a length; part of what was read
}

// Next reads a field, whole, and tells whether there was one.
func (d *Decoder) Next() bool {
	if d.err != nil || len(d.rest) == 0 {
		return false
	}
	tag, b, err := tagOf(d.rest, maxField)
	if err == nil {
		d.field, d.kind = int(tag>>kindBits), tag&(1<<kindBits-1)
		b, err = d.read(b, tag)
	}
	d.rest, d.err = b, err
	return err == nil
}

// Field is the number of the field that was read.
func (d *Decoder) Field() int { return d.field }

// read reads the value of a field, and gives what comes after it.
func (d *Decoder) read(b []byte, tag uint64) ([]byte, error) {
	if d.kind != kindVarint && d.kind != kindBytes {
		return skip(b, tag)
	}
	first, b, err := varint(b)
	switch {
	case err != nil:
		return nil, err
	case d.kind == kindVarint:
		d.varint = first
		return b, nil
	case first > uint64(len(b)):
		return nil, errTruncated
	}
	d.value = b[:first]
	return b[first:], nil
}

// IsNumber tells whether the field that was read may be a number, a flag or a value of an enumeration.
func (d *Decoder) IsNumber() bool { return d.kind == kindVarint }

// HasLength tells whether the field that was read may be a text, bytes, a message or a packed list.
func (d *Decoder) HasLength() bool { return d.kind == kindBytes }

// SetNumber gives a number the value that was read. What is too large for it loses its upper bits.
func SetNumber[T number](d *Decoder, p *T) {
	if d.IsNumber() {
		*p = T(d.varint)
	}
}

// AddNumbers adds what was read to a list of numbers: a row, or one.
func AddNumbers[T number](d *Decoder, list *[]T) {
	if d.IsNumber() {
		*list = append(*list, T(d.varint))
	}
	if !d.HasLength() {
		return
	}
	for b := d.value; len(b) > 0; {
		var v uint64
		if v, b, d.err = varint(b); d.err != nil {
			return
		}
		*list = append(*list, T(v))
	}
}

// SetBool gives a flag the value that was read.
func (d *Decoder) SetBool(p *bool) {
	if d.IsNumber() {
		*p = d.varint != 0
	}
}

// SetString gives a text the value that was read.
func (d *Decoder) SetString(p *string) {
	if !d.HasLength() {
		return
	}
	if !d.trusted && !utf8.Valid(d.value) {
		d.err = fmt.Errorf("string %q is not UTF-8", d.value)
		return
	}
	*p = string(d.value)
}

// AddString adds what was read to a list of texts.
func (d *Decoder) AddString(list *[]string) {
	if d.HasLength() {
		var s string
		d.SetString(&s)
		*list = append(*list, s)
	}
}

// SetBytes gives bytes a copy of the value that was read.
func (d *Decoder) SetBytes(p *[]byte) {
	if d.HasLength() {
		*p = append([]byte{}, d.value...)
	}
}

// Message reads the value that was read as a message. The same field twice is one message, of the fields of both.
func (d *Decoder) Message(m Message) {
	after := d.rest
	d.rest = d.value
	m.Decode(d)
	d.rest = after
}

// FirstField is the number of the first field of an encoded message, 0 if it has none.
func FirstField(b []byte) int {
	tag, _, err := tagOf(b, maxFieldInGroup)
	if err != nil {
		return 0
	}
	return int(tag >> kindBits)
}

// skip gives what comes after a value that is of no use: of a fixed size, or a group with all that is in it.
func skip(b []byte, tag uint64) ([]byte, error) {
	var groups []uint64 // the fields that are open, from the outermost on
	for {
		field, size := tag>>kindBits, uint64(0)
		var err error
		switch tag & (1<<kindBits - 1) {
		case kindVarint:
			_, b, err = varint(b)
		case kindFixed32:
			size = 4
		case kindFixed64:
			size = 8
		case kindBytes:
			size, b, err = varint(b)
		case kindStartGroup:
			if groups = append(groups, field); len(groups) > maxDepth {
				err = errDepth
			}
		case kindEndGroup:
			if len(groups) == 0 || groups[len(groups)-1] != field {
				return nil, errGroup
			}
			groups = groups[:len(groups)-1]
		default:
			err = errKind
		}
		if err == nil && size > uint64(len(b)) {
			err = errTruncated
		}
		if err != nil {
			return nil, err
		}
		if b = b[size:]; len(groups) == 0 {
			return b, nil
		}
		if tag, b, err = tagOf(b, maxFieldInGroup); err != nil {
			return nil, err
		}
	}
}

// tagOf reads the tag of a field, whose number may be that great.
func tagOf(b []byte, most uint64) (tag uint64, rest []byte, err error) {
	if tag, rest, err = varint(b); err != nil {
		return 0, nil, err
	}
	if field := tag >> kindBits; field == 0 || field > most {
		return 0, nil, errNumber
	}
	return tag, rest, nil
}

// varint reads a number.
func varint(b []byte) (v uint64, rest []byte, err error) {
	v, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return 0, nil, errTruncated
	case n < 0:
		return 0, nil, errOverflow
	}
	return v, b[n:], nil
}
