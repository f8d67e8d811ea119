package engine_test

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// crash is something that happens to a domain while the daemon is killed.
type crash struct {
	name    string
	prepare func(h *house) // brings the domain into the condition before
	more    string         // of the definition
	do      func(ctx context.Context, h *house) error
	told    []string // events of what is done, when all of it is
	partly  []string // events of what is done when the guest saw it and the daemon did not
	after   []string // conditions that are right afterwards
	// holds, if not nil, tells whether all else is as it must be, all of it done or nothing.
	holds func(h *house, done bool) bool
}

var crashes = []crash{
	{
		name: "define",
		do: func(ctx context.Context, h *house) error {
			_, err := h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("mail", uuidMail)})
			return err
		},
		told: []string{"mail: Defined Added"}, after: []string{"shut off (unknown)"},
	},
	{
		name: "redefine",
		do: func(ctx context.Context, h *house) error {
			_, err := h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb, "<title>new</title>")})
			return err
		},
		told: []string{"web: Defined Updated"}, after: []string{"shut off (unknown)"},
	},
	{
		name: "redefine active", prepare: booted,
		do: func(ctx context.Context, h *house) error {
			_, err := h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb, "<title>new</title>")})
			return err
		},
		told: []string{"web: Defined Updated"}, after: []string{"running (booted)"},
	},
	{
		name: "undefine",
		do: func(ctx context.Context, h *house) error {
			_, err := h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: byName("web")})
			return err
		},
		told: []string{"web: Undefined Removed"}, after: []string{"absent", "shut off (unknown)"},
	},
	{
		name: "undefine active", prepare: booted,
		do: func(ctx context.Context, h *house) error {
			_, err := h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: byName("web")})
			return err
		},
		told: []string{"web: Undefined Removed"}, after: []string{"running (booted)"},
	},
	{
		name: "update",
		do: func(ctx context.Context, h *house) error {
			_, err := h.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
				Domain: byName("web"), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"description"}}, Description: "new",
			})
			return err
		},
		told: []string{"web: METADATA_TYPE_DESCRIPTION "}, after: []string{"shut off (unknown)"},
	},
	{
		name: "update live", prepare: booted,
		do: func(ctx context.Context, h *house) error {
			_, err := h.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
				Domain: byName("web"), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}}, Title: "new",
			})
			return err
		},
		told: []string{"web: METADATA_TYPE_TITLE "}, after: []string{"running (booted)"},
	},
	{
		name: "update both", prepare: booted,
		do: func(ctx context.Context, h *house) error {
			_, err := h.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
				Domain: byName("web"), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title", "autostart"}}, Title: "new",
				Autostart: true, Affect: davitv1.Affect_AFFECT_LIVE_AND_CONFIG,
			})
			return err
		},
		told: []string{"web: METADATA_TYPE_TITLE ", "web: METADATA_TYPE_AUTOSTART "}, after: []string{"running (booted)"},
	},
	{
		name: "tune", do: tuneWeb(davitv1.Affect_AFFECT_CONFIG),
		told: []string{"web: Defined Updated"}, after: []string{"shut off (unknown)"}, holds: tunedTo(false, true),
	},
	{
		name: "tune live", prepare: booted, do: tuneWeb(davitv1.Affect_AFFECT_LIVE),
		told:  []string{"web: tunable cputune.shares=2048 on_crash=restart"},
		after: []string{"running (booted)"}, holds: tunedTo(true, false),
	},
	{
		name: "tune both", prepare: booted, do: tuneWeb(davitv1.Affect_AFFECT_LIVE_AND_CONFIG),
		told:  []string{"web: Defined Updated", "web: tunable cputune.shares=2048 on_crash=restart"},
		after: []string{"running (booted)"}, holds: tunedTo(true, true),
	},
	{
		name: "attach", more: oneNIC, do: attachTo(davitv1.Affect_AFFECT_CONFIG),
		told: []string{"web: Defined Updated"}, after: []string{"shut off (unknown)"}, holds: plugged(false, true, true),
	},
	{
		name: "attach live", more: oneNIC, prepare: booted, do: attachTo(davitv1.Affect_AFFECT_LIVE),
		told: []string{"web: added net1"}, after: []string{"running (booted)"}, holds: plugged(true, false, true),
	},
	{
		name: "attach both", more: oneNIC, prepare: booted, do: attachTo(davitv1.Affect_AFFECT_LIVE_AND_CONFIG),
		told: []string{"web: Defined Updated", "web: added net1"}, after: []string{"running (booted)"}, holds: plugged(true, true, true),
	},
	{
		name: "detach live", more: twoNICs, prepare: booted, do: detachFrom(davitv1.Affect_AFFECT_LIVE),
		told: []string{"web: removed net1"}, after: []string{"running (booted)"}, holds: plugged(true, false, false),
	},
	{
		name: "detach both", more: twoNICs, prepare: booted, do: detachFrom(davitv1.Affect_AFFECT_LIVE_AND_CONFIG),
		told: []string{"web: Defined Updated", "web: removed net1"}, after: []string{"running (booted)"}, holds: plugged(true, true, false),
	},
	{
		name: "detach what is in use", more: twoNICs, do: detachFrom(davitv1.Affect_AFFECT_LIVE_AND_CONFIG),
		prepare: func(h *house) {
			booted(h)
			if err := h.host.Occupy(uuidWeb, "net1", true); err != nil {
				h.t.Fatal(err)
			}
		},
		told:  []string{`web: removal_failed net1 detach device of domain "web": interface net1 "52:54:00:00:00:02" is in use`},
		after: []string{"running (booted)"}, holds: func(h *house, _ bool) bool { return plugged(true, true, true)(h, true) },
	},
	{
		name: "change a device of both", more: twoNICs, prepare: booted,
		do: func(ctx context.Context, h *house) error {
			_, err := h.UpdateDevice(ctx, &davitv1.UpdateDeviceRequest{
				Domain: byName("web"), Source: deviceText(strings.Replace(secondNIC, "</interface>", "<link state='down'/></interface>", 1)),
				Affect: davitv1.Affect_AFFECT_LIVE_AND_CONFIG,
			})
			return err
		},
		told: []string{"web: Defined Updated", "web: updated net1"}, after: []string{"running (booted)"},
		holds: func(h *house, done bool) bool {
			def, err := h.host.Definition(uuidWeb)
			return err == nil && plugged(true, true, true)(h, true) && strings.Contains(h.xml("web", true), "state='down'") == done &&
				strings.Contains(h.xml("web", false), "state='down'") == done &&
				(def.GetDevices().GetInterface()[1].GetLinkState() == davitv1.LinkState_LINK_STATE_DOWN) == done
		},
	},
	{
		name: "start with a device", more: oneNIC, do: startWeb,
		told: []string{"web: Started Booted"}, after: []string{"running (booted)", "shut off (unknown)", "shut off (daemon)"},
		holds: func(h *house, done bool) bool {
			return strings.Contains(h.xml("web", false), "<target dev='vnet0'/>") == (done || h.get("web").GetId() != 0)
		},
	},
	{
		name: "rename",
		do: func(ctx context.Context, h *house) error {
			_, err := h.RenameDomain(ctx, &davitv1.RenameDomainRequest{Domain: byName("web"), NewName: "shop"})
			return err
		},
		told: []string{"web: Undefined Renamed", "shop: Defined Renamed"}, after: []string{"absent", "shut off (unknown)"},
		holds: func(h *house, done bool) bool { return (h.get("shop") != nil) == done && (h.get("web") == nil) == done },
	},
	{
		name: "reset", prepare: booted, do: resetWeb,
		told: []string{"web: Stopped Destroyed", "web: Started Booted"}, after: []string{"running (booted)"},
	},
	{
		name: "reset transient",
		prepare: func(h *house) {
			booted(h)
			if _, err := h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")}); err != nil {
				h.t.Fatal(err)
			}
		},
		do:   resetWeb,
		told: []string{"web: Stopped Destroyed", "web: Started Booted"}, after: []string{"running (booted)"},
	},
	{
		name: "start", do: startWeb,
		told: []string{"web: Started Booted"}, after: []string{"running (booted)", "shut off (unknown)", "shut off (daemon)"},
	},
	{
		name: "create",
		do: func(ctx context.Context, h *house) error {
			_, err := h.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: xml("mail", uuidMail)})
			return err
		},
		told: []string{"mail: Started Booted"}, after: []string{"running (booted)", "absent"},
	},
	{
		name: "suspend", prepare: booted,
		do: func(ctx context.Context, h *house) error {
			_, err := h.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: byName("web")})
			return err
		},
		told: []string{"web: Suspended Paused"}, after: []string{"running (booted)", "paused (user)"},
	},
	{
		name: "resume",
		prepare: func(h *house) {
			booted(h)
			if _, err := h.SuspendDomain(h.t.Context(), &davitv1.SuspendDomainRequest{Domain: byName("web")}); err != nil {
				h.t.Fatal(err)
			}
		},
		do: func(ctx context.Context, h *house) error {
			_, err := h.ResumeDomain(ctx, &davitv1.ResumeDomainRequest{Domain: byName("web")})
			return err
		},
		told: []string{"web: Resumed Unpaused"}, after: []string{"running (unpaused)", "paused (user)"},
	},
	{
		name: "shutdown", prepare: booted,
		do: func(ctx context.Context, h *house) error {
			_, err := h.ShutdownDomain(ctx, &davitv1.ShutdownDomainRequest{Domain: byName("web")})
			return err
		},
		told:   []string{"web: Shutdown Finished after host request", "web: Stopped Shutdown"},
		partly: []string{"web: Stopped Shutdown"}, after: []string{"running (booted)", "shut off (shutdown)"},
	},
	{
		name: "destroy", prepare: booted,
		do: func(ctx context.Context, h *house) error {
			_, err := h.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: byName("web")})
			return err
		},
		told: []string{"web: Stopped Destroyed"}, after: []string{"running (booted)", "shut off (destroyed)"},
	},
	{
		name: "destroy transient",
		prepare: func(h *house) {
			booted(h)
			if _, err := h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")}); err != nil {
				h.t.Fatal(err)
			}
		},
		do: func(ctx context.Context, h *house) error {
			_, err := h.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: byName("web")})
			return err
		},
		told: []string{"web: Stopped Destroyed"}, after: []string{"running (booted)", "absent"},
	},
	{
		name: "exit", prepare: booted,
		do:   func(_ context.Context, h *house) error { return h.host.Exit(uuidWeb, 3) },
		told: []string{"web: Stopped Shutdown"}, after: []string{"shut off (shutdown)"},
	},
	{
		name: "panic", prepare: booted,
		do:   func(_ context.Context, h *house) error { return h.host.Crash(uuidWeb, syscall.SIGSEGV) },
		told: []string{"web: Crashed Panicked", "web: Stopped Crashed"}, after: []string{"shut off (crashed)"},
	},
	{
		name: "panic and restart", prepare: booted, more: "<on_crash>restart</on_crash>",
		do:   func(_ context.Context, h *house) error { return h.host.Crash(uuidWeb, syscall.SIGSEGV) },
		told: []string{"web: Crashed Panicked", "web: Started Booted"}, after: []string{"running (crashed)"},
	},
	{
		name: "guest reboots", prepare: booted,
		do:   func(_ context.Context, h *house) error { return h.host.Reboot(uuidWeb) },
		told: []string{"web: reboot 1"}, after: []string{"running (booted)"},
	},
	{
		name: "out of memory", prepare: booted,
		do:   func(_ context.Context, h *house) error { return h.host.OOM(uuidWeb, true) },
		told: []string{"web: oom 1", "web: Crashed Panicked", "web: Stopped Crashed"}, after: []string{"shut off (crashed)"},
	},
}

