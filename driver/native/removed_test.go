package native_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/native"
	"github.com/davitd/davit/internal/testenv"
)

// groups are the folders of a domain's cgroup in all trees.
func (h *host) groups(tb testing.TB, uuid string) []string {
	tb.Helper()
	name := "test-davit/davit-" + h.options.Instance + "-" + uuid
	all := []string{filepath.Join("/sys/fs/cgroup", name)}
	below, err := filepath.Glob(filepath.Join("/sys/fs/cgroup/*", name))
	if err != nil {
		tb.Fatal(err)
	}
	var there []string
	for _, folder := range append(all, below...) {
		if _, err := os.Stat(folder); err == nil {
			there = append(there, folder)
		}
	}
	if len(there) == 0 {
		tb.Fatalf("domain %s has no cgroup", uuid)
	}
	return there
}

// removeGroups removes a domain's cgroup, as systemd does with a unit's. What runs in it is moved to the root of the tree first.
func (h *host) removeGroups(tb testing.TB, uuid string) {
	tb.Helper()
	for _, folder := range h.groups(tb, uuid) {
		root := filepath.Join(folder, "../../cgroup.procs")
		for end := time.Now().Add(testenv.Scale(time.Minute)); ; {
			left := emptyInto(folder, root)
			err := removeTree(folder)
			if err == nil {
				break
			}
			if time.Now().After(end) {
				tb.Fatalf("remove cgroup %q with %d processes: %v", folder, left, err)
			}
			time.Sleep(time.Millisecond)
		}
		_ = unix.Rmdir(filepath.Dir(folder)) // others may have domains there
	}
}

// emptyInto moves the processes of a cgroup, and of those below, to another.
func emptyInto(folder, procs string) (moved int) {
	_ = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for pid := range strings.FieldsSeq(string(text)) {
			_ = os.WriteFile(procs, []byte(pid), 0) // one that has ended is moved by nobody
			moved++
		}
		return nil
	})
	return moved
}

// removeTree removes the folders of a cgroup, the lowest first.
func removeTree(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	return unix.Rmdir(folder)
}

// initPID is the process id of a domain's init.
func initPID(tb testing.TB, i driver.Instance) int {
	tb.Helper()
	st, err := i.Status(tb.Context())
	if err != nil || st.InitPID == 0 {
		tb.Fatalf("status %+v, %v", st, err)
	}
	return int(st.InitPID)
}

// recoverRemoved recovers a domain whose cgroup is gone, and gives how its init ended and why the run did.
func recoverRemoved(tb testing.TB, d *native.Driver, spec driver.Spec) (driver.Exited, error) {
	tb.Helper()
	i, err := d.Recover(tb.Context(), spec)
	if err != nil {
		tb.Fatalf("recover: %v", err)
	}
	if st, err := i.Status(tb.Context()); err != nil || st.Running {
		tb.Errorf("status %+v, %v, want it stopped", st, err)
	}
	if _, err := i.Stats(tb.Context()); err == nil {
		tb.Error("it can be measured")
	}
	all := events(tb, i)
	stopped, _ := all[len(all)-1].Kind.(driver.Stopped)
	x, ok := all[len(all)-2].Kind.(driver.Exited)
	if !ok || x.Restart {
		tb.Fatalf("events %+v, want an exit before the end", all)
	}
	if err := i.Release(tb.Context()); err != nil {
		tb.Errorf("release: %v", err)
	}
	return x, stopped.Err
}

// Somebody removed the cgroup of a domain that ended while davitd was away: the end is told exactly all the same.
func TestGroupRemovedAfterTheEnd(t *testing.T) {
	h := newHost(t, "fa000010")
	d := h.open(t)
	spec := h.spec("trap 'exit 42' TERM; sleep infinity & wait")
	i := start(t, d, spec)
	pid := initPID(t, i)
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; { // until the shell has its trap
		_ = unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0)
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10); n > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("init does not end")
		}
	}
	h.removeGroups(t, spec.UUID)
	d = closing(t, h.open(t))
	if x, err := recoverRemoved(t, d, spec); x.Exit.GetCode() != 42 || x.Cause != driver.CausePoweroff || err != nil {
		t.Errorf("exited %+v, stopped %v, want code 42", x, err)
	}
	h.empty(t)
	kill(t, start(t, d, h.spec(idle)))
}

// An init that lives on where no limit holds is ended, also one whose monitor is gone.
func TestGroupRemovedUnderInit(t *testing.T) {
	for name, monitored := range map[string]bool{"monitored": true, "orphaned": false} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "fa000011")
			d := h.open(t)
			spec := h.spec(idle)
			pid := initPID(t, start(t, d, spec))
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			h.removeGroups(t, spec.UUID)
			if !monitored {
				slay(t, h.monitorPID(t, spec.UUID))
			}
			d = closing(t, h.open(t))
			x, err := recoverRemoved(t, d, spec)
			if x.Exit.GetSignal() != uint32(unix.SIGKILL) || monitored != (err == nil) {
				t.Errorf("exited %+v, stopped %v, want signal 9", x, err)
			}
			if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid))); err == nil {
				t.Error("init lives on")
			}
			h.empty(t)
		})
	}
}

// The keeper's log, and what it tells of an init whose monitor was killed after it had seen the end, are what the monitor told: an
// init that powers off is killed by the kernel, and that is not how it ended.
func TestOneExit(t *testing.T) {
	h := newHost(t, "fa000012")
	d := closing(t, h.open(t))
	poweredOff := func(i driver.Instance) {
		t.Helper()
		all := events(t, i)
		if x, ok := all[len(all)-2].Kind.(driver.Exited); !ok || x.Exit.GetSignal() != uint32(unix.SIGINT) {
			t.Errorf("events %+v, want an exit by signal 2", all)
		}
		if err := i.Release(t.Context()); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	poweredOff(start(t, d, h.spec("exec /guest/poweroff -f")))
	spec := h.spec("exec /guest/poweroff -f")
	i := start(t, d, spec)
	ch, err := i.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		<-ch // to the exit
	}
	slay(t, h.monitorPID(t, spec.UUID))
	if err = d.Close(); err != nil {
		t.Fatal(err)
	}
	d = closing(t, h.open(t))
	if i, err = d.Recover(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	poweredOff(i)
	log, err := os.ReadFile(filepath.Join(h.options.RunDir, "keeper.log"))
	if err != nil || strings.Count(string(log), `"exit":"signal 2"`) != 2 {
		t.Errorf("the keeper's log says otherwise, %v:\n%s", err, log)
	}
	h.empty(t)
}
