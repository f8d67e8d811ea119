package native

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// layout is the filesystem of a domain.
type layout struct {
	def      *davitv1.Domain
	facts    Facts
	rootAt   int  // index of the root's filesystem, -1 without one
	hostRoot bool // the root is the host's: read below a discarded overlay, in a user namespace
	// allotted tells that davit chose the host ids of the domain. What is the host's root's is then the domain's root's, wherever it is
	// mounted from, but for the host's root: to a host id that nobody knew beforehand nothing else could belong.
	allotted bool
}

// newLayout finds the root and refuses what this driver does not mount. What no domain may have, such as two roots or a
// target in /proc, was refused by domain.Validate.
func newLayout(def *davitv1.Domain, facts Facts) (*layout, error) {
	l := &layout{def: def, facts: facts, rootAt: -1, hostRoot: true}
	for i, f := range def.GetDevices().GetFilesystem() {
		switch kind(f) {
		case davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, davitv1.FilesystemType_FILESYSTEM_TYPE_RAM,
			davitv1.FilesystemType_FILESYSTEM_TYPE_BIND, davitv1.FilesystemType_FILESYSTEM_TYPE_FILE,
			davitv1.FilesystemType_FILESYSTEM_TYPE_BLOCK:
		default:
			return nil, l.unsupported(i, f)
		}
		if err := l.checkAccess(i, f); err != nil {
			return nil, err
		}
		if path.Clean(f.GetTargetDir()) != "/" {
			continue
		}
		l.rootAt, l.hostRoot = i, path.Clean(f.GetSourceDir()) == "/"
		if l.hostRoot && f.GetOverlayUpper() == davitv1.OverlayUpper_OVERLAY_UPPER_KEEP {
			// Its ids are not mapped: they are those of one range, and the next may be another.
			return nil, l.refused(i, "davit:overlay/@upper", "changes over the host's root cannot be kept")
		}
	}
	l.allotted = isAllotted(def, l.hostRoot)
	return l, l.checkHostRoot()
}

// checkHostRoot refuses the host's root with its ids mapped: the domain's root would be the host's in all of it.
func (l *layout) checkHostRoot() error {
	for i, f := range l.def.GetDevices().GetFilesystem() {
		if i != l.rootAt && kind(f) == davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT && path.Clean(f.GetSourceDir()) == "/" && l.isMapped(f) {
			return l.refused(i, "source/@dir", "the host's root is shown at \"/\" only, where what is its root's alone stays unreadable; "+
				"name the folders that the domain needs")
		}
	}
	return nil
}

// checkAccess refuses ways of showing ids that there are not.
func (l *layout) checkAccess(i int, f *davitv1.Filesystem) error {
	switch f.GetAccessmode() {
	case davitv1.FilesystemAccessMode_FILESYSTEM_ACCESS_MODE_SQUASH:
		return l.refused(i, "@accessmode", "the kernel shows ids as they are or by a map, and cannot show all as one")
	case davitv1.FilesystemAccessMode_FILESYSTEM_ACCESS_MODE_MAPPED:
	default:
		return nil
	}
	if path.Clean(f.GetTargetDir()) == "/" && path.Clean(f.GetSourceDir()) == "/" {
		return l.refused(i, "@accessmode", "the host's own root is shown as it is, so that what is its root's alone stays unreadable")
	}
	return nil
}

// isMapped tells whether the ids of a filesystem are those of the domain: in one with <idmap> if it says so, in one with ids of
// davit's choice always. In memory they are anyway.
func (l *layout) isMapped(f *davitv1.Filesystem) bool {
	return l.allotted || f.GetAccessmode() == davitv1.FilesystemAccessMode_FILESYSTEM_ACCESS_MODE_MAPPED
}

// kind is the type of a filesystem, with its default.
func kind(f *davitv1.Filesystem) davitv1.FilesystemType {
	if f.GetType() == davitv1.FilesystemType_FILESYSTEM_TYPE_UNSPECIFIED {
		return davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT
	}
	return f.GetType()
}

func (l *layout) unsupported(i int, f *davitv1.Filesystem) error {
	word := strings.ToLower(strings.TrimPrefix(f.GetType().String(), "FILESYSTEM_TYPE_"))
	return l.refused(i, "@type", fmt.Sprintf("a filesystem of type %q is not supported", word))
}

// refused is the error of what this driver does not do.
func (l *layout) refused(i int, at, message string) error {
	at = fmt.Sprintf("/domain/devices/filesystem[%d]/%s", i+1, at)
	return &domain.Error{
		Code: codes.Unimplemented, Reason: davitv1.ErrorReason_ERROR_REASON_CONFIG_UNSUPPORTED,
		Op: "plan domain", Subject: l.def.GetName(), Message: at + ": " + message, Detail: map[string]string{"path": at},
	}
}

// writable tells that a filesystem that is to be read-only is none: the changes of an overlay are the guest's own.
func (l *layout) writable(i int) bool {
	f := l.def.GetDevices().GetFilesystem()[i]
	return f.GetReadonly() && (f.GetOverlayUpper() != 0 || i == l.rootAt && l.hostRoot)
}

