package engine_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// full is what a full disk says.
var full = &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}

// A definition that cannot be stored, or not be told, leaves all as it was.
func TestDefineOnFullDisk(t *testing.T) {
	for _, method := range []string{"PutStatus", "Put", "Append"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(h *house) {
				h.define("web", uuidWeb, "<title>old</title>")
				before := h.xml("web", true)
				h.faults.fail(method, full)
				_, err := h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb, "<title>new</title>")})
				if method != "Append" && !errors.Is(err, domain.ErrExhausted) || err == nil {
					t.Errorf("define: %v, want RESOURCE_EXHAUSTED", err)
				}
				if diff := cmp.Diff(before, h.xml("web", true)); diff != "" {
					t.Errorf("definition (-before +after):\n%s", diff)
				}
				h.faults.fail(method, full)
				if _, err = h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{Source: xml("mail", uuidMail)}); err == nil {
					t.Error("define: no error")
				}
				if h.condition("mail") != "absent" {
					t.Errorf("mail is %s", h.condition("mail"))
				}
				undefine := method
				if method == "Put" {
					undefine = "Delete"
				}
				h.faults.fail(undefine, full)
				if _, err = h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")}); err == nil {
					t.Error("undefine: no error")
				}
				time.Sleep(time.Minute)
				h.kill()
				h.start()
				if diff := cmp.Diff(before, h.xml("web", true)); diff != "" || h.condition("mail") != "absent" {
					t.Errorf("after a restart mail is %s, web (-before +after):\n%s", h.condition("mail"), diff)
				}
				h.define("mail", "") // the name is free
			})
		})
	}
}

// An update is made as a whole or not at all.
func TestUpdateOnFullDisk(t *testing.T) {
	for _, method := range []string{"PutStatus", "Put", "SetAutostart", "Append"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(h *house) {
				h.define("web", uuidWeb, "<title>old</title>")
				h.boot("web")
				before, live := h.xml("web", true), h.xml("web", false)
				h.faults.fail(method, full)
				_, err := h.UpdateDomain(h.t.Context(), &davitv1.UpdateDomainRequest{
					Domain: byName("web"), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title", "autostart"}},
					Title: "new", Autostart: true, Affect: davitv1.Affect_AFFECT_LIVE_AND_CONFIG,
				})
				if err == nil {
					t.Error("update: no error")
				}
				for _, when := range []string{"now", "after a restart"} {
					if diff := cmp.Diff(before+live, h.xml("web", true)+h.xml("web", false)); diff != "" || h.get("web").GetAutostart() {
						t.Errorf("%s autostart is %t, definitions (-before +after):\n%s", when, h.get("web").GetAutostart(), diff)
					}
					h.kill()
					h.start()
				}
				if diff := cmp.Diff([]string{"web: Defined Added", "web: Started Booted"}, h.told()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What happens to a guest is told once the disk has room again, in order, and the run is not released before.
func TestGuestEndsOnFullDisk(t *testing.T) {
	for _, method := range []string{"PutStatus", "Append"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(h *house) {
				h.define("web", uuidWeb)
				h.boot("web")
				h.faults.fail(method, full, full, full, full, full)
				if err := h.host.Crash(uuidWeb, syscall.SIGSEGV); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				time.Sleep(time.Minute)
				if got := h.condition("web"); got != "shut off (crashed)" || h.host.Made() != 0 {
					t.Errorf("it is %s, %d containers", got, h.host.Made())
				}
				want := []string{"web: Defined Added", "web: Started Booted", "web: Crashed Panicked", "web: Stopped Crashed"}
				if diff := cmp.Diff(want, h.told()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A domain whose record cannot be written is not started, and one that cannot be frozen on record is not frozen.
func TestActsOnFullDisk(t *testing.T) {
	bubble(t, func(h *house) {
		ctx, web := h.t.Context(), byName("web")
		h.define("web", uuidWeb)
		h.faults.fail("PutStatus", full)
		if err := startWeb(ctx, h); !errors.Is(err, domain.ErrExhausted) || h.host.Made() != 0 {
			t.Errorf("start: %v, %d containers", err, h.host.Made())
		}
		h.boot("web")
		h.faults.fail("PutStatus", full)
		if _, err := h.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: web}); !errors.Is(err, domain.ErrExhausted) {
			t.Errorf("suspend: %v", err)
		}
		if _, err := h.ResumeDomain(ctx, &davitv1.ResumeDomainRequest{Domain: web}); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("resume what was not suspended: %v", err)
		}
		h.faults.fail("Suspend", errors.New("it does not freeze"))
		if _, err := h.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: web}); err == nil || h.condition("web") != "running (booted)" {
			t.Errorf("suspend: %v, it is %s", err, h.condition("web"))
		}
		h.faults.fail("Kill", errors.New("it does not die"))
		if _, err := h.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: web}); err == nil || h.condition("web") != "running (booted)" {
			t.Errorf("destroy: %v, it is %s", err, h.condition("web"))
		}
		if err := h.host.Exit(uuidWeb, 1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := h.condition("web"); got != "shut off (shutdown)" {
			t.Errorf("after a destroy that failed and an exit it is %s", got)
		}
		h.faults.fail("Append", full, full)
		if err := startWeb(ctx, h); err == nil || h.condition("web") != "running (booted)" {
			t.Errorf("start that cannot be told: %v, it is %s", err, h.condition("web"))
		}
		time.Sleep(time.Minute)
		told := h.told()
		if told[len(told)-1] != "web: Started Booted" {
			t.Errorf("events: %q", told)
		}
	})
}

// Runs that are lost with the host, or with their supervisor, are told as such when the daemon starts.
func TestLostWhileAway(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		h.boot("web")
		h.kill()
		if err := h.host.Vanish(uuidWeb); err != nil {
			t.Fatal(err)
		}
		h.start()
		info := h.get("web")
		if got := h.condition("web"); got != "shut off (daemon)" || info.GetLastError() == "" {
			t.Errorf("it is %s, %v", got, info)
		}
		told := h.told()
		if told[len(told)-1] != "web: Stopped Failed" {
			t.Errorf("events: %q", told)
		}
		h.boot("web")
	})
}

