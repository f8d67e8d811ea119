package engine_test

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A domain is defined, started, frozen, thawed, asked to end, and undefined.
func TestLife(t *testing.T) {
	bubble(t, func(h *house) {
		ctx, web := h.t.Context(), byName("web")
		h.define("web", uuidWeb)
		if got := h.condition("web"); got != "shut off (unknown)" {
			t.Errorf("defined: %s", got)
		}
		info := h.boot("web")
		if info.GetId() != 1 || info.GetInitPid() == 0 || info.GetState() != davitv1.DomainState_DOMAIN_STATE_RUNNING {
			t.Errorf("started: %v", info)
		}
		for _, step := range []struct {
			do   func() error
			want string
		}{
			{func() error {
				_, err := h.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: web})
				return err
			}, "paused (user)"},
			{func() error {
				_, err := h.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: web})
				return err
			}, "paused (user)"},
			{func() error {
				_, err := h.ResumeDomain(ctx, &davitv1.ResumeDomainRequest{Domain: web})
				return err
			}, "running (unpaused)"},
			{func() error {
				_, err := h.RebootDomain(ctx, &davitv1.RebootDomainRequest{Domain: web})
				time.Sleep(time.Second)
				return err
			}, "running (booted)"},
			{func() error {
				_, err := h.ShutdownDomain(ctx, &davitv1.ShutdownDomainRequest{Domain: web})
				synctest.Wait()
				return err
			}, "shut off (shutdown)"},
		} {
			if err := step.do(); err != nil {
				t.Errorf("on the way to %s: %v", step.want, err)
			}
			if got := h.condition("web"); got != step.want {
				t.Errorf("it is %s, want %s", got, step.want)
			}
		}
		if got := h.get("web"); got.GetExit().GetCode() != 0 || got.GetExit() == nil || got.GetId() != 0 {
			t.Errorf("stopped: %v", got)
		}
		if _, err := h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: web}); err != nil {
			t.Errorf("undefine: %v", err)
		}
		want := []string{
			"web: Defined Added", "web: Started Booted", "web: Suspended Paused", "web: Resumed Unpaused", "web: reboot 1",
			"web: Shutdown Finished after host request", "web: Stopped Shutdown", "web: Undefined Removed",
		}
		if diff := cmp.Diff(want, h.told()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if got := h.condition("web"); got != "absent" {
			t.Errorf("undefined: %s", got)
		}
		if h.host.Made() != 0 {
			t.Errorf("%d containers are left", h.host.Made())
		}
	})
}

// How a guest ends is told exactly.
func TestEnds(t *testing.T) {
	const restart = "<on_crash>restart</on_crash>"
	for _, test := range []struct {
		name string
		more string
		do   func(h *house) error
		want string
		exit *davitv1.Exit
		told []string
	}{
		{
			name: "exit", do: func(h *house) error { return h.host.Exit(uuidWeb, 3) },
			want: "shut off (shutdown)", exit: &davitv1.Exit{How: &davitv1.Exit_Code{Code: 3}},
			told: []string{"web: Stopped Shutdown"},
		},
		{
			name: "poweroff", do: func(h *house) error { return h.host.Poweroff(uuidWeb) },
			want: "shut off (shutdown)", exit: &davitv1.Exit{How: &davitv1.Exit_Signal{Signal: 2}},
			told: []string{"web: Stopped Shutdown"},
		},
		{
			name: "crash", do: func(h *house) error { return h.host.Crash(uuidWeb, syscall.SIGSEGV) },
			want: "shut off (crashed)", exit: &davitv1.Exit{How: &davitv1.Exit_Signal{Signal: 11}},
			told: []string{"web: Crashed Panicked", "web: Stopped Crashed"},
		},
		{
			name: "oom", do: func(h *house) error { return h.host.OOM(uuidWeb, true) },
			want: "shut off (crashed)", exit: &davitv1.Exit{How: &davitv1.Exit_Signal{Signal: 9}, OomKilled: true},
			told: []string{"web: oom 1", "web: Crashed Panicked", "web: Stopped Crashed"},
		},
		{
			name: "oom elsewhere", do: func(h *house) error { return h.host.OOM(uuidWeb, false) },
			want: "running (booted)", told: []string{"web: oom 1"},
		},
		{
			name: "crash and restart", more: restart, do: func(h *house) error { return h.host.Crash(uuidWeb, syscall.SIGABRT) },
			want: "running (crashed)",
			told: []string{"web: Crashed Panicked", "web: Started Booted"},
		},
		{
			name: "reboot", do: func(h *house) error { return h.host.Reboot(uuidWeb) },
			want: "running (booted)",
			told: []string{"web: reboot 1"},
		},
		{
			name: "reboot that ends", more: "<on_reboot>destroy</on_reboot>", do: func(h *house) error { return h.host.Reboot(uuidWeb) },
			want: "shut off (shutdown)", exit: &davitv1.Exit{How: &davitv1.Exit_Signal{Signal: 1}},
			told: []string{"web: Stopped Shutdown"},
		},
		{
			name: "lost", do: func(h *house) error { return h.host.Lose(uuidWeb) },
			want: "shut off (failed)", exit: &davitv1.Exit{How: &davitv1.Exit_Unknown{Unknown: true}},
			told: []string{"web: Stopped Failed"},
		},
		{
			name: "destroy", do: func(h *house) error {
				_, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")})
				return err
			},
			want: "shut off (destroyed)", exit: &davitv1.Exit{How: &davitv1.Exit_Signal{Signal: 9}},
			told: []string{"web: Stopped Destroyed"},
		},
		{
			name: "destroy with grace", do: func(h *house) error {
				_, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{
					Domain: byName("web"), Grace: durationpb.New(time.Minute),
				})
				return err
			},
			want: "shut off (shutdown)", exit: &davitv1.Exit{How: &davitv1.Exit_Code{}},
			told: []string{"web: Shutdown Finished after host request", "web: Stopped Shutdown"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *house) {
				h.define("web", uuidWeb, test.more)
				h.boot("web")
				if err := test.do(h); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if got := h.condition("web"); got != test.want {
					t.Errorf("it is %s, want %s", got, test.want)
				}
				exit := h.get("web").GetExit()
				if exit != nil {
					exit.Time = nil
				}
				if exit.String() != test.exit.String() {
					t.Errorf("exit %v, want %v", exit, test.exit)
				}
				want := append([]string{"web: Defined Added", "web: Started Booted"}, test.told...)
				if diff := cmp.Diff(want, h.told()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if h.host.Made() != h.host.Running() {
					t.Errorf("%d containers are held, %d run", h.host.Made(), h.host.Running())
				}
			})
		})
	}
}

