package domain

import (
	"crypto/rand"
	"fmt"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Emulator is the program that libvirt's documents name. It is kept in definitions for libvirt's sake and never run.
const Emulator = "/usr/libexec/libvirt_lxc"

// HostDefaults are what a definition takes from the host on which it is defined.
type HostDefaults struct {
	// Arch is the host's architecture in libvirt's word: x86_64, aarch64. Empty: none is filled in.
	Arch string
	// NewUUID makes up an identity; [NewUUID] when nil.
	NewUUID func() string
	// NewMAC makes up a hardware address; [NewMAC] when nil.
	NewMAC func() string
}

// ApplyHostDefaults fills in what a definition leaves to the host: identity, architecture, emulator, one console, and
// hardware addresses of interfaces.
func ApplyHostDefaults(def *davitv1.Domain, h HostDefaults) {
	if h.NewUUID == nil {
		h.NewUUID = NewUUID
	}
	if h.NewMAC == nil {
		h.NewMAC = NewMAC
	}
	if def.GetUuid() == "" {
		def.Uuid = h.NewUUID()
	}
	if def.GetOs().GetArch() == "" && h.Arch != "" && def.GetOs() != nil {
		def.Os.Arch = h.Arch
	}
	if def.Devices == nil {
		def.Devices = &davitv1.Devices{}
	}
	if def.Devices.GetEmulator() == "" {
		def.Devices.Emulator = Emulator
	}
	if len(def.Devices.GetConsole()) == 0 {
		c := &davitv1.Console{TargetPort: new(uint32)}
		preset(domainSchema().byName["devices"].message.byName["console"].message, c.ProtoReflect())
		def.Devices.Console = []*davitv1.Console{c}
	}
	applyMACs(def.Devices.GetInterface(), h.NewMAC)
}

// macTries is how often an address is made up anew that another interface of the domain has.
const macTries = 8

// applyMACs gives each interface without a hardware address one that no other of the domain has, but for those that have their source's.
func applyMACs(interfaces []*davitv1.Interface, newMAC func() string) {
	taken := make(map[string]bool, len(interfaces))
	for _, i := range interfaces {
		taken[i.GetMac()] = true
	}
	for _, i := range interfaces {
		if i.GetMac() != "" || i.GetIpvlan() != 0 {
			continue
		}
		i.Mac = newMAC()
		for try := 1; taken[i.Mac] && try < macTries; try++ {
			i.Mac = newMAC()
		}
		taken[i.Mac] = true
	}
}

// NewMAC makes up a hardware address in the range that libvirt uses for guests.
func NewMAC() string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", b[0], b[1], b[2])
}
