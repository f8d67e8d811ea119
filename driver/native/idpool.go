package native

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Pool says which host ids davit hands out. All instances of a host share one folder, so that no range is in use twice.
//
// A pool that says nothing of its ids is one of 15000 ranges of 65536 ids from 1000000 on. Where all of these belong to users of the host
// or to domains, as they do beside LXD and Incus, the ranges after them are handed out, below 2147352576, where systemd has ids for files
// of other hosts. One that says which ids it has is of these alone.
type Pool struct {
	// Dir holds the list of ranges that domains have and its lock; "/var/lib/davit-ids" when empty. It outlives the host's boot: a
	// domain keeps its range as long as it is defined.
	Dir string
	// Former is the folder of a list that is taken over when Dir has none; "/run/davit-ids" when Dir is empty, too.
	Former string
	// Base is the first id, Size the length of a range, Count how many there are; 1000000, 65536 and 15000 when 0.
	Base, Size, Count uint32
	// Subordinate are the files of ranges that belong to the host's users; /etc/subuid and /etc/subgid when nil.
	Subordinate []string
}

// What a pool is that does not say it, and the end of the ranges after it.
const (
	defaultBase, defaultSize, defaultCount = 1000000, 65536, 15000

	spareEnd = 2147352576
)

// withDefaults fills in what is not given.
func (p Pool) withDefaults() Pool {
	if p.Dir == "" {
		p.Dir, p.Former = "/var/lib/davit-ids", formerDir
	}
	if p.Base == 0 {
		p.Base = defaultBase
	}
	if p.Size == 0 {
		p.Size = defaultSize
	}
	if p.Count == 0 {
		p.Count = defaultCount
	}
	if p.Subordinate == nil {
		p.Subordinate = []string{"/etc/subuid", "/etc/subgid"}
	}
	return p
}

// check refuses a pool that has the ids of the host's own users, or ids that the terminals of a domain cannot belong to: older
// kernels (6.1) take no group above 2147483647 for a devpts.
func (p Pool) check() error {
	const lowest, highest = 100000, 1 << 31
	if p.Base < lowest {
		return fmt.Errorf("read id ranges: base %d is below %d, where the host's own users are", p.Base, lowest)
	}
	if end := uint64(p.Base) + uint64(p.Size)*uint64(p.Count); end > highest {
		return fmt.Errorf("read id ranges: %d ranges of %d ids from %d on end at %d, above %d", p.Count, p.Size, p.Base, end-1, highest-1)
	}
	return nil
}

// slot is the range of a number.
func (p Pool) slot(i uint32) Range { return Range{Start: p.Base + i*p.Size, Count: p.Size} }

// spare is how many ranges follow those of the pool.
func (p Pool) spare() uint32 {
	if p.Base != defaultBase || p.Size != defaultSize || p.Count != defaultCount {
		return 0
	}
	return (spareEnd - (p.Base + p.Size*p.Count)) / p.Size
}

// occupied marks the slots, the spare ones too, that share an id with one of the ranges.
func (p Pool) occupied(ranges ...[]Range) []bool {
	marks := make([]bool, p.Count+p.spare())
	for _, list := range ranges {
		for _, r := range list {
			base, end := uint64(p.Base), uint64(r.Start)+uint64(r.Count)
			if r.Count == 0 || end <= base {
				continue
			}
			first := (max(uint64(r.Start), base) - base) / uint64(p.Size)
			for slot := first; slot <= (end-1-base)/uint64(p.Size) && slot < uint64(len(marks)); slot++ {
				marks[slot] = true
			}
		}
	}
	return marks
}

// free finds a slot that is not marked, from the number next on: one of the pool, or else a spare one. After is the number to look at next.
func (p Pool) free(occupied []bool, next uint32) (slot, after uint32, found bool) {
	for _, part := range []Range{{0, p.Count}, {p.Count, p.spare()}} {
		from := uint32(0)
		if next >= part.Start && next < part.Start+part.Count {
			from = next - part.Start
		}
		for i := range part.Count {
			at := (from + i) % part.Count
			if slot = part.Start + at; !occupied[slot] {
				return slot, part.Start + (at+1)%part.Count, true
			}
		}
	}
	return 0, 0, false
}

// subordinate is a line of subuid(5): ids of a user of the host.
type subordinate struct {
	Range

	file, line string
}

// subordinates are the ids of the host's users. Lines that say something else are passed over, as the tools that read them do.
func (p Pool) subordinates() ([]subordinate, error) {
	var all []subordinate
	for _, name := range p.Subordinate {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read subordinate ids: %w", err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			line := strings.TrimSpace(lines.Text())
			if r, ok := parseSubordinate(line); ok {
				all = append(all, subordinate{r, name, line})
			}
		}
		err = lines.Err()
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", name, err)
		}
	}
	return all, nil
}

// parseSubordinate reads NAME:START:COUNT.
func parseSubordinate(line string) (Range, bool) {
	fields := strings.Split(line, ":")
	if len(fields) != 3 {
		return Range{}, false
	}
	start, err1 := strconv.ParseUint(fields[1], 10, 32)
	count, err2 := strconv.ParseUint(fields[2], 10, 32)
	return Range{uint32(start), uint32(count)}, err1 == nil && err2 == nil && count > 0
}

// rangesOf are the ids of lines.
func rangesOf(lines []subordinate) []Range {
	var all []Range
	for _, s := range lines {
		all = append(all, s.Range)
	}
	return all
}

// maxLinesTold is how many lines an error names.
const maxLinesTold = 4

// full says that no range is left, which lines have ids of the pool, and what can be done.
func (p Pool) full(users []subordinate) string {
	var text strings.Builder
	fmt.Fprintf(&text, "all %d ranges of %d ids from %d on", p.Count, p.Size, p.Base)
	whole := Range{p.Base, p.Size * (p.Count + p.spare())}
	if p.spare() > 0 {
		fmt.Fprintf(&text, ", and %d after them,", p.spare())
	}
	text.WriteString(" are in use")
	users = slices.DeleteFunc(slices.Clone(users), func(s subordinate) bool { return !s.overlaps(whole) })
	if len(users) == 0 {
		return text.String() + ": undefine domains that are not needed any more, or have [idmap] count in the configuration larger"
	}
	text.WriteString(" or belong to users of the host by ")
	for i, s := range users[:min(len(users), maxLinesTold)] {
		if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "%q in %s", s.line, s.file)
	}
	if more := len(users) - maxLinesTold; more > 0 {
		fmt.Fprintf(&text, " and %d more lines", more)
	}
	text.WriteString(": have [idmap] base, size and count in the configuration name ids that no line has, or make these lines shorter")
	return text.String()
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
