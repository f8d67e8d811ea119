// Package cgroup makes, limits, watches, freezes, kills and removes the cgroups of domains, on version 1, version 2 and
// hybrid hosts alike.
//
// [Detect] looks at what is mounted below a folder, /sys/fs/cgroup as a rule, and gives a [Hierarchy]: one [Tree] for
// each mounted hierarchy that is of use. A domain has one [Group], which is a folder of the same path in every tree:
//
//	<root>[/<tree>]/<partition>/davit-<instance>-<uuid>
//
// named-only trees (name=systemd) included, because a guest's systemd would otherwise find itself in the host's root
// there. Only perf_event is left out: attaching to it interrupts every processor. A limit is written where its
// controller lives; what both versions can do (freeze, kill, processor time) is done in the cgroup2 tree if there is one.
//
// # Two levels in the cgroup2 tree
//
// Limits are files of the domain's own folder. Its processes live one level below, in the child [Leaf], which is what
// [Group.Cgroup2Dir] opens for CLONE_INTO_CGROUP, what the guest's cgroup namespace is rooted at, and what
// [Group.Delegate] gives to the guest's root. So a guest that manages cgroups of its own can neither see nor change its
// limits, and the rule that a cgroup with controllers below it has no processes is kept. The version 1 trees have one
// level and are never delegated.
//
// # Placement
//
// Nothing here moves a domain's process: a write to cgroup.procs waits for an RCU grace period (8 ms), a clone into the
// cgroup or a thread that writes "0" to its own tasks file does not. [Group.Cgroup2Dir] and [Group.Tasks] open what the
// launcher needs for these.
//
// # Partitions
//
// The folders of the partition are made where missing, marked by the sticky bit, and removed again by whoever removes the
// last group in them, or by a sweep. Folders without the mark are never removed. The bit comes with the mkdir, so there is no
// moment at which a kill leaves a folder that nobody knows for davit's. Several daemons may use the same partition: creation
// is tried again when another daemon removes the folder meanwhile.
//
// # Safety
//
// Every file is opened by openat2 beneath the descriptor of the tree's root, which was checked to be a cgroup file
// system, without crossing a mount or following a link; so a write can end only in cgroupfs. Names come from
// [Name] and from the partition, whose every component [ParsePartition] has checked.
//
// # Errors
//
// Errors tell the file and, for a write, the value. A group that is not there is fs.ErrNotExist; a limit whose
// controller the host lacks is [ErrNoController].
//
// The package is free of systemd and D-Bus; docs/decisions/0002-cgroup.md says what it takes from
// github.com/containerd/cgroups/v3 and what not.
package cgroup
