package cgroup

import (
	"fmt"
	"io"
	"slices"
)

// DetectFixture is Detect on ordinary folders that stand for cgroup file systems, with mounts from a file.
func DetectFixture(root string, mountinfo io.Reader) (*Hierarchy, error) {
	return detect(root, mountinfo, true)
}

// The parsers, for their tests.
var (
	ParseMountinfo = parseMountinfo
	ParseNumber    = parseNumber
	ParseKeyed     = parseKeyed
	ParseCPUMax    = parseCPUMax
	ParsePids      = parsePids
	Controllers    = controllers
	DeviceFilter   = deviceFilter
	DeviceNumbers  = deviceNumbers
)

// ParseDevices reads a list of devices, as rules in order; open is one that allows everything.
func ParseDevices(text string) (rules []string, open bool, err error) {
	list, open, err := parseDevices(text)
	for k, access := range list {
		rules = append(rules, DeviceRule{k.kind, k.major, k.minor, accessText(access)}.String())
	}
	slices.Sort(rules)
	return rules, open, err
}

// ReadIOStats reads the files of an ordinary folder.
func ReadIOStats(dir string, version int) ([]IOStats, error) {
	f, err := openRoot(dir, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if version == 2 {
		return ioStats2(f)
	}
	return ioStats1(f)
}

// ParseDevice reads the numbers of a device.
func ParseDevice(text string) (d IODevice, err error) {
	_, err = fmt.Sscanf(text, "%d:%d", &d.Major, &d.Minor)
	return d, err
}

// WithoutKillFile makes h as it would be on a kernel before 5.14.
func WithoutKillFile(h *Hierarchy) *Hierarchy {
	return &Hierarchy{Layout: h.Layout, Trees: h.Trees, root: h.root, noKillFile: true}
}

// Hurrying makes h hurry each group that is killed.
func Hurrying(h *Hierarchy) *Hierarchy {
	return &Hierarchy{Layout: h.Layout, Trees: h.Trees, root: h.root, noKillFile: h.noKillFile, hurryAtOnce: true}
}

// Only makes h as if only the trees of one version were mounted; nil if there are none. It is closed with h.
func Only(h *Hierarchy, version int) *Hierarchy {
	c := &Hierarchy{Layout: map[int]Layout{1: V1, 2: V2}[version], root: h.root}
	for _, t := range h.Trees {
		if t.Version == version {
			c.Trees = append(c.Trees, t)
		}
	}
	if len(c.Trees) == 0 {
		return nil
	}
	return c
}

// Partition makes a partition in all trees and no group in it, as a daemon does that is killed then.
func (h *Hierarchy) Partition(partition string) error {
	parts, err := ParsePartition(partition)
	if err != nil {
		return err
	}
	for _, t := range h.Trees {
		f, err := t.partition(parts)
		if err != nil {
			return err
		}
		_ = f.Close()
	}
	return nil
}
