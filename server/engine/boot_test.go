package engine_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

// slowDriver is a driver whose Recover waits until it is let, or fails.
type slowDriver struct {
	driver.Driver
	log *slowness
}

type slowness struct {
	gate chan struct{} // closed to let all through

	mu     sync.Mutex
	faults int // so many fail first
	asked  []string
	swept  []string // what was kept
}

func (d slowDriver) Recover(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	d.log.mu.Lock()
	d.log.asked = append(d.log.asked, spec.Definition.GetName())
	failed := d.log.faults > 0
	if failed {
		d.log.faults--
	}
	d.log.mu.Unlock()
	if failed {
		return nil, syscall.EMFILE
	}
	select {
	case <-d.log.gate:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return d.Driver.Recover(ctx, spec)
}

func (d slowDriver) Sweep(ctx context.Context, keep []driver.Ref) error {
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	for _, ref := range keep {
		if ref.Generation != "" {
			d.log.swept = append(d.log.swept, ref.UUID)
		}
	}
	slices.Sort(d.log.swept)
	return d.Driver.Sweep(ctx, keep)
}

// reopened is a house whose domains web and log run, whose daemon was killed, and whose next one has read its state and adopts, but for
// what the driver does not tell yet.
func reopened(h *house, faults int, change func()) (*slowness, <-chan error) {
	h.t.Helper()
	h.define("web", uuidWeb)
	h.define("log", uuidMail)
	h.define("idle", "11111111-2222-4333-8444-000000000003")
	h.boot("web")
	h.boot("log")
	h.kill()
	if change != nil {
		change()
	}
	log := &slowness{gate: make(chan struct{}), faults: faults}
	h.options = func(o *engine.Options) { o.Driver = slowDriver{o.Driver, log} }
	h.open(0)
	if err := h.Load(); err != nil {
		h.t.Fatal(err)
	}
	adopted := make(chan error, 1)
	go func() { adopted <- h.Adopt(context.Background()) }()
	synctest.Wait()
	return log, adopted
}

// A daemon answers questions before it has found a run: the domains are what they were told to be, with their numbers.
func TestAnswersBeforeAdoption(t *testing.T) {
	bubble(t, func(h *house) {
		log, adopted := reopened(h, 0, nil)
		list, err := h.ListDomains(h.t.Context(), &davitv1.ListDomainsRequest{})
		if err != nil || len(list.GetDomains()) != 3 {
			h.t.Fatalf("list is %v, %v", list, err)
		}
		for _, name := range []string{"web", "log"} {
			if got := h.get(name); got.GetState() != davitv1.DomainState_DOMAIN_STATE_RUNNING || got.GetId() == 0 || got.GetInitPid() != 0 {
				h.t.Errorf("%s is %v", name, got)
			}
		}
		if _, err := h.GetDomainXML(h.t.Context(), &davitv1.GetDomainXMLRequest{Domain: byName("web")}); err != nil {
			h.t.Errorf("definition: %v", err)
		}
		// What is held is held: neither the name, nor the UUID, nor the domain is another's.
		if _, err := h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{Source: xml("web", uuidMail)}); !errors.Is(err, domain.ErrExists) {
			h.t.Errorf("a name that is taken is given away: %v", err)
		}
		h.define("new", "11111111-2222-4333-8444-000000000004")
		close(log.gate)
		if err := <-adopted; err != nil {
			h.t.Fatal(err)
		}
		for _, name := range []string{"web", "log"} {
			if got := h.get(name); got.GetInitPid() == 0 {
				h.t.Errorf("%s has no init after its adoption: %v", name, got)
			}
		}
		if diff := cmp.Diff([]string{uuidWeb, uuidMail}, sorted(log.swept)); diff != "" {
			h.t.Errorf("what was kept of the sweep (-want +got):\n%s", diff)
		}
	})
}

func sorted(list []string) []string {
	slices.SortFunc(list, func(a, b string) int {
		if a == uuidWeb {
			return -1
		}
		return 1
	})
	return list
}

