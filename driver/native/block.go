package native

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ioDevices are the block devices of a definition in the words of cgroups, and what of them cannot be used. They are nil
// where the definition names none.
func ioDevices(def *davitv1.Domain) ([]cgroup.IODevice, []domain.Violation) {
	var list []cgroup.IODevice
	var faults []domain.Violation
	type number struct{ major, minor uint32 }
	paths := map[number]string{}
	for i, b := range def.GetBlkiotune().GetDevice() {
		device, err := findBlock(b.GetPath())
		if other, twice := paths[number{device.Major, device.Minor}]; err == nil && twice {
			err = fmt.Errorf("%q is the same device as %q", b.GetPath(), other)
		}
		if err != nil {
			faults = append(faults, violation(fmt.Sprintf("blkiotune.device[%d].path", i),
				fmt.Sprintf("/domain/blkiotune/device[%d]/path", i+1), "%v", err))
			continue
		}
		paths[number{device.Major, device.Minor}] = b.GetPath()
		device.Weight = uint64(b.GetWeight())
		device.ReadIOPS, device.WriteIOPS = uint64(b.GetReadIopsSec()), uint64(b.GetWriteIopsSec())
		device.ReadBytes, device.WriteBytes = b.GetReadBytesSec(), b.GetWriteBytesSec()
		list = append(list, device)
	}
	return list, faults
}

// findBlock finds the numbers of a block device, through symbolic links: /dev/disk/by-id is made of them.
func findBlock(path string) (cgroup.IODevice, error) {
	var stat unix.Stat_t
	err := unix.Stat(path, &stat)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cgroup.IODevice{}, fmt.Errorf("%q does not exist", path)
	case err != nil:
		return cgroup.IODevice{}, fmt.Errorf("look at %q: %w", path, err)
	case stat.Mode&unix.S_IFMT != unix.S_IFBLK:
		return cgroup.IODevice{}, fmt.Errorf("%q is no block device", path)
	}
	device := cgroup.IODevice{Major: unix.Major(stat.Rdev), Minor: unix.Minor(stat.Rdev)}
	if unix.Access(fmt.Sprintf("/sys/dev/block/%d:%d/partition", device.Major, device.Minor), unix.F_OK) == nil {
		return cgroup.IODevice{}, fmt.Errorf("%q is a partition; the kernel limits whole devices only", path)
	}
	return device, nil
}
