package domain

import (
	"slices"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// completeBlkio drops devices of which nothing is said.
func completeBlkio(t *davitv1.BlkioTune) {
	t.Device = slices.DeleteFunc(t.Device, func(d *davitv1.BlkioDevice) bool {
		return d.GetPath() != "" && d.GetWeight() == 0 && d.GetReadIopsSec() == 0 && d.GetWriteIopsSec() == 0 &&
			d.GetReadBytesSec() == 0 && d.GetWriteBytesSec() == 0
	})
}

// completeNuma fills in how memory nodes are used. As in libvirt, a nodeset goes without the word static, and where
// processors are placed automatically, so is memory.
func completeNuma(def *davitv1.Domain) {
	t := def.GetNumatune()
	if t.GetMode() == 0 && t.GetNodeset() == "" && t.GetPlacement() == 0 {
		return
	}
	if t.GetMode() == davitv1.NumaMode_NUMA_MODE_UNSPECIFIED {
		t.Mode = davitv1.NumaMode_NUMA_MODE_STRICT
	}
	switch {
	case t.GetPlacement() == davitv1.NumaPlacement_NUMA_PLACEMENT_AUTO:
		t.Nodeset = ""
	case t.GetNodeset() != "":
		t.Placement = davitv1.NumaPlacement_NUMA_PLACEMENT_UNSPECIFIED
	case t.GetPlacement() == davitv1.NumaPlacement_NUMA_PLACEMENT_UNSPECIFIED &&
		def.GetVcpu().GetPlacement() == davitv1.VcpuPlacement_VCPU_PLACEMENT_AUTO:
		t.Placement = davitv1.NumaPlacement_NUMA_PLACEMENT_AUTO
	}
	if set, err := ParseNodeset(t.GetNodeset()); err == nil {
		t.Nodeset = set.String()
	}
}

// completeClock makes a variable clock of one that is adjusted, and says from where it counts.
func completeClock(c *davitv1.Clock) {
	basis := davitv1.ClockBasis_CLOCK_BASIS_UTC
	switch c.GetOffset() {
	case davitv1.ClockOffset_CLOCK_OFFSET_LOCALTIME:
		basis = davitv1.ClockBasis_CLOCK_BASIS_LOCALTIME
		fallthrough
	case davitv1.ClockOffset_CLOCK_OFFSET_UNSPECIFIED, davitv1.ClockOffset_CLOCK_OFFSET_UTC:
		if c.Adjustment == nil {
			return
		}
		c.Offset, c.Basis = davitv1.ClockOffset_CLOCK_OFFSET_VARIABLE, basis
	case davitv1.ClockOffset_CLOCK_OFFSET_VARIABLE:
		if c.Adjustment == nil {
			c.Adjustment = new(int64)
		}
		if c.GetBasis() == davitv1.ClockBasis_CLOCK_BASIS_UNSPECIFIED {
			c.Basis = basis
		}
	default:
	}
}
