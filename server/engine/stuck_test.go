package engine_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// REL-08: a process of a domain cannot die. Its destroy says so, and the domain is in shutdown until the process dies, whatever becomes of
// davitd meanwhile. Then it is shut off by itself, which is told once.
func TestDestroyIsStuck(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		h.boot("web")
		destroy := func() {
			t.Helper()
			_, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")})
			if !errors.Is(err, driver.ErrStuck) {
				t.Errorf("destroy: %v, want it stuck", err)
			}
		}
		if err := h.host.Stick(uuidWeb, driver.ErrStuck); err != nil {
			t.Fatal(err)
		}
		destroy()
		destroy()
		lingers := func() {
			t.Helper()
			if got := h.condition("web"); got != domain.Lingering.String() {
				t.Errorf("it is %s, want it stuck", got)
			}
		}
		lingers()
		if _, err := h.ShutdownDomain(h.t.Context(), &davitv1.ShutdownDomainRequest{Domain: byName("web")}); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("shutdown: %v, want it refused", err)
		}
		if _, err := h.ResetDomain(h.t.Context(), &davitv1.ResetDomainRequest{Domain: byName("web")}); !errors.Is(err, driver.ErrStuck) {
			t.Errorf("reset: %v, want it stuck", err)
		}
		h.kill()
		h.start()
		lingers()
		if err := h.host.Stick(uuidWeb, nil); err != nil {
			t.Fatal(err)
		}
		h.wait("web")
		if got := h.condition("web"); got != "shut off (destroyed)" {
			t.Errorf("it is %s", got)
		}
		answer, err := h.GetDomain(h.t.Context(), &davitv1.GetDomainRequest{Domain: byName("web")})
		if err != nil || answer.GetDomain().GetLastError() != "" {
			t.Errorf("it ended, and tells of %q, %v", answer.GetDomain().GetLastError(), err)
		}
		time.Sleep(time.Minute)
		told := h.told()
		want := []string{"web: Started Booted", "web: Shutdown Stuck", "web: Stopped Destroyed"}
		if len(told) < len(want) || !slices.Equal(told[len(told)-len(want):], want) {
			t.Errorf("told is %q, want it to end with %q", told, want)
		}
		if made := h.host.Made(); made != 0 {
			t.Errorf("%d containers are left", made)
		}
		h.boot("web")
	})
}

// davitd is killed before a destroy is told that it is stuck.
func TestKilledBeforeADestroyIsStuck(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		h.boot("web")
		if err := h.host.Stick(uuidWeb, driver.ErrStuck); err != nil {
			t.Fatal(err)
		}
		h.faults.fail("Append", full, full, full)
		_, _ = h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")})
		h.kill()
		h.start()
		if got := h.condition("web"); got != domain.Lingering.String() {
			t.Errorf("it is %s, want it stuck", got)
		}
		if err := h.host.Stick(uuidWeb, nil); err != nil {
			t.Fatal(err)
		}
		h.wait("web")
		told := h.told()
		want := []string{"web: Started Booted", "web: Shutdown Stuck", "web: Stopped Destroyed"}
		if len(told) < len(want) || !slices.Equal(told[len(told)-len(want):], want) {
			t.Errorf("told is %q, want it to end with %q", told, want)
		}
	})
}
