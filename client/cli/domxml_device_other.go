//go:build !linux

package cli

import "fmt"

// deviceNumber is the number of a device of this host, which has none that a domain could have.
func deviceNumber(path string) (major, minor int64, err error) {
	return 0, 0, fmt.Errorf("find device %q: devices are known on Linux only", path)
}
