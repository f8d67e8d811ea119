package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// However many have something to write, few are in the kernel for it: whoever waits there takes a thread of the daemon, and a
// process may not have as many as there may be domains.
func TestFewChangeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPlace(t).open(t)
		const many, few = 200, 16
		var begun atomic.Int32
		gate := make(chan struct{})
		s.Fail(func(step string) error {
			if step == "create" {
				begun.Add(1)
				<-gate
			}
			return nil
		})
		var writing sync.WaitGroup
		var errs [many]error
		for n := range many {
			writing.Go(func() { errs[n] = s.PutStatus(status(t, n)) })
		}
		synctest.Wait()
		if got := begun.Load(); got != few {
			t.Errorf("%d write at once, want %d", got, few)
		}
		close(gate)
		writing.Wait()
		all, err := s.Statuses()
		if err = errors.Join(err, errors.Join(errs[:]...)); err != nil || len(all) != many {
			t.Errorf("%d of %d were written: %v", len(all), many, err)
		}
	})
}
