package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// redo is a request with an id that is made again after the daemon was killed over it.
type redo struct {
	name    string
	prepare func(h *house)
	do      func(ctx context.Context, h *house) (proto.Message, error)
	after   string // condition of web
	once    string // an event that must be told exactly once
	never   string // one that must not be told
}

var redos = []redo{
	{
		name: "define", after: "shut off (unknown)", once: "web: Defined Added", never: "web: Defined Updated",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb), RequestId: "one"})
		},
	},
	{
		name: "define without uuid", after: "shut off (unknown)", once: "web: Defined Added", never: "web: Defined Updated",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("web", ""), RequestId: "one"})
		},
	},
	{
		name: "define anew", prepare: rests, after: "shut off (unknown)", once: "web: Defined Updated",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb, "<title>new</title>"), RequestId: "one"})
		},
	},
	{
		name: "undefine", prepare: rests, after: "absent", once: "web: Undefined Removed",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: byName("web"), RequestId: "one"})
		},
	},
	{
		name: "start", prepare: rests, after: "running (booted)", once: "web: Started Booted",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: byName("web"), RequestId: "one"})
		},
	},
	{
		name: "create", after: "running (booted)", once: "web: Started Booted",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: xml("web", ""), RequestId: "one"})
		},
	},
	{
		name: "destroy", prepare: runs, after: "shut off (destroyed)", once: "web: Stopped Destroyed",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: byName("web"), RequestId: "one"})
		},
	},
	{
		name: "reset", prepare: runs, after: "running (booted)",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.ResetDomain(ctx, &davitv1.ResetDomainRequest{Domain: byName("web"), RequestId: "one"})
		},
	},
	{
		name: "suspend", prepare: runs, after: "paused (user)", once: "web: Suspended Paused",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: byName("web"), RequestId: "one"})
		},
	},
	{
		name: "update", prepare: rests, after: "shut off (unknown)", once: "web: METADATA_TYPE_TITLE ",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
				Domain: byName("web"), Title: "new", Etag: h.etag, RequestId: "one",
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}},
			})
		},
	},
	{
		name: "attach", prepare: runs, after: "running (booted)", once: "web: added net0",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.AttachDevice(ctx, &davitv1.AttachDeviceRequest{
				Domain: byName("web"), Source: deviceText("<interface type='ethernet'/>"), Etag: h.etag, RequestId: "one",
				Affect: davitv1.Affect_AFFECT_LIVE_AND_CONFIG,
			})
		},
	},
	{
		name: "detach", prepare: equippedAndRuns, after: "running (booted)", once: "web: removed net1",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.DetachDevice(ctx, &davitv1.DetachDeviceRequest{
				Domain: byName("web"), Device: aliased("net1"), Etag: h.etag, RequestId: "one", Affect: davitv1.Affect_AFFECT_LIVE_AND_CONFIG,
			})
		},
	},
	{
		name: "change a device", prepare: equippedAndRuns, after: "running (booted)", once: "web: updated net1",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.UpdateDevice(ctx, &davitv1.UpdateDeviceRequest{
				Domain: byName("web"), Source: deviceText(strings.Replace(secondNIC, "<mac", "<link state='down'/><mac", 1)), Etag: h.etag, RequestId: "one",
				Affect: davitv1.Affect_AFFECT_LIVE_AND_CONFIG,
			})
		},
	},
	{
		name: "rename", prepare: rests, after: "absent", once: "shop: Defined Renamed",
		do: func(ctx context.Context, h *house) (proto.Message, error) {
			return h.RenameDomain(ctx, &davitv1.RenameDomainRequest{Domain: byName("web"), NewName: "shop", RequestId: "one"})
		},
	},
}

func rests(h *house) { h.etag = h.define("web", uuidWeb).GetEtag() }

func runs(h *house) {
	rests(h)
	h.boot("web")
}

