package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Unlimited takes a limit away.
const Unlimited = math.MaxUint64

// Limits are what a domain may use. What is nil or empty is left as it is, which in a new group is without limit.
type Limits struct {
	// MemoryMax in bytes is where the OOM killer acts.
	MemoryMax *uint64
	// MemoryHigh in bytes is above which memory is reclaimed first: the soft limit of version 1.
	MemoryHigh *uint64
	// MemorySwapMax in bytes limits memory and swap together, as libvirt and version 1 count; not below MemoryMax.
	MemorySwapMax *uint64
	// CPUShares is the weight against siblings, 2 to 262144, the kernel's default being 1024.
	CPUShares *uint64
	// CPUPeriod is the length of a bandwidth period in microseconds, 1000 to 1000000; the kernel's default is 100000.
	CPUPeriod *uint64
	// CPUQuota is the processor time in a period in microseconds; negative is without limit.
	CPUQuota *int64
	// Cpuset are the processors that may be used: "0-3,8".
	Cpuset string
	// Mems are the memory nodes that may be used: "0-1"; [AllMems] are those of the parent.
	Mems string
	// IOWeight is the weight against siblings on block devices, 1 to 1000; see [DefaultIOWeight].
	IOWeight *uint64
	// IODevices are the only block devices with weights and limits of their own; nil leaves all as they are, and an empty
	// list takes all away.
	IODevices []IODevice
	// PidsMax limits processes and threads.
	PidsMax *uint64
	// Devices are the only ones that may be used; nil leaves the policy as it is, and an empty list allows none.
	Devices []DeviceRule
}

// AllMems takes the choice of memory nodes away.
const AllMems = "all"

// ErrNoKnob tells that the host's kernel cannot limit what was asked, although it has the controller.
var ErrNoKnob = errors.New("this kernel has no such limit")

// LimitError is why a limit was not written.
type LimitError struct {
	// Limit is which: "memory", "cpu", "cpuset", "memory nodes", "pids", "devices", "io weight" or "io devices".
	Limit string
	// Err is the cause.
	Err error
}

// Error is "limit memory: cause".
func (e *LimitError) Error() string { return "limit " + e.Limit + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *LimitError) Unwrap() error { return e.Err }

// SetLimits writes limits to a group that may be in use. To take away a limit that this kernel does not know is no error;
// any other failure is a [*LimitError], or one of opening the group.
func (g *Group) SetLimits(l Limits) error {
	for _, part := range []struct {
		wanted            bool
		limit, controller string
		v1, v2            func(*folder, Limits) error
	}{
		{l.MemoryMax != nil || l.MemoryHigh != nil || l.MemorySwapMax != nil, "memory", "memory", memory1, memory2},
		{l.CPUShares != nil || l.CPUPeriod != nil || l.CPUQuota != nil, "cpu", "cpu", cpu1, cpu2},
		{l.Cpuset != "", "cpuset", "cpuset", cpuset, cpuset},
		{l.Mems != "", "memory nodes", "cpuset", mems1, mems2},
		{l.IOWeight != nil, "io weight", "io", ioWeight1, ioWeight2},
		{l.IODevices != nil, "io devices", "io", ioDevices1, ioDevices2},
		{l.PidsMax != nil, "pids", "pids", pids, pids},
		{l.Devices != nil, "devices", "devices", devices1, devices2},
	} {
		if !part.wanted {
			continue
		}
		t := g.h.tree(part.controller)
		if t == nil {
			return &LimitError{part.limit, fmt.Errorf("cgroup %s, controller %s: %w", g.path, part.controller, ErrNoController)}
		}
		write := part.v1
		if t.Version == 2 {
			write = part.v2
		}
		f, err := g.folder(t)
		if err != nil {
			return err
		}
		err = write(f, l)
		_ = f.Close()
		if err != nil {
			return &LimitError{part.limit, err}
		}
	}
	return nil
}

// memory1 keeps limit <= memsw at every step, as the kernel demands: whichever moves away from the other goes first.
func memory1(f *folder, l Limits) error {
	const limit, total = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
	if isUnlimited(l.MemorySwapMax) && !f.has(total) {
		l.MemorySwapMax = nil // the kernel does not account swap
	}
	steps := []struct {
		file  string
		value *uint64
	}{{limit, l.MemoryMax}, {total, l.MemorySwapMax}}
	if l.MemoryMax != nil && l.MemorySwapMax != nil {
		now, err := f.number(total)
		if err != nil {
			return err
		}
		if *l.MemoryMax > now {
			steps[0], steps[1] = steps[1], steps[0]
		}
	}
	for _, s := range append(steps, struct {
		file  string
		value *uint64
	}{"memory.soft_limit_in_bytes", l.MemoryHigh}) {
		if s.value == nil {
			continue
		}
		if err := f.write(s.file, number1(*s.value)); err != nil {
			return err
		}
	}
	return nil
}

// memory2 turns the total of memory and swap into swap alone.
func memory2(f *folder, l Limits) error {
	if l.MemoryHigh != nil {
		if err := f.write("memory.high", number2(*l.MemoryHigh)); err != nil {
			return err
		}
	}
	if l.MemoryMax != nil {
		if err := f.write("memory.max", number2(*l.MemoryMax)); err != nil {
			return err
		}
	}
	if l.MemorySwapMax == nil {
		return nil
	}
	swap := *l.MemorySwapMax
	if swap != Unlimited {
		limit, err := f.number("memory.max")
		if err != nil {
			return err
		}
		if limit > swap {
			return fmt.Errorf("limit memory and swap of %s to %d: less than memory.max, which is %s", f.path, swap, number2(limit))
		}
		swap -= limit
	}
	err := f.write("memory.swap.max", number2(swap))
	if swap == Unlimited && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if swap == 0 && errors.Is(err, fs.ErrNotExist) {
		// A kernel without swap accounting and a limit of no swap: a host that has swap would break the promise.
		return fmt.Errorf("%w (the kernel does not account swap)", err)
	}
	return err
}

