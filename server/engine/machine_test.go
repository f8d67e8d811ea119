package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// In every state that a domain can be in, the engine allows and refuses what the machine does, in its words, and what it
// allows leads to where the machine says.
func TestEngineFollowsTheMachine(t *testing.T) {
	states := map[string]func(h *house){
		"shut off": func(*house) {},
		"running":  func(h *house) { h.boot("web") },
		"paused": func(h *house) {
			h.boot("web")
			must(h, domain.Suspend)
		},
		"in shutdown": func(h *house) {
			h.boot("web")
			must(h, domain.Shutdown)
		},
	}
	actions := []domain.Action{
		domain.Start, domain.Shutdown, domain.Reboot, domain.Destroy, domain.Suspend, domain.Resume, domain.Redefine, domain.Undefine,
	}
	for name, prepare := range states {
		for _, action := range actions {
			t.Run(name+"/"+action.String(), func(t *testing.T) {
				bubble(t, func(h *house) {
					deaf(h)
					prepare(h)
					synctest.Wait()
					from := h.now()
					want, refusal := domain.Next(from, action)
					err := do(h, action)
					synctest.Wait()
					if refusal != nil {
						var e, r *domain.Error
						if !errors.As(err, &e) || !errors.As(refusal, &r) || e.Code != r.Code || e.Reason != r.Reason || e.Message != r.Message {
							t.Errorf("%v: %v, want %v", from, err, refusal)
						}
						want.To = from
					} else if err != nil {
						t.Fatalf("%v: %v", from, err)
					}
					if action == domain.Start && refusal == nil {
						if want, err = domain.Next(want.To, domain.Started); err != nil {
							t.Fatal(err)
						}
					}
					if got := h.now(); got != want.To {
						t.Errorf("%v leads to %v, want %v", from, got, want.To)
					}
				})
			})
		}
	}
}

// now is the domain's condition; absent if it is gone.
func (h *house) now() domain.Condition {
	h.t.Helper()
	info := h.get("web")
	return domain.Condition{State: info.GetState(), Reason: info.GetReason()}
}

// deaf defines web with an init that hears of a shutdown and a reboot, and does neither.
func deaf(h *house) {
	h.t.Helper()
	const script = "<initarg>-c</initarg><initarg>trap 'echo no' TERM; trap 'echo no' HUP; sleep infinity; sleep infinity; sleep infinity</initarg>"
	text := "<domain type='lxc'><name>web</name><uuid>" + uuidWeb + "</uuid><memory>65536</memory><os><type>exe</type><init>/bin/sh</init>" + script + "</os></domain>"
	if _, err := h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{
		Source: &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: text}},
	}); err != nil {
		h.t.Fatal(err)
	}
}

func must(h *house, action domain.Action) {
	h.t.Helper()
	if err := do(h, action); err != nil {
		h.t.Fatal(err)
	}
}

// do asks for an action.
func do(h *house, action domain.Action) (err error) {
	ctx, web := h.t.Context(), byName("web")
	switch action {
	case domain.Start:
		_, err = h.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: web})
	case domain.Shutdown:
		_, err = h.ShutdownDomain(ctx, &davitv1.ShutdownDomainRequest{Domain: web})
	case domain.Reboot:
		_, err = h.RebootDomain(ctx, &davitv1.RebootDomainRequest{Domain: web})
	case domain.Destroy:
		_, err = h.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: web})
	case domain.Suspend:
		_, err = h.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: web})
	case domain.Resume:
		_, err = h.ResumeDomain(ctx, &davitv1.ResumeDomainRequest{Domain: web})
	case domain.Redefine:
		_, err = h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb)})
	case domain.Undefine:
		_, err = h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: web})
	default:
		h.t.Fatalf("%v is not asked for", action)
	}
	return err
}
