// Command systemdtest installs, upgrades and purges davit's Debian package under systemd, with a domain running.
//
//	go run ./internal/systemdtest
//	go run ./internal/systemdtest -old OLD.deb -new NEW.deb
//
// A minimal Debian is made by debootstrap, once, and kept in .cache. It is booted with systemd as its init in a container
// of namespaces, with a cgroup of its own, inside the QEMU guest of internal/vmtest: pure cgroup v2, another kernel, and
// nothing of the host that could be hurt. Two packages are built from the tree, which differ in their version.
//
// It needs root and, of Debian's packages, debootstrap and what vmtest needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// versions of the packages that are built.
const (
	oldVersion = "0.0.1"
	newVersion = "0.0.2"
)

// options are what the flags say.
type options struct {
	suite, cache, old, new string
	script                 string
	guest                  bool
	vm                     string
}

func main() {
	if os.Args[0] == boxName {
		fmt.Fprintln(os.Stderr, "systemdtest: box:", boxMain(os.Args[1:]))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "systemdtest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("systemdtest", flag.ContinueOnError)
	flags.StringVar(&o.suite, "suite", "bookworm", "Debian's `suite`")
	flags.StringVar(&o.cache, "cache", ".cache/systemd", "`folder` that keeps the minimal Debian")
	flags.StringVar(&o.old, "old", "", "`package` to install; built when empty")
	flags.StringVar(&o.new, "new", "", "`package` to upgrade to; built when empty")
	flags.StringVar(&o.vm, "vm", "-timeout 30m", "`flags` of vmtest")
	flags.StringVar(&o.script, "script", "", "run this `text` in the Debian instead, after its boot")
	flags.BoolVar(&o.guest, "guest", false, "run the test itself, inside the guest")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("must be root, to make a Debian and a guest")
	}
	for _, path := range []*string{&o.cache, &o.old, &o.new} {
		if *path != "" {
			var err error
			if *path, err = filepath.Abs(*path); err != nil {
				return err
			}
		}
	}
	if o.guest {
		return test(ctx, o)
	}
	return prepare(ctx, o)
}

// prepare makes what the guest needs and boots it.
func prepare(ctx context.Context, o options) error {
	if err := os.MkdirAll(o.cache, 0o755); err != nil { //nolint:gosec // a cache
		return err
	}
	if err := bootstrap(ctx, o); err != nil {
		return err
	}
	for _, p := range []struct {
		path    *string
		version string
	}{{&o.old, oldVersion}, {&o.new, newVersion}} {
		name := filepath.Join(o.cache, "davit_"+p.version+".deb")
		if *p.path == "" {
			if err := command(ctx, "make", "deb", "VERSION="+p.version, "DEBFILE="+name); err != nil {
				return err
			}
		} else if err := command(ctx, "cp", *p.path, name); err != nil {
			return err
		}
	}
	self := filepath.Join(o.cache, "systemdtest")
	if err := command(ctx, "go", "build", "-o", self, "./internal/systemdtest"); err != nil {
		return err
	}
	return command(ctx, "sh", "-c", `exec go run ./internal/vmtest `+o.vm+` -share "$2" -- "$1" -guest -cache "$2" -script "$3"`, "sh", self, o.cache, o.script)
}

// bootstrap makes the minimal Debian, whole or not at all.
func bootstrap(ctx context.Context, o options) error {
	root := filepath.Join(o.cache, o.suite)
	if _, err := os.Stat(root); err == nil {
		return nil
	}
	making := root + ".new"
	if err := os.RemoveAll(making); err != nil {
		return err
	}
	// In a mount namespace of its own, so that what it mounts goes with it.
	if err := command(ctx, "unshare", "-m", "debootstrap", "--variant=minbase", "--include=systemd-sysv", o.suite, making); err != nil {
		return err
	}
	return os.Rename(making, root)
}

// command runs a program with its output on ours.
func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	return nil
}
