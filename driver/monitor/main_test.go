package monitor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor"
	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/keeper"
	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/program"
	"github.com/davitd/davit/driver/monitor/session"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// TestMain makes the test's own program a keeper and monitors too, that make processes in place of containers: all but
// the launch is the real thing, and needs no privilege.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "davit-monitor":
	case "default-signals":
		defaultSignals(os.Args[1:])
	default:
		testenv.Main(m)
		return
	}
	log := logline.New(os.Stderr)
	if err := runProgram(os.Args[1:], log); err != nil {
		log.Write(logline.Error, "it ended by a fault", logline.Err(err))
		os.Exit(1)
	}
}

func runProgram(args []string, log *logline.Log) error {
	names := []string{"folder", "keeper"}
	if args[0] == "--keeper" {
		names = names[:1]
	}
	files, report, err := program.Inherited(names...)
	if err != nil {
		return err
	}
	if args[0] == "--keeper" {
		return keeper.Run(keeper.Options{Folder: files[0], Log: log, Ready: report.Ready})
	}
	if args[1] == "generation-that-fails" {
		return report.Fault(errors.New("no reason"))
	}
	a := &monitor.Assignment{UUID: args[0], Generation: args[1], Folder: files[0], Connection: program.Connection(len(files))}
	if keeper.Spare(args) {
		if a, err = monitor.Await(files[0], nil); a == nil {
			return err
		}
	}
	return monitor.Run(monitor.Options{
		UUID: a.UUID, Generation: a.Generation, Folder: a.Folder, Connection: a.Connection, Keeper: files[1], Launcher: processes{}, Log: log,
		Ready: report.Ready,
	})
}

// defaultSignals executes a program that ignores no signal, whatever a monitor ignores: what the launch does for real.
func defaultSignals(argv []string) {
	var action [4]uint64
	for signal := uintptr(1); signal <= 31; signal++ {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
	panic(syscall.Exec(argv[0], argv, os.Environ()))
}

// command is a command with no signal ignored.
func command(argv []string) (*exec.Cmd, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{"default-signals", path}, argv[1:]...)}, nil
}

// processes makes processes in place of containers.
type processes struct{}

func (processes) Launch(plan *monitorv1.Plan, _ monitor.Cgroups) (monitor.Guest, error) {
	cmd, err := command(plan.GetInit().GetArgv())
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, pidfd: -1}
	for i := range plan.GetConsoles() {
		master, terminal, err := openTerminal()
		if err != nil {
			return nil, err
		}
		defer func() { _ = terminal.Close() }()
		p.consoles = append(p.consoles, master)
		if i == 0 {
			p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = terminal, terminal, terminal
		}
	}
	return p, p.start(len(plan.GetConsoles()) > 0)
}

// Adopt is a process that another monitor has made.
func (processes) Adopt(_ *monitorv1.Plan, _ monitor.Cgroups, o monitor.Orphan) monitor.Guest {
	return &adopted{process{file: o.Pidfd, consoles: o.Consoles}, o}
}

// adopted is a process of which another is the parent.
type adopted struct {
	process
	orphan monitor.Orphan
}

func (a *adopted) PID() int                       { return a.orphan.InitPID }
func (a *adopted) Wait() (*monitorv1.Exit, error) { return a.orphan.Await(), nil }

func (a *adopted) Signal(signal syscall.Signal) error {
	return unix.PidfdSendSignal(int(a.file.Fd()), signal, nil, 0)
}

// process is a process in place of a container, or a command.
type process struct {
	cmd      *exec.Cmd
	pidfd    int
	file     *os.File
	consoles []*os.File
	terminal *os.File
}

func (p *process) start(terminal bool) error {
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: terminal, PidFD: &p.pidfd}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.file = os.NewFile(uintptr(p.pidfd), "pidfd")
	return nil
}

