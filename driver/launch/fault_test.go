package launch_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
)

// end kills a guest that should not be, or is no longer wanted.
func end(guest *launch.Guest) {
	_ = guest.Signal(unix.SIGKILL)
	_, _ = guest.Wait()
	_ = guest.Close()
}

// Every operation of a plan fails once while the parent prepares it. The error names it, and nothing is left.
func TestEachOperationFails(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := plan("exit", "0")
		for i := range p.Operations {
			guest, err := launch.LaunchFailingAt(p, i, unix.EDOM)
			var e *launch.Error
			switch {
			case err == nil:
				end(guest)
				t.Errorf("operation %d did not fail", i)
			case !errors.As(err, &e) || e.Step != i+1 || e.Errno != unix.EDOM || !errors.Is(err, unix.EDOM):
				t.Errorf("operation %d: %#v", i, err)
			}
		}
	})
}

// Every instruction of the child fails once. The error names the operation that it belongs to, and nothing is left.
func TestEachInstructionFails(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := plan("exit", "0")
		survived := 0
		for i, count := 0, 1; i < count; i++ {
			guest, n, step, err := launch.LaunchBreaking(p, i)
			count = n
			var e *launch.Error
			switch {
			case err == nil:
				// It was one that is skipped when all goes well: the making of what is there.
				survived++
				end(guest)
			case !errors.As(err, &e) || e.Errno != unix.ENOSYS || e.Step != step || e.Operation == "":
				t.Errorf("instruction %d of step %d: %#v", i, step, err)
			}
		}
		if survived == 0 || survived > 100 {
			t.Errorf("%d broken instructions made no difference", survived)
		}
	})
}

// A child that changed its credentials and ended before it could hide again leaves this process one that nobody can look into.
func TestLaunchLeavesItHidden(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) })
	if guest, _, _, err := launch.LaunchBreaking(newPlan(newRoot(t), "exit", "0"), 0); err == nil {
		end(guest)
		t.Fatal("a broken program runs")
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable is %d, %v", dumpable, err)
	}
}

func TestManyLaunchesLeaveNothing(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := plan("exit", "0")
		before := descriptors(t)
		for range 100 {
			if out, exit := run(t, p); exit.Code != 0 {
				t.Fatal(exit, out)
			}
		}
		if after := descriptors(t); after > before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
		if n := threads(t); n > 40 {
			t.Errorf("%d threads", n)
		}
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	runtime.GC()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func threads(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Launches, commands and garbage collections at the same time do not disturb each other.
func TestLaunchesBesideTheGarbageCollector(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		files := nullFiles(t)
		stop := make(chan struct{})
		var garbage, work sync.WaitGroup
		for range 2 {
			garbage.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_ = fmt.Sprint(string(make([]byte, 1<<16)))
						runtime.GC()
					}
				}
			})
		}
		for range 4 {
			work.Go(func() {
				for range 5 {
					guest, err := launch.Launch(plan("pause"), launch.Descriptors{})
					if err != nil {
						t.Error(err)
						return
					}
					process, err := launch.Join(guest.Target(launch.Descriptors{}), command("exit", "5"), files)
					if err != nil {
						t.Error(err)
					} else {
						if exit, err := process.Wait(); err != nil || exit.Code != 5 {
							t.Errorf("command: %v, %v", exit, err)
						}
						_ = process.Close()
					}
					end(guest)
				}
			})
		}
		work.Wait()
		close(stop)
		garbage.Wait()
	})
}

// The init outlives the thread that made it, and the terminal of its console stays usable.
func TestInitOutlivesItsLauncher(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	guest := start(t, newPlan(newRoot(t), "read", "--", "pause"))
	time.Sleep(50 * time.Millisecond)
	if _, err := guest.Consoles[0].WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	var got []byte
	buffer := make([]byte, 256)
	for len(got) < len("hello\r\nread \"hello\"\r\n") {
		n, err := guest.Consoles[0].Read(buffer)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, buffer[:n]...)
	}
	if string(got) != "hello\r\nread \"hello\"\r\n" {
		t.Errorf("console says %q", got)
	}
}
