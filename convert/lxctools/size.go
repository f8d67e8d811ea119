package lxctools

import (
	"math/bits"
	"strconv"
	"strings"
)

// unlimited are the kernel's words for no limit.
func unlimited(text string) bool { return text == "max" || text == "-1" }

// parseBytes reads a size as the kernel does (memparse): a number of bytes, with K, M, G, T, P or E for a power of 1024.
func parseBytes(text string) (uint64, bool) {
	shift := 0
	if n := len(text); n > 0 {
		if i := strings.IndexByte("KMGTPE", text[n-1]&^0x20); i >= 0 && text[n-1] > '9' {
			shift, text = 10*(i+1), text[:n-1]
		}
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || bits.Len64(n)+shift > 63 {
		return 0, false
	}
	return n << shift, true
}

// bytesToKiB rounds up.
func bytesToKiB(bytes uint64) uint64 { return bytes/1024 + min(bytes%1024, 1) }

// kib reads a size in KiB; limited is false where there is none. A definition has no limit of 0.
func (r *reading) kib(s setting) (size uint64, limited bool) {
	if unlimited(s.value) {
		return 0, false
	}
	bytes, ok := parseBytes(s.value)
	switch {
	case !ok:
		r.fault(s, s.value, "is not a size: bytes, or a number with K, M, G or T")
	case bytes == 0:
		r.warn(s, "a definition has no limit of 0")
	}
	return bytesToKiB(bytes), bytes > 0
}

// limit reads a number that is at least 1, which 0 is not in a definition.
func (r *reading) limit(s setting, text string, most uint64) (uint64, bool) {
	n, ok := r.number(s, text, most)
	if ok && n == 0 {
		r.warn(s, "a definition has no limit of 0")
	}
	return n, ok && n > 0
}
