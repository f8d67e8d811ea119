package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// BlockDevices tells the disks: what they are by the definition, how large by the host, and what the domain's processes did with
// them by its cgroup.
func (i *instance) BlockDevices(ctx context.Context) ([]*davitv1.BlockDeviceStatus, error) {
	if _, err := i.running(ctx, "measure disks"); err != nil {
		return nil, err
	}
	return i.blockDevices()
}

func (i *instance) blockDevices() ([]*davitv1.BlockDeviceStatus, error) {
	def := i.definition()
	disks := def.GetDevices().GetDisk()
	if len(disks) == 0 {
		return nil, nil
	}
	counters, err := i.blockCounters()
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	sources := i.record.Sources
	i.mu.Unlock()
	list := make([]*davitv1.BlockDeviceStatus, 0, len(disks))
	for k, d := range disks {
		n := diskNeed(k, d)
		status := &davitv1.BlockDeviceStatus{
			Alias: d.GetAlias(), Target: d.GetTargetDev(), Type: d.GetType(), Source: n.path, Readonly: d.GetReadonly(),
		}
		if s, known := sources[n.key]; known {
			status.CapacityBytes = capacity(s)
			status.AllocationBytes, status.PhysicalBytes = imageSize(n, s)
			if counters != nil {
				status.Counters = counters[s.number()]
				if status.Counters == nil {
					status.Counters = &davitv1.BlockCounters{} // nothing yet
				}
			}
		}
		list = append(list, status)
	}
	return list, nil
}

// blockCounters are what the domain did, by devices' numbers; nil where the host does not count it.
func (i *instance) blockCounters() (map[string]*davitv1.BlockCounters, error) {
	stats, err := i.group.IOStats()
	if errors.Is(err, cgroup.ErrNoController) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	counters := make(map[string]*davitv1.BlockCounters, len(stats))
	for _, s := range stats {
		counters[Source{Major: s.Major, Minor: s.Minor}.number()] = &davitv1.BlockCounters{
			ReadRequests: s.Reads, ReadBytes: s.ReadBytes, WriteRequests: s.Writes, WrittenBytes: s.WriteBytes,
		}
	}
	return counters, nil
}

// sector is the unit in which the kernel tells the size of every block device.
const sector = 512

// capacity is the size of a block device in bytes; 0 if it has gone.
func capacity(s Source) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%s/size", s.number()))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n * sector
}

// imageSize is what an image has of its filesystem, and the size of its file; 0 if another file has its name by now.
func imageSize(n need, s Source) (allocation, physical uint64) {
	if n.kind != imageSource {
		return 0, 0
	}
	var stat unix.Stat_t
	if err := unix.Stat(n.path, &stat); err != nil {
		return 0, 0
	}
	if now, err := identify(n, &stat); err != nil || now.Content != s.Content {
		return 0, 0
	}
	return uint64(stat.Blocks) * sector, uint64(stat.Size)
}
