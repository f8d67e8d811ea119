package native

import (
	"fmt"
	gomaps "maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Source is what the host has for a device of a definition: a fact. That of a device whose container runs is kept in the
// record of the run, as the host may have something else by now.
type Source struct {
	// Block tells a block device from a character device.
	Block bool `json:"block,omitempty"`
	// Major and Minor are the numbers of the device; of an image, those of its loop device.
	Major uint32 `json:"major"`
	Minor uint32 `json:"minor"`
	// Filesystem that it holds, in the kernel's word; empty for what is not mounted.
	Filesystem string `json:"filesystem,omitempty"`
	// Nodes are its names below /dev, and Access is what the domain may do with them: "rw" or "r". What is only mounted has neither.
	Nodes  []string `json:"nodes,omitempty"`
	Access string   `json:"access,omitempty"`
	// Held tells that the monitor has it open, by the name of the device; Alone, that nobody else may use it meanwhile.
	Held  bool `json:"held,omitempty"`
	Alone bool `json:"alone,omitempty"`
	// Content names what is used, wherever it is found: a file or a block device.
	Content string `json:"content,omitempty"`
	// Missing is why it cannot be had; the rest is then empty. Absent tells that there is nothing of its name.
	Missing string `json:"-"`
	Absent  bool   `json:"-"`
}

// sourceKind is what a device of a definition is made of.
type sourceKind int

const (
	imageSource sourceKind = iota + 1 // a file, by a loop device
	blockSource                       // a block device
	nodeSource                        // a device of which there is no more than a node
	usbSource                         // one that the kernel numbers
)

// need is what a device of a definition needs of the host.
type need struct {
	kind sourceKind
	// key names it, in facts, in the record and among what the monitor holds.
	key string
	// alias of the device, or what else tells it, for messages.
	alias string
	// field and xmlPath are the place of the source in the definition.
	field, xmlPath string
	// path of the source on the host.
	path string
	// nodes are its names below /dev; none for what is mounted.
	nodes []string
	// mounted tells that its filesystem is.
	mounted bool
	// block is the kind of node, for nodeSource.
	block bool
	// readOnly and shareable are as the definition says, direct asks for I/O past the cache.
	readOnly, shareable, direct bool
	// usb is the device, for usbSource.
	usb *davitv1.Hostdev
}

// isHeld tells whether it lives only as long as somebody has it open, or is locked by that.
func (n need) isHeld() bool { return n.kind == imageSource || n.kind == blockSource }

// isAlone tells whether nobody else may use the source.
func (n need) isAlone() bool { return n.isHeld() && !n.readOnly && !n.shareable }

// completed is a source with what the definition says of it.
func (n need) completed(s Source) Source {
	s.Held, s.Alone = n.isHeld(), n.isAlone()
	if n.mounted {
		return s
	}
	if s.Access = "rw"; n.readOnly {
		s.Access = "r"
	}
	if len(s.Nodes) == 0 {
		s.Nodes = n.nodes
	}
	return s
}

// needs are those of the devices of a definition, in its order.
func needs(def *davitv1.Domain) []need {
	var list []need
	devices := def.GetDevices()
	for i, d := range devices.GetDisk() {
		list = append(list, diskNeed(i, d))
	}
	for i, f := range devices.GetFilesystem() {
		if n, ok := filesystemNeed(i, f); ok {
			list = append(list, n)
		}
	}
	for i, h := range devices.GetHostdev() {
		if n, ok := hostdevNeed(i, h); ok {
			list = append(list, n)
		}
	}
	return list
}

// keyOf names a device: by its alias, or by what no other of its kind has.
func keyOf(kind, alias, otherwise string) string {
	if alias == "" {
		alias = otherwise
	}
	return kind + " " + alias
}

func diskNeed(i int, d *davitv1.Disk) need {
	n := need{
		kind: imageSource, key: keyOf("disk", d.GetAlias(), d.GetTargetDev()), alias: d.GetAlias(),
		path:     path.Clean(d.GetSourceFile()),
		nodes:    append([]string{d.GetTargetDev()}, serialNodes(d)...),
		readOnly: d.GetReadonly(), shareable: d.GetShareable(), direct: d.GetDriver().GetCache() == "none",
	}
	n.field, n.xmlPath = fmt.Sprintf("devices.disk[%d].source_file", i), fmt.Sprintf("/domain/devices/disk[%d]/source/@file", i+1)
	if d.GetType() == davitv1.DiskType_DISK_TYPE_BLOCK {
		n.kind, n.path = blockSource, path.Clean(d.GetSourceDev())
		n.field, n.xmlPath = fmt.Sprintf("devices.disk[%d].source_dev", i), fmt.Sprintf("/domain/devices/disk[%d]/source/@dev", i+1)
	}
	return n
}

// maxSerial bounds what of a serial number is told.
const maxSerial = 64

// serialNodes are the names by which a guest finds a disk by its serial number, as udev makes them of virtual machines' disks:
// disk/by-id/virtio-SERIAL. A container has no other way to see one.
func serialNodes(d *davitv1.Disk) []string {
	serial := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("#+-.:=@_", r):
			return r
		}
		return '_'
	}, strings.TrimSpace(d.GetSerial()))
	if serial == "" {
		return nil
	}
	bus := strings.ToLower(strings.TrimPrefix(d.GetTargetBus().String(), "DISK_BUS_"))
	if d.GetTargetBus() == davitv1.DiskBus_DISK_BUS_UNSPECIFIED {
		bus = "disk"
	}
	return []string{"disk/by-id/" + bus + "-" + serial[:min(len(serial), maxSerial)]}
}

