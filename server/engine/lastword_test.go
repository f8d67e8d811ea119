package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// slowReboot is an init that takes a second to reboot, and hears no other request.
const slowReboot = "trap 'sleep 1; reboot -f' HUP; sleep infinity"

// A shutdown overrides a reboot that is under way, also over the death of the daemon; a reboot does not override a shutdown.
func TestShutdownDuringReboot(t *testing.T) {
	for name, killed := range map[string]bool{"daemon lives": false, "daemon dies": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *house) {
				ctx := h.t.Context()
				h.CreateDomainOf("web", slowReboot)
				reboot := &davitv1.RebootDomainRequest{Domain: byName("web"), Mode: davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL}
				if _, err := h.RebootDomain(ctx, reboot); err != nil {
					t.Fatalf("reboot: %v", err)
				}
				shutdown := &davitv1.ShutdownDomainRequest{Domain: byName("web"), Mode: davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL}
				if _, err := h.ShutdownDomain(ctx, shutdown); err != nil {
					t.Fatalf("shutdown: %v", err)
				}
				if _, err := h.RebootDomain(ctx, reboot); !errors.Is(err, domain.ErrFailedPrecondition) {
					t.Errorf("reboot of what is being shut down: %v", err)
				}
				if killed {
					h.kill()
					h.start()
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				want := []string{"web: Started Booted", "web: Shutdown Finished after host request", "web: Stopped Shutdown"}
				if diff := cmp.Diff(want, h.told()); diff != "" || h.condition("web") != "absent" || h.host.Made() != 0 {
					t.Errorf("it is %s, %d containers, events (-want +got):\n%s", h.condition("web"), h.host.Made(), diff)
				}
			})
		})
	}
}

// While a guest reboots it can be destroyed, and reset, at any moment.
func TestForceDuringReboot(t *testing.T) {
	for _, after := range []time.Duration{0, 500 * time.Millisecond, 1005 * time.Millisecond} { // the last between two inits
		bubble(t, func(h *house) {
			ctx := h.t.Context()
			h.CreateDomainOf("web", slowReboot)
			reboot := func() {
				if _, err := h.RebootDomain(ctx, &davitv1.RebootDomainRequest{
					Domain: byName("web"), Mode: davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL,
				}); err != nil {
					t.Fatalf("reboot: %v", err)
				}
				time.Sleep(after)
			}
			reboot()
			if _, err := h.ResetDomain(ctx, &davitv1.ResetDomainRequest{Domain: byName("web")}); err != nil {
				t.Fatalf("reset after %v: %v", after, err)
			}
			time.Sleep(time.Minute)
			if got := h.condition("web"); got != "running (booted)" || h.host.Running() != 1 || h.host.Made() != 1 {
				t.Errorf("reset after %v: it is %s, %d containers", after, got, h.host.Made())
			}
			reboot()
			if _, err := h.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: byName("web")}); err != nil {
				t.Fatalf("destroy after %v: %v", after, err)
			}
			time.Sleep(time.Minute)
			want := []string{"web: Started Booted", "web: Stopped Destroyed", "web: Started Booted", "web: Stopped Destroyed"}
			if diff := cmp.Diff(want, h.told()); diff != "" || h.host.Made() != 0 {
				t.Errorf("destroy after %v: %d containers, events (-want +got):\n%s", after, h.host.Made(), diff)
			}
		})
	}
}
