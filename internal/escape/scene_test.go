package escape_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// davitSpace declares davit's own elements.
const davitSpace = `xmlns:davit='https://github.com/davitd/davit/schemas/domain/1.0'`

// scene is where one attack is made: a root filesystem of its own, the domains that it starts, and how the host was before.
type scene struct {
	*suite
	t         *testing.T
	profile   profile
	rootfs    string
	images    int
	escape    string // what succeeded, if something did
	unwatched bool
	before    map[string]bool
	domains   []string
}

// scene prepares an attack, which ends with the test.
func (s *suite) scene(t *testing.T, p profile) *scene {
	t.Helper()
	c := s.newScene(t, p)
	c.before = s.host.look(t)
	t.Cleanup(func() { c.clear(t) })
	return c
}

func (s *suite) newScene(t *testing.T, p profile) *scene {
	t.Helper()
	s.count++
	c := &scene{suite: s, t: t, profile: p}
	c.rootfs = c.image()
	return c
}

// image makes a root filesystem with the hostile program.
func (c *scene) image() string {
	tb := c.t
	tb.Helper()
	c.images++
	root := fmt.Sprintf("%s/root-%d-%d", c.folder, c.count, c.images)
	for _, dir := range []string{"bin", "sbin", "dev", "proc", "sys", "tmp", "run", "etc", "vol", "opt"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	program, err := os.ReadFile(c.guest)
	if err != nil {
		tb.Fatal(err)
	}
	mustWrite(tb, root+"/bin/guest", string(program), 0o755)
	if err := os.Link(root+"/bin/guest", root+"/sbin/init"); err != nil {
		tb.Fatal(err)
	}
	return root
}

// own gives a whole root to the ids of its domain, where the suite has to do that.
func (c *scene) own(tb testing.TB, o domainOptions) {
	tb.Helper()
	if c.mapped {
		return
	}
	root, base := c.rootfs, o.idBase()
	if o.second != "" {
		root = o.second
	}
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		var stat unix.Stat_t
		if err != nil || unix.Lstat(path, &stat) != nil || stat.Uid >= idBase {
			return err
		}
		if err := os.Lchown(path, int(stat.Uid)+base, int(stat.Gid)+base); err != nil || e.Type() != 0 {
			return err
		}
		return os.Chmod(path, os.FileMode(stat.Mode&0o777)|setBits(stat.Mode)) // chown takes setuid away
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func setBits(mode uint32) os.FileMode {
	var bits os.FileMode
	if mode&unix.S_ISUID != 0 {
		bits |= os.ModeSetuid
	}
	if mode&unix.S_ISGID != 0 {
		bits |= os.ModeSetgid
	}
	return bits
}

// domainOptions are what attacks change in a definition.
type domainOptions struct {
	name     string
	root     string   // another root than the scene's
	init     string   // another init
	os       string   // more elements of os
	devices  string   // more elements of devices
	elements string   // more elements of the domain
	argv     []string // arguments of init
	second   string   // another image, of a domain that runs beside one of the first
	// readOnlyRoot has the root given to be read.
	readOnlyRoot bool
}

// idBase is the first host id of a domain where the suite names them: no two that run have the same.
func (o domainOptions) idBase() int {
	if o.second != "" {
		return idBase + idCount
	}
	return idBase
}

// document is the definition of a domain.
func (c *scene) document(o domainOptions) string {
	init := o.init
	if init == "" {
		init = map[profile]string{system: "/sbin/init"}[c.profile]
		if init == "" {
			init = "/bin/guest"
		}
	}
	root := c.rootfs
	if o.second != "" {
		root = o.second
	}
	if o.root != "" {
		root = o.root
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<domain type='lxc' %s xmlns:lxc='http://libvirt.org/schemas/domain/lxc/1.0'><name>%s</name><memory unit='MiB'>256</memory>", davitSpace, text(o.name))
	fmt.Fprintf(&b, "<resource><partition>%s</partition></resource><os><type>exe</type><init>%s</init>", partition, text(init))
	for _, arg := range o.argv {
		fmt.Fprintf(&b, "<initarg>%s</initarg>", text(arg))
	}
	b.WriteString(o.os + "</os>")
	if !c.mapped {
		fmt.Fprintf(&b, "<idmap><uid start='0' target='%d' count='%d'/><gid start='0' target='%d' count='%d'/></idmap>", o.idBase(), idCount, o.idBase(), idCount)
	}
	access := ""
	if o.readOnlyRoot {
		access = "<readonly/>"
	}
	fmt.Fprintf(&b, "<devices><filesystem type='mount'><source dir='%s'/><target dir='/'/>%s</filesystem>%s<console type='pty'/></devices>", text(root), access, o.devices)
	if c.named && c.profile != daemonItself {
		fmt.Fprintf(&b, "<davit:profile name='%s'/>", c.profile)
	}
	b.WriteString(o.elements + "</domain>")
	return b.String()
}

// text escapes a text for XML.
func text(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;").Replace(s)
}

// start starts a transient domain.
func (c *scene) start(tb testing.TB, o domainOptions) (string, error) {
	tb.Helper()
	c.own(tb, o)
	if o.name == "" {
		c.count++
		o.name = fmt.Sprintf("escape-%d", c.count)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(time.Minute))
	defer cancel()
	_, err := c.client.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: client.XML(c.document(o))})
	if err == nil {
		c.domains = append(c.domains, o.name)
	}
	return o.name, err
}

// launch starts a domain whose init makes attacks and then waits.
func (c *scene) launch(tb testing.TB, o domainOptions, attack ...string) string {
	tb.Helper()
	o.argv = append(slices.Clone(attack), "--", "pause")
	name, err := c.start(tb, o)
	if err != nil {
		tb.Fatalf("start: %v", err)
	}
	return name
}

// refused starts a domain that must not start, and gives what it was told.
func (c *scene) refused(tb testing.TB, o domainOptions, what string) string {
	tb.Helper()
	if o.argv == nil {
		o.argv = []string{"pause"}
	}
	name, err := c.start(tb, o)
	if err == nil {
		c.escapes(tb, "%s was started", what)
		c.destroy(tb, name)
		return ""
	}
	tb.Logf("%s: %v", what, err)
	return err.Error()
}

func (c *scene) destroy(tb testing.TB, name string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(time.Minute))
	defer cancel()
	_, err := c.client.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: client.ByName(name)})
	if err == nil {
		// It is transient: it is gone once it has stopped.
		_, _ = c.client.WaitDomain(ctx, &davitv1.WaitDomainRequest{Domain: client.ByName(name)})
	}
	c.domains = slices.DeleteFunc(c.domains, func(d string) bool { return d == name })
}

