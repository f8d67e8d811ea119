package escape_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
)

// joinAttacks aim at whoever enters a domain, and at what comes in with it.
var joinAttacks = []attack{
	{
		id: "ESC-01", name: "exe-overwrite", tries: "run davit's own program as init, and overwrite the program of whoever enters",
		guest: exeOverwrite, control: exeOverwriteNaive,
	},
	{
		id: "ESC-02", name: "join-ptrace", tries: "trace, and open the memory, root and descriptors of, whoever enters",
		guest: joinPtrace, control: joinPtraceNaive,
	},
	{
		id: "ESC-03", name: "fd-leak", tries: "find descriptors that davitd was started with, or has, in init and in a command",
		guest: fdLeak, control: fdLeakNaive,
	},
	{
		id: "ESC-04", name: "cwd-procfd", tries: "have a descriptor of the host or a magic link as working directory",
		guest: cwdProcFD, control: cwdProcFDNaive,
	},
}

func exeOverwrite(c *scene) string {
	t := c.t
	replace(t, "/proc/self/exe", c.rootfs+"/bin/link")
	replace(t, "../proc/1/exe", c.rootfs+"/bin/relative")
	mustWrite(t, c.rootfs+"/bin/script", "#!/proc/self/exe\n", 0o755)
	mustWrite(t, c.rootfs+"/bin/script2", "#! /bin/link -x\n", 0o755)
	mustWrite(t, c.rootfs+"/bin/elf", elfWith("/proc/self/exe"), 0o755)
	inits := []string{"/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe", "/bin/link", "/bin/relative", "/bin/script", "/bin/script2", "/bin/elf"}
	for _, init := range inits {
		c.refused(t, domainOptions{init: init}, "init "+init)
	}
	return fmt.Sprintf("%d inits refused; %s", len(inits), c.whileEntered(t, "exe-overwrite"))
}

// whileEntered makes an attack on whoever enters while commands are run, some of them davit's own program.
func (c *scene) whileEntered(t *testing.T, attack string) string {
	t.Helper()
	name := c.launch(t, domainOptions{}, attack)
	c.hear(t, name, `"begun"`)
	for n := range rounds() {
		if _, err := c.command(name, client.ExecOptions{}, "exit"); err != nil {
			t.Fatal(err)
		}
		if n%10 == 0 {
			if out, err := c.command(name, client.ExecOptions{Argv: []string{"/proc/self/exe"}}); err == nil && len(out) > 0 {
				c.escapes(t, "a command of davit's own program said %q", out)
			}
		}
	}
	c.stop(t)
	r := c.heard(t, name)
	c.nothing(t, r, "scan")
	if r.done("scan") == 0 {
		t.Fatal("the guest never looked")
	}
	t.Log(r)
	return fmt.Sprintf("nothing of those who entered with %s was reached", times(rounds(), "command"))
}

// joinedNaively makes an attack on a runtime that enters with its own program, a copy in the canaries' company, until try works.
func joinedNaively(t *testing.T, c *scene, attack, try string) string {
	t.Helper()
	runtime := filepath.Join(c.folder, "runtime-"+attack)
	program, err := os.ReadFile(c.guest)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, runtime, string(program), 0o755)
	cmd, out := c.nakedCommand(t, attack)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the attack to begin", func() bool { return strings.Contains(out.String(), `"begun"`) })
	for range 5 {
		join := exec.Command(runtime, "naive-join", strconv.Itoa(cmd.Process.Pid))
		text, err := join.CombinedOutput()
		if errors.Is(err, unix.ETXTBSY) {
			break // the attacker has it open for writing: that is what was to be shown
		}
		if err != nil {
			t.Fatalf("naive runtime: %v: %s", err, text)
		}
	}
	c.stop(t)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("control: %v: %s", err, out)
	}
	r := parse(t, []byte(out.String()))
	if r.done(try) == 0 {
		t.Fatalf("the attack does not work any more: %v", r)
	}
	return "a runtime that enters with its own program: " + try
}

func exeOverwriteNaive(c *scene) string {
	return joinedNaively(c.t, c, "exe-overwrite", "open a held program for writing")
}

func joinPtrace(c *scene) string { return c.whileEntered(c.t, "join-spy") }

func joinPtraceNaive(c *scene) string {
	return joinedNaively(c.t, c, "join-spy", "open mem")
}