// A start that fails leaves nothing, tells no event and says why, to the caller and to those who ask later.
func TestStartFails(t *testing.T) {
	bubble(t, func(h *house) {
		ctx := h.t.Context()
		h.define("web", uuidWeb)
		h.host.FailNextStart(errors.New("mount \"/srv\": no such file or directory"))
		_, err := h.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: byName("web")})
		want := &domain.Error{Code: domain.ErrFailedPrecondition.Code, Reason: davitv1.ErrorReason_ERROR_REASON_START_FAILED}
		if !errors.Is(err, want) {
			t.Errorf("start: %v, want START_FAILED", err)
		}
		if got := h.get("web"); h.condition("web") != "shut off (failed)" || got.GetLastError() == "" || got.GetId() != 0 {
			t.Errorf("it is %v", got)
		}
		if diff := cmp.Diff([]string{"web: Defined Added"}, h.told()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if info := h.boot("web"); info.GetLastError() != "" || info.GetId() != 2 {
			t.Errorf("started again: %v", info)
		}
		h.host.FailNextStart(errors.New("no"))
		_, err = h.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: xml("mail", uuidMail)})
		if !errors.Is(err, want) || h.get("mail") != nil {
			t.Errorf("create: %v, left %v", err, h.get("mail"))
		}
		h.define("mail", "") // the name is free
	})
}

// A transient domain is gone when it stops, and what is defined of an active domain is for its next start.
func TestTransientAndPersistent(t *testing.T) {
	bubble(t, func(h *house) {
		ctx := h.t.Context()
		create := &davitv1.CreateDomainRequest{Source: xml("web", uuidWeb)}
		r, err := h.CreateDomain(ctx, create)
		if err != nil || r.GetDomain().GetPersistent() {
			t.Fatalf("create: %v, %v", r, err)
		}
		if _, err = h.CreateDomain(ctx, create); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("create again: %v", err)
		}
		if _, err = h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: byName("web")}); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("undefine transient: %v", err)
		}
		h.define("web", uuidWeb, "<title>next</title>")
		live, err := h.GetDomainXML(ctx, &davitv1.GetDomainXMLRequest{Domain: byName("web")})
		if err != nil {
			t.Fatal(err)
		}
		stored, err := h.GetDomainXML(ctx, &davitv1.GetDomainXMLRequest{Domain: byName("web"), Inactive: true})
		if err != nil || live.GetXml() == stored.GetXml() {
			t.Errorf("live and stored definition: %v\n%s", err, stored.GetXml())
		}
		if info := h.get("web"); !info.GetPersistent() || info.GetTitle() != "" {
			t.Errorf("defined while active: %v", info)
		}
		if _, err = h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: byName("web")}); err != nil {
			t.Errorf("undefine active: %v", err)
		}
		if info := h.get("web"); info.GetPersistent() || info.GetState() != davitv1.DomainState_DOMAIN_STATE_RUNNING {
			t.Errorf("undefined while active: %v", info)
		}
		if err = h.host.Exit(uuidWeb, 0); err != nil {
			t.Fatal(err)
		}
		if r := h.wait("web"); !r.GetGone() {
			t.Errorf("stopped: %v", r)
		}
		synctest.Wait() // it is seen before it is told
		want := []string{
			"web: Started Booted", "web: Defined Added", "web: Undefined Removed", "web: Stopped Shutdown",
		}
		if diff := cmp.Diff(want, h.told()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		statuses, err := h.store.Statuses()
		if err != nil || len(statuses) != 0 {
			t.Errorf("statuses left: %v, %v", statuses, err)
		}
	})
}
