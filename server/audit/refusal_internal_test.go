package audit

import (
	"strconv"
	"testing"
	"time"
)

// Of refused calls no more have a record than one caller may have, and all together, whoever makes them and how many he is; and
// each that has none is counted in one that has.
func TestRefusalsAreBounded(t *testing.T) {
	const calls = 2 * refusalBurst
	for _, test := range []struct{ callers, records int }{
		{1, refusalBurst},
		{5, 5 * refusalBurst},
		{maxCallers, allRefusalBurst},
		{3 * maxCallers, allRefusalBurst},
	} {
		var r refusals
		now := time.Unix(1e9, 0)
		records, counted := 0, uint64(0)
		for range calls {
			for caller := range test.callers {
				if skipped, ok := r.admit(strconv.Itoa(caller), now); ok {
					records++
					counted += skipped
				}
			}
		}
		if records != test.records {
			t.Errorf("%d callers: %d records, want %d", test.callers, records, test.records)
		}
		if len(r.callers) > maxCallers {
			t.Errorf("%d callers: %d are told apart", test.callers, len(r.callers))
		}
		for caller := range test.callers {
			counted += r.take(strconv.Itoa(caller))
		}
		if total := uint64(test.callers * calls); uint64(records)+counted != total {
			t.Errorf("%d callers: %d records and %d counted of %d", test.callers, records, counted, total)
		}
	}
}

// In the long run a caller has one record a period, and to be one of very many gives nobody more: those who are forgotten to make
// room have nothing left to be given, and their calls are counted still.
func TestForgottenRefusalsAreCounted(t *testing.T) {
	var r refusals
	now := time.Unix(1e9, 0)
	for range refusalBurst {
		r.admit("one", now)
	}
	for range 10 {
		if _, ok := r.admit("one", now); ok {
			t.Fatal("a call above the burst has a record")
		}
		now = now.Add(refusalPeriod)
		if _, ok := r.admit("one", now); !ok {
			t.Fatal("no record after a period")
		}
	}
	for range 7 {
		r.admit("one", now)
	}
	for caller := range maxCallers - 1 {
		r.admit(strconv.Itoa(caller), now)
	}
	r.admit("two", now) // there is room when others are forgotten
	if len(r.callers) > maxCallers || r.forgotten == 0 {
		t.Errorf("%d callers, %d calls of those that are forgotten", len(r.callers), r.forgotten)
	}
	if _, ok := r.admit("one", now); ok {
		t.Error("a caller begins anew because others are many")
	}
	untold := r.forgotten + r.callers["two"].skipped
	now = now.Add(refusalBurst * refusalPeriod)
	if skipped, ok := r.admit("two", now); !ok || skipped != untold {
		t.Errorf("%d calls are told of %d, in a record: %t", skipped, untold, ok)
	}
}
