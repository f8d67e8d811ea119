package native

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// mountOf is a definition with a folder beside a root in memory of its own.
func mountOf(f *davitv1.Filesystem) *davitv1.Domain {
	f.Type = davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT
	return &davitv1.Domain{Name: "exposed", Devices: &davitv1.Devices{Filesystem: []*davitv1.Filesystem{f}}}
}

// exposure is what a definition is warned of, in one text; fields are where.
func exposure(t *testing.T, def *davitv1.Domain) (text string) {
	t.Helper()
	l, err := newLayout(def, Facts{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range exposedSources(l) {
		if w.GetField() != "devices.filesystem[0].source_dir" || w.GetXmlPath() != "/domain/devices/filesystem[1]/source/@dir" {
			t.Errorf("the warning is about %s, %s", w.GetField(), w.GetXmlPath())
		}
		text += w.GetMessage() + "\n"
	}
	return text
}

// A folder that a mapped domain writes and that users of the host reach is told of with what shuts it; one below a folder that is the
// host's root's alone is not, whatever its own mode is.
func TestReachableSourcesAreTold(t *testing.T) {
	testenv.Require(t, testenv.Root) // the folders must be the host's root's
	top := t.TempDir()
	open, shut := filepath.Join(top, "open", "images"), filepath.Join(top, "shut", "images")
	for _, dir := range []string{open, shut} {
		if err := os.MkdirAll(filepath.Join(dir, "web"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for dir := top; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(top, "link")
	if err := errors.Join(os.Chmod(filepath.Join(top, "shut"), 0o700), os.Chmod(filepath.Join(open, "web"), 0o700), os.Symlink(open, link)); err != nil {
		t.Fatal(err)
	}
	told := `chmod 0700 "` + open + `"`
	for name, row := range map[string]struct {
		f    *davitv1.Filesystem
		want string
	}{
		"root":      {&davitv1.Filesystem{SourceDir: open + "/web", TargetDir: "/"}, told},
		"data":      {&davitv1.Filesystem{SourceDir: open + "/web", TargetDir: "/data"}, told},
		"link":      {&davitv1.Filesystem{SourceDir: link + "/web", TargetDir: "/data"}, told},
		"read only": {&davitv1.Filesystem{SourceDir: open + "/web", TargetDir: "/data", Readonly: true}, ""},
		"layer": {&davitv1.Filesystem{
			SourceDir: open + "/web", TargetDir: "/", OverlayUpper: davitv1.OverlayUpper_OVERLAY_UPPER_KEEP,
		}, ""},
		"shut": {&davitv1.Filesystem{SourceDir: shut + "/web", TargetDir: "/"}, ""},
	} {
		if got := exposure(t, mountOf(row.f)); row.want == "" && got != "" || !strings.Contains(got, row.want) {
			t.Errorf("%s: told %q, want %q", name, got, row.want)
		}
	}
	// With ids of its own choice nothing is the host's root's, unless it is mapped.
	def := mountOf(&davitv1.Filesystem{SourceDir: open + "/web", TargetDir: "/"})
	one := uint32(1)
	def.Idmap = &davitv1.IdMap{Uid: []*davitv1.IdRange{{Start: new(uint32), Target: &one, Count: &one}}}
	def.Idmap.Gid = def.Idmap.Uid
	if got := exposure(t, def); got != "" {
		t.Errorf("with <idmap>: told %q", got)
	}
	def.Devices.Filesystem[0].Accessmode = davitv1.FilesystemAccessMode_FILESYSTEM_ACCESS_MODE_MAPPED
	if got := exposure(t, def); !strings.Contains(got, told) {
		t.Errorf("with <idmap>, mapped: told %q", got)
	}
	def.Devices.Filesystem[0].Accessmode, def.Idmap = 0, nil
	def.Profile = &davitv1.Profile{Name: davitv1.ProfileName_PROFILE_NAME_PRIVILEGED}
	if got := exposure(t, def); got != "" {
		t.Errorf("privileged: told %q", got)
	}
}

// Sources that are of the host's system are told of, read or written; those that everybody reads only when written.
func TestSystemSourcesAreTold(t *testing.T) {
	for source, row := range map[string]struct {
		read, written string
	}{
		"/etc":                 {"domain's root reads what", "domain's root reads and changes what"},
		"/etc/ssh":             {"(/etc)", "(/etc)"},
		"/root":                {"(/root)", "(/root)"},
		"/boot/efi/no-such":    {"(/boot)", "(/boot)"},
		"/var":                 {"(/var/cache)", "(/var/cache)"},
		"/var/log/no-such":     {"(/var/log)", "(/var/log)"},
		"/var/lib":             {"(/var/lib)", "(/var/lib)"},
		"/var/lib/machines-no": {"", ""},
		"/usr":                 {"", "(/usr)"},
		"/usr/share/no-such":   {"", "(/usr)"},
		"/etcetera":            {"", ""},
		"/srv/no-such":         {"", ""},
	} {
		for _, readOnly := range []bool{true, false} {
			want := row.written
			if readOnly {
				want = row.read
			}
			got := exposure(t, mountOf(&davitv1.Filesystem{SourceDir: source, TargetDir: "/mnt", Readonly: readOnly}))
			if (want == "") == strings.Contains(got, "host's own system") || !strings.Contains(got, want) {
				t.Errorf("%s, read only %v: told %q, want %q", source, readOnly, got, want)
			}
		}
	}
}

// The host's root is not shown with its ids mapped, whoever's they are.
func TestHostRootIsNotMapped(t *testing.T) {
	def := mountOf(&davitv1.Filesystem{SourceDir: "/", TargetDir: "/host", Readonly: true})
	refused := func(want bool) {
		t.Helper()
		_, err := newLayout(def, Facts{})
		if e, ok := errors.AsType[*domain.Error](err); ok != want || want && e.Detail["path"] != "/domain/devices/filesystem[1]/source/@dir" {
			t.Errorf("refused: %v, want %v", err, want)
		}
	}
	refused(true)
	def.Devices.Filesystem[0].SourceDir = "/usr/.."
	refused(true)
	def.Devices.Filesystem[0].OverlayUpper = davitv1.OverlayUpper_OVERLAY_UPPER_DISCARD
	refused(true)
	one := uint32(1)
	def.Idmap = &davitv1.IdMap{Uid: []*davitv1.IdRange{{Start: new(uint32), Target: &one, Count: &one}}}
	refused(false)
	def.Devices.Filesystem[0].Accessmode = davitv1.FilesystemAccessMode_FILESYSTEM_ACCESS_MODE_MAPPED
	refused(true)
	def.Devices.Filesystem[0].Accessmode, def.Idmap = 0, nil
	def.Devices.Filesystem[0].TargetDir = "/" // today's root below an overlay
	refused(false)
}
