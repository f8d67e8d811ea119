package domain

import (
	"fmt"
	"strconv"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// aliasPrefixes begin the aliases of kinds whose devices are numbered, as libvirt names them.
var aliasPrefixes = map[string]string{
	"filesystem": "fs", "interface": "net", "serial": "serial", "console": "console", "hostdev": "hostdev",
}

// userAlias begins the aliases that users may choose, libvirt's prefix for them.
const userAlias = "ua-"

// NameDevices gives each device of a running domain that has no alias one, as libvirt names them: the first free number of its
// kind, a disk by its place. The aliases that there are stay.
func NameDevices(def *davitv1.Domain) {
	taken := map[string]bool{}
	all := Devices(def)
	for _, dev := range all {
		taken[DeviceAlias(dev)] = true
	}
	for _, dev := range all {
		kind, m := kindOf(dev)
		if DeviceAlias(dev) != "" {
			continue
		}
		alias := freeAlias(aliasPrefixes[kind], 0, taken)
		if d := dev.GetDisk(); d != nil {
			alias = diskAlias(d, taken)
		}
		setText(kind, m, "alias", alias)
		taken[alias] = true
	}
}

// freeAlias is a prefix with the first number from one on that nobody has.
func freeAlias(prefix string, number int, taken map[string]bool) string {
	for {
		if alias := prefix + strconv.Itoa(number); !taken[alias] {
			return alias
		}
		number++
	}
}

// diskAlias is the alias of a disk: scsi0-0-1 by its address, virtio-disk0 by its name where it has none.
func diskAlias(d *davitv1.Disk, taken map[string]bool) string {
	bus := deviceText("disk", d.ProtoReflect(), "target_bus")
	if a := d.GetAddress(); a != nil {
		alias := fmt.Sprintf("%s%d-%d-%d", bus, a.GetController(), a.GetBus(), a.GetUnit())
		if a.GetTarget() != 0 {
			alias = fmt.Sprintf("%s%d-%d-%d-%d", bus, a.GetController(), a.GetBus(), a.GetTarget(), a.GetUnit())
		}
		if !taken[alias] {
			return alias
		}
	}
	_, index, _ := parseDiskName(d.GetTargetDev())
	return freeAlias(strings.TrimPrefix(bus+"-disk", "-"), max(index, 0), taken)
}
