package escape_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/pty"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// neighbourAttacks aim at davit's processes, other domains and users of the host, and what all share.
var neighbourAttacks = []attack{
	{
		id: "ESC-31", name: "console-inject", tries: "flood the console with bytes that terminals mind and no end of a line, beside a reader that does not read",
		guest: consoleFlood, control: consoleFloodNaive,
	},
	{
		id: "ESC-34", name: "idmap-overlap", tries: "get the host's root, or the ids of another domain, by an idmap",
		client: idmapOverlap, control: idmapNaive,
	},
	{
		id: "ESC-35", name: "setuid-exposure", tries: "as an unprivileged user of the host, walk davit's folders, and run a setuid program that a guest made in its root",
		client: setuidExposure, control: setuidExposureNaive,
	},
	{
		id: "ESC-38", name: "abstract-socket", tries: "connect to abstract sockets of davit's, with the host's network",
		client: abstractSockets, control: abstractSocketsNaive,
	},
	{
		id: "ESC-39", name: "monitor-forge", tries: "kill every process, find davit's processes and sockets",
		guest: monitorForge, control: monitorForgeNaive,
	},
	{
		id: "ESC-40", name: "net-reach", tries: "reach a service of the host's loopback",
		guest: netReach, control: netReachNaive,
	},
	{
		id: "ESC-41", name: "resource-dos", tries: "use up processes, memory, terminals, inotify, cgroups, keys, mounts, network namespaces and shared memory, and be a bomb that floods its console", needs: []need{{"a limit of processes", func(s *suite, p profile) string {
			if !s.named && !s.accepts("<davit:pids limit='100'/>") {
				return "definitions have no limit of processes"
			}
			return ""
		}}},
		guest: exhaust, uncontrolled: "without limits it would take the host down; the case counts what it got instead",
	},
}

// monitorOf is the process beside a domain.
func (c *scene) monitorOf(name string) int {
	c.t.Helper()
	answer, err := c.client.GetDomain(c.t.Context(), &davitv1.GetDomainRequest{Domain: client.ByName(name)})
	if err != nil {
		c.t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", answer.GetDomain().GetInitPid()))
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "PPid:"); ok {
			pid, _ := strconv.Atoi(strings.TrimSpace(rest))
			return pid
		}
	}
	c.t.Fatal("init has no parent")
	return 0
}

// anonymous is the memory of a process that is its own, in KiB.
func anonymous(tb testing.TB, pid int) int {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib
		}
	}
	tb.Fatal("no memory")
	return 0
}

func consoleFlood(c *scene) string {
	t := c.t
	mib := 4 + rounds()/8
	name := c.launch(t, domainOptions{}, "linger", "--", "flood", strconv.Itoa(mib))
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Scale(2*time.Minute))
	defer cancel()
	slow, err := c.client.Console(ctx, client.ByName(name), client.ConsoleOptions{ReadOnly: true, Scrollback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }() // and never reads
	monitor := c.monitorOf(name)
	c.hear(t, name, `"end":"flood"`)
	// The monitor is to need 8 MiB at most beside its program.
	if kib := anonymous(t, monitor); kib > 8<<10 {
		c.escapes(t, "the monitor holds %d KiB after a flood of %d MiB", kib, mib)
	}
	var logged int64
	_ = filepath.WalkDir(c.root+"/log", func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				logged += info.Size()
			}
		}
		return nil
	})
	if logged > 64<<20 {
		c.escapes(t, "the logs hold %d bytes", logged)
	}
	return "the guest is not stalled, the monitor stays small and the log within its bounds"
}

func consoleFloodNaive(c *scene) string {
	user, terminal, err := pty.Open()
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = user.Close(); _ = terminal.Close() }()
	cmd, _ := c.nakedCommand(c.t, "flood", "1")
	cmd.Stdout = terminal
	if err = cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stalled := false
	select {
	case err = <-done:
	case <-time.After(500 * time.Millisecond):
		stalled = true
	}
	if stalled {
		_ = cmd.Process.Kill()
		_ = user.Close()
		err = <-done
	}
	if !stalled {
		c.t.Fatalf("a terminal that nobody reads stalls nobody any more: %v", err)
	}
	return "a guest on a terminal that its relay does not read is stalled"
}

