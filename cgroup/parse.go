package cgroup

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// number reads a control file of one number.
func (f *folder) number(name string) (uint64, error) {
	text, err := f.read(name)
	if err != nil {
		return 0, err
	}
	n, err := parseNumber(text)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", f.join(name), err)
	}
	return n, nil
}

// keyed reads a control file of lines of a key and a number.
func (f *folder) keyed(name string) (map[string]uint64, error) {
	text, err := f.read(name)
	if err != nil {
		return nil, err
	}
	values, err := parseKeyed(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.join(name), err)
	}
	return values, nil
}

// noLimit1 is from where on a version 1 limit is none: PAGE_COUNTER_MAX is the greatest int64 rounded down to a page, of
// up to 64 KiB.
const noLimit1 = math.MaxInt64 - 1<<16 + 1

// parseNumber reads a number, "max", or the version 1 ways to write no limit, "-1" and numbers near the greatest int64:
// all three are [Unlimited].
func parseNumber(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	if text == "max" || text == "-1" {
		return Unlimited, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	if n >= noLimit1 {
		return Unlimited, nil
	}
	return n, nil
}

// parseKeyed reads "key number" lines. Lines of more than two words, such as memory.stat never has, are refused.
func parseKeyed(text string) (map[string]uint64, error) {
	values := map[string]uint64{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 2 {
			return nil, fmt.Errorf("line %q is not a key and a number", strings.TrimSpace(line))
		}
		n, err := parseNumber(words[1])
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", words[0], err)
		}
		values[words[0]] = n
	}
	return values, nil
}

// parseCPUMax reads cpu.max: "max 100000".
func parseCPUMax(text string) (quota, period uint64, err error) {
	words := strings.Fields(text)
	if len(words) != 2 {
		return 0, 0, fmt.Errorf("%q is not a quota and a period", strings.TrimSpace(text))
	}
	if quota, err = parseNumber(words[0]); err != nil {
		return 0, 0, err
	}
	period, err = parseNumber(words[1])
	return quota, period, err
}

// parsePids reads a list of process ids. A 0 is a process of another pid namespace, which nobody here can act on.
func parsePids(text string) ([]int, error) {
	var pids []int
	for word := range strings.FieldsSeq(text) {
		pid, err := strconv.ParseInt(word, 10, 32)
		if err != nil || pid < 0 {
			return nil, fmt.Errorf("%q is not a process id", word)
		}
		if pid > 0 {
			pids = append(pids, int(pid))
		}
	}
	return pids, nil
}
