package host

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	nodeFolder = "sys/devices/system/node"
	hugeFolder = "sys/kernel/mm/hugepages"
)

// cell is a cell of memory with its processors (NUMA node).
type cell struct {
	id   int
	dir  string // its folder; "" where the kernel has no cells
	cpus []int
}

// cells are those of the host: one, with everything, where the kernel knows of none.
func (h *Host) cells() ([]cell, error) {
	ids, ok, err := h.list(nodeFolder + "/online")
	if err != nil {
		return nil, err
	}
	online, err := h.online()
	if err != nil {
		return nil, err
	}
	if !ok || len(ids) == 0 {
		return []cell{{cpus: online}}, nil
	}
	var cells []cell
	for _, id := range ids {
		c := cell{id: id, dir: fmt.Sprintf("%s/node%d", nodeFolder, id)}
		if c.cpus, _, err = h.list(c.dir + "/cpulist"); err != nil {
			return nil, err
		}
		c.cpus = slices.DeleteFunc(c.cpus, func(n int) bool { return !slices.Contains(online, n) })
		cells = append(cells, c)
	}
	return cells, nil
}

// processorsIn looks at the processors of each cell.
func (h *Host) processorsIn(cells []cell) ([][]processor, error) {
	var all [][]processor
	for _, c := range cells {
		var list []processor
		for _, id := range c.cpus {
			p, err := h.processor(id)
			if err != nil {
				return nil, err
			}
			list = append(list, p)
		}
		all = append(all, list)
	}
	return all, nil
}

// memory is the use of a cell's memory, or the host's where the cell has no folder.
func (h *Host) memory(c cell) (*davitv1.HostMemory, error) {
	name, prefix := "proc/meminfo", ""
	if c.dir != "" {
		name, prefix = c.dir+"/meminfo", fmt.Sprintf("Node %d ", c.id)
	}
	f, err := h.fields(name, prefix)
	if err != nil {
		return nil, err
	}
	m := &davitv1.HostMemory{
		TotalKib: f["MemTotal"], FreeKib: f["MemFree"], BuffersKib: f["Buffers"], CachedKib: f["Cached"],
	}
	if c.dir != "" {
		m.CachedKib = f["FilePages"] // of a cell, buffers are counted there, too
	}
	return m, nil
}

// pool is where the huge pages of a size are, of a cell or the host.
type pool struct {
	pageKib uint64
	dir     string
}

// pools are those of a cell, in order of size.
func (h *Host) pools(c cell) ([]pool, error) {
	dir := hugeFolder
	if c.dir != "" {
		dir = c.dir + "/hugepages"
	}
	entries, err := os.ReadDir(h.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []pool
	for _, entry := range entries {
		size, ok := strings.CutPrefix(entry.Name(), "hugepages-")
		kib, isSize := strings.CutSuffix(size, "kB")
		n, err := strconv.ParseUint(kib, 10, 64)
		if ok && isSize && err == nil && n > 0 {
			list = append(list, pool{n, dir + "/" + entry.Name()})
		}
	}
	slices.SortFunc(list, func(a, b pool) int { return cmp.Compare(a.pageKib, b.pageKib) })
	return list, nil
}

// pages counts the pages of a cell: first those of the usual size, which are all of memory that is in no pool.
func (h *Host) pages(c cell, m *davitv1.HostMemory) ([]*davitv1.PagePool, error) {
	pools, err := h.pools(c)
	if err != nil {
		return nil, err
	}
	list := []*davitv1.PagePool{{PageKib: h.pageKib, Free: m.GetFreeKib() / h.pageKib}}
	rest := m.GetTotalKib()
	for _, p := range pools {
		count, _, err := h.number(p.dir + "/nr_hugepages")
		if err != nil {
			return nil, err
		}
		free, _, err := h.number(p.dir + "/free_hugepages")
		if err != nil {
			return nil, err
		}
		list = append(list, &davitv1.PagePool{PageKib: p.pageKib, Count: count, Free: free})
		rest -= min(count*p.pageKib, rest)
	}
	list[0].Count = rest / h.pageKib
	return list, nil
}