// idmaps are maps that must not be. One that names ids of users of the host is none of them: an explicit idmap has libvirt's
// meaning, whose own example maps to 1000.
func idmaps() map[string]string {
	one := func(start, target, count string) string {
		return fmt.Sprintf("<idmap><uid start='%s' target='%s' count='%s'/><gid start='%s' target='%s' count='%s'/></idmap>", start, target, count, start, target, count)
	}
	return map[string]string{
		"more ids than there are": one("0", "4294967290", "100"),
		"negative ids":            one("0", "-1", "10"),
		"ids that wrap":           one("0", "4294967296", "10"),
		"no ids":                  one("0", "2100000000", "0"),
		"a map without root":      one("5", "2100000000", "10"),
		"huge counts":             one("0", "2100000000", "4294967295"),
		"the host's root":         one("0", "0", "65536"),
		"twice the same":          strings.Replace(one("0", "2100000000", "10"), "</idmap>", "<uid start='5' target='2100000005' count='10'/></idmap>", 1),
	}
}

func idmapOverlap(c *scene) string {
	t := c.t
	for what, idmap := range idmaps() {
		document := strings.Replace(c.document(domainOptions{name: "mapped", argv: []string{"pause"}}), c.ownMap(), "", 1)
		document = strings.Replace(document, "<devices>", idmap+"<devices>", 1)
		if _, err := c.client.CreateDomain(t.Context(), &davitv1.CreateDomainRequest{Source: client.XML(document)}); err == nil {
			c.domains = append(c.domains, "mapped")
			c.escapes(t, "a domain with %s was started", what)
			c.destroy(t, "mapped")
		} else {
			t.Logf("%s: refused: %v", what, err)
		}
	}
	first := c.launch(t, domainOptions{}, "identity")
	ids := c.heard(t, first).values()["uid_map"]
	if strings.HasPrefix(ids, "0 0 ") {
		c.escapes(t, "the domain has the host's ids: %s", ids)
	}
	target := strings.Fields(ids)[1]
	stolen := fmt.Sprintf("<idmap><uid start='0' target='%s' count='10'/><gid start='0' target='%s' count='10'/></idmap>", target, target)
	document := strings.Replace(c.document(domainOptions{name: "thief", argv: []string{"pause"}}), c.ownMap(), "", 1)
	if _, err := c.client.CreateDomain(t.Context(), &davitv1.CreateDomainRequest{Source: client.XML(strings.Replace(document, "<devices>", stolen+"<devices>", 1))}); err == nil {
		c.domains = append(c.domains, "thief")
		c.escapes(t, "a domain with the ids of another was started")
	}
	return fmt.Sprintf("%d maps, and that of a running domain, refused", len(idmaps()))
}

// ownMap is the idmap that the suite itself writes, if it has to.
func (c *scene) ownMap() string {
	document := c.document(domainOptions{name: "x"})
	i, j := strings.Index(document, "<idmap>"), strings.Index(document, "</idmap>")
	if i < 0 {
		return ""
	}
	return document[i : j+len("</idmap>")]
}

func idmapNaive(c *scene) string {
	cmd, out := c.apart(c.t, "identity")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	if err := cmd.Run(); err != nil {
		c.t.Fatal(err)
	}
	if v := parse(c.t, []byte(out.String())).values(); v["uid_map"] != "0 0 1" {
		c.t.Fatalf("the kernel maps the host's root no more: %v", v)
	}
	return "the kernel itself maps the host's root for a child of the suite"
}

// nobody runs a command as an unprivileged user of the host.
func nobody(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
	return cmd.CombinedOutput()
}

func walkState(c *scene) string {
	t := c.t
	name := c.launch(t, domainOptions{}, "identity")
	c.heard(t, name)
	out, _ := nobody("/usr/bin/find", c.root, "-type", "f", "-readable")
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, c.root) && !strings.Contains(line, "Permission denied") {
			c.escapes(t, "anybody reads %s", strings.TrimPrefix(strings.TrimSpace(line), c.folder))
		}
	}
	if !strings.Contains(string(out), "Permission denied") {
		t.Fatalf("nothing refused nobody: %s", out)
	}
	return "every file below the folder of state is out of reach"
}

func walkStateNaive(c *scene) string {
	out, err := nobody("/usr/bin/find", c.rootfs, "-type", "f", "-readable")
	if err != nil || !strings.Contains(string(out), "/bin/guest") {
		c.t.Fatalf("the walk does not find what is there: %v, %s", err, out)
	}
	return "the same walk finds an image that lies in a folder open to all"
}

