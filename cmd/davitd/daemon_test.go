package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// The test binary is also davitd: with runVariable it is run with its arguments, and with killVariable it kills itself
// at the point of that name.
const (
	runVariable  = "DAVITD_TEST_RUN"
	killVariable = "DAVITD_TEST_KILL"
	// emptyVariable names folders, separated by colons, that the daemon finds empty; it has a mount namespace of its own.
	emptyVariable = "DAVITD_TEST_EMPTY"
)

func TestMain(m *testing.M) {
	if os.Getenv(runVariable) != "" {
		for _, dir := range filepath.SplitList(os.Getenv(emptyVariable)) {
			if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
				panic(err)
			}
		}
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, mortal(os.Getenv(killVariable), openDriver)))
	}
	testenv.Main(m)
}

// site is where a daemon keeps its state, and what its domains run.
type site struct {
	root      string
	driver    string
	partition string
	ids       string   // folder in which host ids are claimed
	guest     string   // folder of the guest program; the native driver only
	program   string   // davitd; the test binary itself when empty, which tells all that it does
	disk      *os.File // the root, where it is a mount without a place; the daemon has it as descriptor 3
}

// newSite makes a place for a daemon with a driver. For the native one the test is skipped where the host lacks what a
// start needs, and nothing may be left behind.
func newSite(tb testing.TB, driver string) *site {
	tb.Helper()
	s := &site{driver: driver, root: tb.TempDir(), partition: "/test-davit"}
	s.ids = filepath.Join(s.root, "ids")
	if driver == "lxc" {
		testenv.Require(tb, testenv.Root, testenv.UserNS, testenv.Overlay, testenv.Cgroup)
		testenv.Residue(tb)
		tb.Setenv("DAVIT_MONITOR", testenv.Binary(tb, "davit-monitor"))
		tb.Cleanup(func() { s.clear(tb) })
	}
	s.configure(tb)
	if driver == "lxc" {
		s.guest = filepath.Join(s.root, "guest")
		if err := os.Mkdir(s.guest, 0o755); err != nil {
			tb.Fatal(err)
		}
		program, err := os.ReadFile(testenv.Build(tb, "./internal/guest"))
		if err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.guest, "guest"), program, 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(s.guest, "guest"), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// clear ends what a test that failed left running.
func (s *site) clear(tb testing.TB) {
	tb.Helper()
	if !tb.Failed() {
		return
	}
	d := s.command(tb)
	if err := d.cmd.Start(); err != nil {
		tb.Log(err)
		return
	}
	defer d.kill()
	c, err := client.Dial(s.socket())
	if err != nil {
		tb.Log(err)
		return
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(5*time.Minute))
	defer cancel()
	for c.Connect(ctx) != nil && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for info, err := range c.Domains(ctx, nil) {
		if err != nil {
			tb.Log(err)
			break
		}
		group.Go(func() error {
			_, _ = c.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: client.ByUUID(info.GetUuid())})
			return nil
		})
	}
	_ = group.Wait()
	d.end(tb)
}

