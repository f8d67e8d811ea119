package domain

import "slices"

// What is the same for every domain that is shut in: who starts one and who carries its definition to another program's notation
// say so alike.

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

// MaskedPaths are the paths that nobody in a domain sees that is shut in, as they tell of the host or reach its kernel. Those that a kernel lacks
// are passed over.
func MaskedPaths() []string { return slices.Clone(maskedPaths) }

// ReadOnlyPaths are the paths that nobody in such a domain writes, as the host's kernel is changed by them. A domain with a network
// namespace of its own may write what in /proc/sys/net is its own.
func ReadOnlyPaths() []string { return slices.Clone(readOnlyPaths) }
