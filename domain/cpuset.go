package domain

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// MaxCPU is the greatest number of processors that a cpuset can name: 0 to MaxCPU-1.
const MaxCPU = 8192

// MaxNode is the greatest number of memory nodes that a nodeset can name: 0 to MaxNode-1. It is the kernel's (MAX_NUMNODES).
const MaxNode = 1024

// maxSetBytes is more than a set takes that names each of its members by itself.
const maxSetBytes = 64 << 10

// Cpuset is a set of processors of the host, or of its memory nodes.
type Cpuset struct{ words [MaxCPU / 64]uint64 }

// members is what a set holds, for messages, and how many there can be.
type members struct {
	word  string
	limit uint64
}

// ParseCpuset reads libvirt's notation: numbers and ranges, separated by commas, where "^N" takes one out again:
// "0-3,^2,8". However wide a range, it costs no more than the set has room for.
func ParseCpuset(s string) (*Cpuset, error) { return parseSet(s, members{"processor", MaxCPU}) }

// ParseNodeset reads a set of memory nodes in the same notation.
func ParseNodeset(s string) (*Cpuset, error) { return parseSet(s, members{"memory node", MaxNode}) }

func parseSet(s string, of members) (*Cpuset, error) {
	set := &Cpuset{}
	if strings.Trim(s, " ") == "" {
		return nil, fmt.Errorf("a set names at least one %s", of.word)
	}
	if len(s) > maxSetBytes {
		return nil, fmt.Errorf("a set of %ss in %d bytes is above %d bytes; write ranges", of.word, len(s), maxSetBytes)
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.Trim(part, " ")
		out, without := strings.CutPrefix(part, "^")
		first, last, err := of.parseRange(out)
		if err != nil {
			return nil, err
		}
		if without && first != last {
			return nil, fmt.Errorf("%s takes out more than one %s", quote(part), of.word)
		}
		if without {
			set.words[first/64] &^= 1 << (first % 64)
		} else {
			set.add(first, last)
		}
	}
	if set.Count() == 0 {
		return nil, fmt.Errorf("%s names no %s", quote(s), of.word)
	}
	return set, nil
}

// add takes in a range, a word at a time.
func (c *Cpuset) add(first, last int) {
	for w := first / 64; w <= last/64; w++ {
		word := ^uint64(0)
		if w == first/64 {
			word &= ^uint64(0) << (first % 64)
		}
		if w == last/64 {
			word &= ^uint64(0) >> (63 - last%64)
		}
		c.words[w] |= word
	}
}

// parseRange reads "N" or "N-M".
func (of members) parseRange(s string) (first, last int, err error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	if first, err = of.parse(from); err != nil {
		return 0, 0, err
	}
	if last, err = of.parse(to); err != nil {
		return 0, 0, err
	}
	if first > last {
		return 0, 0, fmt.Errorf("range %s runs backwards", quote(s))
	}
	return first, last, nil
}

func (of members) parse(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil && !isDigits(s) {
		return 0, fmt.Errorf("%s is not a %s: a number, or a range like 0-3", quote(s), of.word)
	}
	if err != nil || n >= of.limit {
		return 0, fmt.Errorf("%s %s is above %d", of.word, quote(s), of.limit-1)
	}
	return int(n), nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// Has tells whether the set holds a processor.
func (c *Cpuset) Has(cpu int) bool {
	return cpu >= 0 && cpu < MaxCPU && c.words[cpu/64]&(1<<(cpu%64)) != 0
}

// Count is how many processors the set holds.
func (c *Cpuset) Count() int {
	n := 0
	for _, w := range c.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// String is the canonical form: rising ranges, "0-1,3,8". It is also what the kernel's cpuset files take.
func (c *Cpuset) String() string {
	var b strings.Builder
	for cpu := 0; cpu < MaxCPU; cpu++ {
		if !c.Has(cpu) {
			continue
		}
		last := cpu
		for c.Has(last + 1) {
			last++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(cpu))
		if last > cpu {
			b.WriteString("-" + strconv.Itoa(last))
		}
		cpu = last
	}
	return b.String()
}
