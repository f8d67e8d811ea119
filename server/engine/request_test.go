package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A request is known while it is under way, for however long, and for ten minutes from its answer on.
func TestRequestUnderWayIsKnown(t *testing.T) {
	bubble(t, func(h *house) {
		h.CreateDomainOf("slow", "trap 'true' TERM; cat; true; cat; wait; cat")
		before := h.get("slow").GetInitPid()
		destroy := &davitv1.DestroyDomainRequest{Domain: byName("slow"), Grace: durationpb.New(30 * time.Minute), RequestId: "one"}
		answers := make(chan *davitv1.DestroyDomainResponse, 2)
		ask := func() {
			r, err := h.DestroyDomain(context.WithoutCancel(h.t.Context()), destroy)
			if err != nil {
				t.Errorf("destroy: %v", err)
			}
			answers <- r
		}
		go ask()
		synctest.Wait()
		time.Sleep(20 * time.Minute)
		go ask() // were it done again, it would cut the first one's grace short
		synctest.Wait()
		time.Sleep(5 * time.Minute)
		if got := h.get("slow"); got.GetInitPid() != before {
			t.Fatalf("after 25 minutes of 30 it is %v", got)
		}
		time.Sleep(6 * time.Minute)
		first, second := <-answers, <-answers
		time.Sleep(8 * time.Minute)
		h.kill()
		h.start()
		go ask()
		if third := <-answers; !proto.Equal(first, second) || !proto.Equal(first, third) {
			t.Errorf("answers are %v, %v and %v", first, second, third)
		}
	})
}

// A request that is made again is for the domain that it was made for, not for one that has its name by now.
func TestRequestKeepsItsDomain(t *testing.T) {
	for name, test := range map[string]struct {
		do    func(ctx context.Context, h *house) error
		after string // condition of the namesake
	}{
		"destroy": {func(ctx context.Context, h *house) error {
			_, err := h.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: byName("web"), RequestId: "one"})
			return err
		}, "running (booted)"},
		"undefine": {func(ctx context.Context, h *house) error {
			_, err := h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: byName("web"), RequestId: "one"})
			return err
		}, "running (booted)"},
		"shutdown": {func(ctx context.Context, h *house) error {
			_, err := h.ShutdownDomain(ctx, &davitv1.ShutdownDomainRequest{Domain: byName("web"), RequestId: "one"})
			return err
		}, "running (booted)"},
	} {
		t.Run(name, func(t *testing.T) {
			steps := 0
			for killed := true; killed; steps++ {
				synctest.Test(t, func(t *testing.T) {
					h := newHouse(t)
					h.start()
					h.define("web", uuidWeb)
					h.boot("web")
					synctest.Wait()
					h.life.arm(steps)
					ctx, cancel := context.WithCancel(h.t.Context())
					go func() { _ = test.do(ctx, h) }()
					time.Sleep(time.Second)
					cancel()
					killed = h.life.dead()
					where, noted := h.life.where(), steps >= 2 // the first step is before the request is noted
					h.kill()
					h.start()
					_, _ = h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")})
					_, _ = h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")})
					h.define("web", uuidMail)
					h.boot("web")
					err := test.do(h.t.Context(), h)
					if noted && (err != nil || h.condition("web") != test.after || !h.get("web").GetPersistent()) {
						t.Errorf("killed %s: again: %v; the namesake is %s", where, err, h.condition("web"))
					}
					h.stop()
				})
			}
			if steps < 4 {
				t.Errorf("only %d steps", steps)
			}
		})
	}
}

// A rename that was not done does not become one by a domain that was given the new name by somebody else.
func TestRenameMadeAgainClaimsNoOther(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		rename := &davitv1.RenameDomainRequest{Domain: byName("web"), NewName: "shop", RequestId: "one"}
		h.life.arm(2) // it is noted, and that is all
		ctx, cancel := context.WithCancel(h.t.Context())
		go func() { _, _ = h.RenameDomain(ctx, rename) }()
		time.Sleep(time.Second)
		cancel()
		h.kill()
		h.start()
		if _, err := h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		h.define("shop", uuidMail)
		if r, err := h.RenameDomain(h.t.Context(), rename); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("rename again: %v, %v, want NOT_FOUND", r, err)
		}
	})
}
