package program_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/program"
)

// TestMain makes the test's own program one that is started, and reports what it finds.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "started" {
		os.Exit(m.Run())
	}
	files, report, err := program.Inherited("answer")
	if err != nil {
		panic(err)
	}
	switch os.Args[1] {
	case "fault":
		err = report.Fault(errors.New("not today"))
	case "silent":
		os.Exit(3)
	case "hang":
		time.Sleep(time.Minute)
	case "ready":
		_, _ = files[0].WriteString(describe())
		err = report.Ready()
	}
	if err != nil {
		panic(err)
	}
}

// describe is what a started process is.
func describe() string {
	var b strings.Builder
	err := program.Harden("test-name")
	dumpable, dumpErr := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	comm, _ := os.ReadFile("/proc/self/comm")
	session, _ := unix.Getsid(0)
	dir, _ := os.Getwd()
	fmt.Fprintln(&b, "harden", err)
	fmt.Fprintln(&b, "dumpable", dumpable, dumpErr)
	fmt.Fprintln(&b, "comm", strings.TrimSpace(string(comm)))
	fmt.Fprintln(&b, "leader", session == os.Getpid())
	fmt.Fprintf(&b, "umask %03o\n", unix.Umask(0))
	fmt.Fprintln(&b, "dir", dir)
	fmt.Fprintln(&b, "secret", os.Getenv("SECRET"))
	for fd := range 64 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			fmt.Fprintln(&b, "passed on", fd)
		}
	}
	return b.String()
}

func sealedSelf(t *testing.T) *os.File {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file, sealed, err := program.Sealed(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if !sealed {
		t.Log("this system forbids programs in memory")
	}
	return file
}

func start(t *testing.T, file *os.File, word string) (p *program.Process, answer *os.File) {
	t.Helper()
	answer, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET", "of the caller")
	p, err = program.Start(program.Options{
		Program: file, Argv: []string{"started", word}, Files: []*os.File{write}, Log: os.Stderr,
	})
	_ = write.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Kill()
		_, _ = syscall.Wait4(p.PID, nil, 0, nil)
		_, _ = p.Pidfd.Close(), answer.Close()
	})
	return p, answer
}

// A program that was started has what it was given and nothing else, is nobody's child session, and cannot be looked into.
func TestStart(t *testing.T) {
	p, answer := start(t, sealedSelf(t), "ready")
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(answer)
	if err != nil {
		t.Fatal(err)
	}
	want := "harden <nil>\ndumpable 0 <nil>\ncomm test-name\nleader true\numask 077\ndir /\nsecret \n" +
		"passed on 0\npassed on 1\npassed on 2\n"
	if string(got) != want {
		t.Errorf("it is\n%swant\n%s", got, want)
	}
}

// However many descriptors are open, and wherever those lie that are passed on, the right program is run.
func TestStartAmongMany(t *testing.T) {
	file := sealedSelf(t)
	for range 30 {
		for range 5 {
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = null.Close() }()
		}
		p, answer := start(t, file, "ready")
		if err := p.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(answer); err != nil || !strings.HasPrefix(string(got), "harden") {
			t.Fatalf("answered %q, %v", got, err)
		}
	}
}

// Why a program did not get ready is told.
func TestNotReady(t *testing.T) {
	file := sealedSelf(t)
	p, _ := start(t, file, "fault")
	if err := p.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("fault: %v", err)
	}
	p, _ = start(t, file, "silent")
	if err := p.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "ended before") {
		t.Errorf("silent end: %v", err)
	}
	p, _ = start(t, file, "hang")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hanging: %v", err)
	}
	if err := errors.Join(p.Kill(), p.Kill()); err != nil {
		t.Errorf("kill: %v", err)
	}
}

// A sealed program is a copy of the file that nobody can write to, grow, shrink or make not executable.
func TestSealed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	text := bytes.Repeat([]byte("x"), 10000)
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	file, sealed, err := program.Sealed(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if !sealed {
		t.Skip("this system forbids programs in memory")
	}
	if err = os.WriteFile(path, []byte("changed"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<20))
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("it reads %d bytes, %v", len(got), err)
	}
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	const want = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if err != nil || seals&want != want {
		t.Errorf("seals are %#x, %v", seals, err)
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), os.O_RDWR, 0)
	if err == nil {
		defer func() { _ = again.Close() }()
		if _, err := again.WriteAt([]byte("y"), 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("writing: %v, want EPERM", err)
		}
		for _, size := range []int64{0, 1 << 20} {
			if err := again.Truncate(size); !errors.Is(err, unix.EPERM) {
				t.Errorf("resizing to %d: %v, want EPERM", size, err)
			}
		}
	}
	if _, _, err := program.Sealed(filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such program: %v", err)
	}
}
