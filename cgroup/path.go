package cgroup

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Leaf is the child of a domain's cgroup2 folder in which its processes live.
const Leaf = "init"

// prefix is how the name of every group begins.
const prefix = "davit-"

// Path says where a group is: the same in every tree.
type Path struct {
	// Partition is the parent, absolute below the hierarchy's root: "/machine".
	Partition string
	// Name is the group's own folder, from [Name].
	Name string
}

// String is the path as it stands below a tree's root, without a leading slash.
func (p Path) String() string { return strings.TrimPrefix(path.Join(p.Partition, p.Name), "/") }

// check refuses a path that [Name] and [ParsePartition] would not give.
func (p Path) check() error {
	if !groupName.MatchString(p.Name) {
		return fmt.Errorf("name cgroup %q: must be %sINSTANCE-UUID of lower case letters, digits and dashes", p.Name, prefix)
	}
	_, err := ParsePartition(p.Partition)
	return err
}

// Name is the folder of a domain of one davitd.
func Name(instance, uuid string) string { return prefix + instance + "-" + uuid }

// InstancePrefix is how the names of all groups of one davitd begin.
func InstancePrefix(instance string) string { return prefix + instance + "-" }

var (
	groupName = regexp.MustCompile(`^davit-[0-9a-z]+-[0-9a-z-]{1,64}$`)
	// component is one folder of a partition. A leading dot or dash is refused, and with the dot "." and "..".
	component = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,127}$`)
	// controlFile is what a partition could not be told from in a version 1 folder, now or with a controller to come.
	controlFile = regexp.MustCompile(`^(tasks|notify_on_release|release_agent|(cgroup|cpu|cpuacct|cpuset|memory|pids|io|blkio|` +
		`devices|freezer|hugetlb|rdma|misc|dmem|net_cls|net_prio|perf_event|irq|debug)\..*)$`)
)

// partitionDepth bounds how deep a partition may lie.
const partitionDepth = 8

// ParsePartition checks a partition, "/machine/web", and gives its components; "/" has none.
func ParsePartition(partition string) ([]string, error) {
	if !strings.HasPrefix(partition, "/") {
		return nil, fmt.Errorf("read partition %q: must be absolute", partition)
	}
	if partition == "/" {
		return nil, nil
	}
	parts := strings.Split(partition[1:], "/")
	if len(parts) > partitionDepth {
		return nil, fmt.Errorf("read partition %q: has %d components, at most %d are allowed", partition, len(parts), partitionDepth)
	}
	for _, p := range parts {
		switch {
		case !component.MatchString(p):
			return nil, fmt.Errorf("read partition %q: component %q must be letters, digits and _ . @ : -, and begin with a letter, digit or _",
				partition, p)
		case controlFile.MatchString(p):
			return nil, fmt.Errorf("read partition %q: component %q is the name of a control file", partition, p)
		case strings.HasPrefix(p, prefix):
			return nil, fmt.Errorf("read partition %q: component %q is kept for domains", partition, p)
		}
	}
	return parts, nil
}
