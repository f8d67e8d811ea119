package drivertest

import (
	"errors"
	"slices"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var updateTests = []testcase{
	updateLimits, updateOfPaused, updatePolicy, updateOutlivesRestart, restartsHeldBack, restartsLimited, restartLimitUpdated, updateOfStopped, filesystemsListed,
}

// update changes a running container, and what it is to be compared with.
func (l *life) update(change func(*davitv1.Domain)) *davitv1.Domain {
	l.s.Helper()
	def := proto.CloneOf(l.spec.Definition)
	change(def)
	if err := l.Update(l.s.Context(), def); err != nil {
		l.s.Fatalf("update: %v", err)
	}
	return def
}

// limits compares the limits of memory and processes, as far as the host can limit them, and gives what is told.
func (l *life) limits(memory, pids uint64) *davitv1.DomainStats {
	l.s.Helper()
	c, err := l.s.driver.Capabilities(l.s.Context())
	if err != nil {
		l.s.Fatal(err)
	}
	st, err := l.Stats(l.s.Context())
	if err != nil {
		l.s.Fatalf("stats: %v", err)
	}
	if slices.Contains(c.Controllers, "memory") && st.GetMemoryLimitBytes() != memory {
		l.s.Errorf("memory is limited to %d bytes, want %d", st.GetMemoryLimitBytes(), memory)
	}
	if slices.Contains(c.Controllers, "pids") && st.GetPidsLimit() != pids {
		l.s.Errorf("processes are limited to %d, want %d", st.GetPidsLimit(), pids)
	}
	return st
}

// Limits rise and fall, and what is no longer named is as it was without it.
func updateLimits(s *suite) {
	l := s.start(idle).ready()
	before, err := l.Stats(s.Context())
	if err != nil {
		s.Fatalf("stats: %v", err)
	}
	for _, mib := range []uint64{96, 512, 64} {
		l.update(func(def *davitv1.Domain) {
			def.Memtune = &davitv1.MemoryTune{HardLimitKib: mib << 10, SoftLimitKib: mib << 9, SwapHardLimitKib: mib << 10}
			def.Cputune = &davitv1.CpuTune{Shares: mib, Period: 50000, Quota: 25000}
			def.PidsLimit = mib
		})
		l.limits(mib<<20, mib)
	}
	l.update(func(def *davitv1.Domain) { def.CurrentMemoryKib = 128 << 10 })
	l.limits(128<<20, before.GetPidsLimit())
	for range 2 { // what holds already may be told again
		l.update(func(*davitv1.Domain) {})
		l.limits(256<<20, before.GetPidsLimit())
	}
}

// A frozen container can be updated as well.
func updateOfPaused(s *suite) {
	l := s.start(idle).ready()
	if err := l.Suspend(s.Context()); err != nil {
		s.Fatalf("suspend: %v", err)
	}
	l.update(func(def *davitv1.Domain) {
		def.PidsLimit, def.OnCrash = 99, davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	})
	l.limits(256<<20, 99)
	if !l.status().Paused {
		s.Error("it is thawed")
	}
}

// What follows the end of init is what the last update says.
func updatePolicy(s *suite) {
	l := s.start(idle).ready()
	want[driver.Started](l)
	l.update(restartOn(crash))
	l.killInit()
	if x, _ := want[driver.Exited](l); !x.Restart {
		s.Errorf("exited %+v, want a restart", x)
	}
	want[driver.Restarted](l)
	l.update(func(*davitv1.Domain) {})
	l.killInit()
	if x, _ := want[driver.Exited](l); x.Restart {
		s.Errorf("exited %+v, want no restart", x)
	}
	l.over()
}

func (l *life) killInit() {
	l.s.Helper()
	if err := l.Signal(l.s.Context(), 1, int(syscall.SIGKILL)); err != nil {
		l.s.Fatalf("signal: %v", err)
	}
}

// A container keeps what it was updated to when the daemon is started anew.
func updateOutlivesRestart(s *suite) {
	l := s.start(idle).ready()
	want[driver.Started](l)
	l.spec.Definition = l.update(func(def *davitv1.Domain) {
		def.PidsLimit, def.OnCrash = 99, davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	})
	s.reopen()
	l.recover()
	l.limits(256<<20, 99)
	l.watch(1)
	l.killInit()
	if x, _ := want[driver.Exited](l); !x.Restart {
		s.Errorf("exited %+v, want a restart", x)
	}
}

// restarting makes every end of init but the asked one a restart, held back as the definition says.
func restarting(r *davitv1.Restart) func(*davitv1.Domain) {
	return func(def *davitv1.Domain) {
		def.OnCrash, def.Restart = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART, r
	}
}

// crash kills init and gives its end; a restart that follows is waited for.
func (l *life) crash() driver.Exited {
	l.s.Helper()
	l.killInit()
	x, _ := want[driver.Exited](l)
	if x.Restart {
		want[driver.Restarted](l)
	}
	return x
}

// Restarts are held back as the definition says.
func restartsHeldBack(s *suite) {
	l := s.start("/guest/reboot -f", func(def *davitv1.Domain) {
		def.Restart = &davitv1.Restart{DelayMs: new(uint32(7)), MaxDelayMs: new(uint32(20))}
	})
	want[driver.Started](l)
	for i, ms := range []int{0, 7, 14, 20, 20} {
		if x, _ := want[driver.Exited](l); !x.Restart || x.Backoff != time.Duration(ms)*time.Millisecond {
			s.Errorf("end %d: %+v, want a restart in %d ms", i, x, ms)
		}
		want[driver.Restarted](l)
	}
	l.kill()
}

// One restart more than the definition allows is the end, also when the daemon was away for some.
func restartsLimited(s *suite) {
	l := s.start(idle, restarting(&davitv1.Restart{DelayMs: new(uint32(1)), MaxDelayMs: new(uint32(1)), Limit: new(uint32(3)), IntervalS: new(uint32(3600))})).ready()
	want[driver.Started](l)
	for i := range 2 {
		if x := l.crash(); !x.Restart {
			s.Errorf("end %d: %+v, want a restart", i, x)
		}
	}
	s.reopen()
	l.recover()
	l.watch(5)
	if x := l.crash(); !x.Restart {
		s.Errorf("end 2: %+v, want a restart", x)
	}
	if x := l.crash(); x.Restart || x.Cause != driver.CauseCrash {
		s.Errorf("end 3: %+v, want no restart", x)
	}
	l.over()
}

// A limit can be set and lifted while the container runs.
func restartLimitUpdated(s *suite) {
	l := s.start(idle, restartOn(crash)).ready()
	want[driver.Started](l)
	one := &davitv1.Restart{DelayMs: new(uint32(1)), MaxDelayMs: new(uint32(1)), Limit: new(uint32(1))}
	l.update(restarting(one))
	l.crash()
	l.update(restarting(nil))
	if x := l.crash(); !x.Restart {
		s.Errorf("without a limit: %+v, want a restart", x)
	}
	l.update(restarting(one))
	if x := l.crash(); !x.Restart {
		s.Errorf("the first with a new limit: %+v, want a restart", x)
	}
	if x := l.crash(); x.Restart {
		s.Errorf("the second with a limit of one: %+v, want none", x)
	}
	l.over()
}

func updateOfStopped(s *suite) {
	l := s.start("exit 0")
	l.exited()
	err := l.Update(s.Context(), l.spec.Definition)
	if !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("update: %v, want FAILED_PRECONDITION", err)
	}
}

// The root is there and is told, if the driver can tell; one that has stopped has none.
func filesystemsListed(s *suite) {
	l := s.start(idle).ready()
	lister, ok := l.Instance.(driver.FilesystemLister)
	if !ok {
		s.Skip("the driver does not list filesystems")
	}
	list, err := lister.Filesystems(s.Context())
	if err != nil {
		s.Fatalf("filesystems: %v", err)
	}
	if len(list) == 0 || list[0].GetMountpoint() != "/" || list[0].GetType() == "" {
		s.Errorf("filesystems are %v, want the root first", list)
	}
	l.kill()
	if _, err := lister.Filesystems(s.Context()); !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("filesystems of one that has stopped: %v, want FAILED_PRECONDITION", err)
	}
}
