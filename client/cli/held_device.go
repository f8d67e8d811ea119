package cli

import (
	"context"
	"net"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// macOf is a hardware address in its one spelling, empty if the text is none.
func macOf(text string) string {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return ""
	}
	return mac.String()
}

// sameMAC compares hardware addresses, however they are spelt.
func sameMAC(a, b string) bool {
	mac := macOf(a)
	return mac != "" && mac == macOf(b)
}

// interfaceOf finds an interface of a domain by what a person calls it, as [heldInterface] does in the definition that info has.
// A running domain has names that are in no definition, or in the live one alone: those inside that nobody chose, host ends, aliases.
// By them, too, an interface is found, in the definition of the next start by its hardware address.
func (a *app) interfaceOf(ctx context.Context, info *davitv1.DomainInfo, text string) (*davitv1.Interface, error) {
	found, err := heldInterface(info.GetDefinition(), text)
	if err == nil || info.GetId() == 0 || macOf(text) != "" {
		return found, err
	}
	all, listErr := a.interfaces(ctx, info.GetUuid(), false)
	if listErr != nil {
		return nil, listErr
	}
	if listed, listErr := listedInterface(all, text); listErr == nil {
		if held, heldErr := heldInterface(info.GetDefinition(), listed.GetMac()); heldErr == nil {
			return held, nil
		}
	}
	return nil, err
}

// heldInterface finds an interface of a definition by what a person calls it: its hardware address or the name of its host
// end, as in virsh, or else its name inside or its alias. Many have no host end that stays, and some none at all.
func heldInterface(def *davitv1.Domain, text string) (*davitv1.Interface, error) {
	all := def.GetDevices().GetInterface()
	for _, matches := range []func(*davitv1.Interface) bool{
		func(i *davitv1.Interface) bool { return sameMAC(i.GetMac(), text) || i.GetTargetDev() == text },
		func(i *davitv1.Interface) bool { return i.GetGuestDev() == text || i.GetAlias() == text },
	} {
		found := slices.DeleteFunc(slices.Clone(all), func(i *davitv1.Interface) bool { return !matches(i) })
		switch {
		case len(found) > 1:
			return nil, failed(nil, "multiple matching interfaces found")
		case len(found) == 1:
			return found[0], nil
		}
	}
	if mac := macOf(text); mac != "" {
		return nil, failed(nil, "Interface (mac: %s) not found.", mac)
	}
	return nil, failed(nil, "Interface (dev: %s) not found.", cell(text))
}

// listedInterface finds one of the interfaces that a domain has by what a person calls it, as [heldInterface] does.
func listedInterface(all []*davitv1.InterfaceStatus, text string) (*davitv1.InterfaceStatus, error) {
	for _, matches := range []func(*davitv1.InterfaceStatus) bool{
		func(i *davitv1.InterfaceStatus) bool { return sameMAC(i.GetMac(), text) || i.GetHostDev() == text },
		func(i *davitv1.InterfaceStatus) bool { return i.GetGuestDev() == text || i.GetAlias() == text },
	} {
		if at := slices.IndexFunc(all, matches); text != "" && at >= 0 {
			return all[at], nil
		}
	}
	return nil, unknownDevice("invalid path, '" + cell(text) + "' is not a known interface")
}

// listedDisk finds one of the disks that a domain has by its target or its source.
func listedDisk(all []*davitv1.BlockDeviceStatus, text string) (*davitv1.BlockDeviceStatus, error) {
	at := slices.IndexFunc(all, func(d *davitv1.BlockDeviceStatus) bool {
		return d.GetTarget() == strings.TrimPrefix(text, "/dev/") || d.GetSource() == text
	})
	if text == "" || at < 0 {
		return nil, unknownDevice("invalid path '" + cell(text) + "' not assigned to domain")
	}
	return all[at], nil
}

// unknownDevice is the error of a device that a domain does not have, as libvirt puts it.
func unknownDevice(message string) error {
	return &domain.Error{Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID, Message: message}
}

// heldDisk finds a disk of a definition by its target or its source.
func heldDisk(def *davitv1.Domain, text string) (*davitv1.Disk, error) {
	for _, d := range def.GetDevices().GetDisk() {
		if text != "" && (d.GetTargetDev() == text || d.GetSourceFile() == text || d.GetSourceDev() == text) {
			return d, nil
		}
	}
	return nil, failed(nil, "No disk found whose source path or target is %s", cell(text))
}

// stamp is the etag with which a device is written back that was read from a definition: that of the stored one, if it is
// what changes. A running one has none.
func (s scope) stamp(info *davitv1.DomainInfo) string {
	if s.config || info.GetId() == 0 {
		return info.GetEtag()
	}
	return ""
}

func interfaceDevice(i *davitv1.Interface) *davitv1.Device {
	return &davitv1.Device{Kind: &davitv1.Device_Interface{Interface: i}}
}

func diskDevice(d *davitv1.Disk) *davitv1.Device {
	return &davitv1.Device{Kind: &davitv1.Device_Disk{Disk: d}}
}

func filesystemDevice(f *davitv1.Filesystem) *davitv1.Device {
	return &davitv1.Device{Kind: &davitv1.Device_Filesystem{Filesystem: f}}
}

// printDevice prints a device as the XML that would be sent.
func (a *app) printDevice(d *davitv1.Device) error {
	doc, err := domain.FormatDeviceXML(d, domain.FormatOptions{})
	if err != nil {
		return err
	}
	a.print("%s\n", strings.TrimSuffix(doc, "\n"))
	return nil
}
