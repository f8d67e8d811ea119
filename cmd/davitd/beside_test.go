package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A second davitd on a state folder is told who has it, changes nothing, and the first goes on; a third in another
// folder runs beside it. The socket of one that was killed is in nobody's way.
func TestOthersOnTheHost(t *testing.T) {
	s := newSite(t, "fake")
	first := s.launch(t)
	c := s.client(t)
	s.define(t, c, "web")

	code, _, text := output(t, "--root", s.root, "--driver", "fake")
	if code != exitBusy || !strings.Contains(text, "pid "+strconv.Itoa(first.cmd.Process.Pid)) {
		t.Errorf("second davitd: code %d, %s", code, text)
	}
	if err := startDomain(t.Context(), c, "web"); err != nil {
		t.Errorf("the first davitd: %v", err)
	}
	other := newSite(t, "fake")
	beside := other.launch(t)
	other.define(t, other.client(t), "web")

	first.kill()
	if _, err := os.Lstat(s.socket()); err != nil {
		t.Fatalf("socket after a kill: %v", err)
	}
	again := s.launch(t)
	if got := look(t, s.client(t), "web").GetName(); got != "web" {
		t.Errorf("got %q", got)
	}
	for _, d := range []*daemon{again, beside} {
		if code := d.end(t); code != exitOK {
			t.Errorf("davitd ended with %d", code)
		}
	}
	if _, err := os.Lstat(s.socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket after the end: %v", err)
	}
}

// Two davitds with containers side by side: each has its own domain of one name, and what one sweeps when it starts is
// not the other's.
func TestTwoDaemonsWithContainers(t *testing.T) {
	one, two := newSite(t, "lxc"), newSite(t, "lxc")
	two.ids = one.ids // all daemons of a host share them
	two.configure(t)
	a, b := one.launch(t), two.launch(t)
	for _, s := range []*site{one, two} {
		c := s.client(t)
		s.define(t, c, "web")
		if err := startDomain(t.Context(), c, "web"); err != nil {
			t.Fatal(err)
		}
	}
	a.kill()
	a = one.launch(t)
	for _, s := range []*site{one, two} {
		c := s.client(t)
		if got := look(t, c, "web").GetState(); got != running {
			t.Errorf("%s: the domain is %v", s.root, got)
		}
		destroy(t, c, "web")
	}
	for _, d := range []*daemon{a, b} {
		if code := d.end(t); code != exitOK {
			t.Errorf("davitd ended with %d", code)
		}
	}
}

// On a full disk nothing is lost and everything that needs no room works; each refusal says why. That holds for a davitd
// that is killed and started meanwhile as well, and once there is room all goes on without a hole.
func TestFullDisk(t *testing.T) {
	testenv.Require(t, testenv.Root)
	s := &site{driver: "fake", partition: "/", disk: tmpfs(t, 512<<10), ids: filepath.Join(t.TempDir(), "ids")}
	s.root = fmt.Sprintf("/proc/self/fd/%d", s.disk.Fd())
	s.configure(t)
	d := s.launch(t)
	c := s.client(t)
	for n := range 5 {
		s.define(t, c, fmt.Sprintf("domain-%d", n))
	}
	if err := startDomain(t.Context(), c, "domain-0"); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(s.root, "filler")
	for round := range 2 {
		fill(t, filler)
		before := history(t, c)
		_, err := c.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(s.document("more"))})
		exhausted(t, "define", err)
		exhausted(t, "start", startDomain(t.Context(), c, "domain-1"))
		if got := len(history(t, c)); got != len(before) {
			t.Errorf("%d events were told, %d before", got, len(before))
		}
		for n := range 5 {
			look(t, c, fmt.Sprintf("domain-%d", n))
		}
		if round == 0 {
			d.kill()
			d = s.launch(t)
			c = s.client(t)
			for n := range 5 {
				look(t, c, fmt.Sprintf("domain-%d", n))
			}
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		s.define(t, c, fmt.Sprintf("later-%d", round))
		if err := startDomain(t.Context(), c, fmt.Sprintf("later-%d", round)); err != nil {
			t.Error(err)
		}
		if all := history(t, c); len(all) <= len(before) {
			t.Errorf("events are %s", tell(all))
		}
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}

