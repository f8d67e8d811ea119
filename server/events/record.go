package events

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A frame is the length of its payload, the checksum of that length, the payload, and the payload's checksum. The
// length has a checksum of its own so that a frame that was cut short can be told from one that was changed: the first
// happens to every process that is killed, the second never does by itself.
const (
	frameHead = 8
	frameTail = 4
	// maxPayload bounds an event; the largest that davit makes is below 4 KiB.
	maxPayload = 64 << 10
	// maxSnapshot bounds the origins at the start of a segment.
	maxSnapshot = 16 << 20
)

// Kinds of payload: its first byte.
const (
	kindEvent   = 'e'
	kindOrigins = 'o'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// errShort tells that the bytes end before the frame does.
	errShort = errors.New("record is incomplete")
	// errDamaged tells that the bytes are not what was written.
	errDamaged = errors.New("record is damaged")
	// ErrUnfit tells that no journal can ever take an event: it is too large, or is not text where it should be.
	ErrUnfit = errors.New("event is unfit for the journal")
)

// appendFrame adds payload as a frame.
func appendFrame(to, payload []byte) []byte {
	at := len(to)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(payload)))
	to = binary.LittleEndian.AppendUint32(to, crc32.Checksum(to[at:at+4], castagnoli))
	to = append(to, payload...)
	return binary.LittleEndian.AppendUint32(to, crc32.Checksum(payload, castagnoli))
}

// cutFrame splits the first frame off: its payload, and the frame's size.
func cutFrame(from []byte) (payload []byte, size int, err error) {
	if len(from) < frameHead {
		return nil, 0, errShort
	}
	length := binary.LittleEndian.Uint32(from)
	if crc32.Checksum(from[:4], castagnoli) != binary.LittleEndian.Uint32(from[4:]) || length == 0 || length > maxSnapshot {
		return nil, 0, errDamaged
	}
	size = frameHead + int(length) + frameTail
	if len(from) < size {
		return nil, 0, errShort
	}
	payload = from[frameHead : frameHead+int(length)]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(from[frameHead+int(length):]) {
		return nil, 0, errDamaged
	}
	return payload, size, nil
}

// encodeEvent is the payload of an event: its number, its origin and the message without its position.
func encodeEvent(sequence uint64, ev *davitv1.Event, from Origin) ([]byte, error) {
	p := []byte{kindEvent}
	p = binary.AppendUvarint(p, sequence)
	p = appendText(p, ev.GetUuid())
	p = appendText(p, from.Generation)
	p = binary.AppendUvarint(p, from.Sequence)
	position := ev.GetPosition()
	ev.Position = nil
	p, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(p, ev)
	ev.Position = position
	if err != nil {
		return nil, fmt.Errorf("encode event: %w: %w", ErrUnfit, err)
	}
	if len(p) > maxPayload {
		return nil, fmt.Errorf("encode event: %w: %d bytes, the limit is %d", ErrUnfit, len(p), maxPayload)
	}
	return p, nil
}

// record is an event's payload taken apart as far as the journal needs it at once.
type record struct {
	sequence uint64
	uuid     string
	from     Origin
	message  []byte
}

// decodeRecord reads the payload of an event.
func decodeRecord(p []byte) (record, error) {
	if len(p) == 0 || p[0] != kindEvent {
		return record{}, errDamaged
	}
	r := reader{rest: p[1:]}
	rec := record{sequence: r.number(), uuid: r.text(), from: Origin{Generation: r.text(), Sequence: r.number()}}
	if r.bad {
		return record{}, errDamaged
	}
	rec.message = r.rest
	return rec, nil
}

// event decodes the message.
func (r record) event(epoch string) (*davitv1.Event, error) {
	ev := new(davitv1.Event)
	if err := proto.Unmarshal(r.message, ev); err != nil {
		return nil, fmt.Errorf("decode event %d: %w", r.sequence, err)
	}
	ev.Position = &davitv1.EventPosition{Epoch: epoch, Sequence: r.sequence}
	return ev, nil
}

// encodeOrigins is the payload of the origins.
func encodeOrigins(all map[string]stamped) []byte {
	p := binary.AppendUvarint([]byte{kindOrigins}, uint64(len(all)))
	for _, uuid := range slices.Sorted(maps.Keys(all)) {
		o := all[uuid]
		p = appendText(p, uuid)
		p = appendText(p, o.Generation)
		p = binary.AppendUvarint(p, o.Sequence)
		p = binary.AppendUvarint(p, o.at)
	}
	return p
}

// decodeOrigins reads the payload of the origins.
func decodeOrigins(p []byte) (map[string]stamped, error) {
	if len(p) == 0 || p[0] != kindOrigins {
		return nil, errDamaged
	}
	r := reader{rest: p[1:]}
	all := make(map[string]stamped)
	for n := r.number(); n > 0 && !r.bad; n-- {
		uuid := r.text()
		all[uuid] = stamped{Origin: Origin{Generation: r.text(), Sequence: r.number()}, at: r.number()}
	}
	if r.bad || len(r.rest) > 0 {
		return nil, errDamaged
	}
	return all, nil
}

func appendText(p []byte, s string) []byte {
	return append(binary.AppendUvarint(p, uint64(len(s))), s...)
}

// reader takes values off bytes; bad is set once they end too soon.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}
