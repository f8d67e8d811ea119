package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cgroupRoot is where the host's cgroups are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// hierarchies are the host's cgroup mounts below cgroupRoot: the words by which the floor knows what they hold, and where they are.
// That of perf_event is left out, as davit leaves it out.
func hierarchies() ([]cgroupFolder, error) {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	list := hierarchiesOf(string(table))
	if len(list) == 0 {
		return nil, fmt.Errorf("list cgroups: none are mounted below %s", cgroupRoot)
	}
	return list, nil
}

func hierarchiesOf(mounts string) []cgroupFolder {
	var list []cgroupFolder
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 4 || f[1] != cgroupRoot && !strings.HasPrefix(f[1], cgroupRoot+"/") {
			continue
		}
		switch f[2] {
		case "cgroup2":
			list = append(list, cgroupFolder{"unified", f[1]})
		case "cgroup":
			words := slices.DeleteFunc(strings.Split(f[3], ","), func(o string) bool { return o == "rw" || o == "relatime" || strings.HasPrefix(o, "no") })
			if !slices.Contains(words, "perf_event") {
				list = append(list, cgroupFolder{strings.Join(words, ","), f[1]})
			}
		}
	}
	return list
}

// layout is how the host mounts its cgroups, in davit's words.
func layout() string {
	list, err := hierarchies()
	switch unified := slices.ContainsFunc(list, func(g cgroupFolder) bool { return g.controllers == "unified" }); {
	case err != nil:
		return "none"
	case !unified:
		return "v1"
	case len(list) > 1:
		return "hybrid"
	}
	return "v2"
}

// makeGroups makes a folder in each hierarchy, in which the floor makes the cgroups of its containers.
func makeGroups() ([]cgroupFolder, error) {
	list, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var made []cgroupFolder
	for _, g := range list {
		path := filepath.Join(g.path, partition+"-floor")
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return made, fmt.Errorf("make cgroup: %w", err)
		}
		made = append(made, cgroupFolder{g.controllers, path})
		if err := handDown(g, path); err != nil {
			return made, err
		}
	}
	return made, nil
}

// handDown gives a new cgroup what those below it need.
func handDown(parent cgroupFolder, path string) error {
	if strings.Contains(parent.controllers, "cpuset") {
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(parent.path, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(path, name), value, 0)
			}
			if err != nil {
				return fmt.Errorf("hand down %s: %w", name, err)
			}
		}
	}
	if parent.controllers == "unified" {
		for _, c := range []string{"memory", "pids", "cpu"} { // those that it has
			_ = os.WriteFile(filepath.Join(path, "cgroup.subtree_control"), []byte("+"+c), 0)
		}
	}
	return nil
}

// gone tells whether no cgroup is left of a domain, in any hierarchy.
func gone(domainUUID string) bool {
	list, err := hierarchies()
	if err != nil {
		return false
	}
	for _, g := range list {
		found, _ := filepath.Glob(filepath.Join(g.path, partition, "*"+domainUUID))
		if len(found) > 0 {
			return false
		}
	}
	return true
}