// Who needs a run waits for its adoption, as long as the call may take; a start waits until all is decided.
func TestCallsWaitForAdoption(t *testing.T) {
	bubble(t, func(h *house) {
		log, adopted := reopened(h, 0, nil)
		brief := func() context.Context {
			ctx, cancel := context.WithTimeout(h.t.Context(), time.Second)
			h.t.Cleanup(cancel)
			return ctx
		}
		web := byName("web")
		_, stats := h.GetDomainStats(brief(), &davitv1.GetDomainStatsRequest{Domain: web})
		_, processes := h.ListProcesses(brief(), &davitv1.ListProcessesRequest{Domain: web})
		_, command := h.Exec(brief(), &davitv1.ExecStart{Domain: web, Argv: []string{"true"}})
		_, suspended := h.SuspendDomain(brief(), &davitv1.SuspendDomainRequest{Domain: web})
		_, destroyed := h.DestroyDomain(brief(), &davitv1.DestroyDomainRequest{Domain: web})
		_, started := h.StartDomain(brief(), &davitv1.StartDomainRequest{Domain: byName("idle")})
		for what, err := range map[string]error{
			"stats": stats, "processes": processes, "command": command, "suspend": suspended, "destroy": destroyed, "start": started,
		} {
			if e, ok := errors.AsType[*domain.Error](err); !ok || e.Reason != davitv1.ErrorReason_ERROR_REASON_JOB_IN_PROGRESS {
				h.t.Errorf("%s before the adoption: %v, want that a job is in progress", what, err)
			}
		}
		results := make(chan error, 3)
		go func() {
			_, err := h.ListProcesses(h.t.Context(), &davitv1.ListProcessesRequest{Domain: web})
			results <- err
		}()
		go func() {
			_, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("log")})
			results <- err
		}()
		go func() {
			_, err := h.StartDomain(h.t.Context(), &davitv1.StartDomainRequest{Domain: byName("idle")})
			results <- err
		}()
		synctest.Wait()
		close(log.gate)
		for range cap(results) {
			if err := <-results; err != nil {
				h.t.Errorf("a call that waited: %v", err)
			}
		}
		if err := <-adopted; err != nil {
			h.t.Fatal(err)
		}
		if got := h.condition("idle"); got != "running (booted)" {
			h.t.Errorf("idle is %s", got)
		}
	})
}

// What ended while no daemon was there is told once, in order, also when the daemon that adopts is killed.
func TestKilledAmidAdoption(t *testing.T) {
	bubble(t, func(h *house) {
		log, _ := reopened(h, 0, func() {
			if err := h.host.Crash(uuidWeb, syscall.SIGSEGV); err != nil {
				h.t.Fatal(err)
			}
		})
		if got := h.condition("web"); got != "running (booted)" {
			h.t.Errorf("before its adoption web is %s", got)
		}
		h.kill()
		h.options = nil
		h.start()
		var told []string
		for _, line := range h.told() {
			if line != "web: Defined Added" && line != "log: Defined Added" && line != "idle: Defined Added" {
				told = append(told, line)
			}
		}
		want := []string{"web: Started Booted", "log: Started Booted", "web: Crashed Panicked", "web: Stopped Crashed"}
		if diff := cmp.Diff(want, told); diff != "" || h.condition("log") != "running (booted)" {
			h.t.Errorf("log is %s, events (-want +got):\n%s", h.condition("log"), diff)
		}
		if len(log.swept) > 0 {
			h.t.Errorf("%q was swept around before all was decided", log.swept)
		}
	})
}

// A daemon that is told to end amid adoption ends, and no run is lost by that.
func TestStoppedAmidAdoption(t *testing.T) {
	bubble(t, func(h *house) {
		reopened(h, 0, nil)
		now, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = h.Engine.Close(now) // says that jobs were given up
		cancel()
		h.shut()
		h.options = nil
		h.start()
		if h.condition("web") != "running (booted)" || h.condition("log") != "running (booted)" || h.host.Made() != 2 {
			h.t.Errorf("web is %s, log is %s, %d run", h.condition("web"), h.condition("log"), h.host.Made())
		}
	})
}

// A run that the driver cannot tell of is not taken for dead: it is kept, and asked after until it is found.
func TestRunThatCannotBeFoundYet(t *testing.T) {
	bubble(t, func(h *house) {
		log, adopted := reopened(h, 4, nil)
		close(log.gate)
		if err := <-adopted; err != nil {
			h.t.Fatal(err)
		}
		if len(log.swept) != 2 {
			h.t.Errorf("%q was kept of the sweep, want both", log.swept)
		}
		time.Sleep(time.Minute)
		for _, name := range []string{"web", "log"} {
			if got := h.get(name); got.GetState() != davitv1.DomainState_DOMAIN_STATE_RUNNING || got.GetInitPid() == 0 {
				h.t.Errorf("%s is %v", name, got)
			}
		}
		if h.host.Made() != 2 {
			h.t.Errorf("%d run", h.host.Made())
		}
	})
}

// A run that hangs keeps nobody else from starting for long.
func TestRunThatHangs(t *testing.T) {
	bubble(t, func(h *house) {
		log, adopted := reopened(h, 0, nil)
		if err := <-adopted; err != nil { // it was patient for a while
			h.t.Fatal(err)
		}
		h.boot("idle")
		if len(log.swept) != 2 {
			h.t.Errorf("%q was kept of the sweep, want both that hang", log.swept)
		}
		close(log.gate)
		synctest.Wait()
		if got := h.get("web"); got.GetInitPid() == 0 {
			h.t.Errorf("web is %v", got)
		}
	})
}
