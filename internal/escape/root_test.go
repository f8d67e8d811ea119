package escape_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// rootAttacks are images that are not what they seem.
var rootAttacks = []attack{
	{
		id: "ESC-05", name: "dev-symlink", tries: "have devices and mounts made on the host through links in the image",
		guest: devSymlink, control: devSymlinkNaive,
	},
	{
		id: "ESC-06", name: "mount-target-race", tries: "have a mount made outside by flipping its target in a shared volume",
		guest: mountRace, control: mountRaceNaive,
	},
	{
		id: "ESC-07", name: "mask-source", tries: "have a file of proc shown where proc is masked, by an image with another dev/null",
		guest: maskSource, control: maskSourceNaive,
	},
	{
		id: "ESC-08", name: "console-bind", tries: "have a file given to a command in place of its terminal",
		guest: consoleBind, control: consoleBindNaive,
	},
	{
		id: "ESC-09", name: "proc-redirect", tries: "have writes to proc go elsewhere, by an image or a volume in its place",
		guest: procRedirect, control: procRedirectNaive,
	},
	{
		id: "ESC-10", name: "rootfs-is-symlink", tries: "have the host's root as root by a link",
		guest: rootIsLink, control: rootIsLinkNaive,
	},
	{
		id: "ESC-11", name: "mkdir-outside", tries: "have folders and files made outside by dangling links at targets of mounts",
		guest: mkdirOutside, control: mkdirOutsideNaive,
	},
	{
		id: "ESC-12", name: "metadata-write", tries: "have davitd write through links in the image, or into it at all",
		guest: metadataWrite, control: metadataWriteNaive,
	},
}

// untouched fails where something changed among the canaries.
func (c *scene) untouched(t *testing.T, before map[string]string, what string) {
	t.Helper()
	after := tree(t, c.canary)
	for path, state := range after {
		if before[path] != state {
			c.escapes(t, "%s changed %s", what, strings.TrimPrefix(path, c.folder))
		}
	}
	if len(after) != len(before) {
		c.escapes(t, "%s changed the files of the host", what)
	}
}

// touched is the control's contrary: it puts the canaries back.
func (c *scene) touched(t *testing.T, canary string, before map[string]string, what string) {
	t.Helper()
	after := tree(t, canary)
	for path, state := range after {
		if before[path] != state {
			return
		}
	}
	if len(after) == len(before) {
		t.Fatalf("%s changes nothing any more", what)
	}
}

// ownCanary makes canaries that a control may hurt.
func (c *scene) ownCanary(t *testing.T) string {
	t.Helper()
	dir := c.rootfs + "-canary"
	for _, name := range []string{"file", "pts/file", "shm/file", "sub/file", "self/oom_score_adj"} {
		mustWrite(t, filepath.Join(dir, name), "canary", 0o666)
	}
	return dir
}

// imageVariants are places of an image and where they lead; CANARY stands for the canaries.
var imageVariants = []struct{ place, target string }{
	{"dev", "CANARY"},
	{"dev", "../../../../../../../..CANARY"},
	{"dev", "no-such"},
	{"dev", "proc"},
	{"proc", "CANARY"},
	{"proc", "dev"},
	{"sys", "CANARY"},
	{"sys", "/proc/self/root"},
	{"tmp", "CANARY"},
	{"tmp", "../../..CANARY/sub"},
	{"tmp", "dangling/x"},
	{"run", "CANARY/new"},
	{"run", "/proc/1/root"},
	{"opt", "CANARY/file"},
	{"etc", "CANARY"},
}