// clear ends the domains of the scene.
func (c *scene) clear(tb testing.TB) {
	tb.Helper()
	for len(c.domains) > 0 {
		c.destroy(tb, c.domains[0])
	}
}

// close ends the scene and looks for traces. What is taken down takes a moment.
func (c *scene) close(tb testing.TB) {
	tb.Helper()
	c.clear(tb)
	if c.unwatched || c.escape != "" {
		return
	}
	var traces []string
	for end := time.Now().Add(testenv.Scale(30 * time.Second)); ; time.Sleep(10 * time.Millisecond) {
		if traces = difference(c.before, c.host.look(tb)); len(traces) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(traces) > 0 {
		c.escapes(tb, "it left a trace: %s", strings.Join(traces, "; "))
	}
}

// escapes notes that something of an attack succeeded.
func (c *scene) escapes(tb testing.TB, format string, args ...any) {
	tb.Helper()
	what := fmt.Sprintf(format, args...)
	if c.escape == "" {
		c.escape = what
	}
	tb.Errorf("escaped: %s", what)
}

// finding and report are what the guest tells, as guest/report.go has them.
type finding struct {
	Try     string         `json:"try"`
	Done    int            `json:"done"`
	Refused map[string]int `json:"refused"`
	Value   string         `json:"value"`
	Begun   string         `json:"begun"`
	End     string         `json:"end"`
}

type report []finding

// values are the facts of a report.
func (r report) values() map[string]string {
	values := map[string]string{}
	for _, f := range r {
		if f.Value != "" {
			values[f.Try] = f.Value
		}
	}
	return values
}

// done tells how often an attempt succeeded, tried how often it was made.
func (r report) done(try string) int {
	n := 0
	for _, f := range r {
		if f.Try == try {
			n += f.Done
		}
	}
	return n
}

func (r report) tried(try string) int {
	n := r.done(try)
	for _, f := range r {
		if f.Try == try {
			for _, times := range f.Refused {
				n += times
			}
		}
	}
	return n
}

// succeeded lists what worked, but for what may.
func (r report) succeeded(may ...string) []string {
	var all []string
	for _, f := range r {
		if f.Done > 0 && !slices.Contains(may, f.Try) {
			all = append(all, f.Try)
		}
	}
	return all
}

// parse reads what a guest wrote. It must have come to the end of its attacks.
func parse(tb testing.TB, out []byte) report {
	tb.Helper()
	var r report
	ended := false
	for line := range bytes.Lines(out) {
		var f finding
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] != '{' {
			continue
		}
		if err := json.Unmarshal(line, &f); err != nil {
			tb.Fatalf("the guest says %q: %v", line, err)
		}
		if f.Try == "error" {
			tb.Fatalf("the guest cannot attack: %s", f.Value)
		}
		ended = ended || f.End != ""
		if f.Try != "" {
			r = append(r, f)
		}
	}
	if !ended {
		tb.Fatalf("the guest did not come to the end of its attack: %q", out)
	}
	return r
}