// await waits for something that must come.
func await(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("waited in vain for %s", what)
		}
	}
}

// elfWith is a program whose interpreter has the given name.
func elfWith(interpreter string) string {
	data := make([]byte, 256)
	copy(data, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(data[16:], 3)
	binary.LittleEndian.PutUint16(data[18:], 62)
	binary.LittleEndian.PutUint64(data[32:], 64)
	binary.LittleEndian.PutUint16(data[54:], 56)
	binary.LittleEndian.PutUint16(data[56:], 1)
	binary.LittleEndian.PutUint32(data[64:], 3)
	binary.LittleEndian.PutUint64(data[72:], 128)
	binary.LittleEndian.PutUint64(data[96:], uint64(len(interpreter)+1))
	copy(data[128:], interpreter)
	return string(data)
}

func fdLeak(c *scene) string {
	t := c.t
	name := c.launch(t, domainOptions{}, "identity")
	for who, r := range map[string]report{
		"init": c.heard(t, name), "a command": c.exec(t, name, client.ExecOptions{}, "identity"),
		"a command with input": c.exec(t, name, client.ExecOptions{Stdin: true}, "identity"),
	} {
		if fds := r.values()["descriptors"]; fds != "0 1 2" {
			c.escapes(t, "%s has the descriptors %s", who, fds)
		}
	}
	c.onTerminal(t, name, func(r report) {
		if fds := r.values()["descriptors"]; fds != "0 1 2" {
			c.escapes(t, "a command on a terminal has the descriptors %s", fds)
		}
	}, "identity")
	return fmt.Sprintf("init and commands have 0, 1 and 2; davitd was started with %d stray ones", strayFDs)
}

// onTerminal runs a command on a terminal.
func (c *scene) onTerminal(t *testing.T, name string, check func(report), attack ...string) {
	t.Helper()
	check(c.exec(t, name, client.ExecOptions{TTY: true, Size: client.Size{Rows: 24, Columns: 80}}, attack...))
}

func fdLeakNaive(c *scene) string {
	t := c.t
	cmd, out := c.nakedCommand(t, "identity")
	stray, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stray.Close() }()
	cmd.ExtraFiles = []*os.File{stray}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if fds := parse(t, []byte(out.String())).values()["descriptors"]; fds == "0 1 2" || !strings.HasPrefix(fds, "0 1 2 3") {
		t.Fatalf("the guest does not see a descriptor that is there: %s", fds)
	}
	return "an unconfined child sees a stray descriptor"
}

func cwdProcFD(c *scene) string {
	t := c.t
	replace(t, "/proc/self/fd/7", c.rootfs+"/link")
	replace(t, "/proc/1/cwd", c.rootfs+"/link2")
	cwds := []string{"/link", "/link2", "/proc/1/root", "/proc/1/cwd", "/proc/self/cwd", "/proc/self/root"}
	for fd := range 40 {
		cwds = append(cwds, "/proc/self/fd/"+strconv.Itoa(fd))
	}
	for _, cwd := range cwds {
		if rounds() < 100 && strings.HasPrefix(cwd, "/proc/self/fd/") && cwd > "/proc/self/fd/1" { // many, all alike
			continue
		}
		c.refused(t, domainOptions{os: "<initdir>" + cwd + "</initdir>"}, "working directory "+cwd)
	}
	name := c.launch(t, domainOptions{}, "identity")
	root := c.heard(t, name).values()["root"]
	for _, cwd := range cwds {
		out, err := c.command(name, client.ExecOptions{Cwd: cwd}, "identity")
		if err != nil {
			continue
		}
		// A link that leads back into the root harms nobody, if that is where it ends.
		if v := parse(t, out).values(); !strings.HasPrefix(v["cwd"], "/") || strings.HasPrefix(v["cwd"], "(") || v["root"] != root {
			c.escapes(t, "a command runs in %s: %s", cwd, v["cwd"])
		}
	}
	return "each refused, for init and commands"
}

func cwdProcFDNaive(c *scene) string {
	t := c.t
	v := c.careless(t, "naive-cwd", c.rootfs).values()
	if strings.HasPrefix(v["cwd"], "/") {
		t.Fatalf("the attack does not work any more: %v", v)
	}
	return "a runtime that trusts the image's working directory runs its guest outside the root"
}

// rootIdentity is the device and inode of a file.
func rootIdentity(tb testing.TB, path string) string {
	tb.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		tb.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
