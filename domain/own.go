package domain

import "slices"

// What is the same for every domain: who starts one and who carries its definition to another program's notation say so alike.

// maskedPaths tell of the host or reach its kernel.
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys", "/proc/kpagecgroup",
	"/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/slabinfo",
	"/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo",
	"/sys/devices/virtual/dmi", "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/kernel/debug", "/sys/kernel/security",
	"/sys/kernel/slab", "/sys/kernel/tracing",
}

// readOnlyPaths are those by which the host's kernel is changed.
var readOnlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// droppedCapabilities are libvirt's five, and those that reach the host's kernel, clock, log or files and that no guest, systemd
// included, misses.
//
// dac_read_search opens files by handle, also such as are outside the root, and adds nothing to dac_override otherwise.
// Without sys_rawio systemd leaves debugfs and tracefs alone.
var droppedCapabilities = []string{
	"sys_module", "sys_time", "mknod", "audit_control", "mac_admin", "mac_override", "sys_rawio", "syslog", "wake_alarm",
	"block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore", "dac_read_search",
}

// MaskedPaths are the paths that nobody in a domain sees, as they tell of the host or reach its kernel. Those that a kernel lacks
// are passed over.
func MaskedPaths() []string { return slices.Clone(maskedPaths) }

// ReadOnlyPaths are the paths that nobody in a domain writes, as the host's kernel is changed by them. A domain with a network
// namespace of its own may write what in /proc/sys/net is its own.
func ReadOnlyPaths() []string { return slices.Clone(readOnlyPaths) }

// DroppedCapabilities are those that the policy default takes away, and a definition that names no policy; by the names of their
// fields in Capabilities.
func DroppedCapabilities() []string { return slices.Clone(droppedCapabilities) }
