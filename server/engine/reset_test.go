package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A reset makes a new init, of the definition that the domain runs with, under the same number; a paused one runs again.
func TestReset(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		before := h.boot("web")
		if err := h.tune(davitv1.Affect_AFFECT_LIVE, &davitv1.Domain{PidsLimit: 50}, "pids_limit"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.SuspendDomain(h.t.Context(), &davitv1.SuspendDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		r, err := h.ResetDomain(h.t.Context(), &davitv1.ResetDomainRequest{Domain: byName("web")})
		if err != nil {
			t.Fatalf("reset: %v", err)
		}
		after := r.GetDomain()
		if after.GetId() != before.GetId() || after.GetInitPid() == before.GetInitPid() || h.condition("web") != "running (booted)" ||
			r.GetPosition().GetSequence() != h.journal.Newest().GetSequence() {
			t.Errorf("before %v, after %v", before, r)
		}
		if run, err := h.host.Definition(uuidWeb); err != nil || run.GetPidsLimit() != 50 || h.host.Made() != 1 {
			t.Errorf("the run has %v, %v", run, err)
		}
		if info, err := h.GetDomain(h.t.Context(), &davitv1.GetDomainRequest{Domain: &davitv1.DomainRef{Ref: &davitv1.DomainRef_Id{Id: before.GetId()}}}); err != nil {
			t.Errorf("by number: %v, %v", info, err)
		}
		want := []string{
			"web: Defined Added", "web: Started Booted", "web: tunable pids_limit=50", "web: Suspended Paused",
			"web: Stopped Destroyed", "web: Started Booted",
		}
		if diff := cmp.Diff(want, h.told()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		h.kill()
		h.start()
		if got := h.condition("web"); got != "running (booted)" || h.host.Made() != 1 {
			t.Errorf("after a restart it is %s, %d containers", got, h.host.Made())
		}
	})
}

// A transient domain outlives a reset, and only one that succeeds; a defined one is then shut off.
func TestResetOfTransient(t *testing.T) {
	bubble(t, func(h *house) {
		h.CreateDomainOf("passing", "sleep infinity")
		gone := make(chan *davitv1.WaitDomainResponse, 1)
		go func() {
			r, _ := h.WaitDomain(context.WithoutCancel(h.t.Context()), &davitv1.WaitDomainRequest{
				Domain: byName("passing"), States: []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_CRASHED},
			})
			gone <- r
		}()
		synctest.Wait()
		reset := &davitv1.ResetDomainRequest{Domain: byName("passing")}
		if r, err := h.ResetDomain(h.t.Context(), reset); err != nil || r.GetDomain().GetPersistent() || r.GetDomain().GetInitPid() == 0 {
			t.Fatalf("reset: %v, %v", r, err)
		}
		synctest.Wait()
		select {
		case r := <-gone:
			t.Errorf("it was gone meanwhile: %v", r)
		default:
		}
		h.host.FailNextStart(errors.New("no root"))
		if _, err := h.ResetDomain(h.t.Context(), reset); reason(err) != davitv1.ErrorReason_ERROR_REASON_START_FAILED {
			t.Errorf("reset that fails: %v", err)
		}
		if r := <-gone; !r.GetGone() || h.get("passing") != nil || h.host.Made() != 0 {
			t.Errorf("it is %v, %v", r, h.get("passing"))
		}
		synctest.Wait()
		if statuses, err := h.store.Statuses(); err != nil || len(statuses) != 0 {
			t.Errorf("statuses left: %v, %v", statuses, err)
		}
		want := []string{"passing: Started Booted", "passing: Stopped Destroyed", "passing: Started Booted", "passing: Stopped Destroyed"}
		if diff := cmp.Diff(want, h.told()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestResetFails(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		reset := func() error {
			_, err := h.ResetDomain(h.t.Context(), &davitv1.ResetDomainRequest{Domain: byName("web")})
			return err
		}
		if err := reset(); !errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(err.Error(), `reset domain "web": domain is not running`) {
			t.Errorf("reset of inactive: %v", err)
		}
		h.boot("web")
		h.faults.fail("Kill", errors.New("it does not die"))
		if err := reset(); err == nil || h.condition("web") != "running (booted)" || h.host.Made() != 1 {
			t.Errorf("reset of immortal: %v, it is %s", err, h.condition("web"))
		}
		h.host.FailNextStart(errors.New("no root"))
		if err := reset(); err == nil || h.condition("web") != "shut off (failed)" || h.get("web").GetLastError() == "" || h.host.Made() != 0 {
			t.Errorf("reset that fails: %v, it is %v", err, h.get("web"))
		}
		h.boot("web")
	})
}

// What is done to a domain can be asked for, and by how many it is waited for.
func TestGetDomainJob(t *testing.T) {
	slow(t, 10*time.Second, func(h *house) {
		h.define("web", uuidWeb)
		if j := h.job("web"); j.GetOperation() != "" || j.GetSince() != nil || j.GetWaiting() != 0 {
			t.Errorf("idle: %v", j)
		}
		begun := time.Now()
		for range 3 {
			go func() { _ = startWeb(h.t.Context(), h) }()
			synctest.Wait()
		}
		time.Sleep(time.Second)
		if j := h.job("web"); j.GetOperation() != "start domain" || !j.GetSince().AsTime().Equal(begun) || j.GetWaiting() != 2 {
			t.Errorf("starting: %v, begun %v", j, begun)
		}
		time.Sleep(time.Minute)
		if j := h.job("web"); j.GetOperation() != "" || j.GetWaiting() != 0 {
			t.Errorf("started: %v", j)
		}
		if _, err := h.GetDomainJob(h.t.Context(), &davitv1.GetDomainJobRequest{Domain: byName("none")}); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("job of none: %v", err)
		}
	})
}

func (h *house) job(name string) *davitv1.GetDomainJobResponse {
	h.t.Helper()
	r, err := h.GetDomainJob(h.t.Context(), &davitv1.GetDomainJobRequest{Domain: byName(name)})
	if err != nil {
		h.t.Fatalf("get job of %s: %v", name, err)
	}
	return r
}
