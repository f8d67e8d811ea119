package domain

import (
	"fmt"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (v *validator) disks(d *davitv1.Devices) {
	targets, addresses := map[string]int{}, map[driveKey]int{}
	for i, disk := range d.GetDisk() {
		place := func(field string) string { return v.entry("devices.disk", i, field) }
		if disk.GetDevice() > davitv1.DiskDevice_DISK_DEVICE_DISK {
			v.fault(place("device"), "%s is not disk, the only kind of device that a container has", quote(v.wordOf(disk, "device")))
		}
		v.diskSource(place, disk)
		v.diskTarget(place, disk, i, targets)
		v.diskDriver(place, disk.GetDriver())
		if disk.GetAddress() != nil {
			v.diskAddress(place, disk, i, addresses)
		}
	}
	v.controllers(d.GetController())
}

// diskSource checks that the type's own source is there, and no other.
func (v *validator) diskSource(place func(string) string, d *davitv1.Disk) {
	sources := []source{{"source_file", d.GetSourceFile()}, {"source_dev", d.GetSourceDev()}}
	switch d.GetType() {
	case davitv1.DiskType_DISK_TYPE_BLOCK:
		v.absolute(place("source_dev"), d.GetSourceDev(), "a disk of type block needs a device")
		v.foreign(place, sources, "a disk of type block", nil, "source_dev")
	default:
		v.absolute(place("source_file"), d.GetSourceFile(), "a disk of type file needs an image")
		v.foreign(place, sources, "a disk of type file", nil, "source_file")
	}
}

func (v *validator) diskTarget(place func(string) string, d *davitv1.Disk, i int, seen map[string]int) {
	target := d.GetTargetDev()
	bus, _, ok := parseDiskName(target)
	switch {
	case target == "":
		v.fault(place("target_dev"), "a disk needs a target")
	case !ok || bus == davitv1.DiskBus_DISK_BUS_FDC || len(target) > maxDiskName:
		v.fault(place("target_dev"), "%s is not the name of a disk: sd, hd, vd, xvd or ubd with one to three letters, like sda", quote(target))
	default:
		v.unique(seen, i, place("target_dev"), target, "the target of disk")
	}
}

// maxDiskName is the greatest length of a disk's name (the kernel's DISK_NAME_LEN less the NUL).
const maxDiskName = 31

// needsProgram is why images are raw.
const needsProgram = "the kernel reads images itself; other formats need a program of the host, which davit does not run (qemu-img convert -O raw makes a raw one)"

func (v *validator) diskDriver(place func(string) string, d *davitv1.DiskDriver) {
	if name := d.GetName(); name != "" && name != "loop" {
		v.fault(place("driver.name"), "%s is not loop: %s", quote(name), needsProgram)
	}
	v.imageFormat(place("driver.type"), d.GetType())
	v.word(place("driver.cache"), d.GetCache(), "default", "none")
	v.word(place("driver.error_policy"), d.GetErrorPolicy(), "stop", "report", "ignore", "enospace")
	v.word(place("driver.io"), d.GetIo(), "native", "threads", "io_uring")
	v.word(place("driver.discard"), d.GetDiscard(), "ignore", "unmap")
}

// imageFormat refuses formats of images that the kernel does not read.
func (v *validator) imageFormat(field, format string) {
	if format != "" && format != "raw" {
		v.fault(field, "%s is not raw: %s", quote(format), needsProgram)
	}
}

// driveKey is what no two disks have in common.
type driveKey struct {
	name                          davitv1.DiskBus
	controller, bus, target, unit uint32
}

func (v *validator) diskAddress(place func(string) string, d *davitv1.Disk, i int, seen map[driveKey]int) {
	a := d.GetAddress()
	_, has := driveBusOf(d.GetTargetBus())
	switch {
	case a.GetType() != driveAddress:
		v.fault(place("address.type"), "%s is not drive, the only kind of address that disks of containers have", quote(a.GetType()))
	case !has:
		v.fault(place("address.type"), "disks of bus %s have no address of type drive", v.wordOf(d, "target_bus"))
	case a.GetController() > maxController:
		v.fault(place("address.controller"), "controller %d is above %d", a.GetController(), maxController)
	default:
		key := driveKey{d.GetTargetBus(), a.GetController(), a.GetBus(), a.GetTarget(), a.GetUnit()}
		if first, ok := taken(seen, key, i); ok {
			text := fmt.Sprintf("%s %d:%d:%d:%d", v.wordOf(d, "target_bus"), key.controller, key.bus, key.target, key.unit)
			v.fault(place("address"), "%s is already the address of disk %d", quote(text), first+1)
		}
	}
}

// controllerTypes are libvirt's kinds of buses.
var controllerTypes = []string{"ide", "fdc", "scsi", "sata", "virtio-serial", "ccid", "usb", "pci", "xenbus", "isa", "nvme"}

func (v *validator) controllers(list []*davitv1.Controller) {
	type key struct {
		kind  string
		index uint32
	}
	seen := map[key]int{}
	for i, c := range list {
		place := func(field string) string { return v.entry("devices.controller", i, field) }
		v.required(place("type"), c.GetType(), "a controller needs a type")
		v.word(place("type"), c.GetType(), controllerTypes...)
		if c.GetIndex() > maxController {
			v.fault(place("index"), "index %d is above %d", c.GetIndex(), maxController)
		}
		if first, ok := taken(seen, key{c.GetType(), c.GetIndex()}, i); ok {
			v.fault(place("index"), "%s is already controller %d", quote(fmt.Sprintf("%s %d", c.GetType(), c.GetIndex())), first+1)
		}
	}
}