// tmpfs makes a file system of a size that is mounted nowhere.
func tmpfs(tb testing.TB, size int) *os.File {
	tb.Helper()
	made, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = unix.Close(made) }()
	err = errors.Join(
		unix.FsconfigSetString(made, "size", strconv.Itoa(size)),
		unix.FsconfigSetString(made, "mode", "0700"),
		unix.FsconfigCreate(made),
	)
	if err != nil {
		tb.Fatal(err)
	}
	mount, err := unix.Fsmount(made, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	disk := os.NewFile(uintptr(mount), "tmpfs")
	tb.Cleanup(func() { _ = disk.Close() })
	return disk
}

// fill takes all the room that there is.
func fill(tb testing.TB, path string) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for {
		if _, err := f.Write(make([]byte, 4096)); errors.Is(err, unix.ENOSPC) {
			return
		} else if err != nil {
			tb.Fatal(err)
		}
	}
}

func exhausted(tb testing.TB, what string, err error) {
	tb.Helper()
	var e *domain.Error
	if !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED {
		tb.Errorf("%s on a full disk: %v", what, err)
	}
}

// A root that davitd makes lets other users through to the read-only socket, and into nothing else.
func TestNewRoot(t *testing.T) {
	s := &site{driver: "fake", root: filepath.Join(t.TempDir(), "new")}
	cmd := exec.Command(os.Args[0], "--root", s.root, "--driver", "fake")
	cmd.Env = append(os.Environ(), runVariable+"=1")
	d := s.await(t, newDaemon(cmd))
	for path, want := range map[string]os.FileMode{"": 0o711, "run": 0o711, "run/davit-ro.sock": 0o666, "lib": 0o700} {
		info, err := os.Stat(filepath.Join(s.root, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v, want mode %#o", path, info, err, want)
		}
	}
	if code := d.end(t); code != 0 {
		t.Errorf("davitd ends with %d", code)
	}
}

// Without arguments davitd has the places that people expect, and makes them where they are not there.
func TestDefaultPlaces(t *testing.T) {
	testenv.Require(t, testenv.Root)
	s := &site{driver: "fake", partition: "/"}
	cmd := exec.Command(os.Args[0], "--driver", "fake")
	cmd.Env = append(os.Environ(), runVariable+"=1", emptyVariable+"=/etc:/var/lib:/run")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	d := s.await(t, newDaemon(cmd))
	host := fmt.Sprintf("/proc/%d/root", d.cmd.Process.Pid)
	for path, want := range map[string]os.FileMode{
		"/run/davit":               0o711,
		"/run/davit/davit.sock":    0o600,
		"/run/davit/davit-ro.sock": 0o666,
		"/var/lib/davit":           0o700,
		"/var/lib/davit/domains":   0o700,
		"/var/lib/davit/events":    0o700,
	} {
		info, err := os.Stat(host + path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %#o", path, info, err, want)
		}
	}
	s.root = t.TempDir() // a way to the socket that is short
	if err := os.Symlink(host+"/run/davit", filepath.Join(s.root, "run")); err != nil {
		t.Fatal(err)
	}
	s.define(t, s.client(t), "web")
	if found, _ := filepath.Glob(host + "/var/lib/davit/domains/*.xml"); len(found) != 1 {
		t.Errorf("definitions are %v", found)
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}

// A log that nobody reads any more does not end the daemon.
func TestLogWithoutReader(t *testing.T) {
	s := newSite(t, "fake")
	d := s.command(t)
	log, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stderr = write
	s.await(t, d)
	_, _ = write.Close(), log.Close()
	c := s.client(t)
	s.define(t, c, "web") // which is logged
	if err := startDomain(t.Context(), c, "web"); err != nil {
		t.Error(err)
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}