// run starts a domain whose init makes an attack, and gives its report.
func (c *scene) run(tb testing.TB, o domainOptions, attack ...string) report {
	tb.Helper()
	name := c.launch(tb, o, attack...)
	defer c.destroy(tb, name)
	return c.heard(tb, name)
}

// heard reads what init says until it has made its attack.
func (c *scene) heard(tb testing.TB, name string) report {
	tb.Helper()
	return parse(tb, c.hear(tb, name, `"end"`))
}

// hear reads the console of a domain until a text.
func (c *scene) hear(tb testing.TB, name, until string) []byte {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(3*time.Minute))
	defer cancel()
	console, err := c.client.Console(ctx, client.ByName(name), client.ConsoleOptions{ReadOnly: true, Scrollback: true})
	if err != nil {
		tb.Fatalf("console of %q: %v", name, err)
	}
	defer func() { _ = console.Close() }()
	var got []byte
	for p := make([]byte, 32<<10); !bytes.Contains(got, []byte(until)); {
		n, err := console.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			tb.Fatalf("console of %q: %q, then %v", name, got, err)
		}
	}
	return got
}

// exec runs a command in a domain and gives its report.
func (c *scene) exec(tb testing.TB, name string, o client.ExecOptions, attack ...string) report {
	tb.Helper()
	out, err := c.command(name, o, attack...)
	if err != nil {
		tb.Fatalf("run %q in %q: %v", attack, name, err)
	}
	return parse(tb, out)
}

// command runs a command in a domain and gives what it says.
func (c *scene) command(name string, o client.ExecOptions, attack ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(3*time.Minute))
	defer cancel()
	if o.Argv == nil {
		o.Argv = append([]string{"/bin/guest"}, attack...)
	}
	session, err := c.client.Exec(ctx, client.ByName(name), o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = session.Close() }()
	var out, errOut bytes.Buffer
	_, err = session.Copy(nil, &out, &errOut)
	return out.Bytes(), err
}

// both makes an attack as init and as a command in a domain, and gives what each says.
func (c *scene) both(tb testing.TB, o domainOptions, attack ...string) report {
	tb.Helper()
	name := c.launch(tb, o, attack...)
	defer c.destroy(tb, name)
	first := c.heard(tb, name)
	return append(first, c.exec(tb, name, client.ExecOptions{}, attack...)...)
}

// nothing fails unless nothing of an attack worked, but for what may, and something was tried.
func (c *scene) nothing(tb testing.TB, r report, may ...string) {
	tb.Helper()
	if len(r) == 0 {
		tb.Fatal("the guest tried nothing")
	}
	for _, try := range r.succeeded(may...) {
		c.escapes(tb, "%s", try)
	}
}

// stop tells the guest that attacks until then to stop.
func (c *scene) stop(tb testing.TB) {
	tb.Helper()
	mustWrite(tb, c.rootfs+"/stop", "", 0o644)
}

// naked makes an attack on the host without any defence, as root in namespaces of its own.
func (c *scene) naked(tb testing.TB, attack ...string) report {
	tb.Helper()
	cmd, out := c.nakedCommand(tb, attack...)
	if err := cmd.Run(); err != nil {
		tb.Fatalf("control: %v: %s", err, out)
	}
	return parse(tb, []byte(out.String()))
}

// nakedCommand makes the unconfined child, not yet started, and what it will say.
func (c *scene) nakedCommand(tb testing.TB, attack ...string) (*exec.Cmd, *buffer) {
	tb.Helper()
	return c.apart(tb, append([]string{"naked", c.rootfs}, attack...)...)
}

// apart makes a command of the guest program on the host, in mount, pid, ipc, uts and network namespaces of its own.
func (c *scene) apart(tb testing.TB, args ...string) (*exec.Cmd, *buffer) {
	tb.Helper()
	out := new(buffer)
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(3*time.Minute))
	cmd := exec.CommandContext(ctx, c.guest, args...)
	tb.Cleanup(func() {
		cancel()
		if cmd.Process != nil && cmd.ProcessState == nil { // the test failed before it waited
			_ = cmd.Wait()
		}
	})
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET,
		Pdeathsig:  unix.SIGKILL, Setsid: true,
	}
	return cmd, out
}

// careless runs a naive helper on the host, in namespaces of its own.
func (c *scene) careless(tb testing.TB, args ...string) report {
	tb.Helper()
	cmd, out := c.apart(tb, args...)
	if err := cmd.Run(); err != nil {
		tb.Fatalf("control: %v: %s", err, out)
	}
	return parse(tb, []byte(out.String()))
}

// titleUpdate is a change that harms nobody.
func titleUpdate(name string) *davitv1.UpdateDomainRequest {
	return &davitv1.UpdateDomainRequest{
		Domain: client.ByName(name), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}}, Title: "a title",
	}
}
