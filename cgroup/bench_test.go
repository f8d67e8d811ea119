package cgroup_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/internal/testenv"
)

// BenchmarkCreateAndRemove is what a start and its end spend here: folders in all trees with the usual limits, and their removal.
func BenchmarkCreateAndRemove(b *testing.B) {
	testenv.Require(b, testenv.Root, testenv.Cgroup)
	h, err := cgroup.Detect("/sys/fs/cgroup")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	limits := cgroup.Limits{
		MemoryMax: new(uint64(512 << 20)), MemorySwapMax: new(uint64(512 << 20)), CPUShares: new(uint64(1024)), PidsMax: new(uint64(512)),
		Devices: []cgroup.DeviceRule{{Type: cgroup.CharDevice, Major: 1, Minor: 3, Access: "rwm"}, {Type: cgroup.CharDevice, Major: 136, Minor: -1, Access: "rw"}},
	}
	p := cgroup.Path{Partition: "/davit.bench-" + strconv.Itoa(os.Getpid()), Name: cgroup.Name("bench", uuid1)}
	for b.Loop() {
		g, err := h.Create(p, limits)
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