func (p *process) PID() int                           { return p.cmd.Process.Pid }
func (p *process) Pidfd() *os.File                    { return p.file }
func (p *process) Consoles() []*os.File               { return p.consoles }
func (p *process) Terminal() *os.File                 { return p.terminal }
func (p *process) Signal(signal syscall.Signal) error { return p.cmd.Process.Signal(signal) }

func (p *process) Revise(*monitorv1.Revise, []*os.File) error {
	return errors.New("processes have no devices")
}

func (p *process) Wait() (*monitorv1.Exit, error) {
	_ = p.cmd.Wait()
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return nil, errors.New("wait for process: it has no status")
	}
	if status.Signaled() {
		return &monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: uint32(status.Signal())}}, nil
	}
	return &monitorv1.Exit{How: &monitorv1.Exit_Code{Code: uint32(status.ExitStatus())}}, nil
}

func (p *process) Close() error {
	for _, master := range p.consoles {
		_ = master.Close()
	}
	return p.file.Close()
}

func (p *process) Run(what *monitorv1.Process, stdio session.Stdio) (session.Command, error) {
	cmd, err := command(what.GetArgv())
	if err != nil {
		return nil, err
	}
	c := &process{cmd: cmd, pidfd: -1}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdio.Stdin, stdio.Stdout, stdio.Stderr
	if stdio.TTY {
		master, terminal, err := openTerminal()
		if err != nil {
			return nil, err
		}
		defer func() { _ = terminal.Close() }()
		size := &unix.Winsize{Row: stdio.Rows, Col: stdio.Columns}
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, size); err != nil {
			return nil, err
		}
		c.terminal = master
		c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = terminal, terminal, terminal
	}
	return c, c.start(stdio.TTY)
}

// openTerminal makes a pty.
func openTerminal() (master, terminal *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return nil, nil, errno
	}
	return os.NewFile(uintptr(fd), "ptmx"), os.NewFile(peer, "pts"), nil
}

const (
	patience   = time.Minute      // for one thing
	lifetime   = 10 * time.Minute // of a test that hangs
	uuid       = "5f9c6d2e-9d6c-4a6b-8f1e-0c1d2e3f4a5b"
	generation = "0b2d8f3c-7f0e-4a52-9a9c-1f0d5c3b2a10"
)

// house is what davitd has: a run folder, a keeper, and the program of the monitors.
type house struct {
	ctx     context.Context //nolint:containedctx // a house is one test's, and so is its patience
	run     *os.File
	program *os.File
	log     *os.File
	keeper  *client.Keeper
}

// newHouse starts a keeper that is gone, with all that it kept, when the test is over.
func newHouse(tb testing.TB, path string) *house {
	tb.Helper()
	testenv.Residue(tb) // before patience begins: it waits for the tests of other packages
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(lifetime))
	h := &house{ctx: ctx, run: openFolder(tb, tb.TempDir())}
	h.program = h.seal(tb, path)
	h.log = openLog(tb, h.run.Name()+"/log")
	h.startKeeper(tb)
	tb.Cleanup(func() {
		h.sweep(tb)
		if tb.Failed() {
			log, _ := os.ReadFile(h.log.Name())
			tb.Logf("log of monitors and keeper:\n%s", log)
		}
		cancel()
		_ = h.program.Close()
	})
	return h
}

// seal copies a program.
func (h *house) seal(tb testing.TB, path string) *os.File {
	tb.Helper()
	program, _, err := client.SealedProgram(path)
	if err != nil {
		tb.Fatal(err)
	}
	return program
}

func (h *house) startKeeper(tb testing.TB) {
	tb.Helper()
	var err error
	h.keeper, err = client.StartKeeper(h.ctx, client.KeeperOptions{Folder: h.run, Program: h.program, Log: h.log})
	if err != nil {
		tb.Fatal(err)
	}
}

