package linear_test

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testdaemon"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	clients = 64
	// groups times names is how few names there are for all clients.
	groups = 8
	// each is how much a client asks for in a round. A round begins and ends with nothing, so that its history can be
	// checked by itself.
	each = 10
)

var seed = maphash.MakeSeed()

// model is the world as porcupine asks for it.
func model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{world{}} },
		Step: func(state, input, output any) []any {
			w, _ := state.(world)
			q, _ := input.(question)
			a, _ := output.(answer)
			var all []any
			for _, next := range w.step(q, a) {
				all = append(all, next)
			}
			return all
		},
		Equal: func(a, b any) bool { return a == b },
		Hash:  func(state any) uint64 { return maphash.Comparable(seed, state) },
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%v: %v", input, output)
		},
		DescribeState: func(state any) string { return fmt.Sprint(state) },
	}
	return m.ToModel()
}

// Whatever 64 clients do to sixteen names at once, what each was answered is what it would have been answered had they come
// one after the other. REL-23: it goes on for DAVIT_TEST_LINEAR, which is a minute in make linear, and a few seconds otherwise.
func TestHistoryIsLinearizable(t *testing.T) {
	d := testdaemon.StartAs(t, func(s *testdaemon.Setup) {
		s.Driver.Backoff, s.Driver.StartDuration = time.Millisecond, 300*time.Microsecond
		s.Config.Limits.CallsPerSecond, s.Config.Limits.Burst = 1_000_000, 1_000_000 // it is not this limit that is tested
	})
	all := make([]*caller, clients+1)
	for n := range all {
		all[n] = &caller{client: d.Client(), host: d.Driver, number: n + 1, random: rand.New(rand.NewPCG(uint64(n), 1))}
	}
	decided, rounds, journal := 0, 0, &teller{lives: map[string]*life{}}
	for end := time.Now().Add(duration(t)); rounds == 0 || time.Now().Before(end); rounds++ {
		if !t.Run(fmt.Sprint("round ", rounds), func(t *testing.T) { decided += play(t, all) }) {
			return
		}
		journal.read(t, all[clients].client)
	}
	t.Logf("%d of %d histories in %d rounds were decided", decided, rounds*groups, rounds)
	if 2*decided < rounds*groups {
		t.Error("those are too few to say anything")
	}
	for uuid, l := range journal.lives {
		if l.on || l.defined {
			t.Errorf("domain %s is gone, and what was told of it ends with %+v", uuid, *l)
		}
	}
}

// duration is how long to go on.
func duration(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("DAVIT_TEST_LINEAR")
	if text == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("DAVIT_TEST_LINEAR: %v", err)
	}
	return d
}

// play plays a round, with the last caller for its end, checks the history of each group, and gives how many it could check.
func play(t *testing.T, all []*caller) (decided int) {
	t.Helper()
	begun := time.Now()
	for _, c := range all {
		c.t, c.begun, c.history = t, begun, nil
	}
	var asking sync.WaitGroup
	for _, c := range all[:clients] {
		asking.Go(func() {
			for range each {
				q := c.choose(groups)
				for done, again := c.act(q), true; done && again; {
					if q, again = c.follow(q); again {
						done = c.act(q)
					}
				}
			}
		})
	}
	asking.Wait()
	all[clients].clear()
	asked := time.Since(begun)
	var history []porcupine.Operation
	for _, c := range all {
		history = append(history, c.history...)
	}
	if !t.Failed() {
		for group := range groups {
			if check(t, group, history) {
				decided++
			}
		}
	}
	t.Logf("%d instants in %v, checked in %v", len(history), asked, time.Since(begun)-asked)
	return decided
}

// clear ends and undefines all, as one more client, until nothing is left.
func (c *caller) clear() {
	for group := range groups {
		for uuid := uint8(1); uuid <= uuids; uuid++ {
			for end := time.Now().Add(testenv.Scale(time.Minute)); ; {
				c.act(question{verb: verbDestroy, group: group, uuid: uuid})
				c.act(question{verb: verbUndefine, group: group, uuid: uuid})
				_, err := c.client.Lookup(c.t.Context(), uuidOf(group, uuid))
				if errors.Is(err, domain.ErrNotFound) {
					break
				}
				if time.Now().After(end) {
					c.t.Fatalf("domain %s does not go: %v", uuidOf(group, uuid), err)
				}
			}
		}
	}
}

// checkTime is how long an order of a group is looked for. Those that are found are found in much less.
const checkTime = 20 * time.Second

