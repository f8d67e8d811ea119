package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

// reserving is a driver that reserves things for domains.
type reserving struct {
	driver.Driver
	log *reservations
}

type reservations struct {
	mu    sync.Mutex
	gone  []string
	swept []driver.Ref
}

func (r reserving) Unreserve(_ context.Context, uuid string) error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.gone = append(r.log.gone, uuid)
	return nil
}

func (r reserving) Sweep(ctx context.Context, keep []driver.Ref) error {
	r.log.mu.Lock()
	r.log.swept = slices.Clone(keep)
	r.log.mu.Unlock()
	return r.Driver.Sweep(ctx, keep)
}

// What is reserved for a domain is so until it is undefined and does not run, or a transient one ends; a daemon that starts says
// which domains there are.
func TestReservations(t *testing.T) {
	bubble(t, func(h *house) {
		var log reservations
		h.options = func(o *engine.Options) { o.Driver = reserving{o.Driver, &log} }
		expect := func(when string, uuids ...string) {
			t.Helper()
			synctest.Wait()
			log.mu.Lock()
			defer log.mu.Unlock()
			if !slices.Equal(log.gone, uuids) {
				t.Errorf("%s: given back is %q, want %q", when, log.gone, uuids)
			}
		}
		destroy := func(name string) {
			t.Helper()
			if _, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName(name)}); err != nil {
				t.Fatal(err)
			}
		}
		h.kill()
		h.start()
		h.define("web", uuidWeb)
		h.boot("web")
		destroy("web")
		expect("after a run")
		h.stop()
		h.start()
		if len(log.swept) != 1 || log.swept[0] != (driver.Ref{UUID: uuidWeb}) {
			t.Errorf("%v was kept, want what is reserved for web", log.swept)
		}
		h.boot("web")
		if _, err := h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		expect("undefined while it runs")
		destroy("web")
		expect("gone", uuidWeb)
		h.CreateDomainOf("once", "sleep infinity")
		once := h.get("once").GetUuid()
		expect("a transient one runs", uuidWeb)
		destroy("once")
		expect("a transient one has ended", uuidWeb, once)
	})
}
