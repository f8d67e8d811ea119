package cli

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// sizeKiB reads a size as virsh does, a number and perhaps a unit ("512", "64MiB", "1g", "3 bytes"), and gives it in KiB,
// rounded up. A number alone is KiB.
func sizeKiB(text string) (uint64, bool) {
	digits := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(text)
	}
	n, err := strconv.ParseUint(text[:digits], 10, 64)
	scale, known := unitBytes(strings.TrimSpace(text[digits:]))
	hi, total := bits.Mul64(n, scale)
	if err != nil || !known || hi != 0 || total > math.MaxInt64 {
		return 0, false
	}
	return total/1024 + min(total%1024, 1), true
}

// unitBytes is how many bytes a unit has, by libvirt's spellings.
func unitBytes(unit string) (uint64, bool) {
	unit = strings.ToLower(unit)
	switch unit {
	case "":
		return 1024, true
	case "b", "byte", "bytes":
		return 1, true
	}
	power := strings.IndexByte("kmgtpe", unit[0]) + 1
	base := uint64(1024)
	switch unit[1:] {
	case "", "ib":
	case "b":
		base = 1000
	default:
		return 0, false
	}
	scale := uint64(1)
	for range power {
		scale *= base
	}
	return scale, power > 0
}

// badNumber is virsh's error for the value of an option that is no number.
func badNumber(value, option string) error {
	return failed(nil, "Numeric value '%s' for <%s> option is malformed or out of range", value, option)
}

// badSize is virsh's error for the value of an option that is no size.
func badSize(value, option string) error {
	return failed(nil, "Scaled numeric value '%s' for <--%s> option is malformed or out of range", value, option)
}