func booted(h *house) { h.boot("web") }

func startWeb(ctx context.Context, h *house) error {
	_, err := h.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: byName("web")})
	return err
}

func resetWeb(ctx context.Context, h *house) error {
	_, err := h.ResetDomain(ctx, &davitv1.ResetDomainRequest{Domain: byName("web")})
	return err
}

func tuneWeb(affect davitv1.Affect) func(ctx context.Context, h *house) error {
	return func(ctx context.Context, h *house) error {
		_, err := h.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
			Domain: byName("web"), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"cputune.shares", "on_crash"}}, Affect: affect,
			Definition: &davitv1.Domain{
				Cputune: &davitv1.CpuTune{Shares: 2048}, OnCrash: davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART,
			},
		})
		return err
	}
}

// tunedTo tells whether live and stored definition, and the container, are tuned, as far as each is to be.
func tunedTo(live, stored bool) func(h *house, done bool) bool {
	const shares = "<shares>2048</shares>"
	return func(h *house, done bool) bool {
		if strings.Contains(h.xml("web", true), shares) != (stored && done) {
			return false
		}
		if !live {
			return true
		}
		def, err := h.host.Definition(uuidWeb)
		return err == nil && (def.GetCputune().GetShares() == 2048) == done &&
			(def.GetOnCrash() == davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART) == done &&
			strings.Contains(h.xml("web", false), shares) == done
	}
}