func devSymlink(c *scene) string {
	t := c.t
	before := tree(t, c.canary)
	devices := "<filesystem type='ram'><source usage='64' units='KiB'/><target dir='/tmp/a'/></filesystem>" +
		"<filesystem type='mount'><source dir='" + c.canary + "/sub'/><target dir='/opt/x/y'/><readonly/></filesystem>"
	refused := 0
	for _, v := range imageVariants {
		what := v.place + " -> " + v.target
		replace(t, strings.ReplaceAll(v.target, "CANARY", c.canary), filepath.Join(c.rootfs, v.place))
		name, err := c.start(t, domainOptions{devices: devices, argv: []string{"pause"}})
		if err == nil {
			_, _ = c.command(name, client.ExecOptions{}, "identity")
			c.destroy(t, name)
		} else {
			refused++
			t.Logf("%s: %v", what, err)
		}
		c.untouched(t, before, what)
		if err := os.Remove(filepath.Join(c.rootfs, v.place)); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(c.rootfs, v.place), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if refused == 0 {
		t.Error("no image at all was refused: do they still have links?")
	}
	return fmt.Sprintf("%d images: %d refused, the others work inside; nothing outside changed", len(imageVariants), refused)
}

func devSymlinkNaive(c *scene) string {
	t := c.t
	canary := c.ownCanary(t)
	before := tree(t, canary)
	replace(t, canary, c.rootfs+"/dev")
	c.careless(t, "naive-furnish", c.rootfs)
	c.touched(t, canary, before, "a runtime that makes devices by name")
	return "a runtime that makes devices by name makes them among the canaries"
}

func mountRace(c *scene) string {
	t := c.t
	volume := c.rootfs + "-volume"
	for _, dir := range []string{volume, volume + "/target", c.rootfs + "/vol"} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // the guest is to write there
			t.Fatal(err)
		}
	}
	replace(t, c.canary, volume+"/other")
	if !c.mapped {
		if err := os.Lchown(volume, idBase, idBase); err != nil {
			t.Fatal(err)
		}
	}
	share := "<filesystem type='mount'><source dir='" + volume + "'/><target dir='/vol'/></filesystem>"
	flipper := c.launch(t, domainOptions{devices: share}, "flip", "/vol/target", "/vol/other")
	c.hear(t, flipper, `"begun"`)
	before := tree(t, c.canary)
	started := 0
	o := domainOptions{argv: []string{"pause"}, second: c.image()}
	for range rounds() {
		o.devices = share + "<filesystem type='ram'><source usage='64' units='KiB'/><target dir='/vol/target'/></filesystem>"
		name, err := c.start(t, o)
		if err == nil {
			started++
			c.destroy(t, name)
		} else if !strings.Contains(err.Error(), `"/vol/target"`) {
			t.Fatal(err)
		}
	}
	c.untouched(t, before, "a start beside a flipping target")
	c.stop(t)
	r := c.heard(t, flipper)
	if r.done("flip") == 0 {
		t.Fatalf("the target was never flipped: %v", r)
	}
	t.Logf("%d of %d starts came through, %d flips", started, rounds(), r.done("flip"))
	return "no mount outside in " + times(rounds(), "start")
}

func mountRaceNaive(c *scene) string {
	t := c.t
	canary := c.ownCanary(t)
	if err := os.Mkdir(c.rootfs+"/vol/target", 0o755); err != nil {
		t.Fatal(err)
	}
	replace(t, canary, c.rootfs+"/vol/other")
	flipper, out := c.nakedCommand(t, "flip", "/vol/target", "/vol/other")
	if err := flipper.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "flips to begin", func() bool { return strings.Contains(out.String(), `"begun"`) })
	r := c.careless(t, "naive-mount", c.rootfs+"/vol/target", c.rootfs+"/vol")
	c.stop(t)
	if err := flipper.Wait(); err != nil {
		t.Error(err)
	}
	if r.done("mount outside") == 0 {
		t.Fatalf("the race is never won any more: %v", r)
	}
	return "a runtime that looks and then mounts by name mounts on a canary"
}

// maskedFiles are files of proc that must tell nothing.
var maskedFiles = []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kallsyms", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/kpagecount"}

func maskSource(c *scene) string {
	t := c.t
	replace(t, "/proc/sys/kernel/core_pattern", c.rootfs+"/dev/null")
	r := c.both(t, domainOptions{}, append([]string{"read"}, maskedFiles...)...)
	hidden := 0
	for _, path := range maskedFiles {
		if text := r.values()["text of "+path]; text != "" {
			c.escapes(t, "%s says %.40q", path, text)
		}
		if r.tried("read "+path) > 0 {
			hidden++
		}
	}
	if hidden != len(maskedFiles) {
		t.Fatalf("the guest did not look everywhere: %v", r)
	}
	return fmt.Sprintf("%d masked files are empty or absent", hidden)
}

