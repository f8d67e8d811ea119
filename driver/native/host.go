package native

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
)

// gather looks at the host, once.
func gather(h *cgroup.Hierarchy, o Options) (Facts, error) {
	caps, err := ownCapabilities()
	if err != nil {
		return Facts{}, err
	}
	var root, usr unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return Facts{}, fmt.Errorf("look at the root: %w", err)
	}
	ownUsr := unix.Stat("/usr", &usr) == nil && usr.Dev != root.Dev
	return Facts{
		Capabilities: caps, Cgroup2: h.Layout != cgroup.V1, OwnUsr: ownUsr, UpperDir: o.UpperDir,
		Range: o.Pool.slot(0), Modules: modules(),
	}, nil
}

// modules are the kernel's modules that label processes.
func modules() []string {
	text, err := os.ReadFile("/sys/kernel/security/lsm")
	if err == nil {
		return strings.Split(strings.TrimSpace(string(text)), ",")
	}
	// The filesystem that tells of them is not mounted; theirs may be there.
	var list []string
	for model, sign := range map[string]string{apparmor: "/sys/module/apparmor/parameters/enabled", selinux: "/sys/fs/selinux/enforce"} {
		if text, err := os.ReadFile(sign); err == nil && strings.TrimSpace(string(text)) != "N" {
			list = append(list, model)
		}
	}
	return list
}

// ownCapabilities is the bounding set of davitd: no domain can have more.
func ownCapabilities() (uint64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read own capabilities: %w", err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "CapBnd:"); ok {
			return strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		}
	}
	return 0, fmt.Errorf("read own capabilities: /proc/self/status does not tell them")
}