// configure writes the daemon's configuration.
func (s *site) configure(tb testing.TB) {
	tb.Helper()
	config := fmt.Sprintf("driver = %q\n[idmap]\ndir = %q\n", s.driver, s.ids)
	if err := os.WriteFile(server.RootedConfigPath(s.root), []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// socket is where its daemon answers.
func (s *site) socket() string { return filepath.Join(s.root, "run", server.AdminSocket) }

// document is the definition of a domain that says its name on its console and waits.
func (s *site) document(name string) string {
	init, mount := "<init>/bin/sh</init>", ""
	if s.driver == "lxc" {
		init = fmt.Sprintf("<init>/guest/guest</init><initarg>echo</initarg><initarg>I am %s</initarg>"+
			"<initarg>--</initarg><initarg>pause</initarg>", name)
		mount = fmt.Sprintf("<filesystem type='mount'><source dir='%s'/><target dir='/guest'/><readonly/></filesystem>", s.guest)
	}
	return fmt.Sprintf(`<domain type='lxc'><name>%s</name><memory unit='MiB'>64</memory>
<resource><partition>%s</partition></resource>
<os><type>exe</type>%s</os><devices>%s<console type='pty'/></devices></domain>`, name, s.partition, init, mount)
}

// daemon is a running davitd.
type daemon struct {
	cmd *exec.Cmd
	log *buffer
}

// buffer is a log that is written and read at once.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// command makes a davitd of the site, not yet started.
func (s *site) command(tb testing.TB, environment ...string) *daemon {
	tb.Helper()
	root := s.root
	if s.disk != nil {
		root = "/proc/self/fd/3"
	}
	program, level := os.Args[0], "debug"
	if s.program != "" {
		program, level = s.program, "warn"
	}
	d := newDaemon(exec.Command(program, "--root", root, "--log-level", level))
	if s.disk != nil {
		d.cmd.ExtraFiles = []*os.File{s.disk}
	}
	d.cmd.Env = append(append(os.Environ(), runVariable+"=1"), environment...)
	return d
}

func newDaemon(cmd *exec.Cmd) *daemon {
	d := &daemon{cmd: cmd, log: new(buffer)}
	cmd.Stderr = d.log
	return d
}

// launch starts a davitd and waits until it has found all domains again that ran.
func (s *site) launch(tb testing.TB, environment ...string) *daemon {
	tb.Helper()
	d := s.await(tb, s.command(tb, environment...))
	s.awaitAdoption(tb)
	return d
}

// awaitAdoption waits until the daemon has found all domains again, or is there no more.
func (s *site) awaitAdoption(tb testing.TB) {
	tb.Helper()
	conn, err := grpc.NewClient("unix:"+s.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(tb.Context(), testenv.Scale(2*time.Minute))
	defer cancel()
	watch, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{Service: server.AdoptionService})
	for err == nil {
		var now *healthv1.HealthCheckResponse
		if now, err = watch.Recv(); now.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return
		}
	}
	if ctx.Err() != nil {
		tb.Fatalf("davitd has not found its domains again: %v", err)
	}
}

// await starts a davitd that was made and waits until it says that it answers.
func (s *site) await(tb testing.TB, d *daemon) *daemon {
	tb.Helper()
	address := fmt.Sprintf("@davitd-test-%d-%s", os.Getpid(), rand.Text())
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = ready.Close() }()
	d.cmd.Env = append(d.cmd.Env, "NOTIFY_SOCKET="+address)
	if err = d.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		d.kill()
		if tb.Failed() {
			tb.Logf("log of davitd %d:\n%s", d.cmd.Process.Pid, d.log)
		}
	})
	if err = ready.SetReadDeadline(time.Now().Add(testenv.Scale(2 * time.Minute))); err != nil {
		tb.Fatal(err)
	}
	message := make([]byte, 64)
	n, err := ready.Read(message)
	if err != nil || string(message[:n]) != "READY=1" {
		tb.Fatalf("davitd says %q, %v", message[:n], err)
	}
	return d
}

// kill kills it, as nothing can be prepared for.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
}

// died waits for a daemon that kills itself.
func (d *daemon) died(tb testing.TB) {
	tb.Helper()
	err := d.cmd.Wait()
	status, ok := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() != unix.SIGKILL {
		tb.Fatalf("davitd ended by %v (%v), not by itself", d.cmd.ProcessState, err)
	}
}

// end ends it as a signal does, and gives its exit code.
func (d *daemon) end(tb testing.TB) int {
	tb.Helper()
	if err := d.cmd.Process.Signal(unix.SIGTERM); err != nil {
		tb.Fatal(err)
	}
	_ = d.cmd.Wait()
	return d.cmd.ProcessState.ExitCode()
}

