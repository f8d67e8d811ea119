package domain

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Unlimited is the size in KiB that stands for no limit in libvirt's memory tunables.
const Unlimited = 9007199254740991

// unlimitedWord is a size without limit, as an alternative to that number.
const unlimitedWord = "unlimited"

// unitName is the unit in which the field is written.
func (f *field) unitName() string {
	if f.opts.GetUnit() == davitv1.XmlUnit_XML_UNIT_KIB {
		return "KiB"
	}
	return "bytes"
}

// parseSize reads a size in any of libvirt's units and gives it in the field's, rounded up.
func parseSize(text, unit string, in davitv1.XmlUnit) (uint64, error) {
	own, name := uint64(1), "bytes"
	if in == davitv1.XmlUnit_XML_UNIT_KIB {
		own, name = 1024, "KiB"
	}
	if text == unlimitedWord {
		return Unlimited * 1024 / own, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a size: a whole number from 0", quote(text))
	}
	scale := own
	if unit != "" {
		if scale, err = unitScale(unit); err != nil {
			return 0, err
		}
	}
	hi, bytes := bits.Mul64(n, scale)
	if hi != 0 || bytes > math.MaxInt64 {
		return 0, fmt.Errorf("size %s %s is above %d bytes", quote(text), or(unit, name), int64(math.MaxInt64))
	}
	return bytes/own + min(bytes%own, 1), nil
}

// unitScale is how many bytes a unit has, by libvirt's spellings.
func unitScale(unit string) (uint64, error) {
	lower := strings.ToLower(unit)
	switch lower {
	case "b", "byte", "bytes":
		return 1, nil
	}
	power := strings.IndexByte("kmgtpe", lower[0]) + 1
	base := uint64(1024)
	switch lower[1:] {
	case "", "ib":
	case "b":
		base = 1000
	default:
		power = 0
	}
	if power == 0 {
		return 0, fmt.Errorf("unit %s is not one of bytes, KB, KiB, MB, MiB, GB, GiB, TB, TiB, PB, PiB, EB, EiB", quote(unit))
	}
	scale := uint64(1)
	for range power {
		scale *= base
	}
	return scale, nil
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}
