package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fds tells the open descriptors and what they lead to.
func fds([]string) error {
	dir, err := unix.Open("/proc/self/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	names, err := names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == strconv.Itoa(dir) {
			continue
		}
		buffer := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(dir, name, buffer)
		if err != nil {
			return err
		}
		say("fd", name, string(buffer[:n]))
	}
	return unix.Close(dir)
}

func names(dir int) ([]string, error) {
	var names []string
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.ReadDirent(dir, buffer)
		if err != nil || n == 0 {
			sort.Strings(names)
			return names, err
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names)
	}
}

// status tells lines of /proc/self/status: status NAME…
func status(args []string) error {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		for _, wanted := range args {
			if name == wanted {
				sayf("status %s %s\n", name, strings.Join(strings.Fields(value), " "))
			}
		}
	}
	return nil
}

// list tells what a folder holds: name, type and mode, owner, and the device or target.
func list(args []string) error {
	entries, err := os.ReadDir(args[0])
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := args[0] + "/" + entry.Name()
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		line := fmt.Sprintf("%s %#o %d:%d", entry.Name(), stat.Mode, stat.Uid, stat.Gid)
		switch stat.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" %d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
		}
		say("ls", line)
	}
	return nil
}

// cat tells the content of files, quoted.
func cat(args []string) error {
	for _, path := range args {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sayf("cat %s %q\n", path, data)
	}
	return nil
}

// mounts tells what is mounted where: the mount point, its options, the type.
func mounts([]string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		_, after, _ := strings.Cut(line, " - ")
		say("mount", fields[4], fields[5], strings.Fields(after)[0])
	}
	return nil
}

// write writes a text to a file: PATH TEXT.
func write(args []string) error {
	f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(args[1]); err != nil {
		return err
	}
	say("wrote", args[0])
	return nil
}

// flip has two files change places for ever: ONE OTHER.
func flip(args []string) error {
	say("flipping")
	for {
		// One of them cannot be moved while something is mounted on it.
		_ = unix.Renameat2(unix.AT_FDCWD, args[0], unix.AT_FDCWD, args[1], unix.RENAME_EXCHANGE)
	}
}

// mkdir makes a folder.
func mkdir(args []string) error {
	if err := unix.Mkdir(args[0], 0o755); err != nil {
		return err
	}
	say("made", args[0])
	return nil
}

// chmod changes the mode of a file that is open: FD MODE.
func chmod(args []string) error {
	fd, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	mode, err := strconv.ParseUint(args[1], 8, 32)
	if err != nil {
		return err
	}
	return unix.Fchmod(fd, uint32(mode))
}

// open opens files for reading.
func open(args []string) error {
	for _, path := range args {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		say("opened", path)
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}

// node makes a character device and opens it: PATH MAJOR MINOR.
func node(args []string) error {
	major, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil {
		return err
	}
	minor, err := strconv.ParseUint(args[2], 10, 32)
	if err != nil {
		return err
	}
	if err = unix.Mknod(args[0], unix.S_IFCHR|0o666, int(unix.Mkdev(uint32(major), uint32(minor)))); err != nil {
		return err
	}
	fd, err := unix.Open(args[0], unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	say("opened", args[0])
	return unix.Close(fd)
}

// mount mounts: TYPE TARGET.
func mount(args []string) error {
	if err := unix.Mount("none", args[1], args[0], 0, ""); err != nil {
		return err
	}
	say("mounted", args[1])
	return nil
}

// remount takes all flags off a mount.
func remount(args []string) error {
	if err := unix.Mount("none", args[0], "", unix.MS_REMOUNT|unix.MS_BIND, ""); err != nil {
		return err
	}
	say("remounted", args[0])
	return nil
}

// unlock makes a mount writable, in the newer way.
func unlock(args []string) error {
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, args[0], 0, &attr); err != nil {
		return err
	}
	say("unlocked", args[0])
	return nil
}

// bind mounts a folder on another, and all that is below it: SOURCE TARGET.
func bind(args []string) error {
	if err := unix.Mount(args[0], args[1], "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	say("bound", args[1])
	return nil
}

// umount unmounts a target.
func umount(args []string) error {
	if err := unix.Unmount(args[0], unix.MNT_DETACH); err != nil {
		return err
	}
	say("unmounted", args[0])
	return nil
}

// tty tells the device of standard input, and whether it is the controlling terminal.
func tty([]string) error {
	var stat unix.Stat_t
	if err := unix.Fstat(0, &stat); err != nil {
		return err
	}
	session, err := unix.IoctlGetInt(0, unix.TIOCGSID)
	if err != nil {
		return err
	}
	sayf("tty %d mode %#o owner %d:%d session %d\n", unix.Major(stat.Rdev), stat.Mode, stat.Uid, stat.Gid, session)
	return nil
}

// remove removes a file or an empty folder.
func remove(args []string) error { return os.Remove(args[0]) }

// chown gives a file to a user and a group of the same number: PATH ID.
func chown(args []string) error {
	id, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return os.Lchown(args[0], id, id)
}
