package escape_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
)

// rightsAttacks aim at more rights, by ids, groups, capabilities and what the image says of users.
var rightsAttacks = []attack{
	{
		id: "ESC-16", name: "loader-crossing", tries: "have davit load or run what the image ships in the place of libraries and tools",
		guest: loaderCrossing, control: loaderCrossingNaive,
	},
	{
		id: "ESC-17", name: "passwd-bomb", tries: "have davit read a passwd that is a fifo, a device, a folder, or of 10 GiB",
		guest: passwdBomb, control: passwdBombNaive,
	},
	{
		id: "ESC-18", name: "uid-parse", tries: "become root by a user whose number wraps, or is a name",
		guest: uidParse, control: uidParseNaive,
	},
	{
		id: "ESC-32", name: "caps-inherit", tries: "find capabilities that are inheritable, ambient, or beyond those of the profile",
		guest: capsInherit, control: capsInheritNaive,
	},
	{
		id: "ESC-33", name: "groups", tries: "find supplementary groups of davit's, or miss those of the user",
		guest: groups, control: groupsNaive,
	},
	{
		id: "ESC-36", name: "nnp-suid", tries: "rise by a setuid program of the image, beyond the host's nobody in system and at all in application",
		guest: suid, control: suidNaked,
	},
}

func loaderCrossing(c *scene) string {
	t := c.t
	traps := []string{"etc/ld.so.preload", "etc/nsswitch.conf", "lib/libnss_files.so.2", "lib64/libnss_files.so.2", "bin/sh", "bin/mount", "sbin/modprobe", "bin/gzip", "usr/sbin/iptables", "sbin/nft"}
	for _, trap := range traps {
		mustWrite(t, c.rootfs+"/"+trap, "#!/bin/guest trap\n", 0o755)
	}
	mustWrite(t, c.rootfs+"/etc/passwd", "root:x:0:0::/:/bin/sh\nweb:x:33:34::/:/bin/sh\n", 0o644)
	name := c.launch(t, domainOptions{os: "<inituser>web</inituser>"}, "identity")
	c.heard(t, name)
	for _, user := range []string{"web", "root", "33:34"} {
		c.exec(t, name, client.ExecOptions{User: user}, "identity")
	}
	_, _ = c.client.UpdateDomain(t.Context(), titleUpdate(name))
	c.destroy(t, name)
	if _, err := os.Lstat(c.rootfs + "/sprung"); err == nil {
		c.escapes(t, "a trap was sprung")
	}
	return fmt.Sprintf("none of %d traps was sprung", len(traps))
}

func loaderCrossingNaive(c *scene) string {
	mustWrite(c.t, c.rootfs+"/bin/mount", "#!/bin/guest trap\n", 0o755)
	c.naked(c.t, "run", "mount")
	if _, err := os.Lstat(c.rootfs + "/sprung"); err != nil {
		c.t.Fatal("the trap does not spring any more")
	}
	return "a runtime that runs mount by name in the root springs the trap"
}

// bombs are what a passwd may be that is none.
func bombs(t *testing.T, passwd string) map[string]func() {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]func(){
		"fifo":   func() { must(unix.Mkfifo(passwd, 0o666)) },
		"device": func() { must(os.Symlink("/dev/zero", passwd)) },
		"folder": func() { must(os.Mkdir(passwd, 0o755)) },
		"huge": func() {
			mustWrite(t, passwd, "", 0o644)
			must(os.Truncate(passwd, 10<<30))
		},
	}
}

func passwdBomb(c *scene) string {
	t := c.t
	passwd := c.rootfs + "/etc/passwd"
	var names []string
	for name, make := range bombs(t, passwd) {
		names = append(names, name)
		if err := os.RemoveAll(passwd); err != nil {
			t.Fatal(err)
		}
		make()
		if text := c.refused(t, domainOptions{os: "<inituser>web</inituser>"}, "a user of a passwd that is a "+name); !strings.Contains(text, "web") {
			t.Errorf("a %s: %s", name, text)
		}
		domain := c.launch(t, domainOptions{os: "<inituser>1000</inituser>"}, "identity")
		if uid := c.heard(t, domain).values()["Uid"]; uid != "1000 1000 1000 1000" {
			c.escapes(t, "user 1000 is %s", uid)
		}
		if out, err := c.command(domain, client.ExecOptions{User: "web"}, "identity"); err == nil {
			c.escapes(t, "a command runs as a user of a %s: %s", name, out)
		}
		c.destroy(t, domain)
	}
	slices.Sort(names)
	return "the name refused, a number taken: " + strings.Join(names, ", ")
}

