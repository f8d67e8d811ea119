package native_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	diff "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/native"
)

// roundsVar says how often each fault strikes at each step; without it the tests take their short form.
const roundsVar = "DAVIT_TEST_ROUNDS"

// stage makes a domain for an act.
func (h *networkHost) stage(tb testing.TB, a act) *stage {
	tb.Helper()
	spec := h.spec(obeys, restarts, keptOverlay(tb.TempDir()), withInterfaces(bridged("52:54:00:00:00:01", "10.0.0.2")))
	s := &stage{Ref: spec.Ref, First: aliased(spec.Definition)}
	if a.prone != nil {
		s.Next = a.prone(tb, h, s.First)
	}
	if a.swapped {
		s.First, s.Next = s.Next, s.First
	}
	return s
}

// set brings a stage into the condition before an act.
func (h *networkHost) set(t *testing.T, a act, s *stage) {
	t.Helper()
	if a.wreck != "" {
		h.killedAt(t, a.wreck, s.spec())
	}
	s.d = h.open(t)
	ctx, cancel := aWhile()
	defer cancel()
	if a.ready != nil {
		if err := a.ready(ctx, s); err != nil {
			t.Fatalf("before %s: %v", a.name, err)
		}
	}
}

// What an act is known to do is what it does, so that whoever adds a step to the driver has it cut off here too.
func TestActsTakeTheirSteps(t *testing.T) {
	for _, a := range acts {
		t.Run(a.name, func(t *testing.T) {
			h := newNetworkHost(t, "fa110001")
			s := h.stage(t, a)
			h.set(t, a, s)
			closing(t, s.d)
			watch := &strike{stage: s}
			watch.arm(blow{})
			ctx, cancel := aWhile()
			defer cancel()
			if err := a.do(ctx, s); err != nil {
				t.Fatal(err)
			}
			watch.disarm()
			if changes := diff.Diff(a.steps, watch.steps); changes != "" {
				t.Errorf("steps (-known +taken):\n%s", changes)
			}
			if a.holds != nil {
				a.holds(t, h.host, s)
			}
			if s.i != nil {
				kill(t, s.i)
			}
			h.clean(t, s)
		})
	}
}

// Whatever befalls davitd, a monitor, the keeper or the caller before whatever step: the domain is afterwards as it was before or as it
// was to be, what is told of it is what happened, the act can be done again, and nothing is left.
func TestFaultAtEachStep(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv(roundsVar))
	for _, a := range acts {
		for n, b := range blows {
			t.Run(fmt.Sprintf("%s %s, %s", b.cases(a), a.name, b.name), func(t *testing.T) {
				for k, at := range append(slices.Clone(a.steps), "") {
					if at == "" && !b.apart || rounds == 0 && !inShort(n, k) {
						continue
					}
					t.Run(fmt.Sprintf("%02d %s", k, cmp.Or(at, "done")), func(t *testing.T) {
						for range max(rounds, 1) {
							newNetworkHost(t, "fa110002").befall(t, a, b, at)
						}
					})
				}
			})
		}
	}
}

// inShort tells whether the short form has the blow before the step: each step is struck once. The starts that davitd is killed in, or a
// step of which fails, have tests of their own.
func inShort(blow, step int) bool { return (step+blow)%len(blows) == 0 }

// befall lets an act meet with a blow before a step, and looks at what came of it.
func (h *networkHost) befall(t *testing.T, a act, b blow, at string) {
	t.Helper()
	s := h.stage(t, a)
	if b.apart {
		if a.wreck != "" {
			h.killedAt(t, a.wreck, s.spec())
		}
		h.doomed(t, doom{Act: a.name, Blow: b.name, At: at, Stage: s})
		s.d = closing(t, h.open(t))
		h.after(t, a, s, at)
		return
	}
	h.set(t, a, s)
	closing(t, s.d)
	ctx, leave := aWhile()
	defer leave()
	plain := h.host.spec(obeys)
	blow := &strike{stage: s, at: at, run: h.options.RunDir, leave: leave, other: &stage{Ref: plain.Ref, First: plain.Definition}}
	blow.arm(b)
	err := a.do(ctx, s)
	if !blow.disarm() {
		t.Fatalf("%s took only the steps %q: %v", a.name, blow.steps, err)
	}
	t.Logf("%v", err)
	switch {
	case b.bears && err != nil, b.misses && !blow.hit && err != nil:
		t.Errorf("%s, %s before %q: %v", a.name, b.name, at, err)
	case b.name == "step fails" && err == nil && !swallowed[at]:
		t.Errorf("%s succeeds though %q failed", a.name, at)
	}
	h.after(t, a, s, at)
}

// swallowed are the steps whose failure is nothing to fail for: a monitor that does not end is killed, and ids that are not given back are found
// by the next sweep.
var swallowed = map[string]bool{"release host ids": true, "end monitor": true}