// mounts tells whether a filesystem of the definition has a target.
func (l *layout) mounts(target string) bool {
	for _, f := range l.def.GetDevices().GetFilesystem() {
		if path.Clean(f.GetTargetDir()) == target {
			return true
		}
	}
	return false
}

// root is the step that makes the root.
func (l *layout) root() *monitorv1.Operation {
	overlay := &monitorv1.RootOverlay{Lower: []string{"/"}, OwnedByRoot: true, SizeBytes: l.rootMemory()}
	if l.hostRoot {
		return &monitorv1.Operation{Step: &monitorv1.Operation_RootOverlay{RootOverlay: overlay}}
	}
	f := l.def.GetDevices().GetFilesystem()[l.rootAt]
	if n, ok := filesystemNeed(l.rootAt, f); ok {
		s := l.facts.Sources[n.key]
		return &monitorv1.Operation{Step: &monitorv1.Operation_RootImage{RootImage: &monitorv1.RootImage{
			Held: n.key, Type: s.Filesystem, ReadOnly: f.GetReadonly() || isReadOnlyType(s.Filesystem), Mapped: l.isMapped(f),
		}}}
	}
	source := path.Clean(f.GetSourceDir())
	if f.GetOverlayUpper() == davitv1.OverlayUpper_OVERLAY_UPPER_UNSPECIFIED {
		return &monitorv1.Operation{Step: &monitorv1.Operation_RootBind{
			RootBind: &monitorv1.RootBind{Source: source, ReadOnly: f.GetReadonly(), Mapped: l.isMapped(f)},
		}}
	}
	overlay.Lower = []string{source}
	overlay.Upper, overlay.Mapped = l.upper(f), l.isMapped(f)
	return &monitorv1.Operation{Step: &monitorv1.Operation_RootOverlay{RootOverlay: overlay}}
}

// upper is the folder of an overlay's kept changes, empty where they are dropped. It is named by the target, so that the
// order of the filesystems does not matter.
func (l *layout) upper(f *davitv1.Filesystem) string {
	if f.GetOverlayUpper() != davitv1.OverlayUpper_OVERLAY_UPPER_KEEP {
		return ""
	}
	name := url.PathEscape(path.Clean(f.GetTargetDir()))
	if len(name) > 200 {
		sum := sha256.Sum256([]byte(name))
		name = hex.EncodeToString(sum[:])
	}
	return filepath.Join(l.facts.UpperDir, l.def.GetUuid(), name)
}

// hostFolders hide what of the host's root is of no use to a guest or not its business.
func (l *layout) hostFolders() []*monitorv1.Operation {
	var steps []*monitorv1.Operation
	if l.facts.OwnUsr {
		steps = append(steps, bind("/usr", "/usr", true))
	}
	for _, t := range []struct {
		target string
		mode   uint32
	}{{"/run", 0o755}, {"/tmp", 0o1777}, {"/root", 0o700}, {"/home", 0o755}} {
		if !l.mounts(t.target) {
			steps = append(steps, tmpfs(t.target, t.mode, 0))
		}
	}
	return steps
}

// filesystems are mounted in the order of the definition.
func (l *layout) filesystems() []*monitorv1.Operation {
	var steps []*monitorv1.Operation
	for i, f := range l.def.GetDevices().GetFilesystem() {
		if i == l.rootAt {
			continue
		}
		steps = append(steps, l.filesystem(i, f))
	}
	return steps
}

func (l *layout) filesystem(i int, f *davitv1.Filesystem) *monitorv1.Operation {
	source, target := path.Clean(f.GetSourceDir()), path.Clean(f.GetTargetDir())
	if n, ok := filesystemNeed(i, f); ok {
		s := l.facts.Sources[n.key]
		return &monitorv1.Operation{Step: &monitorv1.Operation_Image{Image: &monitorv1.Image{
			Held: n.key, Type: s.Filesystem, Target: target, ReadOnly: f.GetReadonly() || isReadOnlyType(s.Filesystem), Mapped: l.isMapped(f),
		}}}
	}
	switch {
	case kind(f) == davitv1.FilesystemType_FILESYSTEM_TYPE_BIND:
		return &monitorv1.Operation{Step: &monitorv1.Operation_InnerBind{
			InnerBind: &monitorv1.InnerBind{Source: source, Target: target, ReadOnly: f.GetReadonly()},
		}}
	case kind(f) == davitv1.FilesystemType_FILESYSTEM_TYPE_RAM:
		return limitedTmpfs(f, target)
	case f.GetOverlayUpper() != davitv1.OverlayUpper_OVERLAY_UPPER_UNSPECIFIED:
		return &monitorv1.Operation{Step: &monitorv1.Operation_Overlay{
			Overlay: &monitorv1.Overlay{Lower: source, Upper: l.upper(f), Target: target, Mapped: l.isMapped(f)},
		}}
	}
	step := bind(source, target, f.GetReadonly())
	step.GetBind().Mapped = l.isMapped(f)
	return step
}

func bind(source, target string, readOnly bool) *monitorv1.Operation {
	return &monitorv1.Operation{Step: &monitorv1.Operation_Bind{
		Bind: &monitorv1.Bind{Source: source, Target: target, ReadOnly: readOnly},
	}}
}
