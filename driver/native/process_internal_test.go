package native

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const statusText = "Name:\tsh\\nNSpid:\\t1\nState:\tS (sleeping)\nPPid:\t42\nUid:\t1000000\t1000001\t0\t0\nNSpid:\t4711\t12\t1\n" +
	"SigBlk:\t0000000000000000\nnonsense\n"

// A name cannot forge another field: the kernel writes its line ends as two characters.
func TestParseStatus(t *testing.T) {
	want := map[string]string{
		"Name": `sh\nNSpid:\t1`, "State": "S (sleeping)", "PPid": "42", "Uid": "1000000\t1000001\t0\t0",
		"NSpid": "4711\t12\t1", "SigBlk": "0000000000000000",
	}
	st := parseStatus(statusText)
	if diff := cmp.Diff(want, st); diff != "" {
		t.Error(diff)
	}
	if n, err := guestOf(st); n != 12 || err != nil {
		t.Errorf("id in the domain %d, %v, want 12", n, err)
	}
	if _, err := guestOf(map[string]string{"NSpid": "4711"}); err == nil {
		t.Error("a process of the host has an id in a domain")
	}
	if got := firstField(st["Uid"]); got != "1000000" {
		t.Errorf("user %q", got)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add(statusText)
	f.Fuzz(func(t *testing.T, text string) {
		st := parseStatus(text)
		if n, err := guestOf(st); err == nil && n == 0 && st["NSpid"] == "" {
			t.Error("an id out of nothing")
		}
	})
}

func TestReadProcess(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "read x", "an argument", "")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	var argv []string
	for len(argv) == 0 { // the kernel sets them a moment after Start returns
		if argv, err = readArguments(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil || len(argv) < 4 || argv[3] != "an argument" {
		t.Errorf("arguments %q, %v", argv, err)
	}
	if _, err := readProcess(cmd.Process.Pid); err == nil {
		t.Error("a process of the host was read as one of a domain")
	}
}

// What is blocked may be read from a descriptor, as systemd does, so it counts as heard.
func TestHears(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1)
	defer signal.Reset(syscall.SIGUSR1)
	cmd := exec.Command("/bin/sh", "-c", "trap : USR2; read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	for {
		heard, _, failed := hears(cmd.Process.Pid, unix.SIGUSR2)
		if failed != nil {
			t.Fatal(failed)
		}
		if heard {
			break
		}
	}
	heard, comm, err := hears(cmd.Process.Pid, unix.SIGWINCH)
	if heard || comm != "sh" || err != nil {
		t.Errorf("hears WINCH: %v, %q, %v", heard, comm, err)
	}
	if heard, _, err := hears(os.Getpid(), unix.SIGUSR1); !heard || err != nil {
		t.Errorf("we do not hear USR1: %v", err)
	}
}
