package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/store"
)

// shift sets the host's clock while no daemon runs: what is stored is of another time then. Within a daemon's life all times are
// taken by Go's monotonic clock.
func (h *house) shift(by time.Duration) {
	h.t.Helper()
	s, err := store.Open(store.Options{LibDir: h.dir + "/lib", RunDir: h.dir + "/run"})
	if err != nil {
		h.t.Fatal(err)
	}
	requests, err := s.Requests()
	for _, r := range requests {
		r.Asked, r.Answered = r.Asked.Add(by), r.Answered.Add(by)
		err = errors.Join(err, s.PutRequest(r))
	}
	statuses, fault := s.Statuses()
	for _, st := range statuses {
		st.Since = st.Since.Add(by)
		fault = errors.Join(fault, s.PutStatus(st))
	}
	if err = errors.Join(err, fault, s.Close()); err != nil {
		h.t.Fatal(err)
	}
	if len(requests) == 0 || len(statuses) == 0 {
		h.t.Fatalf("%d requests and %d states are stored", len(requests), len(statuses))
	}
}

// The host's clock is set back or forward by years: what runs goes on and nothing is told of it, a request is not remembered for
// as long as the clock was wrong, and at least one that is made again at once after the clock was set back is known. REL-17.
func TestClockIsSet(t *testing.T) {
	const years = 10 * 365 * 24 * time.Hour
	for name, by := range map[string]time.Duration{"back": years, "back by an hour": time.Hour, "forward": -years} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.start()
				defer func() { h.stop() }()
				h.define("web", uuidWeb)
				h.boot("web")
				suspend := &davitv1.SuspendDomainRequest{Domain: byName("web"), RequestId: "one"}
				if _, err := h.SuspendDomain(t.Context(), suspend); err != nil {
					t.Fatal(err)
				}
				pid, told := h.get("web").GetInitPid(), h.told()
				h.kill()
				h.shift(by)
				h.start()
				time.Sleep(time.Minute)
				if got := h.get("web"); h.condition("web") != "paused (user)" || got.GetInitPid() != pid {
					t.Errorf("it is %s, init %d, was %d", h.condition("web"), got.GetInitPid(), pid)
				}
				if diff := cmp.Diff(told, h.told()); diff != "" {
					t.Errorf("events (-before +after):\n%s", diff)
				}
				if _, err := h.ResumeDomain(t.Context(), &davitv1.ResumeDomainRequest{Domain: byName("web")}); err != nil {
					t.Fatal(err)
				}
				again := func(want string) {
					t.Helper()
					if _, err := h.SuspendDomain(t.Context(), suspend); err != nil || h.condition("web") != want {
						t.Errorf("the request made again: %v, it is %s, want %s", err, h.condition("web"), want)
					}
				}
				if by > 0 {
					again("running (unpaused)") // it is known, and was done
				}
				time.Sleep(11 * time.Minute)
				again("paused (user)") // it was forgotten, and is done
			})
		})
	}
}
