package host

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// cacheLevel is the one that libvirt tells of: the first that cores share as a rule.
const cacheLevel = 3

// cache is a bank of memory in a processor.
type cache struct {
	id, level uint64
	kind      string
	kib       uint64
	cpus      []int
}

// caches are the banks of the processors that are online, each once.
func (h *Host) caches(cells []cell) ([]cache, error) {
	var banks []cache
	for _, c := range cells {
		for _, cpu := range c.cpus {
			dir := fmt.Sprintf("%s/cpu%d/cache", cpuFolder, cpu)
			entries, err := os.ReadDir(h.path(dir))
			if err != nil {
				continue // a virtual machine may have none
			}
			for _, entry := range entries {
				if !strings.HasPrefix(entry.Name(), "index") {
					continue
				}
				bank, ok, err := h.cache(dir + "/" + entry.Name() + "/")
				if err != nil {
					return nil, err
				}
				if ok && !slices.ContainsFunc(banks, func(b cache) bool { return b.id == bank.id && b.kind == bank.kind }) {
					banks = append(banks, bank)
				}
			}
		}
	}
	slices.SortFunc(banks, func(a, b cache) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.kind, b.kind)) })
	return banks, nil
}

// cache reads a bank; ok is false if it is of another level, or the kernel does not number it.
func (h *Host) cache(dir string) (c cache, ok bool, err error) {
	if c.level, ok, err = h.number(dir + "level"); err != nil || !ok || c.level != cacheLevel {
		return c, false, err
	}
	if c.id, ok, err = h.number(dir + "id"); err != nil || !ok {
		return c, false, err
	}
	if c.cpus, ok, err = h.list(dir + "shared_cpu_list"); err != nil || !ok {
		return c, false, err
	}
	kind, err := h.text(dir + "type")
	if err != nil {
		return c, false, err
	}
	c.kind = map[string]string{"Unified": "both", "Instruction": "code", "Data": "data"}[kind]
	size, err := h.text(dir + "size")
	if err != nil {
		return c, false, err
	}
	c.kib, err = strconv.ParseUint(strings.TrimSuffix(size, "K"), 10, 64)
	if err != nil {
		return c, false, fmt.Errorf("read %ssize: %w", dir, err)
	}
	return c, c.kind != "", nil
}

// write writes the bank's element, its size in the largest unit of which it is a whole number.
func (c cache) write(d *document) {
	size, unit := c.kib, "KiB"
	for _, larger := range []string{"MiB", "GiB"} {
		if size == 0 || size%1024 != 0 {
			break
		}
		size, unit = size/1024, larger
	}
	d.empty("bank", number("id", c.id), number("level", c.level), attr{"type", c.kind}, number("size", size),
		attr{"unit", unit}, attr{"cpus", formatList(c.cpus)})
}
