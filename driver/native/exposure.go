package native

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A folder whose ids are mapped is the domain's root's to read and to write as it is the host's root's, and what the domain's root makes
// there is the host's root's on the host: a setuid program, too. Two things follow. Nobody but the host's root may come to such a folder on
// the host, and no folder of the host's own system is to be one. Whoever defines a domain is told of both.

// exposedSources are the warnings about the mapped sources of a definition.
func exposedSources(l *layout) []*davitv1.Warning {
	var list []*davitv1.Warning
	for i, f := range l.def.GetDevices().GetFilesystem() {
		if kind(f) != davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT || !l.isMapped(f) || i == l.rootAt && l.hostRoot {
			continue
		}
		source := path.Clean(f.GetSourceDir())
		real, err := filepath.EvalSymlinks(source)
		if err != nil {
			real = source // what is not there yet is judged by its name
		}
		written := !f.GetReadonly() && f.GetOverlayUpper() == davitv1.OverlayUpper_OVERLAY_UPPER_UNSPECIFIED
		for _, message := range []string{systemFault(real, written), reachFault(real, written)} {
			if message != "" {
				list = append(list, &davitv1.Warning{
					XmlPath: fmt.Sprintf("/domain/devices/filesystem[%d]/source/@dir", i+1),
					Field:   fmt.Sprintf("devices.filesystem[%d].source_dir", i), Message: message,
				})
			}
		}
	}
	return list
}

// reachFault tells that users of the host come to what a domain's root writes: to a setuid program of the host's root. The modes of the
// source itself are no help, as the domain's root changes them; those of the folders above it are the host's.
func reachFault(source string, written bool) string {
	if !written {
		return ""
	}
	for dir := path.Dir(source); ; dir = path.Dir(dir) {
		if isShut(dir) {
			return ""
		}
		if dir == "/" {
			break
		}
	}
	above := path.Dir(source)
	remedy := fmt.Sprintf("chmod 0700 %q", above)
	if isCommon(above) {
		remedy = fmt.Sprintf("have it in a folder of its own below %q and chmod 0700 that", above)
	}
	return fmt.Sprintf("users of the host can reach %q, and a setuid program that the domain's root makes there is one of the host's root for them: %s",
		source, remedy)
}

// isShut tells that nobody but the host's root enters a folder. One that cannot be looked at is none.
func isShut(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	others, group := stat.Mode&0o001 != 0, stat.Mode&0o010 != 0
	return stat.Uid == 0 && !others && (!group || stat.Gid == 0)
}

// isCommon tells that a folder holds things of many, so that it cannot be shut for one.
func isCommon(dir string) bool {
	return strings.Count(dir, "/") == 1 || path.Dir(dir) == "/var"
}

// systemFolder is a folder of the host's own system.
type systemFolder struct {
	path string
	// open tells that everybody may read it anyway: only what is written there matters.
	open bool
	// shared tells that folders in it are also made for others, as those of containers in /var/lib are.
	shared bool
}

var systemFolders = []systemFolder{
	{path: "/bin", open: true},
	{path: "/boot"},
	{path: "/dev"},
	{path: "/etc"},
	{path: "/home", shared: true},
	{path: "/lib", open: true},
	{path: "/lib64", open: true},
	{path: "/proc"},
	{path: "/root"},
	{path: "/run", shared: true},
	{path: "/sbin", open: true},
	{path: "/sys"},
	{path: "/usr", open: true},
	{path: "/var/cache", shared: true},
	{path: "/var/lib", shared: true},
	{path: "/var/log"},
	{path: "/var/spool"},
}

// systemFault tells that a source is a folder of the host's system, has one in it, or is in one.
func systemFault(source string, written bool) string {
	at := slices.IndexFunc(systemFolders, func(s systemFolder) bool {
		return (written || !s.open) && (isBelow(s.path, source) || isBelow(source, s.path) && !s.shared)
	})
	if at < 0 {
		return ""
	}
	does := "reads"
	if written {
		does = "reads and changes"
	}
	return fmt.Sprintf("%q is part of the host's own system (%s): the domain's root %s what is the host's root's alone there",
		source, systemFolders[at].path, does)
}

// isBelow tells that a path is another one or below it.
func isBelow(p, top string) bool {
	return p == top || strings.HasPrefix(p, strings.TrimSuffix(top, "/")+"/")
}