// sweep ends all monitors and the keeper.
func (h *house) sweep(tb testing.TB) {
	tb.Helper()
	h.ctx = context.Background()
	monitors, err := h.keeper.Monitors(h.ctx)
	if err != nil {
		tb.Errorf("list monitors: %v", err)
	}
	for _, m := range monitors {
		tb.Errorf("monitor %d of domain %s is still there", m.GetPid(), m.GetUuid())
		_ = syscall.Kill(int(m.GetPid()), syscall.SIGKILL)
	}
	if err := h.keeper.Quit(h.ctx); err != nil {
		tb.Errorf("quit keeper: %v", err)
		_ = syscall.Kill(int(h.keeper.Hello().GetPid()), syscall.SIGKILL)
	}
	h.keeper.Gone(h.ctx)
	_ = h.keeper.Close()
}

func openFolder(tb testing.TB, path string) *os.File {
	tb.Helper()
	folder, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = folder.Close() })
	return folder
}

func openLog(tb testing.TB, path string) *os.File {
	tb.Helper()
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = log.Close() })
	return log
}

// domain is a domain's monitor and its state folder.
type domain struct {
	*client.Monitor
	t      testing.TB
	house  *house
	uuid   string
	pid    int
	pidfd  *os.File
	folder *os.File
	ended  bool
}

// spawn starts a monitor, which is told to quit when the test is over, if it is still there.
func (h *house) spawn(tb testing.TB, uuid string) *domain {
	tb.Helper()
	d := &domain{t: tb, house: h, uuid: uuid, folder: openFolder(tb, tb.TempDir())}
	spawned, err := h.keeper.Spawn(h.ctx, client.Spawn{
		UUID: uuid, Generation: generation, Program: h.program, Folder: d.folder, Log: h.log,
	})
	if err != nil {
		tb.Fatal(err)
	}
	d.pid, d.pidfd = spawned.PID, spawned.Pidfd
	if d.Monitor, err = client.Dial(h.ctx, d.folder); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.end)
	return d
}

// end ends the monitor if it is still there, and lets the keeper forget the domain.
func (d *domain) end() {
	if d.ended {
		return
	}
	d.ended = true
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(patience))
	defer cancel()
	if err := d.Quit(ctx, true); err != nil && !departed(err) {
		d.t.Errorf("quit monitor: %v", err)
	}
	waitDead(d.t, d.pidfd)
	if err := d.house.keeper.Forget(ctx, d.uuid); err != nil {
		d.t.Errorf("forget domain: %v", err)
	}
	d.house.awaitMonitors(d.t, func(uuids []string) bool { return !slices.Contains(uuids, d.uuid) })
	_, _ = d.Close(), d.pidfd.Close()
}

// departed tells whether an error says that a monitor is gone, or going: one that was told to quit before may end at any
// point of the next conversation.
func departed(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNRESET) ||
		errors.Is(err, unix.EPIPE) || errors.Is(err, io.EOF)
}

// awaitMonitors waits until the keeper's monitors are as they should be.
func (h *house) awaitMonitors(tb testing.TB, as func(uuids []string) bool) {
	tb.Helper()
	await(tb, "the keeper's monitors", func() bool {
		monitors, err := h.keeper.Monitors(context.Background())
		if err != nil {
			tb.Fatal(err)
		}
		var uuids []string
		for _, m := range monitors {
			uuids = append(uuids, m.GetUuid())
		}
		return as(uuids)
	})
}

// await waits until something is so.
func await(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(testenv.Scale(patience)); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("it took too long: %s", what)
		}
	}
}

func waitDead(tb testing.TB, pidfd *os.File) {
	tb.Helper()
	poll := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, int(testenv.Scale(patience).Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 || err != nil {
			tb.Fatalf("the process still runs (%v)", err)
		}
		return
	}
}

// shell is a plan whose init is a shell script with a console.
func shell(script string, policy *monitorv1.Policy) *monitorv1.Plan {
	return &monitorv1.Plan{
		Uuid: uuid, Name: "test", Init: &monitorv1.Process{Argv: []string{"/bin/sh", "-c", script}},
		Consoles: []*monitorv1.Console{{Alias: "console0"}}, Policy: policy,
	}
}

