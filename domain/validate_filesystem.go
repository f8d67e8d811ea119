package domain

import (
	"fmt"
	"path"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (v *validator) filesystem(i int, f *davitv1.Filesystem, targets map[string]int) {
	place := func(field string) string { return v.entry("devices.filesystem", i, field) }
	v.filesystemSource(place, f)
	v.filesystemLimits(place, f)
	root := path.Clean(f.GetTargetDir()) == "/"
	switch message := targetFault(f.GetTargetDir()); {
	case message != "":
		v.fault(place("target_dir"), "%s", message)
	case root && f.GetType() == davitv1.FilesystemType_FILESYSTEM_TYPE_RAM:
		v.fault(place("target_dir"), "a filesystem in memory cannot be the root")
	case root && f.GetType() == davitv1.FilesystemType_FILESYSTEM_TYPE_BIND && path.Clean(f.GetSourceDir()) != "/":
		v.fault(place("target_dir"), "a folder of the domain itself cannot be its root")
	default:
		target := path.Clean(f.GetTargetDir())
		if first, ok := targets[target]; ok {
			v.fault(place("target_dir"), "%s is already the target of filesystem %d", quote(f.GetTargetDir()), first+1)
		} else {
			targets[target] = i
		}
	}
	if f.GetOverlayUpper() != 0 && f.GetType() != davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT {
		v.fault(place("overlay_upper"), "only a filesystem of type mount can be an overlay")
	}
}

// filesystemSource checks that the type's own source is there, and no other.
func (v *validator) filesystemSource(place func(string) string, f *davitv1.Filesystem) {
	missing := ""
	if !v.quiet() {
		missing = fmt.Sprintf("filesystem for %s needs a source", quote(f.GetTargetDir()))
	}
	var own []string
	switch f.GetType() {
	case davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, davitv1.FilesystemType_FILESYSTEM_TYPE_BIND:
		own = []string{"source_dir"}
		v.absolute(place("source_dir"), f.GetSourceDir(), missing)
	case davitv1.FilesystemType_FILESYSTEM_TYPE_FILE:
		own = []string{"source_file"}
		v.absolute(place("source_file"), f.GetSourceFile(), missing)
		v.image(place, f.GetDriver())
	case davitv1.FilesystemType_FILESYSTEM_TYPE_BLOCK:
		own = []string{"source_dev"}
		v.absolute(place("source_dev"), f.GetSourceDev(), missing)
		v.image(place, f.GetDriver())
	case davitv1.FilesystemType_FILESYSTEM_TYPE_TEMPLATE:
		own = []string{"source_name"}
		v.required(place("source_name"), f.GetSourceName(), missing)
	case davitv1.FilesystemType_FILESYSTEM_TYPE_VOLUME:
		own = []string{"source_pool", "source_volume"}
		v.required(place("source_pool"), f.GetSourcePool(), missing)
		v.required(place("source_volume"), f.GetSourceVolume(), missing)
	case davitv1.FilesystemType_FILESYSTEM_TYPE_RAM:
		switch usage := f.GetSourceUsageKib(); {
		case usage == 0:
			v.fault(place("source_usage_kib"), "filesystem in memory for %s needs a size, above 0", quote(f.GetTargetDir()))
		case usage >= Unlimited:
			v.fault(place("source_usage_kib"), "filesystem in memory for %s needs a limit, below %d KiB", quote(f.GetTargetDir()), uint64(Unlimited))
		}
	default:
	}
	v.foreign(place, []source{
		{"source_dir", f.GetSourceDir()},
		{"source_file", f.GetSourceFile()},
		{"source_dev", f.GetSourceDev()},
		{"source_name", f.GetSourceName()},
		{"source_pool", f.GetSourcePool()},
		{"source_volume", f.GetSourceVolume()},
	}, "a filesystem", f, own...)
	if f.GetSourceUsageKib() != 0 && f.GetType() != davitv1.FilesystemType_FILESYSTEM_TYPE_RAM {
		v.fault(place("source_usage_kib"), "only a filesystem in memory has a size")
	}
}

// image refuses images that the kernel does not read.
func (v *validator) image(place func(string) string, d *davitv1.FilesystemDriver) {
	if kind := d.GetType(); kind != "" && kind != "loop" {
		v.fault(place("driver.type"), "%s is not loop: %s", quote(kind), needsProgram)
	}
	v.imageFormat(place("driver.format"), d.GetFormat())
}

// filesystemLimits checks the words of the driver, and how much the filesystem may hold.
func (v *validator) filesystemLimits(place func(string) string, f *davitv1.Filesystem) {
	v.word(place("driver.wrpolicy"), f.GetDriver().GetWrpolicy(), "immediate")
	switch f.GetType() {
	case davitv1.FilesystemType_FILESYSTEM_TYPE_FILE, davitv1.FilesystemType_FILESYSTEM_TYPE_BLOCK:
	default:
		v.word(place("driver.type"), f.GetDriver().GetType(), "path", "handle", "loop", "nbd", "virtiofs")
	}
	if hard, soft := f.GetSpaceHardLimit(), f.GetSpaceSoftLimit(); hard != 0 && soft > hard {
		v.fault(place("space_soft_limit"), "%d bytes are above the hard limit, %d bytes", soft, hard)
	}
}

// ownTargets are where the domain's own kernel filesystems stand.
var ownTargets = []string{"/proc", "/sys", "/dev"}

func targetFault(target string) string {
	if target == "" {
		return "a filesystem needs a target"
	}
	if message := pathFault(target); message != "" {
		return "target " + message
	}
	clean := path.Clean(target)
	for _, own := range ownTargets {
		if clean == own || strings.HasPrefix(clean, own+"/") {
			return fmt.Sprintf("target %s is in %s, which every domain has of its own", quote(target), own)
		}
	}
	return ""
}
