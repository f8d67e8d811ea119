package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// usbFolder is where the kernel lists USB devices.
const usbFolder = "/sys/bus/usb/devices"

// usbName is how a definition names a USB device, in words.
func usbName(h *davitv1.Hostdev) string {
	var words []string
	if h.GetSourceVendorId() != "" {
		words = append(words, fmt.Sprintf("%04x:%04x", usbID(h.GetSourceVendorId()), usbID(h.GetSourceProductId())))
	}
	if h.SourceBus != nil {
		words = append(words, fmt.Sprintf("%d on bus %d", h.GetSourceDevice(), h.GetSourceBus()))
	}
	return strings.Join(words, ", ")
}

// usbID is a vendor or product, which domain.Validate has accepted; the definition writes it as "0x046d".
func usbID(text string) uint64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 16)
	if err != nil {
		return 0
	}
	return n
}

// findUSB finds the one device that a definition names. Its node is there whatever the host has in /dev.
func findUSB(folder string, h *davitv1.Hostdev) Source {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Source{Missing: fmt.Sprintf("list USB devices: %v", err)}
	}
	var found []Source
	for _, e := range entries {
		if s, ok := readUSB(filepath.Join(folder, e.Name()), h); ok {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return Source{Missing: fmt.Sprintf("the host has no USB device %s", usbName(h))}
	case 1:
		return found[0]
	}
	return Source{Missing: fmt.Sprintf("the host has %d USB devices %s; bus and device tell which is meant", len(found), usbName(h))}
}

// readUSB reads what a device is, if it is the one of a definition. An interface of a device has no numbers and is none.
func readUSB(dir string, h *davitv1.Hostdev) (Source, bool) {
	number := func(name string, base int) (uint64, bool) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return 0, false
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(text)), base, 32)
		return n, err == nil
	}
	bus, okBus := number("busnum", 10)
	device, okDevice := number("devnum", 10)
	if !okBus || !okDevice {
		return Source{}, false
	}
	if h.SourceBus != nil && (bus != uint64(h.GetSourceBus()) || device != uint64(h.GetSourceDevice())) {
		return Source{}, false
	}
	if h.GetSourceVendorId() != "" {
		vendor, _ := number("idVendor", 16)
		product, _ := number("idProduct", 16)
		if vendor != usbID(h.GetSourceVendorId()) || product != usbID(h.GetSourceProductId()) {
			return Source{}, false
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "dev"))
	major, minor, ok := strings.Cut(strings.TrimSpace(string(text)), ":")
	x, errMajor := strconv.ParseUint(major, 10, 12)
	y, errMinor := strconv.ParseUint(minor, 10, 20)
	if err != nil || !ok || errMajor != nil || errMinor != nil {
		return Source{}, false
	}
	s := Source{Nodes: []string{fmt.Sprintf("bus/usb/%03d/%03d", bus, device)}}
	return s.numbered(unix.Mkdev(uint32(x), uint32(y))), true
}