// client connects; calls do not wait for a daemon that went away.
func (s *site) client(tb testing.TB, options ...client.Option) *client.Client {
	tb.Helper()
	c, err := client.Dial(s.socket(), append([]client.Option{client.WithRetry(0)}, options...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// define defines a domain and gives its UUID.
func (s *site) define(tb testing.TB, c *client.Client, name string) string {
	tb.Helper()
	answer, err := c.DefineDomain(tb.Context(), &davitv1.DefineDomainRequest{Source: client.XML(s.document(name))})
	if err != nil {
		tb.Fatalf("define %q: %v", name, err)
	}
	return answer.GetDomain().GetUuid()
}

func startDomain(ctx context.Context, c *client.Client, name string) error {
	_, err := c.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: client.ByName(name)})
	return err
}

func destroy(tb testing.TB, c *client.Client, name string) {
	tb.Helper()
	if _, err := c.DestroyDomain(tb.Context(), &davitv1.DestroyDomainRequest{Domain: client.ByName(name)}); err != nil {
		tb.Errorf("destroy %q: %v", name, err)
	}
}

// look gets a domain.
func look(tb testing.TB, c *client.Client, name string) *davitv1.DomainInfo {
	tb.Helper()
	answer, err := c.GetDomain(tb.Context(), &davitv1.GetDomainRequest{Domain: client.ByName(name)})
	if err != nil {
		tb.Fatalf("get %q: %v", name, err)
	}
	return answer.GetDomain()
}

// hears runs a command in a domain and gives what it says.
func hears(tb testing.TB, c *client.Client, name string, argv ...string) string {
	tb.Helper()
	session, err := c.Exec(tb.Context(), client.ByName(name), client.ExecOptions{Argv: argv})
	if err != nil {
		tb.Fatalf("run %q in %q: %v", argv, name, err)
	}
	defer func() { _ = session.Close() }()
	var out, errOut bytes.Buffer
	exit, err := session.Copy(strings.NewReader(""), &out, &errOut)
	if err != nil || exit.GetCode() != 0 {
		tb.Fatalf("run %q in %q: %v, %v, %s", argv, name, exit, err, &errOut)
	}
	return out.String()
}

// reads opens the console of a domain from its oldest output and waits for a text.
func reads(tb testing.TB, c *client.Client, name, want string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), testenv.Scale(time.Minute))
	defer cancel()
	console, err := c.Console(ctx, client.ByName(name), client.ConsoleOptions{ReadOnly: true, Scrollback: true})
	if err != nil {
		tb.Fatalf("open console of %q: %v", name, err)
	}
	defer func() { _ = console.Close() }()
	var got []byte
	p := make([]byte, 1024)
	for !bytes.Contains(got, []byte(want)) {
		n, err := console.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			tb.Fatalf("console of %q: %q, then %v", name, got, err)
		}
	}
}

// history gives every event that is kept, and sees to it that none is missing.
func history(tb testing.TB, c *client.Client) []*davitv1.Event {
	tb.Helper()
	position, err := c.EventPosition(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	last := position.GetNewest().GetSequence()
	var all []*davitv1.Event
	for notice, err := range c.Watch(tb.Context(), client.WatchOptions{Oldest: true}) {
		if err != nil {
			tb.Fatal(err)
		}
		if notice.Event != nil {
			all = append(all, notice.Event)
			if got := notice.Event.GetPosition().GetSequence(); got != uint64(len(all)) {
				tb.Fatalf("event %d is followed by %d", len(all)-1, got)
			}
		}
		if notice.Position.GetSequence() >= last {
			break
		}
	}
	return all
}

// count counts the lifecycle events of a type.
func count(all []*davitv1.Event, kind davitv1.LifecycleEventType) (n int) {
	for _, ev := range all {
		if ev.GetLifecycle().GetType() == kind {
			n++
		}
	}
	return n
}

// tell describes events in a line.
func tell(all []*davitv1.Event) string {
	var words []string
	for _, ev := range all {
		words = append(words, fmt.Sprintf("%d %s %s", ev.GetPosition().GetSequence(), ev.GetName(),
			strings.TrimPrefix(ev.GetLifecycle().GetDetail().String(), "LIFECYCLE_EVENT_DETAIL_")))
	}
	return strings.Join(words, ", ")
}

// output runs davitd to its end and gives its exit code and what it wrote.
func output(tb testing.TB, args ...string) (code int, out, errOut string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), runVariable+"=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tb.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}