// The daemon is killed before and after each touch of the outside world, for everything that can happen. What it finds
// when it starts again is what the host shows; each event is told once or, where nothing was done, never; and to be
// killed once more changes nothing.
func TestKilledAtEachStep(t *testing.T) {
	for _, c := range crashes {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			steps := 0
			for killed := true; killed; steps++ {
				synctest.Test(t, func(t *testing.T) { killed = c.at(newHouse(t), steps) })
				if steps > 100 {
					t.Fatal("it never ends")
				}
			}
			t.Logf("killed at %d steps", steps-1)
			if steps < 4 {
				t.Errorf("only %d steps: the daemon was not killed in between", steps)
			}
		})
	}
}

// at lets it happen to a daemon that is killed after some steps; it tells whether it was.
func (c crash) at(h *house, steps int) (killed bool) {
	h.start()
	h.define("web", uuidWeb, c.more)
	if c.prepare != nil {
		c.prepare(h)
	}
	synctest.Wait()
	before := h.told()
	h.life.arm(steps)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = c.do(ctx, h) }() // its outcome is what is looked at
	time.Sleep(time.Second)
	cancel()
	where := h.life.where()
	killed = h.life.dead()
	for _, name := range []string{"again", "once more"} {
		h.kill()
		h.start()
		time.Sleep(time.Second)
		c.check(h, before, where+", "+name, killed)
	}
	h.kill()
	return killed
}

