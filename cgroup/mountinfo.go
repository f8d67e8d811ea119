package cgroup

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// mount is what proc_pid_mountinfo(5) tells of one mount.
type mount struct {
	// point is where it is mounted.
	point string
	// kind is the file system's type: "cgroup", "cgroup2".
	kind string
	// options are the file system's own: the controllers of a version 1 hierarchy among them.
	options []string
}

// parseMountinfo reads the mounts of a process. Lines that are too short are refused, unknown optional fields skipped.
func parseMountinfo(r io.Reader) ([]mount, error) {
	var mounts []mount
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		before, after, ok := strings.Cut(s.Text(), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(head) < 6 || len(tail) < 2 {
			return nil, fmt.Errorf("read mountinfo: line %q is too short", s.Text())
		}
		m := mount{point: unescape(head[4]), kind: tail[0]}
		if len(tail) > 2 {
			m.options = strings.Split(tail[len(tail)-1], ",")
		}
		mounts = append(mounts, m)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	return mounts, nil
}

// unescape undoes \040 and the like.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// holding is the mount in which a folder lies: the last of those with the longest path, as it hides the others.
func holding(mounts []mount, folder string) mount {
	var best mount
	for _, m := range mounts {
		if within(folder, m.point) && len(m.point) >= len(best.point) {
			best = m
		}
	}
	return best
}

// below are the visible mounts right below a folder.
func below(mounts []mount, folder string) []mount {
	var found []mount
	for _, m := range mounts {
		name, ok := strings.CutPrefix(m.point, strings.TrimSuffix(folder, "/")+"/")
		if !ok || strings.Contains(name, "/") {
			continue
		}
		if i := slices.IndexFunc(found, func(f mount) bool { return f.point == m.point }); i >= 0 {
			found[i] = m
			continue
		}
		found = append(found, m)
	}
	return found
}

// within tells whether path is top or below it.
func within(path, top string) bool {
	top = strings.TrimSuffix(top, "/")
	return path == top || strings.HasPrefix(path, top+"/")
}
