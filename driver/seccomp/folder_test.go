package seccomp_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/seccomp"
)

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startable is dockerish with the call that every start needs beside those that it allows.
var startable = strings.Replace(dockerish, `"exit_group", `, `"exit_group", "execve", `, 1)

func TestLoadProfile(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "web.json", startable)
	p, warnings, err := seccomp.LoadProfile(dir, "web", seccomp.Facts{Arch: "amd64"})
	if err != nil || p.Name != "web" || len(warnings) != 2 {
		t.Fatalf("%q, %q, %v", p.Name, warnings, err)
	}
	if got := answered(t, p, "amd64", "amd64", "clone3"); got != code(nosys) {
		t.Errorf("clone3 is answered with %#x", got)
	}
}

func TestLoadProfileRefuses(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	put(t, outside, "secret.json", dockerish)
	put(t, dir, "web.json", dockerish)
	put(t, dir, "db.json", startable)
	put(t, dir, "empty.json", "")
	put(t, dir, "bad.json", `{"defaultAction": "SCMP_ACT_ERRNO", "x": 1}`)
	put(t, dir, "notes.txt", "")
	put(t, dir, "open.json", dockerish)
	for _, err := range []error{
		os.Chmod(filepath.Join(dir, "open.json"), 0o666),
		os.Symlink("web.json", filepath.Join(dir, "near.json")),
		os.Symlink(filepath.Join(outside, "secret.json"), filepath.Join(dir, "far.json")),
		os.Mkdir(filepath.Join(dir, "folder.json"), 0o700),
		unix.Mkfifo(filepath.Join(dir, "fifo.json"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const shape = ` is no name of a profile: 1 to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit`
	for name, c := range map[string]struct {
		want  string
		class error
	}{
		"wbe":    {`load seccomp profile "wbe": folder "DIR" has no file "wbe.json"; it has the profiles bad, db, empty, open, web`, domain.ErrNotFound},
		"notes":  {`load seccomp profile "notes": folder "DIR" has no file "notes.json"; it has`, domain.ErrNotFound},
		"empty":  {`read seccomp profile "empty": 1:1: the document ends here`, domain.ErrInvalid},
		"bad":    {`read seccomp profile "bad": 1:39: unknown key "x"`, domain.ErrInvalid},
		"web":    {`load seccomp profile "web": it never allows execve, without which no process starts; allow execve, exit_group, write`, domain.ErrFailedPrecondition},
		"near":   {`load seccomp profile "near": "DIR/near.json" is a symbolic link, which is not followed`, domain.ErrFailedPrecondition},
		"far":    {`load seccomp profile "far": "DIR/far.json" is a symbolic link, which is not followed`, domain.ErrFailedPrecondition},
		"folder": {`load seccomp profile "folder": "DIR/folder.json" is not a regular file`, domain.ErrFailedPrecondition},
		"fifo":   {`load seccomp profile "fifo": "DIR/fifo.json" is not a regular file`, domain.ErrFailedPrecondition},
		"open":   {`load seccomp profile "open": "DIR/open.json" may be written by everybody (mode 0666); take that away`, domain.ErrFailedPrecondition},

		"":                      {`find seccomp profile: ""` + shape, domain.ErrInvalid},
		"..":                    {`find seccomp profile: ".."` + shape, domain.ErrInvalid},
		"../" + "secret":        {shape, domain.ErrInvalid},
		"/etc/passwd":           {shape, domain.ErrInvalid},
		".web":                  {shape, domain.ErrInvalid},
		"-web":                  {shape, domain.ErrInvalid},
		"web\x00":               {shape, domain.ErrInvalid},
		"web\n":                 {shape, domain.ErrInvalid},
		"wéb":                   {shape, domain.ErrInvalid},
		strings.Repeat("w", 64): {shape, domain.ErrInvalid},
	} {
		p, _, err := seccomp.LoadProfile(dir, name, seccomp.Facts{})
		if err == nil || !errors.Is(err, c.class) || !strings.Contains(strings.ReplaceAll(err.Error(), dir, "DIR"), c.want) {
			t.Errorf("%q: %v, want %s", name, err, c.want)
		}
		if len(p.Rules) > 0 || p.Default != (seccomp.Action{}) {
			t.Errorf("%q: there is a profile all the same", name)
		}
	}
}

func TestLoadProfileWithoutAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "seccomp")
	_, _, err := seccomp.LoadProfile(dir, "web", seccomp.Facts{})
	if want := `load seccomp profile "web": folder "` + dir + `" has no file "web.json", and no other profile`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestProfiles(t *testing.T) {
	dir := t.TempDir()
	if got, err := seccomp.Profiles(filepath.Join(dir, "none")); err != nil || got != nil {
		t.Errorf("of no folder: %q, %v", got, err)
	}
	for _, name := range []string{"web.json", "db.json", "b.txt", ".x.json", "a b.json", "default.json", "unconfined.json"} {
		put(t, dir, name, "")
	}
	if got, err := seccomp.Profiles(dir); err != nil || !slices.Equal(got, []string{"db", "web"}) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := seccomp.Profiles(filepath.Join(dir, "web.json")); err == nil {
		t.Error("a file is listed as a folder")
	}
}

// A profile that forbids what every start needs is refused, by the name of the call; one that allows it under a condition is not.
func TestProfilesThatKeepFromStarting(t *testing.T) {
	dir := t.TempDir()
	const head = `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [`
	for _, arch := range seccomp.Architectures() {
		for rules, call := range map[string]string{
			`{"names": ["chmod", "execve"], "action": "SCMP_ACT_ERRNO"}`:                                                            "execve",
			`{"names": ["write", "fchmod"], "action": "SCMP_ACT_TRAP"}`:                                                             "write",
			`{"names": ["exit_group"], "action": "SCMP_ACT_KILL_PROCESS"}`:                                                          "exit_group",
			`{"names": ["exit_group"], "action": "SCMP_ACT_KILL"}, {"names": ["exit_group"], "action": "SCMP_ACT_ALLOW"}`:           "exit_group",
			`{"names": ["write", "execve"], "action": "SCMP_ACT_LOG"}, {"names": ["execveat", "exit"], "action": "SCMP_ACT_ERRNO"}`: "",
			`{"names": ["write"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}`:             "",
			`{"names": ["write"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 2, "value": 99, "op": "SCMP_CMP_LE"}]},
				{"names": ["write"], "action": "SCMP_ACT_ERRNO"}`: "",
		} {
			put(t, dir, "web.json", head+rules+", {\"names\": [\"bpf\"], \"action\": \"SCMP_ACT_ERRNO\"}]}")
			_, _, err := seccomp.LoadProfile(dir, "web", seccomp.Facts{Arch: arch})
			if call == "" && err != nil || call != "" && (err == nil || !strings.Contains(err.Error(), "it never allows "+call+",")) {
				t.Errorf("%s: %s: %v", arch, rules, err)
			}
		}
	}
}

// A folder into which everybody may put profiles is as good as a profile that everybody may write.
func TestLoadProfileFromAFolderOfEverybody(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "web.json", startable)
	for mode, want := range map[os.FileMode]string{0o755: "", 0o775: "", 0o777: "0777", 0o777 | os.ModeSticky: "0777"} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		_, _, err := seccomp.LoadProfile(dir, "web", seccomp.Facts{})
		if want == "" && err != nil || want != "" && (!errors.Is(err, domain.ErrFailedPrecondition) ||
			!strings.Contains(err.Error(), `"`+dir+`" may be written by everybody (mode `+want+`); take that away`)) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

// The longest name that a definition may have is one of a file.
func TestLongestName(t *testing.T) {
	dir, name := t.TempDir(), strings.Repeat("w", seccomp.MostName)
	put(t, dir, name+".json", startable)
	if p, _, err := seccomp.LoadProfile(dir, name, seccomp.Facts{}); err != nil || p.Name != name {
		t.Errorf("%q, %v", p.Name, err)
	}
}