func (c crash) check(h *house, before []string, where string, killed bool) {
	h.t.Helper()
	name := "web"
	if strings.HasPrefix(c.told[0], "mail") {
		name = "mail"
	}
	condition := h.condition(name)
	if !slices.Contains(c.after, condition) && (name != "mail" || condition != "absent") {
		h.t.Errorf("killed %s: it is %s, want one of %q", where, condition, c.after)
	}
	if runs := h.host.Running() == 1; runs != (h.get(name).GetId() != 0) || h.host.Made() != h.host.Running() {
		h.t.Errorf("killed %s: it is %s, and %d containers of %d run", where, condition, h.host.Running(), h.host.Made())
	}
	told := h.told()[len(before):]
	done := cmp.Diff(c.told, told) == ""
	if c.holds != nil && !c.holds(h, done) {
		h.t.Errorf("killed %s: it is %s, told are %q, and all else is not so", where, condition, told)
	}
	if !done && killed && len(told) == 0 && c.undone(h, name, condition) {
		return
	}
	if !done && (c.partly == nil || cmp.Diff(c.partly, told) != "") {
		h.t.Errorf("killed %s: it is %s, and told are %q, want %q", where, condition, told, c.told)
	}
}

// undone tells whether the domain looks as if nothing had been done to it.
func (c crash) undone(h *house, name, condition string) bool {
	switch c.name {
	case "define":
		return condition == "absent"
	case "redefine":
		return h.get(name).GetTitle() == ""
	case "redefine active":
		return !strings.Contains(h.xml(name, true), "<title>")
	case "undefine active":
		return h.get(name).GetPersistent()
	case "update":
		return !strings.Contains(h.xml(name, true), "<description>")
	case "update live":
		return h.get(name).GetTitle() == ""
	case "update both":
		return h.get(name).GetTitle() == "" && !h.get(name).GetAutostart()
	case "start", "start with a device":
		return strings.HasPrefix(condition, "shut off")
	case "create":
		return condition == "absent"
	case "resume":
		return condition == "paused (user)"
	case "tune", "tune live", "tune both", "rename", "attach", "attach live", "attach both", "detach live", "detach both",
		"detach what is in use", "change a device of both":
		return true // holds says so
	case "reset", "reset transient", "suspend", "shutdown", "destroy", "destroy transient":
		return condition == "running (booted)"
	case "undefine":
		return condition == "shut off (unknown)"
	}
	return false // what happens to the guest happens
}
