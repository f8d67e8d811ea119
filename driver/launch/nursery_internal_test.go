package launch

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiting is a child of a nursery that waits at the gate and then ends with a code, and the nursery.
func waiting(t *testing.T, strings int, write func(a *assembler)) (*nursery, *child, *lines) {
	t.Helper()
	lines, err := newLines()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lines.close)
	n, err := newNursery(strings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	a := n.assembler()
	a.begin(step{operation: "wait"})
	a.call(unix.SYS_CLOSE, a.file(lines.gateIn, "parent's end of gate"))
	write(a)
	a.waitAt(a.file(lines.gateOut, "gate"))
	a.call(unix.SYS_EXIT_GROUP, num(7))
	if err = a.check(); err != nil {
		t.Fatal(err)
	}
	c, err := n.spawnApart(a, lines, &cloneArgs{exitSignal: uint64(unix.SIGCHLD)})
	if err != nil {
		t.Fatal(err)
	}
	return n, c, lines
}

// ended lets a child go on, which ends with its code.
func ended(t *testing.T, c *child, lines *lines) {
	t.Helper()
	if err := lines.open(); err != nil {
		t.Error(err)
	}
	if exit, err := c.wait(); err != nil || exit != (Exit{Code: 7}) {
		t.Errorf("%v, %v", exit, err)
	}
	_ = c.pidfd.Close()
}

// A child of a nursery has nothing of our memory but that, and we have all of ours as before.
func TestNurseryAlone(t *testing.T) {
	n, c, lines := waiting(t, 0, func(*assembler) {})
	defer ended(t, c, lines)
	first := uintptr(unsafe.Pointer(unsafe.SliceData(n.memory)))
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", c.pid))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var mode string
		if _, err = fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil {
			t.Fatal(err)
		}
		switch inside := from >= first && to <= first+uintptr(len(n.memory)); {
		case inside:
			found = true
		case strings.HasPrefix(mode, "rw") && !kernelWrites():
			t.Errorf("the child has %s", line)
		}
	}
	if !found {
		t.Errorf("the child has no nursery:\n%s", maps)
	}
	own, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(own)) {
		if flags, is := strings.CutPrefix(line, "VmFlags:"); is && strings.Contains(flags, " rd wr") && strings.Contains(flags, " dc ") &&
			!strings.Contains(flags, " sh ") && !strings.Contains(flags, " io ") {
			t.Errorf("memory of ours stays out of children:%s", flags)
		}
	}
}

// A program that is longer than a usual one, and strings that are longer than all else, have room.
func TestNurseryOfLargePrograms(t *testing.T) {
	const long = 1 << 20
	_, c, lines := waiting(t, 3*long, func(a *assembler) {
		for range 3 * usualInstructions {
			a.call(unix.SYS_GETPID)
		}
		a.call(unix.SYS_UMASK, num(0), num(1), num(2), num(3), num(4), num(5))
		word := a.slot()
		a.call(unix.SYS_CHDIR, a.text("/"+strings.Repeat("x", long))).on(unix.ENAMETOOLONG, a.ahead()).to(word)
	})
	ended(t, c, lines)
	n, err := newNursery(0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	a := n.assembler()
	a.begin(step{operation: "too much"})
	a.call(unix.SYS_CHDIR, a.text(strings.Repeat("x", 2*nurserySize)))
	if _, err := n.machine(a, 1); err == nil {
		t.Error("a program that has no room was not refused")
	}
}
