package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hostPlaces are files that a davitd without --root makes; the demo's must not touch them.
func hostPlaces() []string {
	return []string{"/etc/davit", "/var/lib/davit", "/run/davit", "/var/lib/davit-ids", "/written-by-demo"}
}

// cgroupRoot is where the host's cgroups are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// host is what the demo may not change.
type host struct {
	mounts, links []string
	places        map[string]time.Time
}

// adoptOrphans makes every process that the demo starts, at whatever remove, one of its own when its parent ends. So
// none can hide.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	return nil
}

// survey looks at the host.
func survey() (host, error) {
	h := host{places: map[string]time.Time{}}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return host{}, fmt.Errorf("list mounts: %w", err)
	}
	h.mounts = strings.Split(strings.TrimSpace(string(table)), "\n")
	links, err := os.ReadDir("/sys/class/net")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return host{}, fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		h.links = append(h.links, l.Name())
	}
	for _, place := range hostPlaces() {
		if info, err := os.Lstat(place); err == nil {
			h.places[place] = info.ModTime()
		}
	}
	return h, nil
}

// checkHost tells what the demo left. The kernel takes a moment for some of it.
func (s *stage) checkHost(before host) error {
	var left []string
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(clearLimit); ; <-tick.C {
		reap()
		var err error
		if left, err = s.leftovers(before); err != nil {
			return err
		}
		if len(left) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(left) > 0 {
		killChildren()
		return fmt.Errorf("left behind:\n  %s", strings.Join(left, "\n  "))
	}
	s.say("Nothing is left: no process, mount, cgroup, network link or file.")
	return nil
}

func (s *stage) leftovers(before host) ([]string, error) {
	after, err := survey()
	if err != nil {
		return nil, err
	}
	var left []string
	for _, pid := range children() {
		left = append(left, fmt.Sprintf("process %d %s", pid, comm(pid)))
	}
	for _, m := range added(before.mounts, after.mounts) {
		if strings.Contains(m, s.folder) || strings.Contains(m, "davit") {
			left = append(left, "mount "+m)
		}
	}
	for _, l := range added(before.links, after.links) {
		alias, _ := os.ReadFile(filepath.Join("/sys/class/net", l, "ifalias"))
		if s.ours(string(alias)) {
			left = append(left, "link "+l)
		}
	}
	for place, changed := range after.places {
		if old, was := before.places[place]; !was || !old.Equal(changed) && place == "/written-by-demo" {
			left = append(left, "file "+place)
		}
	}
	if _, err := os.Lstat(s.folder); err == nil {
		left = append(left, "file "+s.folder)
	}
	return append(left, s.cgroups()...), nil
}

// ours tells whether a name carries the id of the demo's daemon.
func (s *stage) ours(name string) bool { return s.instance != "" && strings.Contains(name, s.instance) }

func (s *stage) cgroups() []string {
	var left []string
	_ = filepath.WalkDir(cgroupRoot, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && s.ours(entry.Name()) {
			left = append(left, "cgroup "+path)
		}
		return nil // what vanishes while we look is not left
	})
	return left
}

// added lists what after has and before has not.
func added(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(after), func(s string) bool { return slices.Contains(before, s) })
}

// children lists our child processes. All that the demo started are among them once their parents have ended.
func children() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		// The name of the program, in parentheses, may hold anything; the parent is the second field after it.
		after := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(after) > 1 && after[1] == strconv.Itoa(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func comm(pid int) string {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(name))
}

// reap takes the exit of orphans that became ours. Everything else that the demo started has been waited for.
func reap() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
	}
}

// killChildren ends what should have ended.
func killChildren() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		pids := children()
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		<-tick.C
		reap()
	}
}
