package fake

// ring keeps the last bytes that were written and counts them all.
type ring struct {
	limit int
	kept  []byte
	start uint64 // offset of the oldest that is kept
}

func (r *ring) write(p []byte) {
	r.kept = append(r.kept, p...)
	if over := len(r.kept) - r.limit; over > 0 {
		r.kept = append([]byte(nil), r.kept[over:]...)
		r.start += uint64(over)
	}
}

// end is the offset of the next byte.
func (r *ring) end() uint64 { return r.start + uint64(len(r.kept)) }

// from copies what is kept from an offset on, and tells the offset of its first byte.
func (r *ring) from(offset uint64) ([]byte, uint64) {
	offset = min(max(offset, r.start), r.end())
	return append([]byte(nil), r.kept[offset-r.start:]...), offset
}
