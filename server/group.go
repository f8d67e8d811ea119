package server

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// lookupGroup finds a group's number in a file such as /etc/group. A number stands for itself.
func lookupGroup(path, group string) (int, error) {
	if gid, err := strconv.ParseUint(group, 10, 32); err == nil {
		if gid == 1<<32-1 {
			return 0, fmt.Errorf("group %s is no group's number", group)
		}
		return int(gid), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("look up group %q: %w", group, err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 3 || fields[0] != group {
			continue
		}
		if gid, err := strconv.ParseUint(fields[2], 10, 32); err == nil && gid != 1<<32-1 {
			return int(gid), nil
		}
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("look up group %q: %w", group, err)
	}
	return 0, fmt.Errorf("group %q is not in %s", group, path)
}