// What a domain did while the daemon was away is told when it is back, and the end of its life is remembered.
func TestAwayAndBack(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		h.define("mail", uuidMail)
		h.boot("web")
		h.boot("mail")
		if _, err := h.SuspendDomain(h.t.Context(), &davitv1.SuspendDomainRequest{Domain: byName("mail")}); err != nil {
			t.Fatal(err)
		}
		h.kill()
		if err := errors.Join(h.host.Reboot(uuidWeb)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := h.host.Exit(uuidWeb, 7); err != nil {
			t.Fatal(err)
		}
		h.start()
		if got := h.get("web"); got.GetExit().GetCode() != 7 || h.condition("web") != "shut off (shutdown)" {
			t.Errorf("web: %v", got)
		}
		if got := h.get("mail"); got.GetId() != 2 || h.condition("mail") != "paused (user)" {
			t.Errorf("mail: %v", got)
		}
		want := []string{
			"web: Defined Added", "mail: Defined Added", "web: Started Booted", "mail: Started Booted",
			"mail: Suspended Paused", "web: reboot 1", "web: Stopped Shutdown",
		}
		for range 2 {
			if diff := cmp.Diff(want, h.told()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			h.stop()
			h.start()
		}
		if got := h.get("web"); got.GetExit().GetCode() != 7 || h.condition("web") != "shut off (shutdown)" {
			t.Errorf("web after another restart: %v", got)
		}
		if info := h.boot("web"); info.GetId() != 3 {
			t.Errorf("the next number is %d", info.GetId())
		}
	})
}

// The daemon is killed at each step of its recovery.
func TestKilledDuringRecovery(t *testing.T) {
	steps := 0
	for killed := true; killed; steps++ {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			h.start()
			h.define("web", uuidWeb)
			h.boot("web")
			h.kill()
			if err := h.host.Crash(uuidWeb, syscall.SIGSEGV); err != nil {
				t.Fatal(err)
			}
			h.open(steps + 1)
			go func() { _ = h.Recover(h.t.Context()) }()
			time.Sleep(time.Second)
			killed = h.life.dead()
			where := h.life.where()
			h.kill()
			h.start()
			want := []string{"web: Defined Added", "web: Started Booted", "web: Crashed Panicked", "web: Stopped Crashed"}
			if diff := cmp.Diff(want, h.told()); diff != "" || h.condition("web") != "shut off (crashed)" || h.host.Made() != 0 {
				t.Errorf("killed %s: it is %s, %d containers, events (-want +got):\n%s", where, h.condition("web"), h.host.Made(), diff)
			}
			h.kill()
		})
	}
	if steps < 8 {
		t.Errorf("only %d steps", steps)
	}
}

// Many runs are found again at once.
func TestRecoverMany(t *testing.T) {
	bubble(t, func(h *house) {
		const many = 100
		for i := range many {
			name := fmt.Sprintf("d%03d", i)
			h.define(name, "")
			h.boot(name)
		}
		h.kill()
		h.start()
		for i := range many {
			name := fmt.Sprintf("d%03d", i)
			if info := h.get(name); info.GetId() != uint32(i+1) || h.condition(name) != "running (booted)" {
				t.Fatalf("%s: %v", name, info)
			}
		}
		if told := h.told(); len(told) != 2*many {
			t.Errorf("%d events, want %d", len(told), 2*many)
		}
	})
}
