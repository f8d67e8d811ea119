package monitor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/davitd/davit/driver/monitor"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// The plan is that of the start, then the one of the newest change that was made.
func TestPlanIsTold(t *testing.T) {
	s := &script{t: t, begun: time.Now(), run: func(int) (time.Duration, *monitorv1.Exit, error) { return time.Hour, nil, nil }}
	c := monitor.NewContainer(s, nobody{}, nil)
	if plan, err := c.Plan(); err == nil {
		t.Errorf("there is none, and it is %v", plan)
	}
	first := &monitorv1.Plan{
		Name: "first", Init: &monitorv1.Process{Argv: []string{"/init"}},
		Operations: []*monitorv1.Operation{{Step: &monitorv1.Operation_RootBind{RootBind: &monitorv1.RootBind{Source: "/"}}}},
	}
	_, pidfd, err := c.Start(first, monitor.Cgroups{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pidfd.Close() }()
	want := func(want *monitorv1.Plan) {
		t.Helper()
		if got, err := c.Plan(); err != nil || !plain.Equal(got, want) {
			t.Errorf("it is %v, %v, want %v", got, err, want)
		}
	}
	want(first)
	second := plain.Clone(first)
	second.MemoryLimitBytes = 64 << 20
	if err := c.Revise(&monitorv1.Revise{Plan: second}, nil); err != nil {
		t.Fatal(err)
	}
	want(second)
	refused := plain.Clone(second)
	refused.Held = []string{"what nobody gave"}
	if err := c.Revise(&monitorv1.Revise{Plan: refused}, nil); err == nil {
		t.Error("it took a plan that holds what nobody gave")
	}
	want(second)
}

// What was told stays as it was told: a launch that minds another limit, while the plan is on its way, does not change it.
func TestPlanThatWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, run: func(int) (time.Duration, *monitorv1.Exit, error) { return time.Minute, rebooted(), nil }}
		c := perform(t, s, onReboot)
		told, err := c.Plan()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetPolicy(onReboot, &monitorv1.Limits{MemoryBytes: 8 << 20}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if got := told.GetMemoryLimitBytes(); got != 0 {
			t.Errorf("the limit that was told has become %d", got)
		}
		if now, err := c.Plan(); err != nil || now.GetMemoryLimitBytes() != 8<<20 {
			t.Errorf("the plan is %v, %v", now, err)
		}
		c.Kill()
		<-c.Ended()
	})
}