// cpu1 takes a quota away before the period changes, as the old quota may not fit the new period.
func cpu1(f *folder, l Limits) error {
	if l.CPUShares != nil {
		if err := f.write("cpu.shares", strconv.FormatUint(*l.CPUShares, 10)); err != nil {
			return err
		}
	}
	if l.CPUQuota != nil && *l.CPUQuota < 0 && !f.has("cpu.cfs_quota_us") {
		return nil // a kernel without bandwidth control
	}
	if l.CPUPeriod != nil {
		if l.CPUQuota != nil {
			if err := f.write("cpu.cfs_quota_us", "-1"); err != nil {
				return err
			}
		}
		if err := f.write("cpu.cfs_period_us", strconv.FormatUint(*l.CPUPeriod, 10)); err != nil {
			return err
		}
	}
	if l.CPUQuota != nil {
		return f.write("cpu.cfs_quota_us", strconv.FormatInt(max(*l.CPUQuota, -1), 10))
	}
	return nil
}

// cpu2 writes weight and cpu.max, whose half that is not given keeps its value.
func cpu2(f *folder, l Limits) error {
	if l.CPUShares != nil {
		if err := f.write("cpu.weight", strconv.FormatUint(Weight(*l.CPUShares), 10)); err != nil {
			return err
		}
	}
	if l.CPUPeriod == nil && l.CPUQuota == nil {
		return nil
	}
	now, err := f.read("cpu.max")
	if errors.Is(err, fs.ErrNotExist) && l.CPUQuota != nil && *l.CPUQuota < 0 {
		return nil // a kernel without bandwidth control
	}
	if err != nil {
		return err
	}
	quota, period, err := parseCPUMax(now)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.join("cpu.max"), err)
	}
	if l.CPUPeriod != nil {
		period = *l.CPUPeriod
	}
	if l.CPUQuota != nil {
		quota = Unlimited
		if *l.CPUQuota >= 0 {
			quota = uint64(*l.CPUQuota)
		}
	}
	return f.write("cpu.max", number2(quota)+" "+strconv.FormatUint(period, 10))
}

// cpuset sets the processors.
func cpuset(f *folder, l Limits) error { return f.write("cpuset.cpus", l.Cpuset) }

// mems1 sets the memory nodes. What a process has elsewhere stays there. A set of version 1 is never empty: all nodes are
// those that the parent has.
func mems1(f *folder, l Limits) error {
	if l.Mems != AllMems {
		return f.write("cpuset.mems", l.Mems)
	}
	return f.writeFromParent("cpuset.mems", "cpuset.mems")
}

// mems2 sets the memory nodes; an empty set is that of the parent, whatever that becomes. A kernel that does not take it of a
// cgroup with processes (6.1 is one) gets the nodes that the parent has now.
func mems2(f *folder, l Limits) error {
	if l.Mems != AllMems {
		return f.write("cpuset.mems", l.Mems)
	}
	err := f.write("cpuset.mems", "\n")
	if errors.Is(err, unix.ENOSPC) {
		return f.writeFromParent("cpuset.mems", "cpuset.mems.effective")
	}
	return err
}

// writeFromParent writes what a file of the parent says.
func (f *folder) writeFromParent(name, from string) error {
	parent, err := f.parent()
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }()
	text, err := parent.read(from)
	if err != nil {
		return err
	}
	return f.write(name, strings.TrimSpace(text))
}

// pids sets the limit of processes and threads.
func pids(f *folder, l Limits) error { return f.write("pids.max", number2(*l.PidsMax)) }

// Weight is the version 2 weight of a number of shares: what the scheduler itself makes of the one and the other, 1024
// shares being a weight of 100, within its bounds of 1 and 10000.
func Weight(shares uint64) uint64 {
	const defaultShares, defaultWeight, maxShares = 1024, 100, 1 << 18
	weight := (min(shares, maxShares)*defaultWeight + defaultShares/2) / defaultShares
	return min(max(weight, 1), 10000)
}

// isUnlimited tells whether a limit is to be taken away.
func isUnlimited(n *uint64) bool { return n != nil && *n == Unlimited }

// number1 writes a limit as version 1 does.
func number1(n uint64) string {
	if n > math.MaxInt64 {
		return "-1"
	}
	return strconv.FormatUint(n, 10)
}

// number2 writes a limit as version 2 does.
func number2(n uint64) string {
	if n == Unlimited {
		return "max"
	}
	return strconv.FormatUint(n, 10)
}

// copyCpuset gives a version 1 cpuset, which begins empty and then takes no process, what its parent has. One that is fresh is not
// looked at.
func copyCpuset(parent, child *folder, fresh bool) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		if !fresh {
			have, err := child.read(name)
			if err != nil {
				return err
			}
			if strings.TrimSpace(have) != "" {
				continue
			}
		}
		value, err := parent.read(name)
		if err != nil {
			return err
		}
		if err := child.write(name, strings.TrimSpace(value)); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}