func passwdBombNaive(c *scene) string {
	passwd := c.rootfs + "/etc/passwd"
	bombs(c.t, passwd)["device"]()
	f, err := os.Open(passwd)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if n, err := f.Read(make([]byte, 4<<20)); err != nil || n < 2<<20 {
		c.t.Fatalf("the bomb does not go off any more: %d, %v", n, err)
	}
	return "read by name it has no end"
}

// badUsers are no users.
var badUsers = []string{
	"nobody-there", "-1", "4294967295", "4294967296", "4294967297", "18446744073709551616", "0x0", "0b0", "1e0", "2147483648a",
	"+", "+web", "-0", "00x", "1 000", "99999999999999999999", "+4294967295", "+4294967296", "0;0", "1:2:3",
}

func uidParse(c *scene) string {
	t := c.t
	mustWrite(t, c.rootfs+"/etc/passwd", "root:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n4294967296:x:7:7::/:/bin/sh\n", 0o644)
	name := c.launch(t, domainOptions{}, "identity")
	c.heard(t, name)
	for _, user := range badUsers {
		out, err := c.command(name, client.ExecOptions{User: user}, "identity")
		if err != nil {
			continue
		}
		if v := parse(t, out).values(); user != "4294967296" || !strings.HasPrefix(v["Uid"], "7 ") {
			c.escapes(t, "user %q is %s", user, v["Uid"])
		}
	}
	for user, want := range map[string]string{"1000": "1000", "+1000": "1000", "65533": "65533", "root": "0", "0": "0"} {
		if got := c.exec(t, name, client.ExecOptions{User: user}, "identity").values()["Uid"]; !strings.HasPrefix(got, want+" ") {
			c.escapes(t, "user %q is %s", user, got)
		}
	}
	c.destroy(t, name)
	for _, user := range []string{"4294967295", "4294967297", "-1", "+4294967296"} {
		c.refused(t, domainOptions{os: "<inituser>" + user + "</inituser>"}, "user "+user)
	}
	return fmt.Sprintf("%d users refused, numbers are exact", len(badUsers))
}

func uidParseNaive(c *scene) string {
	wide, err := strconv.ParseUint("4294967296", 10, 64)
	if err != nil || uint32(wide) != 0 { //nolint:gosec // that it wraps is the point
		c.t.Fatal("numbers do not wrap any more")
	}
	return "a number that is cut to 32 bits is root's"
}

// deniedCapabilities are those that no guest has, by number: sys_module, sys_rawio, sys_time, mknod, audit_control, mac_override,
// mac_admin, syslog, perfmon, bpf, checkpoint_restore, dac_read_search.
var deniedCapabilities = []uint{16, 17, 25, 27, 30, 32, 33, 34, 38, 39, 40, 2}

func capsInherit(c *scene) string {
	t := c.t
	name := c.launch(t, domainOptions{}, "identity")
	for who, r := range map[string]report{
		"init": c.heard(t, name), "a command": c.exec(t, name, client.ExecOptions{}, "identity"),
		"a user's command": c.exec(t, name, client.ExecOptions{User: "1000"}, "identity"),
	} {
		v := r.values()
		mask := func(set string) uint64 {
			n, err := strconv.ParseUint(v[set], 16, 64)
			if err != nil {
				t.Fatalf("%s says %q of %s", who, v[set], set)
			}
			return n
		}
		if mask("CapInh") != 0 || mask("CapAmb") != 0 {
			c.escapes(t, "%s has inheritable %s, ambient %s", who, v["CapInh"], v["CapAmb"])
		}
		if mask("CapPrm")&^mask("CapBnd") != 0 || mask("CapEff")&^mask("CapPrm") != 0 {
			c.escapes(t, "%s has more than its bounds: %v", who, v)
		}
		if strings.HasPrefix(who, "a user") && mask("CapPrm") != 0 {
			c.escapes(t, "%s has %s", who, v["CapPrm"])
		}
		for _, bit := range deniedCapabilities {
			if mask("CapBnd")&(1<<bit) != 0 {
				c.escapes(t, "%s may have capability %d", who, bit)
			}
		}
	}
	return "inheritable and ambient are empty; the bounds lack what no guest has"
}