func maskSourceNaive(c *scene) string {
	t := c.t
	replace(t, "/proc/sys/kernel/core_pattern", c.rootfs+"/dev/null")
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		t.Fatal(err)
	}
	if v := c.careless(t, "naive-mask", c.rootfs).values(); v["mask"] != string(pattern) {
		t.Fatalf("the attack does not work any more: %v", v)
	}
	return "a runtime that masks with the image's dev/null shows core_pattern"
}

func consoleBind(c *scene) string {
	t := c.t
	mustWrite(t, c.rootfs+"/canary", "", 0o666)
	name := c.launch(t, domainOptions{}, "swap-terminals")
	c.hear(t, name, `"begun"`)
	given := 0
	for range rounds() {
		out, err := c.command(name, client.ExecOptions{TTY: true, Size: client.Size{Rows: 24, Columns: 80}}, "standard-input")
		if err != nil {
			t.Logf("refused: %v", err)
			continue
		}
		given++
		for fd, what := range parse(t, out).values() {
			if what != "device 136" {
				c.escapes(t, "descriptor %s is a %s", fd, what)
			}
		}
	}
	c.stop(t)
	r := c.heard(t, name)
	if r.tried("remove") == 0 || r.tried("mount over pts") == 0 {
		t.Fatalf("the guest did not swap: %v", r)
	}
	t.Logf("%d of %d commands got a terminal; %v", given, rounds(), r)
	return "a command on a terminal gets a terminal or nothing"
}

