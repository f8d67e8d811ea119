package native_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// wantExhausted checks the error of a start for which the host had too little of something.
func wantExhausted(tb testing.TB, what string, err error, text string) {
	tb.Helper()
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || e.Reason != davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED || !strings.Contains(err.Error(), text) {
		tb.Errorf("%s: %v, want RESOURCES_EXHAUSTED and %q", what, err, text)
	}
}

// withDescriptors lets this process open just so many descriptors more, and does something.
func withDescriptors(tb testing.TB, more int, do func()) {
	tb.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		tb.Fatal(err)
	}
	limit, free := 0, 0
	for ; free < more; limit++ {
		if _, err := unix.FcntlInt(uintptr(limit), unix.F_GETFD, 0); err != nil {
			free++
		}
	}
	for ; ; limit++ { // up to the next that is free, so that those above, which are open, do not matter
		if _, err := unix.FcntlInt(uintptr(limit), unix.F_GETFD, 0); err != nil {
			break
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit), Max: before.Max}); err != nil {
		tb.Fatal(err)
	}
	do()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		tb.Fatal(err)
	}
}

// REL-12, REL-13: davitd has no descriptors left, whichever of a start's it is. The error says so, nothing is left, and as soon as there
// are descriptors it starts, without a restart of anything.
func TestDescriptorsRunOut(t *testing.T) {
	h := newNetworkHost(t, "fa120001")
	d := closing(t, h.open(t))
	a := act{prone: furnished}
	s := h.stage(t, a)
	s.First, s.d = s.Next, d
	ctx, cancel := aWhile()
	defer cancel()
	for more := 0; ; more++ {
		var err error
		withDescriptors(t, more, func() { err = s.start(ctx) })
		if err == nil {
			t.Logf("a start needs %d descriptors", more)
			if more < 10 {
				t.Errorf("it needs only %d: was it limited?", more)
			}
			break
		}
		wantExhausted(t, fmt.Sprintf("with %d descriptors", more), err, "too many open files")
		h.clean(t, s)
		if t.Failed() {
			return
		}
	}
	kill(t, s.i)
	h.clean(t, s)
}

// startsAndAgain starts and ends a domain until one start fails. The first few may be given monitors that were made before whatever it is
// was changed: the keeper has some ready.
func (h *networkHost) startsAndAgain(ctx context.Context, t *testing.T, s *stage) error {
	t.Helper()
	for range 6 {
		s.Generation = uuid.NewString()
		if err := s.start(ctx); err != nil {
			if s.i != nil {
				t.Fatalf("started, and then: %v", err)
			}
			h.isGone(t, s)
			return err
		}
		kill(t, s.i)
		h.isGone(t, s)
	}
	return nil
}

// isGone sees to it that nothing is left of a run, beside others that run.
func (h *networkHost) isGone(t *testing.T, s *stage) {
	t.Helper()
	s.i = nil
	h.settle(t)
	for _, pattern := range []string{
		filepath.Join(h.options.StateDir, s.UUID), "/sys/fs/cgroup/test-davit/*" + s.UUID, "/sys/fs/cgroup/*/test-davit/*" + s.UUID,
	} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left are %q", left)
		}
	}
}

// crowd is a cgroup of the test's own that limits processes.
func crowd(tb testing.TB) string {
	tb.Helper()
	folder := filepath.Join("/sys/fs/cgroup/pids", "test-davit-crowd")
	if _, err := os.Stat("/sys/fs/cgroup/pids"); err != nil {
		folder = filepath.Join("/sys/fs/cgroup", "test-davit-crowd")
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "pids.max")); err != nil {
		_ = os.Remove(folder)
		tb.Skip("needs a cgroup that limits processes")
	}
	tb.Cleanup(func() {
		emptyInto(folder, filepath.Join(folder, "../cgroup.procs"))
		if err := unix.Rmdir(folder); err != nil {
			tb.Errorf("remove cgroup: %v", err)
		}
	})
	return folder
}

// setControl writes a control file.
func setControl(tb testing.TB, folder, name, value string) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(value), 0); err != nil {
		tb.Fatal(err)
	}
}

// REL-12, REL-14: the kernel lets neither keeper nor monitor make a process or thread more, whichever of a start's it is. That is an error,
// or the keeper dies of it, as Go's runtime does where it gets no thread, and another takes its place. Nothing is left, other domains live
// on, and as soon as there is room it starts.
func TestProcessesRunOut(t *testing.T) {
	h := newNetworkHost(t, "fa120003")
	folder := crowd(t)
	d := closing(t, h.open(t))
	s := h.stage(t, act{})
	s.d = d
	ctx, cancel := aWhile()
	defer cancel()
	stays := start(t, d, h.spec(idle))
	keeper := h.keeperPID(t)
	setControl(t, folder, "cgroup.procs", strconv.Itoa(keeper))
	text, err := os.ReadFile(filepath.Join(folder, "pids.current"))
	if err != nil {
		t.Fatal(err)
	}
	threads, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for more := 0; ; more++ {
		setControl(t, folder, "pids.max", strconv.Itoa(threads+more))
		if err = h.startsAndAgain(ctx, t, s); err == nil {
			t.Logf("a start makes %d processes and threads; %d starts failed", more, failed)
			break
		}
		t.Logf("with %d more: %v", more, err)
		failed++
		if t.Failed() || more > 100 {
			break
		}
	}
	setControl(t, folder, "pids.max", "max")
	if st, err := stays.Status(ctx); err != nil || !st.Running {
		t.Errorf("the other domain: %+v, %v", st, err)
	}
	kill(t, stays)
	h.clean(t, s)
}
