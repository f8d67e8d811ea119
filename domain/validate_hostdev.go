package domain

import (
	"fmt"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (v *validator) hostdevs(list []*davitv1.Hostdev) {
	seen := map[string]int{}
	for i, h := range list {
		v.hostdev(i, h, seen)
	}
}

func (v *validator) hostdev(i int, h *davitv1.Hostdev, seen map[string]int) {
	place := func(field string) string { return v.entry("devices.hostdev", i, field) }
	v.hostdevMode(place, h)
	own := ""
	switch h.GetType() {
	case davitv1.HostdevType_HOSTDEV_TYPE_STORAGE:
		own = "source_block"
		v.absolute(place(own), h.GetSourceBlock(), "a storage device needs its block device")
		v.unique(seen, i, place(own), h.GetSourceBlock(), "host device")
	case davitv1.HostdevType_HOSTDEV_TYPE_MISC:
		own = "source_char"
		v.absolute(place(own), h.GetSourceChar(), "a misc device needs its character device")
		v.unique(seen, i, place(own), h.GetSourceChar(), "host device")
	case davitv1.HostdevType_HOSTDEV_TYPE_NET:
		own = "source_interface"
		v.required(place(own), h.GetSourceInterface(), "a net device needs its interface")
		v.interfaceName(place(own), h.GetSourceInterface())
		v.unique(seen, i, place(own), h.GetSourceInterface(), "host device")
	case davitv1.HostdevType_HOSTDEV_TYPE_USB:
		v.usb(i, h, seen)
	default:
		v.fault(place("type"), "a device of the host needs a type: storage, misc, net or usb")
		return
	}
	v.foreign(place, []source{
		{"source_block", h.GetSourceBlock()}, {"source_char", h.GetSourceChar()}, {"source_interface", h.GetSourceInterface()},
	}, "a device", h, own)
	if len(h.GetIp())+len(h.GetRoute()) > 0 && h.GetType() != davitv1.HostdevType_HOSTDEV_TYPE_NET {
		field := "ip[0]"
		if len(h.GetIp()) == 0 {
			field = "route[0]"
		}
		v.fault(place(field), "only a device of type net has addresses and routes")
	}
	v.addresses(place("ip"), place("route"), h.GetIp(), h.GetRoute())
}

// hostdevMode checks that the mode is there and the type's.
func (v *validator) hostdevMode(place func(string) string, h *davitv1.Hostdev) {
	subsystem := h.GetMode() == davitv1.HostdevMode_HOSTDEV_MODE_SUBSYSTEM
	usb := h.GetType() == davitv1.HostdevType_HOSTDEV_TYPE_USB
	switch {
	case h.GetMode() == davitv1.HostdevMode_HOSTDEV_MODE_UNSPECIFIED:
		v.fault(place("mode"), "a device of the host needs a mode: capabilities or subsystem")
	case h.GetType() == davitv1.HostdevType_HOSTDEV_TYPE_UNSPECIFIED: // told elsewhere
	case subsystem && !usb:
		v.fault(place("mode"), "only usb devices are of mode subsystem, type %s is of mode capabilities", v.wordOf(h, "type"))
	case !subsystem && usb:
		v.fault(place("mode"), "usb devices are of mode subsystem")
	}
}

// usb checks that a USB device is named, by its ids, its place or both.
func (v *validator) usb(i int, h *davitv1.Hostdev, seen map[string]int) {
	place := func(field string) string { return v.entry("devices.hostdev", i, field) }
	before := len(v.list) + v.more
	ids := h.GetSourceVendorId() != "" || h.GetSourceProductId() != ""
	address := h.SourceBus != nil || h.SourceDevice != nil
	if !ids && !address {
		v.fault(place("source_vendor_id"), "a usb device is named by vendor and product, or by bus and device")
	}
	if ids {
		v.usbID(place("source_vendor_id"), h.GetSourceVendorId(), "a usb device with a product needs its vendor")
		v.usbID(place("source_product_id"), h.GetSourceProductId(), "a usb device with a vendor needs its product")
	}
	if address && h.SourceBus == nil {
		v.fault(place("source_bus"), "a usb device with a number needs its bus")
	}
	if address && h.SourceDevice == nil {
		v.fault(place("source_device"), "a usb device with a bus needs its number")
	}
	for _, n := range []struct {
		field  string
		number uint32
	}{{"source_bus", h.GetSourceBus()}, {"source_device", h.GetSourceDevice()}} {
		if n.number > maxUSBNumber {
			v.fault(place(n.field), "%d is above %d", n.number, maxUSBNumber)
		}
	}
	if before == len(v.list)+v.more {
		key := fmt.Sprintf("usb %s:%s %d:%d", h.GetSourceVendorId(), h.GetSourceProductId(), h.GetSourceBus(), h.GetSourceDevice())
		v.unique(seen, i, v.entryOf("devices.hostdev", i), key, "host device")
	}
}

// maxUSBNumber is the greatest number of a bus, and of a device on it, that has a node below /dev/bus/usb.
const maxUSBNumber = 999

func (v *validator) usbID(field, id, message string) {
	if id == "" {
		v.fault(field, "%s", message)
	} else if _, err := parseUSBID(id); err != nil {
		v.fault(field, "%s", err)
	}
}
