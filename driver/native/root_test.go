package native_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ownRoot makes a root in a folder, with the host's /usr below it for programs, and gives the folder.
func ownRoot(t *testing.T) (dir string, change func(*davitv1.Domain)) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "root")
	for _, name := range []string{"usr", "proc", "sys", "dev", "tmp", "data", "mnt", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	const accounts = "root:x:0:0::/:/bin/sh\nweb:x:1234:4321::/data:/bin/sh\n"
	if err := os.WriteFile(filepath.Join(dir, "etc", "passwd"), []byte(accounts), 0o644); err != nil {
		t.Fatal(err)
	}
	mount, usr := davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, usrOf(t)
	return dir, func(def *davitv1.Domain) {
		def.Profile = nil // the one that follows from its init
		def.Devices.Filesystem = []*davitv1.Filesystem{
			{Type: mount, SourceDir: dir, TargetDir: "/"},
			{Type: mount, SourceDir: usr, TargetDir: "/usr", Readonly: true},
			{Type: davitv1.FilesystemType_FILESYSTEM_TYPE_RAM, SourceUsageKib: 1024, TargetDir: "/tmp"},
			{Type: davitv1.FilesystemType_FILESYSTEM_TYPE_BIND, SourceDir: "/data", TargetDir: "/mnt"},
		}
	}
}

// ownPrograms are what tests run in such a root.
var ownPrograms = []string{
	"sh", "cat", "chmod", "chown", "dd", "env", "find", "grep", "head", "hostname", "id", "ls", "mkdir", "mknod", "mount", "readlink", "rm",
	"setpriv", "sleep", "sort", "stat", "touch", "true", "umount", "unshare", "wc",
}

// usrOf is the folder that such a root has its programs of: the host's or, where that is an overlay, whose ids cannot be mapped, one with
// copies of the programs and of the libraries that the loader tells.
func usrOf(t *testing.T) string {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs("/usr", &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type != unix.OVERLAYFS_SUPER_MAGIC {
		return "/usr"
	}
	usr := filepath.Join(t.TempDir(), "usr")
	for _, program := range ownPrograms {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		copyInto(t, filepath.Join(usr, "bin", program), path)
		libraries, err := exec.Command("ldd", path).Output()
		if err != nil {
			t.Fatalf("ldd %s: %v", path, err)
		}
		for word := range strings.FieldsSeq(string(libraries)) {
			if filepath.IsAbs(word) { // below /lib, which is a link to usr/lib
				copyInto(t, filepath.Join(usr, strings.TrimPrefix(word, "/usr")), word)
			}
		}
	}
	return usr
}

// copyInto copies a file with its mode, unless it is there.
func copyInto(t *testing.T, to, from string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// A domain on a root of its own is as the definition says: files of the host's root are its root's, few capabilities, mounts in order.
func TestOwnRoot(t *testing.T) {
	h := newHost(t, "00070001")
	d := closing(t, h.open(t))
	dir, change := ownRoot(t)
	i := start(t, d, h.spec(idle, change, func(def *davitv1.Domain) { def.Name = "own root (1)" }))
	for _, test := range []struct{ script, want string }{
		{"cat /proc/self/uid_map", "0 1000000 65536"},
		{"hostname", "ownroot1"},
		{"echo x > /usr/x", "Read-only file system"},
		{"echo kept > /data/f; cat /mnt/f", "kept"},
		{"stat -c %u:%g / /data/f /usr/bin /tmp /dev/null", "0:0 0:0 0:0 0:0 0:0"},
		{"grep ' /tmp ' /proc/self/mountinfo", "size=1024k"},
		{"mknod /tmp/null c 1 3", "Operation not permitted"},
		{"echo 1 > /proc/sys/kernel/panic", "Read-only file system"},
		{"echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward", "1"},
		{"ls /sys/firmware | wc -l", "0"},
		{"echo ok > /dev/null && ls /dev | wc -l", "16"},
		{"ls /proc/1/root/etc", "passwd"},
		{"cat /proc/self/cgroup | grep ^0:", "0::/"},
		{"setpriv --reuid 1234 --regid 4321 --clear-groups id -u", "1234"},
	} {
		got := strings.Join(strings.Fields(output(t, i, "sh", "-c", test.script+" 2>&1")), " ")
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q in it", test.script, got, test.want)
		}
	}
	// Linux 6.1 does not show it in a network namespace of a user namespace, 6.18 does.
	const somaxconn = "/proc/sys/net/core/somaxconn"
	if got := output(t, i, "sh", "-c", "echo 1 > "+somaxconn+" 2>&1; ls "+somaxconn+" 2>&1"); !strings.Contains(got, "Read-only file system") &&
		!strings.Contains(got, "No such file") {
		t.Errorf("write to %s: %q", somaxconn, got)
	}
	kill(t, i)
	if text, err := os.ReadFile(filepath.Join(dir, "data", "f")); err != nil || string(text) != "kept\n" {
		t.Errorf("the root has %q, %v", text, err)
	}
	h.empty(t)
}

// Init runs as whom the domain's own passwd says.
func TestInitUser(t *testing.T) {
	h := newHost(t, "00070002")
	d := closing(t, h.open(t))
	_, change := ownRoot(t)
	i := start(t, d, h.spec(idle, change, func(def *davitv1.Domain) { def.Os.Inituser, def.Os.Initgroup = "web", "+77" }))
	got := output(t, i, "sh", "-c", "grep -E '^(Uid|Gid|CapEff|NoNewPrivs)' /proc/1/status")
	for _, want := range []string{"Uid:\t1234\t1234\t1234\t1234", "Gid:\t77\t77\t77\t77", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("status of init: %q, want %q in it", got, want)
		}
	}
	kill(t, i)
}

// A root that is read-only stays as it is.
func TestReadOnlyRoot(t *testing.T) {
	h := newHost(t, "00070003")
	d := closing(t, h.open(t))
	dir, change := ownRoot(t)
	i := start(t, d, h.spec(idle, change, func(def *davitv1.Domain) { def.Devices.Filesystem[0].Readonly = true }))
	got := output(t, i, "sh", "-c", "echo x > /etc/x; echo x > /data/x; echo written > /tmp/y && cat /tmp/y")
	if strings.Count(got, "Read-only file system") != 2 || !strings.Contains(got, "written\n") { // of two streams: in any order
		t.Errorf("writing to it: %q", got)
	}
	kill(t, i)
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "x")); len(left) > 0 {
		t.Errorf("the root has %q", left)
	}
}

// Capabilities are those of the policy, in init and in each command.
func TestCapabilityPolicy(t *testing.T) {
	h := newHost(t, "00070004")
	d := closing(t, h.open(t))
	_, change := ownRoot(t)
	for want, caps := range map[uint64]*davitv1.Capabilities{
		1 << 10: {Policy: davitv1.CapabilityPolicy_CAPABILITY_POLICY_DENY, NetBindService: new(true)},
		0:       {Policy: davitv1.CapabilityPolicy_CAPABILITY_POLICY_DENY},
	} {
		i := start(t, d, h.spec(idle, change, func(def *davitv1.Domain) { def.Features = &davitv1.Features{Capabilities: caps} }))
		for _, of := range []string{"1", "self"} {
			got := output(t, i, "grep", "-E", "^Cap(Bnd|Eff)", "/proc/"+of+"/status")
			if text := fmt.Sprintf("%016x", want); strings.Count(got, "\t"+text+"\n") != 2 {
				t.Errorf("capabilities of %s: %q, want %s", of, got, text)
			}
		}
		kill(t, i)
	}
}
