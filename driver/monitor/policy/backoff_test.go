package policy_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/driver/monitor/policy"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const ms = time.Millisecond

// A loop is slowed down to two restarts a minute, and one that ran long enough begins anew.
func TestBackoff(t *testing.T) {
	var b policy.Backoff
	var got []time.Duration
	for range 12 {
		got = append(got, b.Delay(nil, time.Second))
	}
	want := []time.Duration{
		0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms,
		30 * time.Second, 30 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("delays (-want +got):\n%s", diff)
	}
	if d := b.Delay(nil, policy.Stable-1); d != policy.MaxDelay {
		t.Errorf("delay just before stable is %v, want %v", d, policy.MaxDelay)
	}
	if d := b.Delay(nil, policy.Stable); d != 0 {
		t.Errorf("delay once stable is %v, want none", d)
	}
	if d := b.Delay(nil, 0); d != policy.FirstDelay {
		t.Errorf("delay of the restart after it is %v, want %v", d, policy.FirstDelay)
	}
}

// What the policy says of it is done, from the moment that it says so.
func TestBackoffOfPolicy(t *testing.T) {
	measure := func(first, most time.Duration) *monitorv1.Backoff {
		return &monitorv1.Backoff{DelayNs: uint64(first), MaxDelayNs: uint64(most)}
	}
	var b policy.Backoff
	for i, step := range []struct {
		m    *monitorv1.Backoff
		want time.Duration
	}{
		{measure(7*ms, 20*ms), 0},
		{measure(7*ms, 20*ms), 7 * ms},
		{measure(7*ms, 20*ms), 14 * ms},
		{measure(7*ms, 20*ms), 20 * ms},
		{measure(7*ms, 20*ms), 20 * ms},
		{measure(2*ms, 3*ms), 3 * ms}, // a lower bound that was set since holds for what is due
		{measure(2*time.Second, 0), 3 * ms},
		{measure(2*time.Second, 0), 2 * time.Second},
		{measure(0, 0), 4 * time.Second},
		{&monitorv1.Backoff{DelayNs: math.MaxUint64, MaxDelayNs: math.MaxUint64}, 8 * time.Second},
		{&monitorv1.Backoff{DelayNs: math.MaxUint64, MaxDelayNs: math.MaxUint64}, 365 * 24 * time.Hour},
		{&monitorv1.Backoff{DelayNs: math.MaxUint64, MaxDelayNs: math.MaxUint64}, 365 * 24 * time.Hour},
		{nil, policy.MaxDelay},
		{measure(time.Minute, 0), 30 * time.Second},
		{measure(time.Minute, 0), time.Minute},
	} {
		if got := b.Delay(step.m, time.Second); got != step.want {
			t.Errorf("delay %d is %v, want %v", i, got, step.want)
		}
	}
}

// No more restarts are made than the policy says, in any time of the length that it says.
func TestCount(t *testing.T) {
	var b policy.Backoff
	start := time.Now()
	three := &monitorv1.Backoff{Limit: 3, IntervalNs: uint64(10 * time.Second)}
	for i, step := range []struct {
		m     *monitorv1.Backoff
		at    time.Duration
		delay time.Duration
		want  bool
	}{
		{nil, 0, 0, true}, // not counted: there is no limit yet
		{three, 0, 0, true},
		{three, 2 * time.Second, time.Second, true}, // counts at 3 s
		{three, 4 * time.Second, 0, true},
		{three, 9 * time.Second, 0, false},
		{three, 10 * time.Second, 0, true}, // the one at 0 s is no longer of the last ten
		{three, 12 * time.Second, 0, false},
		{three, 13 * time.Second, 0, true},
		{&monitorv1.Backoff{Limit: 4, IntervalNs: uint64(10 * time.Second)}, 13 * time.Second, 0, true},
		{&monitorv1.Backoff{Limit: 4}, 9 * time.Minute, 0, false}, // within ten minutes where nothing is said
		{&monitorv1.Backoff{}, 9 * time.Minute, 0, true},
		{three, 9 * time.Minute, 0, true},
		{three, 9 * time.Minute, 0, true},
		{three, 9 * time.Minute, 0, true},
		{three, 9 * time.Minute, 0, false},
		{three, time.Hour, 0, true},
	} {
		if got := b.Count(step.m, start.Add(step.at), step.delay); got != step.want {
			t.Errorf("restart %d is allowed: %v, want %v", i, got, step.want)
		}
	}
}

// However many restarts a policy allows, no more than a thousand are remembered, and so allowed.
func TestCountIsBounded(t *testing.T) {
	var b policy.Backoff
	now, n := time.Now(), 0
	for n < 2000 && b.Count(&monitorv1.Backoff{Limit: math.MaxUint32}, now, 0) {
		n++
	}
	if n != 1000 {
		t.Errorf("%d restarts were allowed, want 1000", n)
	}
}

// What is told of a limit is how it is counted.
func TestLimitWords(t *testing.T) {
	for want, m := range map[string]*monitorv1.Backoff{
		"5 restarts within 10m0s": {Limit: 5},
		"1 restart within 1m0s":   {Limit: 1, IntervalNs: uint64(time.Minute)},
	} {
		if got := policy.LimitWords(m); got != want {
			t.Errorf("%v is %q, want %q", m, got, want)
		}
	}
}
