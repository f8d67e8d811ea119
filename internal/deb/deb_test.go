package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVersions(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for described, want := range map[string]string{
		"v1.2.3":               "1.2.3",
		"1.2.3":                "1.2.3",
		"v1.2.3-5-gabcdef0":    "1.2.3+git5.gabcdef0",
		"v1.2-1-gabc-dirty":    "1.2+git1.gabc+dirty",
		"abcdef0":              "0~git20261124120000.abcdef0",
		"abcdef0-dirty":        "0~git20261124120000.abcdef0+dirty",
		"unknown":              "",
		"":                     "",
		"1.2 (with) something": "",
	} {
		got, err := debianVersion(described, at)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", described, got, err, want)
		}
	}
}

// A commit's package is newer than its tag's, and that of a tree without a tag older than any.
func TestVersionsAreOrdered(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip("needs dpkg")
	}
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var last string
	for _, described := range []string{"ffff", "v0.1", "v0.1-dirty", "v0.1-2-gaaaa", "v0.1-10-gaaaa", "v0.2"} {
		version, err := debianVersion(described, at)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" {
			if err := exec.CommandContext(t.Context(), dpkg, "--compare-versions", last, "lt", version).Run(); err != nil {
				t.Errorf("%s is not older than %s", last, version)
			}
		}
		last = version
	}
}

// tree is what make install leaves, in small.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{
		"usr/bin/davit": 0o700, "usr/share/man/man1/davit.1": 0o600, "usr/share/doc/davit/LICENSE": 0o644,
		"usr/share/doc/davit/CHANGELOG.md": 0o644,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("this is "+name+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPackage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1764000000")
	dir := tree(t)
	var made [2][]byte
	for i := range made {
		out := filepath.Join(t.TempDir(), "a.deb")
		if err := run([]string{"-tree", dir, "-version", "v1.0", "-arch", "arm64", "-o", out}, io.Discard); err != nil {
			t.Fatal(err)
		}
		var err error
		if made[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("the same tree made two packages")
	}
	members := readArchive(t, made[0])
	if got := string(members["debian-binary"]); got != "2.0\n" {
		t.Errorf("debian-binary is %q", got)
	}
	want := map[string]int64{
		"./": 0o755, "./etc/": 0o755, "./etc/davit/": 0o755, "./etc/davit/davitd.toml": 0o644, "./usr/": 0o755, "./usr/bin/": 0o755,
		"./usr/bin/davit": 0o755, "./usr/share/": 0o755, "./usr/share/doc/": 0o755, "./usr/share/doc/davit/": 0o755,
		"./usr/share/doc/davit/changelog.Debian.gz": 0o644, "./usr/share/doc/davit/changelog.gz": 0o644,
		"./usr/share/doc/davit/copyright": 0o644, "./usr/share/lintian/": 0o755, "./usr/share/lintian/overrides/": 0o755,
		"./usr/share/lintian/overrides/davit": 0o644, "./usr/share/man/": 0o755, "./usr/share/man/man1/": 0o755,
		"./usr/share/man/man1/davit.1.gz": 0o644,
	}
	modes, _ := readTar(t, members["data.tar.gz"])
	if diff := cmp.Diff(want, modes); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	modes, files := readTar(t, members["control.tar.gz"])
	for _, script := range []string{"./postinst", "./prerm", "./postrm"} {
		if modes[script] != 0o755 {
			t.Errorf("%s has mode %o", script, modes[script])
		}
	}
	for _, line := range []string{"Package: davit\n", "Version: 1.0\n", "Architecture: arm64\n"} {
		if !strings.Contains(files["./control"], line) {
			t.Errorf("control has no %q:\n%s", line, files["./control"])
		}
	}
	if got := files["./conffiles"]; got != "/etc/davit/davitd.toml\n" {
		t.Errorf("conffiles: %q", got)
	}
	if n := strings.Count(files["./md5sums"], "\n"); n != 6 {
		t.Errorf("md5sums has %d files:\n%s", n, files["./md5sums"])
	}
}

// readArchive reads an ar archive.
func readArchive(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	rest, ok := bytes.CutPrefix(data, []byte("!<arch>\n"))
	if !ok {
		t.Fatal("no ar archive")
	}
	members := map[string][]byte{}
	for len(rest) > 0 {
		head := string(rest[:60])
		size, err := strconv.Atoi(strings.TrimSpace(head[48:58]))
		if err != nil || head[58:] != "`\n" {
			t.Fatalf("header %q: %v", head, err)
		}
		members[strings.TrimSpace(head[:16])] = rest[60 : 60+size]
		rest = rest[60+size+size%2:]
	}
	return members
}

// readTar reads a compressed tar archive: modes and contents. Everything is root's.
func readTar(t *testing.T, data []byte) (modes map[string]int64, files map[string]string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	modes, files = map[string]int64{}, map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return modes, files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		modes[h.Name], files[h.Name] = h.Mode, string(text)
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 1764000000 {
			t.Errorf("%s is of user %d, group %d, of %v", h.Name, h.Uid, h.Gid, h.ModTime)
		}
	}
}

// The shell finds nothing wrong with the maintainer scripts.
func TestScriptsAreShell(t *testing.T) {
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", "debian/"+name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
