package engine_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

// A domain that is not active has no goroutine, whatever was done to it before; one that is active has one, and its
// driver's.
func TestIdleDomainsHaveNoGoroutine(t *testing.T) {
	bubble(t, func(h *house) {
		synctest.Wait()
		base := runtime.NumGoroutine()
		const n = 50
		for i := range n {
			name := fmt.Sprintf("d%02d", i)
			h.define(name, "")
			h.boot(name)
		}
		synctest.Wait()
		if busy := runtime.NumGoroutine() - base; busy > 2*n {
			t.Errorf("%d goroutines for %d running domains", busy, n)
		}
		for i := range n {
			ref := byName(fmt.Sprintf("d%02d", i))
			if _, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: ref}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if idle := runtime.NumGoroutine() - base; idle > 0 {
			t.Errorf("%d goroutines for %d domains that do not run", idle, n)
		}
	})
}

// What a defined domain costs in memory is bounded: 10 000 of them fit in a small daemon.
func TestIdleDomainsAreSmall(t *testing.T) {
	h := newHouse(t)
	h.start()
	defer h.stop()
	const n = 200
	// What is made once, whoever comes first, is no domain's: the tables of the schema's types, which are half a megabyte and
	// more, and the journal's window of recent events, which has a bound of its own and is full from here on.
	for i := range 20 {
		h.define(fmt.Sprintf("first%02d", i), "")
	}
	first, err := h.journal.Watch(t.Context(), events.WatchOptions{Oldest: true})
	if err != nil {
		t.Fatal(err)
	}
	defined, err := first.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 1200 {
		if _, err := h.journal.Append(proto.CloneOf(defined), events.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	before := heap()
	for i := range n {
		h.define(fmt.Sprintf("d%03d", i), "")
	}
	each := (heap() - before) / n
	t.Logf("%d bytes for each domain", each)
	if each > 4<<10 {
		t.Errorf("%d bytes for each domain, the limit is 4096", each)
	}
}

// heap is what is in use once the garbage is gone.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
