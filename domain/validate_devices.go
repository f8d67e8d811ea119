package domain

import davitv1 "github.com/davitd/davit/proto/davit/v1"

func (v *validator) devices(d *davitv1.Devices) {
	v.disks(d)
	targets := map[string]int{}
	for i, f := range d.GetFilesystem() {
		v.filesystem(i, f, targets)
	}
	v.interfaces(d.GetInterface())
	v.consoles(d.GetConsole())
	v.hostdevs(d.GetHostdev())
	v.clashes(d)
}

// maxConsoles is how many consoles a domain may have; /dev/tty63 is the kernel's last.
const maxConsoles = 63

func (v *validator) consoles(list []*davitv1.Console) {
	if n := len(list); n > maxConsoles {
		v.fault("devices.console", "%d consoles are above %d", n, maxConsoles)
	}
	for i, c := range list {
		if t := c.GetTargetType(); t != "" && t != "lxc" {
			v.fault(v.entry("devices.console", i, "target_type"), "%s is not lxc, the only kind of consoles", quote(t))
		}
	}
}
