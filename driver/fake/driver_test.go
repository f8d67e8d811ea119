package fake_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const uuid = "7c3f0b56-6a1e-4a3e-9d0e-0a4c5d6e7f80"

func spec(init string, args ...string) driver.Spec {
	return driver.Spec{
		Ref: driver.Ref{UUID: uuid, Generation: "a7c1b7de-27a5-4c3b-8b3c-2b1f6d6f1a01"},
		Definition: &davitv1.Domain{
			Name: "web", Uuid: uuid, Os: &davitv1.Os{Init: init, Initarg: args},
			Devices: &davitv1.Devices{Console: []*davitv1.Console{{}}},
		},
	}
}

// words collects events until the last, or n of them.
func words(ctx context.Context, t *testing.T, i driver.Instance, after uint64, n int) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ch, err := i.Events(ctx, after)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for ev := range ch {
		switch k := ev.Kind.(type) {
		case driver.Exited:
			out = append(out, fmt.Sprintf("%d exited %v %d restart=%v", ev.Sequence, k.Exit.GetHow(), k.Cause, k.Restart))
		case driver.Restarted:
			out = append(out, fmt.Sprintf("%d restarted %d after %v", ev.Sequence, k.Count, k.Backoff))
		default:
			out = append(out, fmt.Sprintf("%d %T", ev.Sequence, ev.Kind))
		}
		if len(out) == n {
			break
		}
	}
	return out
}

// A whole life passes in a bubble, on its clock, and the events come in order and only once acknowledged are gone.
func TestLifeInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := fake.New(fake.Options{StartDuration: 3 * time.Millisecond, Backoff: time.Second})
		begun := time.Now()
		i, err := d.Start(t.Context(), spec("/sbin/init"))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 3*time.Millisecond {
			t.Errorf("start took %v of the bubble's time, want 3ms", took)
		}
		if err := d.Reboot(uuid); err != nil {
			t.Fatal(err)
		}
		want := []string{"1 driver.Started", "2 exited &{1} 2 restart=true", "3 restarted 1 after 1s"}
		if diff := cmp.Diff(want, words(t.Context(), t, i, 0, 3)); diff != "" {
			t.Error(diff)
		}
		if err := i.Acknowledge(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if err := i.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		want = []string{"3 restarted 1 after 1s", "4 exited &{9} 3 restart=false", "0 driver.Stopped"}
		if diff := cmp.Diff(want, words(t.Context(), t, i, 0, 9)); diff != "" {
			t.Error(diff)
		}
	})
}
