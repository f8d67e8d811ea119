package audit

import (
	"errors"
	"strconv"
	"testing"
	"time"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// told is a [limited] of which a test looks at the records. Periods end when the test says so.
type told struct {
	limited
	records map[string]int
	counted uint64
}

func newTold(t *testing.T) *told {
	t.Helper()
	w := &told{records: make(map[string]int)}
	w.limited.record = func(c *limitedCall) {
		w.records[c.identity]++
		w.counted += c.untold
	}
	t.Cleanup(w.limited.close)
	return w
}

func (w *told) refuse(identity string, at time.Time) {
	w.add(&limitedCall{
		caller: &davitv1.AuditCaller{}, identity: identity, method: "/m", err: errors.New("too many"), at: at, untold: 1,
	})
}

// Of the calls of one caller that limits refuse the first has a record, and then one a period, and each call is counted in one.
func TestLimitedCallsAreCounted(t *testing.T) {
	w := newTold(t)
	now := time.Unix(1e9, 0)
	for range 3 {
		for range 1000 {
			w.refuse("7", now)
		}
		w.tick()
		now = now.Add(limitPeriod)
	}
	w.refuse("8", now)
	if w.records["7"] != 4 || w.records["8"] != 1 || w.counted != 3001 {
		t.Errorf("records %v of %d calls", w.records, w.counted)
	}
	w.tick()
	w.tick()
	if len(w.callers) != 0 {
		t.Errorf("%d callers are known when all is told", len(w.callers))
	}
	w.refuse("7", now.Add(time.Hour))
	if w.records["7"] != 5 {
		t.Errorf("the first call after a pause is not told: %v", w.records)
	}
	w.refuse("7", now.Add(time.Hour))
	w.close()
	if w.records["7"] != 6 || w.counted != 3003 {
		t.Errorf("records %v of %d calls at the end", w.records, w.counted)
	}
}

// However many callers there are, records and memory have a bound.
func TestLimitedCallersAreBounded(t *testing.T) {
	const callers = 3 * maxCallers
	w := newTold(t)
	now := time.Unix(1e9, 0)
	for range 2 {
		for caller := range callers {
			w.refuse(strconv.Itoa(caller), now)
		}
	}
	count := func() (records int) {
		for _, n := range w.records {
			records += n
		}
		return records
	}
	if got := count(); got != allLimitBurst {
		t.Errorf("%d records at once, want %d", got, allLimitBurst)
	}
	if len(w.callers) > maxCallers+1 {
		t.Errorf("%d callers are told apart", len(w.callers))
	}
	for range 1000 { // longer than it takes
		now = now.Add(limitPeriod)
		for _, c := range w.callers {
			c.at = now
		}
		w.tick()
	}
	if w.counted != 2*callers || len(w.callers) != 0 {
		t.Errorf("%d calls of %d are told, %d callers are left", w.counted, 2*callers, len(w.callers))
	}
}
