package domain

import (
	"slices"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// libvirtDrops are the capabilities that libvirt takes from every domain whose definition names no policy.
var libvirtDrops = []string{"sys_module", "sys_time", "mknod", "audit_control", "mac_admin"}

// systemDrops are those that reach the host's kernel, clock, log or files and that no guest, systemd included, misses.
//
// dac_read_search opens files by handle, also such as are outside the root, and adds nothing to dac_override otherwise.
// Without sys_rawio systemd leaves debugfs and tracefs alone.
var systemDrops = []string{
	"mac_override", "sys_rawio", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
	"dac_read_search",
}

// applicationKeeps are those by which a program owns its files, ends its children, takes a port below 1024 and becomes another user.
var applicationKeeps = []string{
	"chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service",
}

// Capabilities are all that a definition can name, by the names of their fields, in the order of the schema.
func Capabilities() []string { return slices.Clone(allCapabilities()) }

var allCapabilities = sync.OnceValue(func() []string {
	var names []string
	fields := (&davitv1.Capabilities{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); f.Kind() == protoreflect.BoolKind {
			names = append(names, string(f.Name()))
		}
	}
	return names
})

// without are all but those of some lists.
func without(drops ...[]string) []string {
	return slices.DeleteFunc(Capabilities(), func(name string) bool { return slices.Contains(slices.Concat(drops...), name) })
}

// capabilities are those of a profile as a definition changes them, in the order of the schema.
func capabilities(kept []string, c *davitv1.Capabilities) []string {
	switch c.GetPolicy() {
	case davitv1.CapabilityPolicy_CAPABILITY_POLICY_ALLOW:
		kept = Capabilities()
	case davitv1.CapabilityPolicy_CAPABILITY_POLICY_DENY:
		kept = nil
	default:
	}
	m := c.ProtoReflect()
	return slices.DeleteFunc(Capabilities(), func(name string) bool {
		if f := m.Descriptor().Fields().ByName(protoreflect.Name(name)); m.Has(f) {
			return !m.Get(f).Bool()
		}
		return !slices.Contains(kept, name)
	})
}
