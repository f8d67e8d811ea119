package oci

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What every domain has of its own, and a bundle that is written gets.

// ownMounts are the kernel's filesystems in a domain.
func ownMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{
			Destination: "/dev/pts", Type: "devpts", Source: "devpts",
			Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
		},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
	}
}

// isOwnMount tells whether a mount is one of own, which every domain has. The options of those are davit's.
func isOwnMount(m specs.Mount, own []specs.Mount) bool {
	return slices.ContainsFunc(own, func(own specs.Mount) bool {
		kind := m.Type == own.Type || own.Type == "cgroup" && m.Type == "cgroup2"
		return kind && m.Destination == own.Destination
	})
}

// ownNamespaces are those that a domain has, beside that of users.
func ownNamespaces() []specs.LinuxNamespaceType {
	return []specs.LinuxNamespaceType{
		specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.MountNamespace, specs.CgroupNamespace,
	}
}

// ownDevices are the nodes that a domain has.
func ownDevices() []specs.LinuxDevice {
	return []specs.LinuxDevice{
		{Path: "/dev/null", Type: "c", Major: 1, Minor: 3},
		{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5},
		{Path: "/dev/full", Type: "c", Major: 1, Minor: 7},
		{Path: "/dev/random", Type: "c", Major: 1, Minor: 8},
		{Path: "/dev/urandom", Type: "c", Major: 1, Minor: 9},
		{Path: "/dev/tty", Type: "c", Major: 5, Minor: 0},
		{Path: "/dev/console", Type: "c", Major: 5, Minor: 1},
		{Path: "/dev/ptmx", Type: "c", Major: 5, Minor: 2},
	}
}

func isOwnDevice(d specs.LinuxDevice) bool {
	return slices.ContainsFunc(ownDevices(), func(own specs.LinuxDevice) bool {
		return d.Path == own.Path || sameDevice(d, own.Type, own.Major, own.Minor)
	})
}

func sameDevice(d specs.LinuxDevice, kind string, major, minor int64) bool {
	return (d.Type == kind || d.Type == "u" && kind == "c") && d.Major == major && d.Minor == minor
}
