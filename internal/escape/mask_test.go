package escape_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maskAttacks aim at mounts that hide and that protect.
var maskAttacks = []attack{
	{
		id: "ESC-X8", name: "lift-masks", tries: "unmount, move away, go round and remount what hides and protects proc and sysfs, and look and write there",
		guest: liftMasks, control: liftMasksNaked,
	},
	{
		id: "ESC-X9", name: "remount", tries: "make a root and a volume writable that are given to be read",
		guest: makeWritable, control: makeWritableNaked,
	},
}

func liftMasks(c *scene) string {
	const name = "davit-escape-mask"
	defer hostKey(c.t, name)()
	r := c.both(c.t, domainOptions{}, "lift-masks", name)
	var lifted []string
	for what, value := range r.values() {
		if how, ok := strings.CutPrefix(what, "lifted: "); ok {
			lifted = append(lifted, how)
		}
		if strings.HasPrefix(what, "seen by") || strings.HasPrefix(what, "written by") {
			c.t.Logf("%s: %s", what, value)
		}
	}
	slices.Sort(lifted)
	c.nothing(c.t, r, "make nested namespaces")
	if c.profile == application && len(lifted) > 0 {
		c.escapes(c.t, "it lifts masks: %s", strings.Join(lifted, ", "))
	}
	if len(lifted) == 0 {
		return "no mask can be lifted: " + r.errors()
	}
	return fmt.Sprintf("it can lift masks (%s), and what is below is closed to it, as it is not the host's root: %s", strings.Join(lifted, ", "), r.errors())
}

func liftMasksNaked(c *scene) string {
	const name = "davit-escape-mask-naked"
	defer hostKey(c.t, name)()
	r := c.naked(c.t, "lift-masks", name)
	for _, try := range []string{"read /proc/timer_list", "read /proc/keys", "write /proc/sys/kernel/core_pattern"} {
		if r.done(try) == 0 {
			c.t.Fatalf("the attack does not %s any more: %v", try, r)
		}
	}
	return "an unconfined child reads timer_list and keys of the host, and writes core_pattern"
}

// readOnlyVolume is a definition with a root and a volume to be read, and the volume's folder.
func (c *scene) readOnlyVolume() (o domainOptions, volume string) {
	volume = c.rootfs + "-volume"
	if err := os.Mkdir(volume, 0o755); err != nil {
		c.t.Fatal(err)
	}
	if !c.mapped {
		if err := os.Lchown(volume, idBase, idBase); err != nil {
			c.t.Fatal(err)
		}
	}
	return domainOptions{
		readOnlyRoot: true,
		devices:      "<filesystem type='mount'><source dir='" + volume + "'/><target dir='/vol'/><readonly/></filesystem>",
	}, volume
}

func makeWritable(c *scene) string {
	o, volume := c.readOnlyVolume()
	r := c.both(c.t, o, "make-writable", "/", "/vol")
	for _, dir := range []string{c.rootfs, volume} {
		if _, err := os.Lstat(dir + "/written"); err == nil {
			c.escapes(c.t, "it wrote to %s", strings.TrimPrefix(dir, c.folder))
		}
	}
	if r.tried("write as it is /") == 0 || r.tried("change by descriptor /vol") == 0 {
		c.t.Fatalf("the guest did not try: %v", r)
	}
	c.nothing(c.t, r)
	return "nothing is written: " + r.errors()
}

func makeWritableNaked(c *scene) string {
	_, volume := c.readOnlyVolume()
	cmd, out := c.apart(c.t, "naked-read-only", c.rootfs, volume, "make-writable", "/vol")
	cmd.SysProcAttr.Cloneflags &^= syscall.CLONE_NEWNET
	if err := cmd.Run(); err != nil {
		c.t.Fatal(err)
	}
	if r := parse(c.t, []byte(out.String())); r.done("remount /vol") == 0 || r.done("write as it is /vol") > 0 {
		c.t.Fatalf("the attack does not work any more: %v", r)
	}
	if err := unix.Access(volume+"/written", unix.F_OK); err != nil {
		c.t.Fatalf("nothing was written: %v", err)
	}
	return "an unconfined child remounts and writes"
}
