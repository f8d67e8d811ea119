package host

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
)

// cpuFolder has a folder of each processor.
const cpuFolder = "sys/devices/system/cpu"

// processor is one that is online.
type processor struct {
	id       int
	socket   int
	die      int
	core     int
	siblings []int // threads of its core, itself included
	placed   bool  // where it is, is known
}

// present and online list the processors.
func (h *Host) present() ([]int, error) { return h.processorsOf("present") }
func (h *Host) online() ([]int, error)  { return h.processorsOf("online") }

func (h *Host) processorsOf(name string) ([]int, error) {
	list, ok, err := h.list(cpuFolder + "/" + name)
	if err != nil || ok && len(list) > 0 {
		return list, err
	}
	// A kernel without sysfs: /proc/stat has those that are online.
	times, err := h.cpuTimes()
	if err != nil {
		return nil, err
	}
	for _, t := range times[1:] {
		list = append(list, int(t.GetCpu()))
	}
	if len(list) == 0 {
		list = []int{0}
	}
	return list, nil
}

// processor looks where one is that is online. Numbers that the kernel does not know, which are negative or not there,
// count as 0.
func (h *Host) processor(id int) (processor, error) {
	p := processor{id: id, siblings: []int{id}}
	at := fmt.Sprintf("%s/cpu%d/topology/", cpuFolder, id)
	for _, n := range []struct {
		file string
		to   *int
	}{{"physical_package_id", &p.socket}, {"die_id", &p.die}, {"core_id", &p.core}} {
		text, err := h.text(at + n.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return p, err
		}
		value, err := strconv.Atoi(text)
		if err != nil {
			return p, fmt.Errorf("read %s%s: %w", at, n.file, err)
		}
		*n.to, p.placed = max(value, 0), true
	}
	for _, file := range []string{"core_cpus_list", "thread_siblings_list"} { // the second is the name before Linux 5.3
		list, ok, err := h.list(at + file)
		if err != nil {
			return p, err
		}
		if ok && slices.Contains(list, id) {
			p.siblings = list
			break
		}
	}
	return p, nil
}

// topology is how the processors of a host lie, in libvirt's way: a cell has so many sockets, a socket so many cores, a core
// so many threads.
type topology struct{ sockets, cores, threads int }

// topologyOf counts. Where the cells are not alike, as the product is not the number of processors, it says what can be
// said: one socket in a cell, and a core for each processor.
func topologyOf(cells [][]processor, present int) topology {
	t := topology{1, 1, 1}
	cells = slices.DeleteFunc(slices.Clone(cells), func(c []processor) bool { return len(c) == 0 }) // memory alone
	for _, cell := range cells {
		type core struct{ socket, die, core int }
		threads := make(map[core]int)
		cores := make(map[int]int)
		for _, p := range cell {
			c := core{p.socket, p.die, p.core}
			if !p.placed {
				c = core{core: p.id}
			}
			if threads[c] == 0 {
				cores[c.socket]++
			}
			threads[c]++
			t.threads = max(t.threads, threads[c], len(p.siblings)) // some of them may be offline
		}
		t.sockets = max(t.sockets, len(cores))
		for _, n := range cores {
			t.cores = max(t.cores, n)
		}
	}
	if n := max(len(cells), 1); n*t.sockets*t.cores*t.threads != present {
		return topology{1, max((present+n-1)/n, 1), 1}
	}
	return t
}

// cpuInfo is the model of the first processor, and its clock in MHz; "" and 0 where the kernel does not tell.
func (h *Host) cpuInfo() (model string, mhz uint32, err error) {
	text, err := h.text("proc/cpuinfo")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", 0, err
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "model name", "cpu": // the second is Power's
			if model == "" {
				model = value
			}
		case "cpu MHz", "clock":
			if f, err := strconv.ParseFloat(strings.TrimSuffix(value, "MHz"), 64); err == nil && mhz == 0 {
				mhz = uint32(math.Min(f, math.MaxUint32))
			}
		}
	}
	if mhz == 0 { // some drivers answer with "<unknown>"
		if khz, _, err := h.number(cpuFolder + "/cpu0/cpufreq/scaling_cur_freq"); err == nil {
			mhz = uint32(khz / 1000)
		}
	}
	return model, mhz, nil
}
