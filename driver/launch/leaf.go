package launch

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupOf opens the cgroup of a process in the cgroup2 tree, which lies in or below top.
func cgroupOf(pid int, top *os.File) (*os.File, error) {
	table, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, err
	}
	name, err := os.Readlink("/proc/thread-self/fd/" + strconv.Itoa(int(top.Fd())))
	if err != nil {
		return nil, err
	}
	below, err := pathBelow(string(table), path.Base(name))
	if err != nil {
		return nil, err
	}
	fd, err := beneathCgroup(int(top.Fd()), below, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), below), nil
}

// pathBelow finds, in the text of /proc/PID/cgroup, the path of the cgroup2 tree below the folder of the given name.
func pathBelow(table, name string) (string, error) {
	for line := range strings.Lines(table) {
		full, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !ok {
			continue
		}
		if _, below, ok := strings.Cut(full+"/", "/"+name+"/"); ok {
			return orDot(strings.TrimSuffix(below, "/")), nil
		}
		return "", fmt.Errorf("cgroup %q is not below %q", full, name)
	}
	return "", fmt.Errorf("the process has no cgroup2")
}

// beneathCgroup opens something of the cgroup top and no other.
func beneathCgroup(top int, name string, flags uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := unix.Openat2(top, name, &how)
	if err != nil {
		return -1, fmt.Errorf("open %q of cgroup: %w", name, err)
	}
	return fd, nil
}

// emptyCgroup removes what an init that ran in a cgroup before left there: the cgroups that it made, and the controllers
// that it handed down to them, with which the kernel would refuse the next init. No process of it is left by now.
func emptyCgroup(top *os.File) error {
	if top == nil {
		return nil
	}
	fd := int(top.Fd())
	// A cgroup has two links, and one more for each cgroup below; whatever says otherwise is looked into.
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil || stat.Nlink != 2 {
		if err := removeCgroups(fd); err != nil {
			return err
		}
	}
	// They may be handed down without a cgroup that has them.
	const file = "cgroup.subtree_control"
	control, err := beneathCgroup(fd, file, unix.O_RDWR)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(control) }()
	names := make([]byte, 4096)
	n, err := unix.Pread(control, names, 0)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	for name := range strings.FieldsSeq(string(names[:n])) {
		if _, err := unix.Pwrite(control, []byte("-"+name), 0); err != nil {
			return fmt.Errorf("write %q to %s: %w", "-"+name, file, err)
		}
	}
	return nil
}

// removeCgroups removes all cgroups below one.
func removeCgroups(top int) error {
	fd, err := beneathCgroup(top, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), "cgroup")
	defer func() { _ = dir.Close() }()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return fmt.Errorf("list cgroup: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		below, err := beneathCgroup(fd, e.Name(), unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		err = removeCgroups(below)
		_ = unix.Close(below)
		if err != nil {
			return err
		}
		if err = unix.Unlinkat(fd, e.Name(), unix.AT_REMOVEDIR); err != nil {
			return fmt.Errorf("remove cgroup %q: %w", e.Name(), err)
		}
	}
	return nil
}