// check looks for an order of what was asked of one group. To look for one may take for ever: it tells whether it came to an end.
func check(t *testing.T, group int, history []porcupine.Operation) (decided bool) {
	t.Helper()
	var own []porcupine.Operation
	for _, op := range history {
		if q, _ := op.Input.(question); q.group == group {
			own = append(own, op)
		}
	}
	m := model()
	switch porcupine.CheckOperationsTimeout(m, own, testenv.Scale(checkTime)) {
	case porcupine.Ok:
		return true
	case porcupine.Unknown:
		t.Logf("group %d: no order of %d instants was found in %v, nor that there is none", group, len(own), checkTime)
		return false
	default:
	}
	_, info := porcupine.CheckOperationsVerbose(m, own, testenv.Scale(checkTime))
	picture := filepath.Join(t.ArtifactDir(), fmt.Sprintf("group-%d.html", group))
	if err := porcupine.VisualizePath(m, info, picture); err != nil {
		t.Error(err)
	}
	slices.SortStableFunc(own, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var lines []string
	for _, op := range own {
		lines = append(lines, fmt.Sprintf("%9.3f %9.3f ms  client %2d  %v: %v", float64(op.Call)/1e6, float64(op.Return)/1e6, op.ClientId, op.Input, op.Output))
	}
	t.Errorf("group %d: no order explains this (go test -artifacts keeps a picture of it):\n%s\n%s",
		group, strings.Join(lines, "\n"), stuck(m, info, own))
	return true
}

// stuck tells how far the longest order that was found goes, and what does not fit behind it.
func stuck(m porcupine.Model, info porcupine.LinearizationInfo, own []porcupine.Operation) string {
	var longest []porcupine.Operation
	for _, list := range info.PartialLinearizationsOperations() {
		for _, order := range list {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	state, left := m.Init(), slices.Clone(own)
	for _, op := range longest {
		_, state = m.Step(state, op.Input, op.Output)
		left = slices.DeleteFunc(left, func(other porcupine.Operation) bool {
			return other.Input == op.Input && other.Output == op.Output && other.ClientId == op.ClientId && other.Call == op.Call
		})
	}
	var lines []string
	for _, op := range left[:min(len(left), 12)] {
		lines = append(lines, fmt.Sprintf("client %2d  %v: %v", op.ClientId, op.Input, op.Output))
	}
	return fmt.Sprintf("The longest order has %d of %d and ends with\n%s\nwhere none of these comes next:\n%s",
		len(longest), len(own), m.DescribeState(state), strings.Join(lines, "\n"))
}

// teller holds what the journal tells to what can happen to a domain: nothing starts twice without an end, ends twice without a start, or is
// undefined twice, and in the end there is nothing.
type teller struct {
	lives map[string]*life
	after *davitv1.EventPosition // nil before the first is read
}

// read reads what was told since it read last: the journal does not keep what hours bring.
func (l *teller) read(t *testing.T, c *client.Client) {
	t.Helper()
	position, err := c.EventPosition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := position.GetNewest().GetSequence()
	if l.after.GetSequence() >= last {
		return
	}
	for n, err := range c.Watch(t.Context(), client.WatchOptions{After: l.after, Oldest: l.after == nil}) {
		if err != nil {
			t.Fatal(err)
		}
		if ev := n.Event; ev != nil && ev.GetLifecycle() != nil {
			if l.lives[ev.GetUuid()] == nil {
				l.lives[ev.GetUuid()] = &life{}
			}
			if why := l.lives[ev.GetUuid()].take(ev.GetLifecycle()); why != "" {
				t.Errorf("event %d of %s: %s", ev.GetPosition().GetSequence(), ev.GetUuid(), why)
			}
		}
		if l.after = n.Position; l.after.GetSequence() >= last {
			return
		}
	}
}

// life is what the journal has told of a domain.
type life struct{ defined, on bool }

// take says what is wrong with an event, if anything is.
func (l *life) take(ev *davitv1.LifecycleEvent) string {
	kind, detail := domain.EventWords(ev)
	switch kind + " " + detail {
	case "Defined Added":
		if l.defined {
			return "it is defined already"
		}
		l.defined = true
	case "Undefined Removed":
		if !l.defined {
			return "it is not defined"
		}
		l.defined = false
	case "Started Booted":
		if l.on {
			return "it runs already"
		}
		l.on = true
	}
	if kind == "Stopped" {
		if !l.on {
			return "it does not run"
		}
		l.on = false
	}
	if !l.on && (kind == "Suspended" || kind == "Resumed" || kind == "Shutdown") {
		return kind + ", and it does not run"
	}
	return ""
}
