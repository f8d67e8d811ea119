package domain

import (
	"cmp"
	"slices"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// diskPrefixes begin the names of disks, with the bus that libvirt takes for each.
var diskPrefixes = []struct {
	prefix string
	bus    davitv1.DiskBus
}{
	{"fd", davitv1.DiskBus_DISK_BUS_FDC},
	{"hd", davitv1.DiskBus_DISK_BUS_IDE},
	{"vd", davitv1.DiskBus_DISK_BUS_VIRTIO},
	{"sd", davitv1.DiskBus_DISK_BUS_SCSI},
	{"xvd", davitv1.DiskBus_DISK_BUS_XEN},
	{"ubd", davitv1.DiskBus_DISK_BUS_UML},
}

// maxDiskLetters is how many letters number a disk: more than a hundred controllers' worth.
const maxDiskLetters = 3

// parseDiskName splits a name like sdb or xvda1 into the bus of its prefix and its place among the disks of that prefix, from 0.
// A partition's number, after the letters, does not count.
func parseDiskName(name string) (bus davitv1.DiskBus, index int, ok bool) {
	for _, p := range diskPrefixes {
		letters, found := strings.CutPrefix(name, p.prefix)
		if !found {
			continue
		}
		letters = strings.TrimRight(letters, "0123456789")
		if letters == "" || len(letters) > maxDiskLetters || strings.Trim(letters, "abcdefghijklmnopqrstuvwxyz") != "" {
			return p.bus, 0, false
		}
		for _, c := range letters {
			index = index*26 + int(c-'a') + 1
		}
		return p.bus, index - 1, true
	}
	return 0, 0, false
}

// driveBus is how a bus with controllers places its disks, as libvirt lays them out.
type driveBus struct {
	bus        davitv1.DiskBus
	controller string // type of its controllers
	units      int    // on each of its buses
	buses      int    // of each controller
}

// driveBuses are the buses that have controllers, in the order in which libvirt adds these.
var driveBuses = []driveBus{
	{davitv1.DiskBus_DISK_BUS_SCSI, "scsi", 7, 1},
	{davitv1.DiskBus_DISK_BUS_FDC, "fdc", 2, 1},
	{davitv1.DiskBus_DISK_BUS_IDE, "ide", 2, 2},
	{davitv1.DiskBus_DISK_BUS_SATA, "sata", 6, 1},
}

func driveBusOf(bus davitv1.DiskBus) (driveBus, bool) {
	i := slices.IndexFunc(driveBuses, func(b driveBus) bool { return b.bus == bus })
	if i < 0 {
		return driveBus{}, false
	}
	return driveBuses[i], true
}

// place is the address of the disk at an index.
func (b driveBus) place(index int) *davitv1.DriveAddress {
	perController := b.units * b.buses
	number := func(n int) *uint32 { return new(uint32(n)) }
	return &davitv1.DriveAddress{
		Type: driveAddress, Controller: number(index / perController), Bus: number(index % perController / b.units),
		Target: number(0), Unit: number(index % b.units),
	}
}

// driveAddress is the type of the addresses of disks.
const driveAddress = "drive"

// completeDisk gives a disk the bus of its name, and its place on it.
func completeDisk(d *davitv1.Disk) {
	bus, index, ok := parseDiskName(d.GetTargetDev())
	if d.GetTargetBus() == davitv1.DiskBus_DISK_BUS_UNSPECIFIED {
		d.TargetBus = bus
	}
	if a := d.GetAddress(); a != nil {
		completeDriveAddress(a)
		return
	}
	if drive, has := driveBusOf(d.GetTargetBus()); has && ok {
		d.Address = drive.place(index)
	}
}

// completeDriveAddress makes zeros of the numbers that are not given.
func completeDriveAddress(a *davitv1.DriveAddress) {
	if a.GetType() == "" {
		a.Type = driveAddress
	}
	if a.GetType() != driveAddress {
		return
	}
	for _, n := range []**uint32{&a.Controller, &a.Bus, &a.Target, &a.Unit} {
		if *n == nil {
			*n = new(uint32)
		}
	}
}

// maxController is the greatest index of a controller.
const maxController = 255

// completeControllers numbers controllers that have no index and adds those that disks need, as libvirt does.
func completeControllers(d *davitv1.Devices) {
	type key struct {
		kind  string
		index uint32
	}
	used := map[key]bool{}
	for _, c := range d.GetController() {
		if c.Index != nil {
			used[key{c.GetType(), c.GetIndex()}] = true
		}
	}
	next := map[string]uint32{}
	for _, c := range d.GetController() {
		if c.Index != nil {
			continue
		}
		index := next[c.GetType()]
		for used[key{c.GetType(), index}] {
			index++
		}
		used[key{c.GetType(), index}], next[c.GetType()] = true, index+1
		c.Index = &index
	}
	for _, bus := range driveBuses {
		for index := range controllersOf(bus, d.GetDisk()) {
			if !used[key{bus.controller, index}] {
				d.Controller = append(d.Controller, &davitv1.Controller{Type: bus.controller, Index: new(index)})
			}
		}
	}
}

// controllersOf is how many controllers the disks of a bus need. What is beyond the limit is left to [Validate].
func controllersOf(bus driveBus, disks []*davitv1.Disk) uint32 {
	count := uint32(0)
	for _, d := range disks {
		a := d.GetAddress()
		if d.GetTargetBus() == bus.bus && a.GetType() == driveAddress && a.GetController() <= maxController {
			count = max(count, a.GetController()+1)
		}
	}
	return count
}

// arrangeDisks sorts disks by name within their bus, and controllers by index within their type. Buses and types stay in
// the order in which they come first.
func arrangeDisks(d *davitv1.Devices) {
	buses := ranks(d.GetDisk(), (*davitv1.Disk).GetTargetBus)
	slices.SortStableFunc(d.GetDisk(), func(a, b *davitv1.Disk) int {
		return cmp.Or(cmp.Compare(buses[a.GetTargetBus()], buses[b.GetTargetBus()]), cmp.Compare(diskIndex(a), diskIndex(b)))
	})
	kinds := ranks(d.GetController(), (*davitv1.Controller).GetType)
	slices.SortStableFunc(d.GetController(), func(a, b *davitv1.Controller) int {
		return cmp.Or(cmp.Compare(kinds[a.GetType()], kinds[b.GetType()]), cmp.Compare(a.GetIndex(), b.GetIndex()))
	})
}

// diskIndex is the place of a disk among those of its prefix, -1 if its name tells none.
func diskIndex(d *davitv1.Disk) int {
	if _, index, ok := parseDiskName(d.GetTargetDev()); ok {
		return index
	}
	return -1
}

// ranks numbers keys in the order in which they come first.
func ranks[T any, K comparable](list []T, key func(T) K) map[K]int {
	rank := map[K]int{}
	for _, e := range list {
		if _, seen := rank[key(e)]; !seen {
			rank[key(e)] = len(rank)
		}
	}
	return rank
}
