package oci

import (
	"path"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (r *reading) mounts() {
	own := ownMounts()
	for i, m := range r.spec.Mounts {
		at := entry("mounts", i)
		r.carry(at)
		switch {
		case isOwnMount(m, own):
		case !path.IsAbs(m.Destination):
			r.fault(at+".destination", m.Destination, "is not absolute")
		default:
			r.mount(at, m)
		}
	}
}

// mount converts one that is not every domain's.
func (r *reading) mount(at string, m specs.Mount) {
	target := path.Clean(m.Destination)
	for _, own := range []string{"/proc", "/sys", "/dev"} {
		if target == own || strings.HasPrefix(target, own+"/") {
			r.warn(at, "every domain has %q as davit makes it; nothing can be mounted at %q", own, target)
			return
		}
	}
	f := &davitv1.Filesystem{TargetDir: target}
	bind, lost := false, []string(nil)
	for i, o := range m.Options {
		switch name, value, _ := strings.Cut(o, "="); name {
		case "bind", "rbind":
			bind = true
		case "ro":
			f.Readonly = true
		case "rw":
			f.Readonly = false
		case "size":
			f.SourceUsageKib = r.size(entry(at+".options", i), value)
		case "private", "rprivate", "defaults", "":
		default:
			lost = append(lost, o)
		}
	}
	switch {
	case bind || m.Type == "bind" || m.Type == "none":
		f.Type, f.SourceDir, f.SourceUsageKib = davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, r.absolute(m.Source), 0
	case m.Type == "tmpfs":
		r.memoryFilesystem(at, f)
	case strings.HasPrefix(m.Source, "/dev/"):
		f.Type, f.SourceDev, f.SourceUsageKib = davitv1.FilesystemType_FILESYSTEM_TYPE_BLOCK, m.Source, 0
	default:
		r.warn(at, "a domain cannot mount a filesystem of type %q", m.Type)
		return
	}
	if len(lost) > 0 {
		r.warn(at+".options", "filesystems of a definition have no options like %s", strings.Join(lost[:min(len(lost), 10)], ","))
	}
	if len(m.UIDMappings)+len(m.GIDMappings) > 0 {
		r.warn(at+".uidMappings", "filesystems of a definition have no map of their own")
	}
	r.filesystem(at, f)
}

// memoryFilesystem gives a tmpfs the size that it must have.
func (r *reading) memoryFilesystem(at string, f *davitv1.Filesystem) {
	f.Type = davitv1.FilesystemType_FILESYSTEM_TYPE_RAM
	if f.Readonly {
		r.warn(at, "a filesystem in memory is always writable")
		f.Readonly = false
	}
	if f.SourceUsageKib == 0 {
		f.SourceUsageKib = max(r.def.MemoryKib/2, 1)
		r.warn(at, "a filesystem in memory has a size: half of the domain's memory, %d KiB", f.SourceUsageKib)
	}
}

// size reads the size of a tmpfs in KiB, as the kernel does.
func (r *reading) size(at, text string) uint64 {
	number, unit := strings.TrimRight(text, "kKmMgGtT%"), ""
	if n := len(text) - len(number); n == 1 {
		unit = strings.ToLower(text[len(number):])
	}
	n, err := strconv.ParseUint(number, 10, 40)
	if err != nil || len(text)-len(number) > 1 {
		r.fault(at, text, "is not a size: bytes, or a number with k, m, g or %%")
		return 0
	}
	switch unit {
	case "k":
		return n
	case "m":
		return n << 10
	case "g":
		return n << 20
	case "t":
		return min(n, 1<<20) << 30
	case "%":
		return r.def.MemoryKib / 100 * min(n, 100)
	}
	return n/1024 + min(n%1024, 1)
}
