package lxctools

import (
	"path"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func rootKeys() []Key {
	return []Key{
		{
			Name: "lxc.rootfs.path", Old: "lxc.rootfs",
			Becomes: "filesystem for /: of type mount for a folder, dir:FOLDER and btrfs:FOLDER; of type mount with an overlay that is kept for " +
				"overlay:LOWER:UPPER; of type file for loop:IMAGE; of type block for a path below /dev and lvm:DEVICE",
			Why: "the changes that are in the upper folder of an overlay stay there", read: (*reading).rootfs,
		},
		{Name: "lxc.rootfs.options", Becomes: "readonly for ro", Why: "filesystems of a definition have no other options", read: (*reading).rootOptions},
		{Name: "lxc.rootfs.backend", Why: "the kind of root is told by its path"},
		{Name: "lxc.rootfs.mount", Why: "the root is mounted where nobody sees it"},
		{Name: "lxc.rootfs.managed", Why: "davit does not remove roots"},
		{Name: "lxc.pivotdir", Why: "the host's root does not stay in the domain; LXC itself ignores it since 2.0"},
	}
}

// rootfs reads the root: a path, or a kind and a path.
func (r *reading) rootfs(list []setting) {
	s := list[0]
	r.hasRoot = true
	kind, source, ok := strings.Cut(s.value, ":")
	if !ok || strings.HasPrefix(s.value, "/") {
		kind, source = "dir", s.value
		if strings.HasPrefix(source, "/dev/") {
			kind = "lvm"
		}
	}
	f := &davitv1.Filesystem{TargetDir: "/"}
	switch kind {
	case "dir", "btrfs":
		f.Type, f.SourceDir = davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, source
		r.root = path.Clean(source)
	case "overlay", "overlayfs":
		lower, upper, ok := strings.Cut(source, ":")
		if !ok || strings.Contains(upper, ":") {
			r.fault(s, s.value, "is not an overlay of one lower folder: overlay:LOWER:UPPER")
			return
		}
		f.Type, f.SourceDir = davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, lower
		f.OverlayUpper = davitv1.OverlayUpper_OVERLAY_UPPER_KEEP
		r.warn(s, "the domain begins with the lower folder as it is; changes that are in %q are not carried over", upper)
	case "loop":
		f.Type, f.SourceFile = davitv1.FilesystemType_FILESYSTEM_TYPE_FILE, source
		f.Driver = &davitv1.FilesystemDriver{Type: "loop", Format: "raw"}
	case "lvm":
		f.Type, f.SourceDev = davitv1.FilesystemType_FILESYSTEM_TYPE_BLOCK, source
	default:
		r.fault(s, s.value, "is not a root that a domain can have: a folder, dir:FOLDER, btrfs:FOLDER, overlay:LOWER:UPPER, loop:IMAGE, lvm:DEVICE, or a device below /dev")
		return
	}
	r.filesystem(s, f)
}

// filesystem adds a filesystem. One that another is mounted over is not seen.
func (r *reading) filesystem(s setting, f *davitv1.Filesystem) {
	list := r.def.Devices.Filesystem
	target := path.Clean(f.TargetDir)
	if i, ok := r.targets[target]; ok {
		r.warn(s, "it is mounted over an earlier one at %q, which nobody would see; the earlier one is left out", target)
		list[i] = f
		r.from(entry("devices.filesystem", i), s)
		return
	}
	r.targets[target] = len(list)
	r.from(entry("devices.filesystem", len(list)), s)
	r.def.Devices.Filesystem = append(list, f)
}

func (r *reading) rootOptions(list []setting) {
	s := list[0]
	for option := range strings.SplitSeq(s.value, ",") {
		switch {
		case option == "ro" && r.hasRoot && len(r.def.Devices.Filesystem) > 0:
			r.def.Devices.Filesystem[0].Readonly = true
		case option == "rw", option == "defaults":
		default:
			r.warn(s, "the root has no option %q in a definition", option)
		}
	}
}
