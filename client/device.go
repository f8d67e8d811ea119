package client

import davitv1 "github.com/davitd/davit/proto/davit/v1"

// DeviceXML is a device as an element of libvirt's domain XML: <interface type='bridge'>...
func DeviceXML(element string) *davitv1.DeviceSource {
	return &davitv1.DeviceSource{Source: &davitv1.DeviceSource_Text{Text: element}}
}

// DeviceModel is a device as a message.
func DeviceModel(device *davitv1.Device) *davitv1.DeviceSource {
	return &davitv1.DeviceSource{Source: &davitv1.DeviceSource_Device{Device: device}}
}

// ByAlias names a device of a running domain by its alias, as in "net0".
func ByAlias(alias string) *davitv1.DeviceSelector {
	return &davitv1.DeviceSelector{By: &davitv1.DeviceSelector_Alias{Alias: alias}}
}

// ByDevice names a device by what tells it from the others: of a disk and a mount the target, of an interface its hardware
// address or a name. All that is given must match, and one device only.
func ByDevice(like *davitv1.DeviceSource) *davitv1.DeviceSelector {
	return &davitv1.DeviceSelector{By: &davitv1.DeviceSelector_Source{Source: like}}
}