func filesystemNeed(i int, f *davitv1.Filesystem) (need, bool) {
	n := need{
		key: keyOf("filesystem", f.GetAlias(), path.Clean(f.GetTargetDir())), alias: f.GetAlias(), mounted: true,
		readOnly: f.GetReadonly(),
	}
	switch kind(f) {
	case davitv1.FilesystemType_FILESYSTEM_TYPE_FILE:
		n.kind, n.path = imageSource, path.Clean(f.GetSourceFile())
		n.field, n.xmlPath = fmt.Sprintf("devices.filesystem[%d].source_file", i), fmt.Sprintf("/domain/devices/filesystem[%d]/source/@file", i+1)
	case davitv1.FilesystemType_FILESYSTEM_TYPE_BLOCK:
		n.kind, n.path = blockSource, path.Clean(f.GetSourceDev())
		n.field, n.xmlPath = fmt.Sprintf("devices.filesystem[%d].source_dev", i), fmt.Sprintf("/domain/devices/filesystem[%d]/source/@dev", i+1)
	default:
		return need{}, false
	}
	return n, true
}

func hostdevNeed(i int, h *davitv1.Hostdev) (need, bool) {
	n := need{alias: h.GetAlias()}
	var element string
	switch h.GetType() {
	case davitv1.HostdevType_HOSTDEV_TYPE_STORAGE:
		n.kind, n.block, n.path, element = nodeSource, true, h.GetSourceBlock(), "block"
	case davitv1.HostdevType_HOSTDEV_TYPE_MISC:
		n.kind, n.path, element = nodeSource, h.GetSourceChar(), "char"
	case davitv1.HostdevType_HOSTDEV_TYPE_USB:
		n.kind, n.usb, element = usbSource, h, "vendor"
		n.path = usbName(h)
	default:
		return need{}, false // interfaces are none of /dev
	}
	n.key = keyOf("hostdev", h.GetAlias(), n.path)
	n.field, n.xmlPath = fmt.Sprintf("devices.hostdev[%d].source_%s", i, element), fmt.Sprintf("/domain/devices/hostdev[%d]/source/%s", i+1, element)
	switch {
	case n.kind == nodeSource:
		n.path = path.Clean(n.path)
		n.nodes = []string{strings.TrimPrefix(n.path, "/dev/")}
	case h.GetSourceVendorId() == "":
		n.field, n.xmlPath = fmt.Sprintf("devices.hostdev[%d].source_bus", i), fmt.Sprintf("/domain/devices/hostdev[%d]/source/address/@bus", i+1)
	}
	return n, true
}

// nodesOf are the nodes of a device, owned by the domain's root and his alone, as with libvirt.
func (s Source) nodesOf() []*monitorv1.DeviceNode {
	mode := uint32(0o600)
	if s.Access == "r" {
		mode = 0o400
	}
	var nodes []*monitorv1.DeviceNode
	for _, name := range s.Nodes {
		nodes = append(nodes, &monitorv1.DeviceNode{Name: name, Block: s.Block, Major: s.Major, Minor: s.Minor, Mode: mode})
	}
	return nodes
}

// deviceNodes are the nodes of the devices of a definition.
func deviceNodes(def *davitv1.Domain, facts Facts) []*monitorv1.DeviceNode {
	var nodes []*monitorv1.DeviceNode
	for _, n := range needs(def) {
		nodes = append(nodes, facts.Sources[n.key].nodesOf()...)
	}
	return nodes
}

// sourceRules allow just the nodes of devices.
func sourceRules(sources map[string]Source) []cgroup.DeviceRule {
	var rules []cgroup.DeviceRule
	for _, key := range slices.Sorted(gomaps.Keys(sources)) {
		s := sources[key]
		if s.Access == "" || s.Missing != "" {
			continue
		}
		rule := character(int64(s.Major), int64(s.Minor), s.Access)
		if s.Block {
			rule.Type = cgroup.BlockDevice
		}
		rules = append(rules, rule)
	}
	return rules
}

// heldNames are what the monitor holds open for the devices of a definition.
func heldNames(def *davitv1.Domain) []string {
	var names []string
	for _, n := range needs(def) {
		if n.isHeld() {
			names = append(names, n.key)
		}
	}
	return names
}

// number is a device as the kernel's text files have it: "7:0".
func (s Source) number() string { return fmt.Sprintf("%d:%d", s.Major, s.Minor) }

// numbered gives a source the numbers of a device.
func (s Source) numbered(rdev uint64) Source {
	s.Major, s.Minor = unix.Major(rdev), unix.Minor(rdev)
	return s
}
