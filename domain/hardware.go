package domain

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// parseMAC reads a hardware address of Ethernet: six numbers in hexadecimal with colons or dashes between them. As in
// libvirt a number may have a single digit.
func parseMAC(s string) (net.HardwareAddr, error) {
	sep := ":"
	if strings.Contains(s, "-") {
		sep = "-"
	}
	var mac net.HardwareAddr
	for part := range strings.SplitSeq(s, sep) {
		n, err := strconv.ParseUint(part, 16, 8)
		if err != nil || len(part) > 2 || len(mac) == macBytes {
			return nil, notMAC(s)
		}
		mac = append(mac, byte(n))
	}
	if len(mac) != macBytes {
		return nil, notMAC(s)
	}
	return mac, nil
}

const macBytes = 6

func notMAC(s string) error {
	return fmt.Errorf("%s is not a hardware address, like 52:54:00:12:34:56", quote(s))
}

// macFault says why an interface cannot have a hardware address, empty if it can.
func macFault(s string) string {
	mac, err := parseMAC(s)
	switch {
	case err != nil:
		return err.Error()
	case mac[0]&1 != 0:
		return quote(s) + " is a multicast address"
	case [macBytes]byte(mac) == [macBytes]byte{}:
		return quote(s) + " is the address of nobody"
	}
	return ""
}

// parseUSBID reads the number of a vendor or product: hexadecimal after 0x, decimal otherwise.
func parseUSBID(s string) (uint16, error) {
	digits, base := s, 10
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		digits, base = s[2:], 16
	}
	n, err := strconv.ParseUint(digits, base, 16)
	if err != nil || digits == "" || base == 10 && len(digits) > 1 && digits[0] == '0' {
		return 0, fmt.Errorf("%s is not the number of a vendor or product, 0x0000 to 0xffff", quote(s))
	}
	return uint16(n), nil
}

// formatUSBID is the number as libvirt writes it: 0x046d.
func formatUSBID(n uint16) string { return fmt.Sprintf("0x%04x", n) }