func capsInheritNaive(c *scene) string {
	cmd, out := c.nakedCommand(c.t, "identity")
	cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_RAW}
	if err := cmd.Run(); err != nil {
		c.t.Fatal(err)
	}
	if v := parse(c.t, []byte(out.String())).values(); strings.Trim(v["CapAmb"], "0") == "" {
		c.t.Fatalf("the guest does not see an ambient capability that is there: %v", v)
	}
	return "an unconfined child sees an ambient capability"
}

func groups(c *scene) string {
	t := c.t
	mustWrite(t, c.rootfs+"/etc/passwd", "root:x:0:0::/:/bin/sh\nweb:x:33:34::/:/bin/sh\n", 0o644)
	mustWrite(t, c.rootfs+"/etc/group", "root:x:0:\nwww:x:34:\nadm:x:4:web,other\nmail:x:8:other,web\n", 0o644)
	name := c.launch(t, domainOptions{}, "identity")
	if got := c.heard(t, name).values()["Groups"]; got != "" {
		c.escapes(t, "init has the groups %s", got)
	}
	for user, want := range map[string]string{"web": "4 8 34", "web:adm": "", "1000": "", "": ""} {
		if got := c.exec(t, name, client.ExecOptions{User: user}, "identity").values()["Groups"]; got != want {
			c.escapes(t, "user %q has the groups %q, want %q", user, got, want)
		}
	}
	return "exactly those of the image's group file"
}

func groupsNaive(c *scene) string {
	cmd, out := c.nakedCommand(c.t, "identity")
	cmd.SysProcAttr.Credential = &syscall.Credential{Groups: []uint32{4, 2020}}
	if err := cmd.Run(); err != nil {
		c.t.Fatal(err)
	}
	if v := parse(c.t, []byte(out.String())).values(); v["Groups"] != "4 2020" {
		c.t.Fatalf("the guest does not see groups that are there: %v", v)
	}
	return "an unconfined child sees groups that it was given"
}

// suidProgram puts the hostile program into the image as root's setuid program.
func (c *scene) suidProgram() {
	program, err := os.ReadFile(c.guest)
	if err != nil {
		c.t.Fatal(err)
	}
	mustWrite(c.t, c.rootfs+"/bin/su", string(program), 0o755)
	if err := os.Chmod(c.rootfs+"/bin/su", 0o755|os.ModeSetuid); err != nil { //nolint:gosec // it is what is attacked with
		c.t.Fatal(err)
	}
}

func suid(c *scene) string {
	c.suidProgram()
	name := c.launch(c.t, domainOptions{}, "identity")
	c.heard(c.t, name)
	out, err := c.command(name, client.ExecOptions{User: "1000", Argv: []string{"/bin/su", "identity"}})
	if err != nil {
		c.t.Fatal(err)
	}
	v := parse(c.t, out).values()
	if c.profile == application {
		if v["Uid"] != "1000 1000 1000 1000" || strings.Trim(v["CapEff"], "0") != "" || v["NoNewPrivs"] != "1" {
			c.escapes(c.t, "user 1000 is %s with %s, no_new_privs %s", v["Uid"], v["CapEff"], v["NoNewPrivs"])
		}
		return "it stays user 1000 without capabilities"
	}
	if !strings.HasPrefix(v["Uid"], "1000 0 ") {
		c.t.Fatalf("a setuid program does nothing in profile %s: %v", c.profile, v)
	}
	if strings.HasPrefix(v["uid_map"], "0 0 ") {
		c.escapes(c.t, "root of the domain is root of the host")
	}
	return "it becomes the domain's root, who is nobody on the host"
}

func suidNaked(c *scene) string {
	c.suidProgram()
	if v := c.naked(c.t, "as", "1000", "/bin/su", "identity").values(); !strings.HasPrefix(v["Uid"], "1000 0 ") {
		c.t.Fatalf("a setuid program does nothing any more: %v", v)
	}
	return "an unconfined user 1000 becomes root"
}
