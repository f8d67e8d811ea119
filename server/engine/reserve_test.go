package engine_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

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
	mu      sync.Mutex
	defined []string // names, as they were told
	gone    []string
	swept   []driver.Ref
}

func (r reserving) Reserve(_ context.Context, definitions []*davitv1.Domain) error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for _, def := range definitions {
		r.log.defined = append(r.log.defined, def.GetName())
	}
	return errors.New("no room")
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

// What is defined is told to the driver when it is defined, redefined or renamed, and when a daemon starts; what it cannot reserve is
// defined all the same.
func TestDefinitionsAreTold(t *testing.T) {
	bubble(t, func(h *house) {
		var log reservations
		h.options = func(o *engine.Options) { o.Driver = reserving{o.Driver, &log} }
		expect := func(when string, names ...string) {
			t.Helper()
			synctest.Wait()
			log.mu.Lock()
			defer log.mu.Unlock()
			if !slices.Equal(log.defined, names) {
				t.Errorf("%s: told are %q, want %q", when, log.defined, names)
			}
			log.defined = nil
		}
		h.kill()
		h.start()
		expect("nothing is defined")
		h.define("web", uuidWeb)
		expect("defined", "web")
		if _, err := h.RenameDomain(h.t.Context(), &davitv1.RenameDomainRequest{Domain: byName("web"), NewName: "site"}); err != nil {
			t.Fatal(err)
		}
		expect("renamed", "site")
		if _, err := h.UpdateDomain(h.t.Context(), &davitv1.UpdateDomainRequest{
			Domain: byName("site"), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"autostart"}}, Autostart: true,
		}); err != nil {
			t.Fatal(err)
		}
		expect("the definition is the same")
		h.boot("site")
		expect("started")
		h.define("site", uuidWeb)
		expect("defined anew as it is")
		h.define("site", uuidWeb, "<title>new</title>")
		expect("defined while it runs", "site")
		h.CreateDomainOf("once", "sleep infinity")
		expect("a transient one runs")
		h.stop()
		h.start()
		expect("a daemon starts", "site")
		if _, err := h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("site")}); err != nil {
			t.Fatal(err)
		}
		expect("undefined while it runs")
	})
}
