package debiantest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// scriptVariable is a script that is run in the Debian once it is up, in place of all tests.
const scriptVariable = "DAVIT_TEST_DEBIAN_SCRIPT"

// live goes through the life of the domain.
func live(t *testing.T, h *host) {
	t.Helper()
	begun := time.Now()
	h.davit(t, "start", domainName)
	h.up(t, begun)
	if script := os.Getenv(scriptVariable); script != "" {
		out, err := h.inside(t.Context(), script)
		t.Logf("%v\n%s", err, out)
		h.shutdown(t)
		return
	}
	h.connect(t)
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if out, err := h.inside(t.Context(), c.script); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	t.Run("console", h.console)
	t.Run("reboot from outside", func(t *testing.T) {
		h.reboot(t, func() { h.davit(t, "reboot", domainName) })
	})
	t.Run("reboot from inside", func(t *testing.T) {
		h.reboot(t, func() { _, _ = h.inside(t.Context(), "systemctl reboot") }) // it is cut off
	})
	t.Run("power-off from inside", func(t *testing.T) {
		_, _ = h.inside(t.Context(), "systemctl poweroff") // it is cut off
		h.down(t)
	})
	t.Run("shutdown", func(t *testing.T) {
		begun := time.Now()
		h.davit(t, "start", domainName)
		h.up(t, begun)
		h.shutdown(t)
	})
	t.Run("shutdown while it boots", func(t *testing.T) {
		h.davit(t, "start", domainName)
		h.shutdown(t)
	})
}

// up waits until systemd has done all that it is to do, and wants that nothing of it failed.
func (h *host) up(t *testing.T, begun time.Time) {
	t.Helper()
	until(t, "systemd answers", func() error {
		out, err := h.inside(t.Context(), "systemctl is-system-running --wait || true")
		if err == nil && out != "running" && out != "degraded" {
			err = fmt.Errorf("it is %q", out)
		}
		return err
	})
	t.Logf("up after %.2f s", time.Since(begun).Seconds())
	if out, err := h.inside(t.Context(), `same "$(systemctl --failed --plain --no-legend)" ""; same "$(systemctl is-system-running)" running`); err != nil {
		journal, _ := h.inside(t.Context(), "journalctl -b --no-pager -p notice")
		t.Fatalf("not all is well: %v\n%s\n%s", err, out, journal)
	}
}

// shutdown has davit end the domain.
func (h *host) shutdown(t *testing.T) {
	t.Helper()
	begun := time.Now()
	h.davit(t, "shutdown", domainName)
	h.down(t)
	t.Logf("down after %.2f s", time.Since(begun).Seconds())
}

// down waits until the domain has ended, and wants that it did so by itself: by reboot(2), which the parent of an init is told as
// the signal SIGINT.
func (h *host) down(t *testing.T) {
	t.Helper()
	h.davit(t, "wait", domainName, "--for", "shutoff")
	info := h.info(t)
	if info.GetReason() != davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_SHUTDOWN || info.GetExit().GetSignal() != 2 {
		t.Errorf("it ended as %v, %v; want a power-off", info.GetReason(), info.GetExit())
	}
}

// reboot asks for a reboot and waits until the domain is up again, and can be used.
func (h *host) reboot(t *testing.T, ask func()) {
	t.Helper()
	before := h.info(t)
	begun := time.Now()
	ask()
	until(t, "it has rebooted", func() error {
		if now := h.info(t); now.GetReboots() != before.GetReboots()+1 || now.GetInitPid() == before.GetInitPid() || now.GetInitPid() == 0 {
			return fmt.Errorf("%d reboots, init is %d", now.GetReboots(), now.GetInitPid())
		}
		return nil
	})
	h.up(t, begun)
	h.connect(t)
	for _, c := range checks {
		if c.again {
			if out, err := h.inside(t.Context(), c.script); err != nil {
				t.Errorf("%s: %v\n%s", c.name, err, out)
			}
		}
	}
	if text := h.davit(t, "exec", domainName, "--", "/bin/cat", "/etc/debian_version"); !strings.HasPrefix(text, "12.") {
		t.Errorf("after the reboot it is Debian %q", text)
	}
}