func consoleBindNaive(c *scene) string {
	t := c.t
	mustWrite(t, c.rootfs+"/canary", "", 0o666)
	cmd, out := c.nakedCommand(t, "swap-terminals")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	console := fmt.Sprintf("/proc/%d/root/dev/pts/0", cmd.Process.Pid)
	await(t, "a terminal to be a file", func() bool {
		// What a runtime does that opens the terminal by its name in the container.
		f, err := os.OpenFile(console, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != nil {
			return false
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		return err == nil && info.Mode().IsRegular()
	})
	c.stop(t)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	return "a runtime that opens the terminal by name gets a file"
}

func procRedirect(c *scene) string {
	t := c.t
	before := tree(t, c.canary)
	for _, target := range []string{"/proc", "/proc/self/attr", "/proc/sys/kernel", "/proc/1", "/sys", "/dev/pts", "/proc/../proc/sys"} {
		devices := "<filesystem type='mount'><source dir='" + c.canary + "/sub'/><target dir='" + target + "'/></filesystem>"
		c.refused(t, domainOptions{devices: devices}, "a volume on "+target)
	}
	for _, target := range []string{c.canary, "../.." + c.canary, "tmp"} {
		replace(t, target, c.rootfs+"/proc")
		c.refused(t, domainOptions{}, "proc -> "+target)
		c.untouched(t, before, "proc -> "+target)
	}
	return "volumes and links in place of proc, sys and dev are refused"
}

func procRedirectNaive(c *scene) string {
	t := c.t
	canary := c.ownCanary(t)
	before := tree(t, canary)
	replace(t, canary, c.rootfs+"/proc")
	c.careless(t, "naive-furnish", c.rootfs)
	c.touched(t, canary, before, "a runtime that writes to the image's proc")
	return "a runtime that writes to proc by name writes to a canary"
}

func rootIsLink(c *scene) string {
	t := c.t
	place := c.rootfs + "-link"
	for _, target := range []string{"/", "../../..", "/proc/self/root", c.canary} {
		replace(t, target, place)
		c.refused(t, domainOptions{root: place}, "a root that is a link to "+target)
	}
	return "refused, whatever it leads to"
}

func rootIsLinkNaive(c *scene) string {
	t := c.t
	place := c.rootfs + "-link"
	replace(t, "/", place)
	if rootIdentity(t, place) != rootIdentity(t, "/") {
		t.Fatal("the attack does not work any more")
	}
	return "opened by name it is the host's root"
}

func mkdirOutside(c *scene) string {
	t := c.t
	before := tree(t, c.canary)
	target := []string{"/tmp/new", "/opt/a/b/c", "/etc/x/file", "/vol/deep"}
	for _, place := range []string{"tmp/new", "opt/a", "etc/x", "vol"} {
		replace(t, c.canary+"/made/by/davit", filepath.Join(c.rootfs, place))
	}
	var devices strings.Builder
	refused := 0
	for _, dir := range target {
		one := "<filesystem type='ram'><source usage='64' units='KiB'/><target dir='" + dir + "'/></filesystem>"
		devices.WriteString(one)
		if name, err := c.start(t, domainOptions{devices: one, argv: []string{"pause"}}); err == nil {
			c.destroy(t, name)
		} else {
			refused++
		}
		c.untouched(t, before, "a mount on "+dir)
	}
	if name, err := c.start(t, domainOptions{devices: devices.String(), argv: []string{"pause"}}); err == nil {
		c.destroy(t, name)
	}
	name := c.launch(t, domainOptions{}, "identity")
	for _, dir := range target {
		_, err := c.client.AttachDevice(t.Context(), &davitv1.AttachDeviceRequest{
			Domain: client.ByName(name), Source: client.DeviceXML("<filesystem type='ram'><source usage='64' units='KiB'/><target dir='" + dir + "'/></filesystem>"),
		})
		if err != nil {
			refused++
		}
	}
	c.untouched(t, before, "starts and attached mounts")
	return fmt.Sprintf("%d mounts at start and while it runs: nothing was made outside", 2*len(target))
}

func mkdirOutsideNaive(c *scene) string {
	t := c.t
	canary := c.ownCanary(t)
	before := tree(t, canary)
	replace(t, canary+"/made", c.rootfs+"/new")
	if err := os.WriteFile(c.rootfs+"/new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.touched(t, canary, before, "a file made by name")
	return "a file made by name is made among the canaries"
}

// metadataPlaces are files that some runtime or other writes into an image.
var metadataPlaces = []string{
	"etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "etc/machine-id", "etc/localtime", "run/.containerenv", ".dockerenv",
	"run/systemd/container", "dev/initctl", "backup.yaml", "etc/passwd", "etc/group", "proc/self/attr/exec",
}

func metadataWrite(c *scene) string {
	t := c.t
	for _, place := range metadataPlaces {
		replace(t, c.canary+"/file", filepath.Join(c.rootfs, place))
	}
	c.own(t, domainOptions{})
	before, image := tree(t, c.canary), tree(t, c.rootfs)
	name := c.launch(t, domainOptions{}, "identity")
	c.heard(t, name)
	c.exec(t, name, client.ExecOptions{User: "0", Cwd: "/"}, "identity")
	for _, call := range []func() error{
		func() error {
			_, err := c.client.UpdateDomain(t.Context(), titleUpdate(name))
			return err
		},
		func() error {
			_, err := c.client.ListProcesses(t.Context(), &davitv1.ListProcessesRequest{Domain: client.ByName(name)})
			return err
		},
		func() error {
			_, err := c.client.ListFilesystems(t.Context(), &davitv1.ListFilesystemsRequest{Domain: client.ByName(name)})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Logf("%v", err)
		}
	}
	c.destroy(t, name)
	c.untouched(t, before, "davitd")
	for path, state := range tree(t, c.rootfs) {
		if image[path] != state {
			c.escapes(t, "davitd changed %s of the image", strings.TrimPrefix(path, c.rootfs))
		}
	}
	return fmt.Sprintf("%d links not followed; nothing in the image changed", len(metadataPlaces))
}

func metadataWriteNaive(c *scene) string {
	t := c.t
	canary := c.ownCanary(t)
	before := tree(t, canary)
	replace(t, canary+"/file", c.rootfs+"/etc/hosts")
	c.careless(t, "naive-furnish", c.rootfs)
	c.touched(t, canary, before, "a runtime that writes etc/hosts by name")
	return "a runtime that writes etc/hosts by name writes to a canary"
}