// setuidExposure walks davit's folders, then to a setuid program that a guest made in a root that is kept as documented: below a folder
// that is the host's root's alone.
func setuidExposure(c *scene) string {
	walked := walkState(c)
	shut := c.rootfs + "-shut"
	if err := os.Mkdir(shut, 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(c.rootfs, shut+"/root"); err != nil {
		c.t.Fatal(err)
	}
	c.rootfs = shut + "/root"
	program := c.plant()
	if out, err := c.apartAsNobody(program); !errors.Is(err, fs.ErrPermission) {
		c.escapes(c.t, "nobody runs %s: %v, %s", filepath.Base(program), err, out)
	}
	return walked + "; a setuid program of the host's root that the guest made in a root below a folder of mode 0700 is out of reach, too"
}

func setuidExposureNaive(c *scene) string {
	walked := walkStateNaive(c)
	out, err := c.apartAsNobody(c.plant())
	if err != nil {
		c.t.Fatalf("nobody runs a setuid program in an open folder: %v, %s", err, out)
	}
	if ids := strings.Fields(parse(c.t, []byte(out)).values()["Uid"]); len(ids) != 4 || ids[0] != "65533" || ids[1] != "0" {
		c.t.Fatalf("nobody has the ids %q", ids)
	}
	return walked + "; a setuid program that the guest made in a root in an open folder makes nobody the host's root"
}

// plant has a guest make a setuid program of the host's root in its root, for whoever gets there, and gives where it is on the host.
func (c *scene) plant() string {
	t := c.t
	t.Helper()
	name := c.launch(t, domainOptions{}, "plant")
	if r := c.heard(t, name); r.done("plant") != 1 {
		t.Fatalf("the guest makes no setuid program: %v", r)
	}
	c.destroy(t, name)
	program := c.rootfs + "/bin/planted"
	var stat unix.Stat_t
	if err := unix.Stat(program, &stat); err != nil || c.mapped && stat.Uid != 0 || stat.Mode&0o7777 != 0o4755 {
		t.Fatalf("on the host it is of user %d and mode %o, %v", stat.Uid, stat.Mode, err)
	}
	return program
}

// apartAsNobody runs a program as an unprivileged user of the host, in namespaces of its own.
func (c *scene) apartAsNobody(program string) (string, error) {
	cmd, out := c.apart(c.t, "identity")
	cmd.Path = program
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65533, Gid: 65533}
	err := cmd.Run()
	return out.String(), err
}

// davitProcesses are the daemon and all below it and its keeper: what runs davit's programs.
func (c *scene) davitProcesses() []int {
	pids := []int{c.daemon.Process.Pid}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if strings.HasPrefix(filepath.Base(strings.SplitN(string(text), "\x00", 2)[0]), "davit-monitor") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// abstractOf lists the abstract sockets that processes listen on.
func abstractOf(tb testing.TB, pids []int) []string {
	tb.Helper()
	inodes := map[string]bool{}
	for _, pid := range pids {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		for _, e := range entries {
			target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
			if rest, ok := strings.CutPrefix(target, "socket:["); ok {
				inodes[strings.TrimSuffix(rest, "]")] = true
			}
		}
	}
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		tb.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) >= 8 && inodes[f[6]] && strings.HasPrefix(f[7], "@") {
			found = append(found, f[7])
		}
	}
	return found
}

func abstractSockets(c *scene) string {
	name := c.launch(c.t, domainOptions{}, "identity")
	c.heard(c.t, name)
	pids := c.davitProcesses()
	if len(pids) < 2 {
		c.t.Fatal("davit has no monitor")
	}
	if names := abstractOf(c.t, pids); len(names) > 0 {
		c.escapes(c.t, "davit listens on %q", names)
	}
	return "the daemon, the keeper and the monitors have none"
}

func abstractSocketsNaive(c *scene) string {
	listener, err := net.Listen("unix", fmt.Sprintf("@davit-escape-%d", os.Getpid()))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if len(abstractOf(c.t, []int{os.Getpid()})) == 0 {
		c.t.Fatal("the look does not see an abstract socket that is there")
	}
	return "the look sees an abstract socket of the suite"
}