// after looks at what came of an act that was struck. A domain whose monitor was killed runs on under another.
func (h *networkHost) after(t *testing.T, a act, s *stage, at string) {
	t.Helper()
	ctx, cancel := aWhile()
	defer cancel()
	i, err := s.d.Recover(ctx, s.spec())
	s.i = i
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		t.Fatalf("recover: %v", err)
	}
	keep := driver.Ref{UUID: s.UUID}
	if err == nil {
		keep = s.Ref
	}
	if err := s.d.Sweep(ctx, []driver.Ref{keep}); err != nil {
		t.Errorf("sweep: %v", err)
	}
	switch {
	case s.i == nil && a.ready == nil && a.wreck == "":
		s.Generation = uuid.NewString()
		h.again(ctx, t, a, s)
	case s.i == nil && (a.wreck != "" || a.name == "undefine"):
		h.again(ctx, t, a, s)
	case s.i == nil:
		if a.name != "stop" && a.name != "destroy" {
			t.Errorf("after %s nothing is left of the domain", a.name)
		}
	default:
		h.goOn(ctx, t, a, s, at)
	}
	h.clean(t, s)
	if os.Getenv(roundsVar) == "" {
		return
	}
	s.Generation = uuid.NewString()
	if err := errors.Join(s.start(ctx), destroy(ctx, s)); err != nil {
		t.Errorf("it cannot be started again: %v", err)
	}
	h.clean(t, s)
}

// again does an act once more, which must come to its end now.
func (h *networkHost) again(ctx context.Context, t *testing.T, a act, s *stage) {
	t.Helper()
	if err := a.do(ctx, s); err != nil {
		t.Errorf("%s once more: %v", a.name, err)
		if s.i != nil {
			kill(t, s.i)
		}
		return
	}
	if a.holds != nil {
		a.holds(t, h.host, s)
	}
	if s.i != nil {
		kill(t, s.i)
	}
}

// goOn goes on with a domain that an act was done to.
func (h *networkHost) goOn(ctx context.Context, t *testing.T, a act, s *stage, at string) {
	t.Helper()
	st, err := s.i.Status(ctx)
	if err != nil {
		t.Errorf("status: %v", err)
	}
	switch {
	case !st.Running:
		h.hasEnded(ctx, t, a, s, at)
		return
	}
	if a.ready == nil {
		// It was started, and that is told once.
		if err := s.hears(ctx); err != nil {
			t.Error(err)
		}
		a.holds(t, h.host, s)
	} else {
		if err := a.do(ctx, s); err != nil {
			t.Errorf("%s once more: %v", a.name, err)
		} else if a.holds != nil {
			a.holds(t, h.host, s)
		}
	}
	kill(t, s.i)
}

// hasEnded looks at what is told of a domain that has ended.
func (h *networkHost) hasEnded(ctx context.Context, t *testing.T, a act, s *stage, at string) {
	t.Helper()
	all, err := s.story(ctx)
	if err != nil {
		t.Errorf("events: %v", err)
		return
	}
	exits := exitsOf(all)
	last, _ := all[len(all)-1].Kind.(driver.Stopped)
	switch {
	case slices.Contains(released, at) && (a.name == "stop" || a.name == "destroy"):
		// All was told before anything was given back, and nobody asks any more.
	case len(exits) == 0 || exits[len(exits)-1].Exit.GetUnknown():
		t.Errorf("told are %+v, want how it ended", all)
	case a.name == "stop", a.name == "destroy":
	case a.name == "reboot" && last.Err != nil:
		// The boot could not be made.
	default:
		t.Errorf("after %s it has ended: %+v", a.name, all)
	}
	starts := 0
	for _, ev := range all {
		if _, ok := ev.Kind.(driver.Started); ok {
			starts++
		}
	}
	if starts > 1 {
		t.Errorf("told are %d starts: %+v", starts, all)
	}
	kill(t, s.i)
}

// clean sees to it that nothing is left of a run: no monitor, no cgroup, no link, no state.
func (h *networkHost) clean(t *testing.T, s *stage) {
	t.Helper()
	s.i = nil
	if err := errors.Join(s.d.Unreserve(t.Context(), s.UUID), s.d.Forget(t.Context(), s.UUID)); err != nil {
		t.Error(err)
	}
	h.settle(t)
	h.empty(t)
	undefined(t, h.host, s)
}

// Every step that the driver knows is one of an act.
func TestEveryStepIsOfAnAct(t *testing.T) {
	known := make(map[string]bool)
	for _, a := range acts {
		for _, step := range a.steps {
			known[step] = true
		}
	}
	for _, name := range native.NamesOfSteps(t) {
		if !known[name] {
			t.Errorf("no act takes the step %q: nothing shows what becomes of a domain when it is cut off there", name)
		}
	}
}
