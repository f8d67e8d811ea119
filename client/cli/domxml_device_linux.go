package cli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// deviceNumber is the number of a device of this host.
func deviceNumber(path string) (major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, fmt.Errorf("find device %q: %w", path, err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFCHR && kind != unix.S_IFBLK {
		return 0, 0, fmt.Errorf("find device %q: it is none", path)
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}
