package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

// A caller whose time is over is told so, and what it does next comes behind what became of its request: a domain that it undefines then
// does not appear afterwards.
func TestNothingBeginsAfterItsCallersTime(t *testing.T) {
	h := newHouse(t)
	h.start()
	defer h.stop()
	late, refused := 0, 0
	for i := range 300 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%150)*20*time.Microsecond)
		_, err := h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb), RequestId: domain.NewUUID()})
		cancel()
		if err != nil {
			refused++
		}
		_, err = h.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")})
		if err != nil && !errors.Is(err, domain.ErrNotFound) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
		if h.get("web") != nil {
			late++
			if _, err := h.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if late > 0 || refused == 0 {
		t.Errorf("%d defines were told that their time was over; %d domains appeared after they were undefined", refused, late)
	}
}

// forgetful is a driver that cannot say at first what became of a run, and then that nothing is left of it.
type forgetful struct {
	driver.Driver
	asked *int
}

func (d forgetful) Recover(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	*d.asked++
	if *d.asked == 1 {
		return nil, &domain.Error{Code: codes.Unavailable, Message: "too many open files"}
	}
	run, err := d.Driver.Recover(ctx, spec)
	if err == nil {
		err = errors.Join(run.Kill(ctx), run.Release(ctx))
	}
	return nil, errors.Join(err, domain.ErrNotFound)
}

// A call that finds out that a transient domain is gone works on none, and not on what that was.
func TestCallFindsOutThatTheDomainIsGone(t *testing.T) {
	calls := map[string]func(h *house) error{
		"start": func(h *house) error {
			_, err := h.StartDomain(h.t.Context(), &davitv1.StartDomainRequest{Domain: byName("web")})
			if !errors.Is(err, domain.ErrNotFound) {
				h.t.Errorf("a start is told %v, want that there is none", err)
			}
			return nil
		},
		"define": func(h *house) error {
			_, err := h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb)})
			if s := h.get("web"); s == nil || !s.GetPersistent() {
				h.t.Errorf("defined is %v", s)
			}
			return err
		},
		"create": func(h *house) error {
			_, err := h.CreateDomain(h.t.Context(), &davitv1.CreateDomainRequest{Source: xml("web", uuidWeb)})
			if s := h.get("web"); s.GetState() != davitv1.DomainState_DOMAIN_STATE_RUNNING {
				h.t.Errorf("created is %v", s)
			}
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *house) {
				if _, err := h.CreateDomain(h.t.Context(), &davitv1.CreateDomainRequest{Source: xml("web", uuidWeb)}); err != nil {
					t.Fatal(err)
				}
				h.kill()
				asked := 0
				h.options = func(o *engine.Options) { o.Driver = forgetful{o.Driver, &asked} }
				h.start()
				if h.get("web") == nil || asked != 1 {
					t.Fatalf("the driver was asked %d times, and the domain is %v", asked, h.get("web"))
				}
				if err := call(h); err != nil {
					t.Error(err)
				}
				if asked != 2 {
					t.Errorf("the driver was asked %d times, want twice", asked)
				}
			})
		})
	}
}

// slowSweep is a driver whose sweep lasts.
type slowSweep struct {
	reserving
	swept chan struct{}
}

func (d slowSweep) Sweep(ctx context.Context, keep []driver.Ref) error {
	<-d.swept
	return d.reserving.Sweep(ctx, keep)
}

// Domains are defined and undefined while what nobody owns is swept, and the driver hears of it afterwards.
func TestDefinedWhileSwept(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("old", uuidWeb)
		h.kill()
		var log reservations
		swept := make(chan struct{})
		h.options = func(o *engine.Options) { o.Driver = slowSweep{reserving{o.Driver, &log}, swept} }
		h.open(0)
		if err := h.Load(); err != nil {
			t.Fatal(err)
		}
		adopted := make(chan error, 1)
		go func() { adopted <- h.Adopt(h.t.Context()) }()
		synctest.Wait() // it sweeps
		h.define("new", domain.NewUUID())
		if _, err := h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("old")}); err != nil {
			t.Fatal(err)
		}
		close(swept)
		if err := <-adopted; err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the domain's actor goes on after the answer
		log.mu.Lock()
		defer log.mu.Unlock()
		if len(log.defined) != 1 || log.defined[0] != "new" || len(log.gone) != 1 || log.gone[0] != uuidWeb {
			t.Errorf("told are %q and the end of %q, want the one that is defined and the one that was undefined", log.defined, log.gone)
		}
	})
}
