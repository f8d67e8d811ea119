package engine_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Who waits for a domain to stop and then reads the events finds that it stopped, even if the journal was slow.
func TestWaitEndsAfterTheEvent(t *testing.T) {
	bubble(t, func(h *house) {
		for _, refused := range [][]error{nil, {full}, {full, full, full}} {
			h.boot(h.define("web", uuidWeb).GetName())
			h.faults.fail("Append", refused...)
			if err := h.host.Crash(uuidWeb, syscall.SIGSEGV); err != nil {
				t.Fatal(err)
			}
			h.wait("web")
			if told := h.told(); told[len(told)-1] != "web: Stopped Crashed" {
				t.Errorf("after %d refusals the last event is %q", len(refused), told[len(told)-1])
			}
		}
	})
}

// What the driver could not give back is given back later, and the domain can be started again.
func TestReleaseIsTriedAgain(t *testing.T) {
	bubble(t, func(h *house) {
		h.log = zap.NewNop()
		h.kill()
		h.start()
		h.define("web", uuidWeb)
		h.boot("web")
		stuck := errors.New("the cgroup is busy")
		h.faults.fail("Release", stuck, stuck, stuck)
		if _, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		if h.host.Made() != 1 || h.condition("web") != "shut off (destroyed)" {
			t.Errorf("it is %s, %d containers are there, want the one that is stuck", h.condition("web"), h.host.Made())
		}
		time.Sleep(time.Minute)
		if made := h.host.Made(); made != 0 {
			t.Errorf("%d containers are there a minute later", made)
		}
		h.boot("web")
	})
}

// A destroy does not wait for a start that hangs.
func TestDestroyEndsAStart(t *testing.T) {
	slow(t, 30*time.Second, func(h *house) {
		h.define("web", uuidWeb)
		started := make(chan error, 1)
		go func() { started <- startWeb(context.Background(), h) }()
		time.Sleep(time.Second)
		begun := time.Now()
		if _, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")}); err != nil {
			t.Errorf("destroy: %v", err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("destroy took %v", took)
		}
		err := <-started
		e, ok := errors.AsType[*domain.Error](err)
		if !ok || e.Reason != davitv1.ErrorReason_ERROR_REASON_START_FAILED {
			t.Errorf("start: %v, want START_FAILED", err)
		}
		if h.condition("web") != "shut off (failed)" || h.host.Made() != 0 {
			t.Errorf("it is %s, %d containers", h.condition("web"), h.host.Made())
		}
		if _, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")}); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("destroy of what does not run: %v", err)
		}
		h.boot("web")
	})
}