func monitorForge(c *scene) string {
	t := c.t
	name := c.launch(t, domainOptions{}, "identity")
	c.heard(t, name)
	monitor := c.monitorOf(name)
	r := c.exec(t, name, client.ExecOptions{}, "kill-all")
	c.nothing(t, r)
	if r.values()["kill"] == "" {
		t.Fatalf("nothing was killed: %v", r)
	}
	if err := unix.Kill(monitor, 0); err != nil || c.monitorOf(name) != monitor {
		c.escapes(t, "the monitor is gone: %v", err)
	}
	c.exec(t, name, client.ExecOptions{}, "identity")
	return "davit's processes and sockets are not there for it; the domain answers on"
}

func monitorForgeNaive(c *scene) string {
	// A decoy in the attacker's company: a socket in its root, which it must see.
	listener, err := net.Listen("unix", c.rootfs+"/run/monitor.sock")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if r := c.naked(c.t, "kill-all"); r.done("see a socket") == 0 {
		c.t.Fatalf("the attack does not see a socket that is there: %v", r)
	}
	return "it sees a socket that lies in its root"
}

// service listens on the host's loopback.
func service(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

func netReach(c *scene) string {
	r := c.both(c.t, domainOptions{}, "connect", service(c.t))
	c.nothing(c.t, r)
	return "refused in a network namespace of its own: " + r.errors()
}

func netReachNaive(c *scene) string {
	cmd, out := c.nakedCommand(c.t, "connect", service(c.t))
	cmd.SysProcAttr.Cloneflags &^= unix.CLONE_NEWNET
	if err := cmd.Run(); err != nil {
		c.t.Fatal(err)
	}
	if r := parse(c.t, []byte(out.String())); r.done("connect") == 0 {
		c.t.Fatalf("the attack does not work any more: %v", r)
	}
	return "an unconfined child in the host's network connects"
}

func exhaust(c *scene) string {
	t := c.t
	o := domainOptions{}
	if !c.named {
		o.elements = "<davit:pids limit='200'/>"
	}
	mounts := 5000
	if rounds() >= 100 {
		mounts = 200_000
	}
	name := c.launch(t, o, "exhaust", strconv.Itoa(mounts))
	r := c.heard(t, name)
	got := r.values()
	t.Logf("it got %v", got)
	for what, most := range map[string]int{
		"terminals": 2000, "processes": 5000, "MiB of shm": 300, "inotify": 90_000, "cgroups": 4000, "cgroups within each other": 50,
		"keys": 1000, "mounts": 150_000,
	} {
		if n, err := strconv.Atoi(got[what]); err == nil && n >= most {
			c.escapes(t, "it got %d %s", n, what)
		}
	}
	if n, _ := strconv.Atoi(got["processes"]); n < 20 {
		t.Fatalf("the guest made only %d processes", n)
	}
	exhausted := c.beside(t, name, o)
	// The same with one that never stops, and floods its console meanwhile.
	name = c.launch(t, o, "bomb", "--", "flood", "100000")
	bombed := c.beside(t, name, o)
	t.Logf("exhausted: %v; bombed: %v", exhausted, bombed)
	return fmt.Sprintf("limits stop it (%s); another domain starts beside it; destroyed, one that has used up everything is gone after %v, a bomb after %v",
		amounts(got), exhausted[2].Round(10*time.Millisecond), bombed[2].Round(10*time.Millisecond))
}

// amounts lists how much of each thing a guest got.
func amounts(got map[string]string) string {
	var all []string
	for what, n := range got {
		all = append(all, n+" "+what)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// beside starts and ends a domain beside a hostile one, and ends that, and tells how long each took.
func (c *scene) beside(t *testing.T, hostile string, o domainOptions) (took [3]time.Duration) {
	t.Helper()
	o.second = c.image()
	for i, act := range []func(){
		func() { c.heard(t, c.launch(t, o, "identity")) },
		func() { c.destroy(t, c.domains[len(c.domains)-1]) },
		func() { c.destroy(t, hostile) },
	} {
		began := time.Now()
		act()
		// On a quiet host it is a fraction of a second; what is noticed here is one that stands still.
		if took[i] = time.Since(began); took[i] > testenv.Scale(30*time.Second) {
			c.escapes(t, "beside a hostile domain, step %d takes %v", i, took[i])
		}
	}
	return took
}