// A request that a daemon was killed over, at any step, comes to a right end when it is made again, once and for all.
func TestRequestOverDeathOfTheDaemon(t *testing.T) {
	for _, r := range redos {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			steps := 0
			for killed := true; killed; steps++ {
				synctest.Test(t, func(t *testing.T) { killed = r.at(newHouse(t), steps) })
				if steps > 100 {
					t.Fatal("it never ends")
				}
			}
			if steps < 4 {
				t.Errorf("only %d steps: the daemon was not killed in between", steps)
			}
		})
	}
}

func (r redo) at(h *house, steps int) (killed bool) {
	h.start()
	if r.prepare != nil {
		r.prepare(h)
	}
	synctest.Wait()
	h.life.arm(steps)
	answers := make(chan proto.Message, 1)
	ctx, cancel := context.WithCancel(h.t.Context())
	go func() {
		defer close(answers)
		if answer, err := r.do(ctx, h); err == nil {
			answers <- answer
		}
	}()
	time.Sleep(time.Second)
	cancel()
	where := h.life.where()
	killed = h.life.dead()
	h.kill()
	var first proto.Message
	select {
	case first = <-answers:
	default: // it hangs in the daemon that was killed
	}
	h.start()
	time.Sleep(time.Second)
	second, err := r.do(h.t.Context(), h)
	if err != nil {
		h.t.Errorf("killed %s: again: %v", where, err)
	}
	if first != nil && !proto.Equal(first, second) {
		h.t.Errorf("killed %s: the answer is %v, and was %v", where, second, first)
	}
	if got := h.condition("web"); got != r.after {
		h.t.Errorf("killed %s: it is %s, want %s", where, got, r.after)
	}
	count := 0
	for _, told := range h.told() {
		if told == r.once {
			count++
		}
	}
	if r.once != "" && count != 1 {
		h.t.Errorf("killed %s: %q is told %d times in %q", where, r.once, count, h.told())
	}
	if r.never != "" && slices.Contains(h.told(), r.never) {
		h.t.Errorf("killed %s: %q is told in %q", where, r.never, h.told())
	}
	h.kill()
	h.start()
	if third, err := r.do(h.t.Context(), h); err != nil || !proto.Equal(second, third) {
		h.t.Errorf("killed %s: once more: %v, %v; before %v", where, third, err, second)
	}
	h.stop()
	return killed
}

// What was answered outlives the daemon for ten minutes: failures too, and that an id is taken.
func TestAnswersOutliveTheDaemon(t *testing.T) {
	bubble(t, func(h *house) {
		ctx := h.t.Context()
		missing := &davitv1.StartDomainRequest{Domain: byName("web"), RequestId: "one"}
		_, first := h.StartDomain(ctx, missing)
		h.define("web", uuidWeb)
		h.kill()
		h.start()
		if _, err := h.StartDomain(ctx, missing); !errors.Is(err, domain.ErrNotFound) || err.Error() != first.Error() {
			t.Errorf("start again: %v, the first answer was %v", err, first)
		}
		other := &davitv1.StartDomainRequest{Domain: byName("web"), RequestId: "one", Paused: true}
		if _, err := h.StartDomain(ctx, other); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("another request with the same id: %v", err)
		}
		time.Sleep(11 * time.Minute)
		h.kill()
		h.start()
		if left, err := h.store.Requests(); err != nil || len(left) != 0 {
			t.Errorf("%d requests are stored after ten minutes, %v", len(left), err)
		}
		if _, err := h.StartDomain(ctx, missing); err != nil {
			t.Errorf("start after ten minutes: %v", err)
		}
	})
}

// A request that cannot be noted is not begun, and may be made again.
func TestRequestOnFullDisk(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		start := &davitv1.StartDomainRequest{Domain: byName("web"), RequestId: "one"}
		h.faults.fail("PutRequest", full)
		if _, err := h.StartDomain(h.t.Context(), start); !errors.Is(err, domain.ErrExhausted) || h.host.Made() != 0 {
			t.Errorf("start: %v, %d containers", err, h.host.Made())
		}
		if _, err := h.StartDomain(h.t.Context(), start); err != nil {
			t.Errorf("start again: %v", err)
		}
	})
}
