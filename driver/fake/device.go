package fake

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var (
	_ driver.DeviceReporter = (*instance)(nil)
	_ driver.Completer      = (*instance)(nil)
)

// FailNextUpdate makes the next Update of a running container fail with err, as an attach that does not work; called again, the one
// after that.
func (d *Driver) FailNextUpdate(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusals = append(d.refusals, err)
}

// Occupy lets the guest of a domain use the device of an alias, which cannot be removed then; or let go of it.
func (d *Driver) Occupy(uuid, alias string, used bool) error {
	return d.with(uuid, func(c *container) { c.busy[alias] = used })
}

// plug makes the devices of a container those of a definition, or says why it cannot.
func (c *container) plug(def *davitv1.Domain) error {
	was := byAlias(c.def)
	for _, dev := range hotplugged(def) {
		old := was[domain.DeviceAlias(dev)]
		delete(was, domain.DeviceAlias(dev))
		switch {
		case old == nil:
			if path := devicePath(dev); absent(path) {
				return deviceFailed(c.def.GetName(), dev, path)
			}
		case !proto.Equal(old, dev):
			if err := domain.CanChange(c.def, old, dev); err != nil {
				return err
			}
		}
	}
	for _, dev := range hotplugged(c.def) {
		if alias := domain.DeviceAlias(dev); was[alias] != nil && c.busy[alias] {
			return &domain.Error{
				Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY,
				Op: "detach device of domain", Subject: c.def.GetName(), Message: domain.DescribeDevice(dev) + " is in use",
				Detail: map[string]string{"domain": c.def.GetName(), "device": domain.DescribeDevice(dev)},
			}
		}
	}
	return nil
}

// hotplugged are the devices that come and go: all but consoles.
func hotplugged(def *davitv1.Domain) []*davitv1.Device {
	return slices.DeleteFunc(domain.Devices(def), func(dev *davitv1.Device) bool { return dev.GetConsole() != nil })
}

func byAlias(def *davitv1.Domain) map[string]*davitv1.Device {
	all := map[string]*davitv1.Device{}
	for _, dev := range hotplugged(def) {
		all[domain.DeviceAlias(dev)] = dev
	}
	return all
}

// devicePath is the path of the host, or the name, that a device is made of.
func devicePath(dev *davitv1.Device) string {
	f, d, h := dev.GetFilesystem(), dev.GetDisk(), dev.GetHostdev()
	return cmp.Or(f.GetSourceDir(), f.GetSourceFile(), f.GetSourceDev(), d.GetSourceFile(), d.GetSourceDev(), h.GetSourceBlock(), h.GetSourceChar())
}

func deviceFailed(name string, dev *davitv1.Device, path string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED,
		Op: "attach device to domain", Subject: name, Message: fmt.Sprintf("open %q: %v", path, syscall.ENOENT),
		Detail: map[string]string{
			"domain": name, "device": domain.DescribeDevice(dev), "operation": "open", "object": path, "errno": "ENOENT",
		},
	}
}

// choose names the host ends of interfaces that have no name of their author's, each as long as the interface is there.
func (c *container) choose() {
	taken := map[string]bool{}
	for _, other := range c.d.made {
		for _, name := range other.ends {
			taken[name] = true
		}
	}
	ends := map[string]string{}
	for _, n := range c.def.GetDevices().GetInterface() {
		switch {
		case n.GetType() == davitv1.InterfaceType_INTERFACE_TYPE_DIRECT:
		case n.GetTargetDev() != "":
			ends[n.GetAlias()] = n.GetTargetDev()
		case c.ends[n.GetAlias()] != "":
			ends[n.GetAlias()] = c.ends[n.GetAlias()]
		default:
			number := 0
			for taken["vnet"+strconv.Itoa(number)] {
				number++
			}
			ends[n.GetAlias()] = "vnet" + strconv.Itoa(number)
		}
		taken[ends[n.GetAlias()]] = true
	}
	c.ends = ends
}

// complete writes the names that were chosen into a definition.
func (c *container) complete(def *davitv1.Domain) {
	for _, n := range def.GetDevices().GetInterface() {
		if end := c.ends[n.GetAlias()]; end != "" && n.GetTargetDev() == "" {
			n.TargetDev = end
		}
	}
}

// Complete writes the names of host ends.
func (i *instance) Complete(def *davitv1.Domain) {
	i.lock()
	defer i.unlock()
	i.c.complete(def)
}

// Interfaces are those of the definition, with counters that tell them apart and stay the same.
func (i *instance) Interfaces(context.Context) ([]*davitv1.InterfaceStatus, error) {
	i.lock()
	defer i.unlock()
	if err := i.running("list interfaces"); err != nil {
		return nil, err
	}
	return i.c.interfaces(), nil
}

func (c *container) interfaces() []*davitv1.InterfaceStatus {
	def := clone(c.def)
	c.complete(def)
	list := domain.InterfaceStatuses(def)
	taken := map[string]bool{}
	for _, n := range list {
		taken[n.GetGuestDev()] = true
	}
	for i, n := range list {
		number := 0
		for n.GetGuestDev() == "" {
			if name := "eth" + strconv.Itoa(number); !taken[name] {
				n.GuestDev, taken[name] = name, true
			}
			number++
		}
		if n.GetMtu() == 0 {
			n.Mtu = 1500
		}
		k := uint64(i + 1)
		n.Counters = &davitv1.InterfaceCounters{ReceivedBytes: 1000 * k, ReceivedPackets: 10 * k, SentBytes: 2000 * k, SentPackets: 20 * k}
	}
	return list
}

// BlockDevices are those of the definition, each of one GiB.
func (i *instance) BlockDevices(context.Context) ([]*davitv1.BlockDeviceStatus, error) {
	i.lock()
	defer i.unlock()
	if err := i.running("list block devices"); err != nil {
		return nil, err
	}
	return i.c.blockDevices(), nil
}

func (c *container) blockDevices() []*davitv1.BlockDeviceStatus {
	list := domain.BlockDeviceStatuses(c.def)
	for i, d := range list {
		k := uint64(i + 1)
		d.CapacityBytes, d.AllocationBytes, d.PhysicalBytes = 1<<30, 1<<20, 1<<30
		d.Counters = &davitv1.BlockCounters{ReadRequests: k, ReadBytes: 4096 * k, WriteRequests: 2 * k, WrittenBytes: 8192 * k}
	}
	return list
}

// measured are the interfaces as they stand in stats: without addresses.
func (c *container) measured() []*davitv1.InterfaceStatus {
	list := c.interfaces()
	for _, n := range list {
		n.Addresses = nil
	}
	return list
}
