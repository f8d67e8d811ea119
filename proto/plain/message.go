// Package plain encodes and decodes messages that are plain structs in protobuf's wire format, without protobuf's runtime: that would
// be a quarter of what it costs to start a monitor, and of its memory.
//
// internal/protoplain writes the structs and what each has to say of its fields, from the .proto files; what all of them have in common
// is here. The bytes are those of package proto, field for field in the order of the .proto file, and whatever bytes that package
// accepts this one does, with the same meaning; a test and fuzzing hold the two against each other. Unlike there, fields that this
// release does not know are dropped.
package plain

// Message is a message. Its two methods are what the generator writes.
type Message interface {
	// Encode writes the fields that are not at their zero value. A nil message has none.
	Encode(*Encoder)
	// Decode reads fields, and leaves what is not among them as it was.
	Decode(*Decoder)
}

// Append appends the encoding of a message. A string that is not UTF-8 is an error.
func Append(b []byte, m Message) ([]byte, error) {
	e := Encoder{b: b}
	m.Encode(&e)
	if e.err != nil {
		return nil, e.err
	}
	return e.b, nil
}

// Parse decodes a message into an empty one. It keeps nothing of the bytes.
func Parse(b []byte, m Message) error {
	d := Decoder{rest: b}
	m.Decode(&d)
	return d.err
}

// Equal tells whether two messages say the same. It does not tell a list without elements from one that is not there.
func Equal[M Message](a, b M) bool { return string(trusted(a)) == string(trusted(b)) }

// Clone is a copy of a message that shares nothing with it.
func Clone[T any, M interface {
	*T
	Message
}](m M) M {
	d := Decoder{rest: trusted(m), trusted: true}
	c := M(new(T))
	c.Decode(&d)
	return c
}

// trusted is the encoding of a message that stays in this process, where a string may be anything.
func trusted(m Message) []byte {
	e := Encoder{trusted: true}
	m.Encode(&e)
	return e.b
}