// start starts a script as init.
func (d *domain) start(script string, policy *monitorv1.Policy) *client.Started {
	d.t.Helper()
	started, err := d.Start(d.house.ctx, shell(script, policy), client.Cgroups{}, client.Logs{})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = started.Pidfd.Close() })
	return started
}

// events watches the domain.
func (d *domain) events(after uint64) *client.Watch {
	d.t.Helper()
	watch, err := d.Watch(d.house.ctx, after)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = watch.Close() })
	return watch
}

// next waits for an event and says it in a word.
func (d *domain) next(watch *client.Watch) string {
	d.t.Helper()
	event, err := watch.Next(d.house.ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	return say(event)
}

// say is an event in words.
func say(event *monitorv1.MonitorEvent) string {
	text := fmt.Sprint(event.GetSequence(), " ")
	switch kind := event.GetKind().(type) {
	case *monitorv1.MonitorEvent_Started:
		return text + "started"
	case *monitorv1.MonitorEvent_Exited:
		return text + "exited " + sayExit(kind.Exited.GetExit()) + " " +
			strings.ToLower(strings.TrimPrefix(kind.Exited.GetCause().String(), "CAUSE_")) + " " +
			strings.ToLower(strings.TrimPrefix(kind.Exited.GetAction().String(), "ACTION_")) + " " +
			time.Duration(kind.Exited.GetBackoffNs()).String()
	case *monitorv1.MonitorEvent_Restarted:
		return text + fmt.Sprint("restarted ", kind.Restarted.GetCount())
	case *monitorv1.MonitorEvent_RestartFailed:
		return text + "failed: " + kind.RestartFailed.GetError().GetMessage()
	}
	return text + "nothing"
}

func sayExit(exit *monitorv1.Exit) string {
	switch how := exit.GetHow().(type) {
	case *monitorv1.Exit_Code:
		return fmt.Sprint("code ", how.Code)
	case *monitorv1.Exit_Signal:
		return fmt.Sprint("signal ", how.Signal)
	}
	return "unknown"
}

// console opens a console.
func (d *domain) console(open *monitorv1.OpenConsole) *client.Stream {
	d.t.Helper()
	stream, err := d.OpenConsole(d.house.ctx, open)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = stream.Close() })
	return stream
}

// exec runs a script in the domain.
func (d *domain) exec(exec *monitorv1.Exec, argv ...string) *client.Stream {
	d.t.Helper()
	if len(argv) > 0 {
		exec.Process = &monitorv1.Process{Argv: argv}
	}
	stream, err := d.Exec(d.house.ctx, exec)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = stream.Close() })
	return stream
}

// outcome is all that a stream said.
type outcome struct {
	stdout, stderr string
	exit           string
	taken          bool
	err            error
}

// readUntil reads a stream until its output ends with a text.
func readUntil(tb testing.TB, stream *client.Stream, text string) (got string) {
	tb.Helper()
	for !strings.HasSuffix(got, text) {
		output, err := stream.Receive()
		if err != nil {
			tb.Fatalf("after %q: %v", got, err)
		}
		got += string(output.GetData().GetData())
	}
	return got
}

// finish reads a stream to its end.
func finish(stream *client.Stream) (o outcome) {
	var stdout, stderr strings.Builder
	defer func() { o.stdout, o.stderr = stdout.String(), stderr.String() }()
	for {
		output, err := stream.Receive()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				o.err = err
			}
			return o
		}
		stdout.Write(output.GetData().GetData())
		stderr.Write(output.GetStderr())
		if output.GetExit() != nil {
			o.exit = sayExit(output.GetExit())
		}
		o.taken = o.taken || output.GetClosed().GetTaken()
	}
}

// self is the program of the test.
func self(tb testing.TB) string {
	tb.Helper()
	path, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}
