package native_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A domain has its ids over restarts of its own and of davitd, and gives them back when it is undefined, not before its run is released.
func TestRangeIsKept(t *testing.T) {
	h := newHost(t, "fac75002")
	d := h.open(t)
	_, change := ownRoot(t)
	spec := h.spec(idle, change)
	ids := func(i driver.Instance) string { return output(t, i, "cat", "/proc/self/uid_map", "/proc/self/gid_map") }
	i := start(t, d, spec)
	first := ids(i)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = closing(t, h.open(t))
	if err := d.Sweep(t.Context(), []driver.Ref{spec.Ref, {UUID: spec.UUID}}); err != nil {
		t.Fatal(err)
	}
	i, err := d.Recover(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if now := ids(i); now != first {
		t.Errorf("with another davitd the map is %q, before %q", now, first)
	}
	kill(t, i)
	h.claims(t, 1)
	// Another has ids of its own meanwhile.
	other := start(t, d, h.spec(idle, change))
	if theirs := ids(other); theirs == first {
		t.Errorf("both domains have %q", theirs)
	}
	kill(t, other)
	if err := d.Sweep(t.Context(), []driver.Ref{{UUID: spec.UUID}}); err != nil {
		t.Fatal(err)
	}
	h.claims(t, 1)
	spec.Generation = uuid.NewString()
	i = start(t, d, spec)
	if again := ids(i); again != first {
		t.Errorf("the next start has %q, the first %q", again, first)
	}
	if err := d.Unreserve(t.Context(), spec.UUID); err != nil {
		t.Fatal(err)
	}
	h.claims(t, 1) // it runs
	kill(t, i)
	h.claims(t, 0)
}

// What cannot be mapped keeps a domain from being started, and a definition is warned of it; a privileged one has it as it is.
func TestUnmappableSource(t *testing.T) {
	h := newHost(t, "fac75003")
	d := closing(t, h.open(t))
	_, change := ownRoot(t)
	withProc := func(def *davitv1.Domain) {
		def.Devices.Filesystem = append(def.Devices.Filesystem, &davitv1.Filesystem{
			Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: "/proc/fs", TargetDir: "/data/fs", Readonly: true,
		})
	}
	spec := h.spec(idle, change, withProc)
	at := fmt.Sprintf("/domain/devices/filesystem[%d]/source/@dir", len(spec.Definition.GetDevices().GetFilesystem()))
	const want = "the ids of /proc/fs, which is of type proc, cannot be mapped"
	_, err := d.Start(t.Context(), spec)
	var e *domain.Error
	if !errors.As(err, &e) || len(e.Violations) != 1 || e.Violations[0].XMLPath != at ||
		!strings.Contains(e.Violations[0].Message, want) || !strings.Contains(e.Violations[0].Message, "<davit:profile name='privileged'/>") {
		t.Errorf("start: %v, want %q at %s", err, want, at)
	}
	h.claims(t, 0)
	warnings, err := d.Check(t.Context(), spec.Definition)
	if err != nil {
		t.Fatal(err)
	}
	told := false
	for _, w := range warnings {
		told = told || w.GetXmlPath() == at && strings.Contains(w.GetMessage(), want)
	}
	if !told {
		t.Errorf("the definition is warned of %v", warnings)
	}
	i := start(t, d, h.spec(idle, change, withProc, func(def *davitv1.Domain) {
		def.Profile = &davitv1.Profile{Name: davitv1.ProfileName_PROFILE_NAME_PRIVILEGED}
	}))
	kill(t, i)
	h.empty(t)
}

// A filter of the host is loaded by its name, for commands as for init; without it the domain is not started.
func TestHostFilter(t *testing.T) {
	h := newHost(t, "fac75004")
	h.options.SeccompDir = filepath.Join(t.TempDir(), "seccomp")
	if err := os.Mkdir(h.options.SeccompDir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := closing(t, h.open(t))
	_, change := ownRoot(t)
	filtered := func(def *davitv1.Domain) { def.Profile = &davitv1.Profile{Seccomp: "no-chmod"} }
	_, err := d.Start(t.Context(), h.spec(idle, change, filtered))
	if !errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(err.Error(), "no-chmod") || !strings.Contains(err.Error(), h.options.SeccompDir) {
		t.Errorf("start without the filter: %v", err)
	}
	text := `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [
		{"names": ["chmod", "fchmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}`
	file := filepath.Join(h.options.SeccompDir, "no-chmod.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	i := start(t, d, h.spec(idle, change, filtered))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	// What a command has is what init was given, whatever became of the file.
	if got := output(t, i, "sh", "-c", "grep ^Seccomp: /proc/1/status /proc/self/status; chmod 700 /data 2>&1"); strings.Count(got, "Seccomp:\t2") != 2 ||
		!strings.Contains(got, "Operation not supported") {
		t.Errorf("a command: %q", got)
	}
	kill(t, i)
	h.empty(t)
}
