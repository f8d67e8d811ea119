package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"
)

// Stats is what a group uses. What the host cannot tell is zero.
type Stats struct {
	// CPUTime, UserTime and SystemTime are the processor time used, in all and in either mode.
	CPUTime, UserTime, SystemTime time.Duration
	// PerCPU is the time used on each processor, in their order; nil where the kernel does not count it (version 2).
	PerCPU []time.Duration
	// Memory in use, page cache included, the greatest use so far, and the limit, 0 if there is none: in bytes.
	Memory, MemoryPeak, MemoryMax uint64
	// Swap in use, in bytes.
	Swap uint64
	// OOMKills counts the processes that the OOM killer killed.
	OOMKills uint64
	// Pids are the processes and threads, and PidsMax their limit, 0 if there is none.
	Pids, PidsMax uint64
}

// Stats measures.
func (g *Group) Stats() (Stats, error) {
	var s Stats
	for _, part := range []struct {
		tree   *Tree
		v1, v2 func(*folder, *Stats) error
	}{
		{g.h.clock(), clock1, clock2},
		{g.h.tree("cpuacct"), clocks, nil},
		{g.h.tree("memory"), memoryStats1, memoryStats2},
		{g.h.tree("pids"), pidsStats, pidsStats},
	} {
		measure := part.v1
		if part.tree != nil && part.tree.Version == 2 {
			measure = part.v2
		}
		if part.tree == nil || measure == nil {
			continue
		}
		f, err := g.folder(part.tree)
		if err != nil {
			return Stats{}, err
		}
		err = measure(f, &s)
		_ = f.Close()
		if err != nil {
			return Stats{}, err
		}
	}
	return s, nil
}

// clock is the tree that counts processor time; a cgroup2 tree does also without the cpu controller.
func (h *Hierarchy) clock() *Tree {
	if t := h.unified(); t != nil {
		return t
	}
	return h.tree("cpuacct")
}

// clock1 reads nanoseconds and, for the modes, ticks of 10 ms, which is what user space is told on every architecture.
func clock1(f *folder, s *Stats) error {
	total, err := f.number("cpuacct.usage")
	if err != nil {
		return err
	}
	modes, err := f.keyed("cpuacct.stat")
	if err != nil {
		return err
	}
	const tick = 10 * time.Millisecond
	s.CPUTime = time.Duration(total)
	s.UserTime, s.SystemTime = time.Duration(modes["user"])*tick, time.Duration(modes["system"])*tick
	return nil
}

// clocks reads nanoseconds, a number for each processor that there can be.
func clocks(f *folder, s *Stats) error {
	text, err := f.read("cpuacct.usage_percpu")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, word := range fields(text) {
		n, err := strconv.ParseUint(word, 10, 63)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.join("cpuacct.usage_percpu"), err)
		}
		s.PerCPU = append(s.PerCPU, time.Duration(n))
	}
	return nil
}

// clock2 reads microseconds.
func clock2(f *folder, s *Stats) error {
	v, err := f.keyed("cpu.stat")
	if err != nil {
		return err
	}
	s.CPUTime = time.Duration(v["usage_usec"]) * time.Microsecond
	s.UserTime = time.Duration(v["user_usec"]) * time.Microsecond
	s.SystemTime = time.Duration(v["system_usec"]) * time.Microsecond
	return nil
}

// memoryStats1 takes swap from the sum of both, where the kernel accounts swap.
func memoryStats1(f *folder, s *Stats) error {
	var total uint64
	if err := f.numbers(map[string]*uint64{
		"memory.usage_in_bytes": &s.Memory, "memory.max_usage_in_bytes": &s.MemoryPeak, "memory.limit_in_bytes": &s.MemoryMax,
		"memory.memsw.usage_in_bytes": &total,
	}); err != nil {
		return err
	}
	s.MemoryMax = zeroIfNone(s.MemoryMax)
	if total > s.Memory {
		s.Swap = total - s.Memory
	}
	var err error
	s.OOMKills, err = f.oomKills1()
	return err
}

// memoryStats2 does without memory.peak, which came with kernel 5.19, and without swap accounting.
func memoryStats2(f *folder, s *Stats) error {
	if err := f.numbers(map[string]*uint64{
		"memory.current": &s.Memory, "memory.peak": &s.MemoryPeak, "memory.max": &s.MemoryMax, "memory.swap.current": &s.Swap,
	}); err != nil {
		return err
	}
	s.MemoryMax = zeroIfNone(s.MemoryMax)
	var err error
	s.OOMKills, err = f.oomKills2()
	return err
}

// pidsStats reads the same files in both versions.
func pidsStats(f *folder, s *Stats) error {
	err := f.numbers(map[string]*uint64{"pids.current": &s.Pids, "pids.max": &s.PidsMax})
	s.PidsMax = zeroIfNone(s.PidsMax)
	return err
}

// numbers reads control files of one number each. One that this kernel does not have leaves its value at zero.
func (f *folder) numbers(values map[string]*uint64) error {
	for name, value := range values {
		n, err := f.number(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		*value = n
	}
	return nil
}

// zeroIfNone tells a limit that is none as 0.
func zeroIfNone(limit uint64) uint64 {
	if limit == Unlimited {
		return 0
	}
	return limit
}
