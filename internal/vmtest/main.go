// Command vmtest runs commands as root in a throw-away QEMU guest: a stock Debian kernel with pure cgroup v2 (or v1, or
// hybrid) over the host's own root folder, so that every tool of the host is there and nothing it does there lasts.
//
//	go run ./internal/vmtest [flags]                  the privileged tests of the module
//	go run ./internal/vmtest [flags] -- COMMAND...    one command; its output is streamed, its status passed on
//
// Privileged are the packages whose tests use internal/testenv. Their test binaries are compiled here, where that is
// fast, and run one after the other in one boot. Without KVM a guest is emulated: computing is some 13 times and making
// processes some 50 times slower, for which DAVIT_TEST_SCALE stretches the times that tests allow.
//
// In the guest the host's files are read through virtiofs, all read-only but the shared folders, under an overlay in
// memory; /tmp is an ext4 file system, because kernels before 6.3 cannot idmap a tmpfs; /run is a tmpfs; there is no
// network but lo. The command stands in a cgroup like that of a service that systemd delegated.
//
// It needs root and, of Debian's packages, qemu-system-x86, kmod and e2fsprogs, and xz-utils for kernels from 6.12 on. The
// kernel is downloaded by apt-get once and kept in .cache.
//
// The status is the command's, or 1 if a test failed; 124 over the time limit, 125 if the guest died, 126 if nothing could be
// started. (go run makes each of them 1; build the program to have it.)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// The statuses of the runner's own.
const (
	statusTimeout = 124
	statusDied    = 125
	statusWrong   = 126
)

// options are what the flags say.
type options struct {
	kernel   string
	cgroup   string
	cache    string
	bin      string
	run      string
	packages string
	env      words
	shares   words
	cpus     int
	memory   int
	scale    float64
	timeout  time.Duration
	verbose  bool
}

// words is a flag that can be given several times.
type words []string

func (w *words) String() string     { return strings.Join(*w, ",") }
func (w *words) Set(s string) error { *w = append(*w, s); return nil }

func main() {
	// The kernel kills what we start when this thread ends (PDEATHSIG), so it must last.
	runtime.LockOSThread()
	switch {
	case os.Getpid() == 1:
		guestMain()
	case len(os.Args) > 1 && os.Args[0] == jailName:
		fmt.Fprintln(os.Stderr, "vmtest:", jailMain(os.Args[1:]))
		os.Exit(statusWrong)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vmtest:", err)
	}
	os.Exit(status)
}

// run is the host's side.
func run(ctx context.Context, args []string) (int, error) {
	var o options
	flags := flag.NewFlagSet("vmtest", flag.ContinueOnError)
	flags.StringVar(&o.kernel, "kernel", "linux-image-cloud-amd64", "Debian's kernel `package`")
	flags.StringVar(&o.cgroup, "cgroup", "v2", "cgroup `layout`: v2, v1 or hybrid")
	flags.StringVar(&o.cgroup, "g", "v2", "short for -cgroup")
	flags.StringVar(&o.cache, "cache", ".cache/vmtest", "`folder` that keeps kernels")
	flags.StringVar(&o.bin, "bin", "", "`folder` with the programs built, for tests that start them")
	flags.StringVar(&o.run, "run", "", "run the tests that match this `pattern`")
	flags.StringVar(&o.packages, "packages", "./...", "packages whose privileged tests are run, separated by commas")
	flags.Var(&o.env, "env", "`NAME` or NAME=VALUE to set in the guest; can be given again")
	flags.Var(&o.shares, "share", "`folder` that the guest may write; can be given again")
	flags.IntVar(&o.cpus, "cpus", 2, "number of processors")
	flags.IntVar(&o.memory, "memory", 2048, "memory in MiB")
	flags.Float64Var(&o.scale, "scale", 20, "by how much times are stretched for tests")
	flags.DurationVar(&o.timeout, "timeout", time.Hour, "time limit of the guest")
	flags.BoolVar(&o.verbose, "v", false, "show the kernel's log at the end")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0, nil
		}
		return statusWrong, err
	}
	if err := check(o); err != nil {
		return statusWrong, err
	}
	work, err := os.MkdirTemp("", "davit-vmtest-")
	if err != nil {
		return statusWrong, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	guest, err := plan(ctx, o, flags.Args(), work)
	if err != nil {
		return statusWrong, err
	}
	if len(guest.Steps) == 0 {
		return 0, nil
	}
	k, err := fetchKernel(ctx, o.kernel, o.cache)
	if err != nil {
		return statusWrong, err
	}
	return boot(ctx, o, k, guest, work)
}

// check refuses wrong use before anything is made.
func check(o options) error {
	if os.Geteuid() != 0 {
		return errors.New("must be root, to serve the host's files and to make file systems")
	}
	switch o.cgroup {
	case "v1", "v2", "hybrid":
	default:
		return fmt.Errorf("read -cgroup %q: must be v1, v2 or hybrid", o.cgroup)
	}
	return findTools()
}

// plan says what the guest does: one command, or the tests.
func plan(ctx context.Context, o options, command []string, work string) (*guestConfig, error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	g := &guestConfig{Cgroup: o.cgroup, Env: environment(o), Shares: append([]string{here}, o.shares...)}
	for i, s := range g.Shares {
		if g.Shares[i], err = filepath.EvalSymlinks(s); err != nil {
			return nil, fmt.Errorf("share folder: %w", err)
		}
	}
	if len(command) > 0 {
		g.Steps = []step{{Dir: here, Argv: command}}
		return g, nil
	}
	g.Tests = true
	g.Shares = append(g.Shares, work)
	g.Steps, err = compileTests(ctx, o, work)
	return g, err
}

// environment is that of the guest's commands.
func environment(o options) []string {
	env := []string{
		"HOME=/root", "PATH=" + os.Getenv("PATH"), "VMTEST=1", fmt.Sprintf("DAVIT_TEST_SCALE=%g", o.scale),
	}
	for _, e := range o.env {
		if !strings.Contains(e, "=") {
			e += "=" + os.Getenv(e)
		}
		env = append(env, e)
	}
	return env
}
