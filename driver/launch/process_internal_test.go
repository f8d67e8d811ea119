package launch

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/internal/testenv"
)

// handling is what a process does with signals.
func handling(t *testing.T, pid int) string {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(status)) {
		if name, set, _ := strings.Cut(line, ":"); name == "SigBlk" || name == "SigIgn" || name == "SigCgt" {
			found = append(found, name+" "+strings.TrimSpace(set))
		}
	}
	return strings.Join(found, ", ")
}

// begunIgnoring ignores a signal behind the back of the runtime, as whoever began this process may have, until the test is over.
func begunIgnoring(t *testing.T, s syscall.Signal) {
	t.Helper()
	set := func(handler uintptr) {
		action := [4]uintptr{handler}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0); errno != 0 {
			t.Fatal(errno)
		}
	}
	set(1) // SIG_IGN
	t.Cleanup(func() { set(0) })
}

// What we ignore or handle is nothing that a child takes along, whichever way it is made.
func TestChildIgnoresAndHandlesNoSignal(t *testing.T) {
	testenv.Require(t, testenv.Root)
	all := make([]os.Signal, 0, lastSignal)
	for s := syscall.Signal(1); s <= lastSignal; s++ {
		if s != unix.SIGKILL && s != unix.SIGSTOP {
			all = append(all, s)
		}
	}
	heard := make(chan os.Signal, 1)
	for _, way := range []struct {
		name    string
		prepare func()
	}{
		{"begun ignoring some", func() {
			for _, s := range []syscall.Signal{unix.SIGCONT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, 32, 33, 34} {
				begunIgnoring(t, s)
			}
		}},
		{"ignoring all", func() { signal.Ignore(all...) }},
		{"handling all", func() { signal.Notify(heard, all...) }},
	} {
		for kind, flags := range map[string]uint64{"copy": 0, "shared": unix.CLONE_NEWUSER} {
			way.prepare()
			h, err := startHelper(flags, nil)
			// To be reset alone does not end that they are ignored.
			signal.Notify(heard, all...)
			signal.Reset(all...)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.await(); err != nil {
				t.Fatal(err)
			}
			const none = "0000000000000000"
			if got := handling(t, h.pid); got != "SigBlk "+none+", SigIgn "+none+", SigCgt "+none {
				t.Errorf("%s, %s: %s", way.name, kind, got)
			}
			h.end()
		}
	}
}

// Every capability that this kernel has is either kept or dropped, and hardly a call is made for one that it has not.
func TestCapabilitiesAreThoseOfTheKernel(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		t.Fatal(err)
	}
	last, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 6)
	if err != nil {
		t.Fatal(err)
	}
	if got := lastCapability(); got != max(last, unix.CAP_LAST_CAP) {
		t.Errorf("the last capability is %d, the kernel's is %d", got, last)
	}
}
