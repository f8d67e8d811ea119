package debiantest_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/internal/testenv"
)

const (
	// folderVariable names the folder that keeps the Debian.
	folderVariable = "DAVIT_TEST_DEBIAN"
	// mirrorVariable is where packages come from, if not from where debootstrap thinks.
	mirrorVariable = "DAVIT_TEST_MIRROR"
	// suite is Debian 12.
	suite = "bookworm"
	// packages are what makes a minimal Debian a server that somebody may log in to.
	packages = "systemd-sysv,dbus,libpam-systemd,udev,iproute2,iputils-ping,cron,openssh-server,sudo,procps"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// TestDebian boots the Debian from its folder and below an overlay.
func TestDebian(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.UserNS, testenv.Overlay, testenv.Cgroup)
	debian := bootstrap(t)
	for _, test := range []struct {
		name string
		root func(t *testing.T) string
	}{
		{"folder", func(t *testing.T) string {
			t.Helper()
			return `<filesystem type='mount'><source dir='` + duplicate(t, debian) + `'/><target dir='/'/></filesystem>`
		}},
		{"overlay", func(*testing.T) string {
			return `<filesystem type='mount'><source dir='` + debian + `'/><target dir='/'/><davit:overlay upper='discard'/></filesystem>`
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			testenv.Residue(t)
			h := newHost(t)
			h.define(test.root(t))
			live(t, h)
		})
	}
}

// bootstrap gives the folder of the Debian, and makes it first where it is missing: whole or not at all.
func bootstrap(t *testing.T) string {
	t.Helper()
	cache := os.Getenv(folderVariable)
	if cache == "" {
		t.Skipf("needs a Debian: %s names no folder to keep it in (make test-debian does)", folderVariable)
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		t.Fatal(err)
	}
	if err = os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // a cache
		t.Fatal(err)
	}
	lock, err := os.Open(cache)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(cache, suite)
	if _, err = os.Stat(root); err == nil {
		return root
	}
	making := root + ".new"
	if err = os.RemoveAll(making); err != nil {
		t.Fatal(err)
	}
	// In a mount namespace of its own, so that what it mounts goes with it.
	args := []string{"-m", "debootstrap", "--variant=minbase", "--include=" + packages, suite, making}
	if mirror := os.Getenv(mirrorVariable); mirror != "" {
		args = append(args, mirror)
	}
	run(t, "unshare", args...)
	furnish(t, making)
	if err = os.Rename(making, root); err != nil {
		t.Fatal(err)
	}
	return root
}

// furnish makes what was bootstrapped an image for many: without the host's name, without an id of its own. There is a user who
// may log in and become root.
func furnish(t *testing.T, root string) {
	t.Helper()
	for _, name := range []string{"etc/hostname", "var/lib/dbus/machine-id"} {
		if err := os.Remove(filepath.Join(root, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"etc/machine-id": "", "etc/hosts": "127.0.0.1 localhost\n", "etc/sudoers.d/member": "member ALL=(ALL) NOPASSWD: ALL\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil { //nolint:gosec // as they are
			t.Fatal(err)
		}
	}
	run(t, "chroot", root, "sh", "-euc", `
useradd --create-home --uid 1000 --shell /bin/bash member
echo member:secret | chpasswd
rm -f /var/cache/apt/archives/*.deb`)
}

// duplicate copies the Debian, to be written to.
func duplicate(t *testing.T, debian string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "debian")
	run(t, "cp", "-a", "--reflink=auto", debian, root)
	return root
}

// run runs a program of the host.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
