package events

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

const (
	segmentMagic  = "davitev1"
	segmentHead   = len(segmentMagic) + 16 + 8 + 4
	segmentSuffix = ".journal"
	oldSuffix     = ".old"
	newName       = "new.tmp"
	nameDigits    = 20
)

// segment is one file of the journal. A file gets its name once its header and the origins are in it, so a file with
// that name is never without them.
type segment struct {
	first uint64 // number of its first event
	count uint64 // events in it
	start int64  // offset of its first event
	size  int64  // offset after its last event
}

func (s *segment) name() string { return segmentName(s.first) }

// next is the number after its last event.
func (s *segment) next() uint64 { return s.first + s.count }

func segmentName(first uint64) string { return fmt.Sprintf("%0*d%s", nameDigits, first, segmentSuffix) }

// segmentNames lists the segments of a folder, oldest first.
func segmentNames(root *os.Root) ([]string, error) {
	all, err := folderNames(root)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(name string) bool {
		digits, ok := strings.CutSuffix(name, segmentSuffix)
		_, err := strconv.ParseUint(digits, 10, 64)
		return !ok || len(digits) != nameDigits || err != nil
	}), nil
}

// folderNames lists a folder, sorted.
func folderNames(root *os.Root) ([]string, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// encodeHead is the beginning of a segment: its header and the origins.
func encodeHead(epoch uuid.UUID, first uint64, known map[string]stamped) []byte {
	b := append([]byte(segmentMagic), epoch[:]...)
	b = binary.LittleEndian.AppendUint64(b, first)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return appendFrame(b, encodeOrigins(known))
}

// scanned is what a segment file holds.
type scanned struct {
	segment
	epoch   uuid.UUID
	origins map[string]stamped
	records []record // all that can be read; they share the bytes of the file
	torn    bool     // the file ends within a record
	damage  error    // the file is not what was written
}

// scanSegment takes a segment file apart. It never fails: what is wrong stands in damage, and what could be read up to
// there in the rest.
func scanSegment(data []byte) scanned {
	var s scanned
	if len(data) < segmentHead || string(data[:len(segmentMagic)]) != segmentMagic {
		s.damage = errors.New("header is not one of davit's journals")
		return s
	}
	head := data[:segmentHead]
	if crc32.Checksum(head[:segmentHead-4], castagnoli) != binary.LittleEndian.Uint32(head[segmentHead-4:]) {
		s.damage = errors.New("header is damaged")
		return s
	}
	copy(s.epoch[:], head[len(segmentMagic):])
	s.first = binary.LittleEndian.Uint64(head[len(segmentMagic)+16:])

	payload, size, err := cutFrame(data[segmentHead:])
	if err == nil {
		s.origins, err = decodeOrigins(payload)
	}
	if err != nil {
		s.damage = fmt.Errorf("origins: %w", err)
		return s
	}
	s.start = int64(segmentHead + size)
	s.size = s.start
	s.scanRecords(data)
	return s
}

func (s *scanned) scanRecords(data []byte) {
	for int(s.size) < len(data) {
		payload, size, err := cutFrame(data[s.size:])
		if errors.Is(err, errShort) {
			s.torn = true
			return
		}
		var r record
		if err == nil {
			r, err = decodeRecord(payload)
		}
		if err == nil && r.sequence != s.next() {
			err = fmt.Errorf("number is %d", r.sequence)
		}
		if err != nil {
			s.damage = fmt.Errorf("event %d at offset %d: %w", s.next(), s.size, err)
			return
		}
		s.records = append(s.records, r)
		s.count++
		s.size += int64(size)
	}
}
