package events_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

func TestAppendKeepsTheWholeEvent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	j := open(t, dir, events.Options{})
	if got := j.Newest().GetSequence(); got != 0 {
		t.Fatalf("newest of a new journal is %d", got)
	}
	want := &davitv1.Event{
		Time: timestamppb.New(time.Unix(1700000000, 123)), Uuid: uuidOf(1), Name: "web", Id: 7,
		Kind: &davitv1.Event_Lifecycle{Lifecycle: &davitv1.LifecycleEvent{
			Type:   davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED,
			Detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STOPPED_SHUTDOWN,
			Exit:   &davitv1.Exit{How: &davitv1.Exit_Code{Code: 3}},
		}},
	}
	at, err := j.Append(want, events.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if want.Position != nil {
		t.Error("Append changed the caller's event")
	}
	want.Position = at
	got, err := watch(t, j, events.WatchOptions{Oldest: true}).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	j.Kill()
	again := open(t, dir, events.Options{})
	got, err = watch(t, again, events.WatchOptions{Oldest: true}).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("after reopening: %s", diff)
	}
}

func TestAppendSetsTime(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{})
	before := time.Now()
	if _, err := j.Append(event(1), events.Origin{}); err != nil {
		t.Fatal(err)
	}
	ev, err := watch(t, j, events.WatchOptions{Oldest: true}).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if at := ev.GetTime().AsTime(); at.Before(before) || at.After(time.Now()) {
		t.Errorf("time is %v, appended after %v", at, before)
	}
}

func TestNumbersGoOnOverReopening(t *testing.T) {
	for _, end := range []struct {
		name string
		end  func(*events.Journal)
	}{
		{"closed", func(j *events.Journal) {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		}},
		{"killed", (*events.Journal).Kill},
	} {
		t.Run(end.name, func(t *testing.T) {
			dir := t.TempDir()
			o := events.Options{MaxEvents: 800}
			epoch, n := "", 0
			for range 10 {
				j, err := events.Open(dir, o)
				if err != nil {
					t.Fatal(err)
				}
				if epoch == "" {
					epoch = j.Newest().GetEpoch()
				}
				if got := j.Newest(); got.GetEpoch() != epoch || got.GetSequence() != uint64(n) {
					t.Fatalf("newest is %v, want %d of %s", got, n, epoch)
				}
				fill(t, j, n+1, n+77)
				n += 77
				collect(t, watch(t, j, after(j, 0)), 1, n)
				end.end(j)
			}
		})
	}
}

func TestJournalIsBounded(t *testing.T) {
	for _, c := range []struct {
		name string
		o    events.Options
	}{
		{"by count", events.Options{MaxEvents: 160}},
		{"by bytes", events.Options{MaxBytes: events.MinBytes}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, dir, c.o)
			const all = 3000
			for n := 1; n <= all; n++ {
				fill(t, j, n, n)
				if c.o.MaxEvents > 0 {
					kept := int(j.Newest().GetSequence() - j.Oldest().GetSequence() + 1)
					if kept > c.o.MaxEvents || (n >= c.o.MaxEvents && kept < c.o.MaxEvents*7/8) {
						t.Fatalf("%d of %d events kept, the limit is %d", kept, n, c.o.MaxEvents)
					}
				}
			}
			var bytes int64
			for _, path := range segments(t, dir) {
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				bytes += info.Size()
			}
			if c.o.MaxBytes > 0 && (bytes > c.o.MaxBytes || bytes < c.o.MaxBytes*3/4) {
				t.Errorf("files have %d bytes, the limit is %d", bytes, c.o.MaxBytes)
			}
			oldest := int(j.Oldest().GetSequence())
			collect(t, watch(t, j, after(j, oldest-1)), oldest, all)
			_, err := j.Watch(t.Context(), after(j, oldest-2))
			e := refused(t, err, davitv1.ErrorReason_ERROR_REASON_EVENT_HISTORY_TRUNCATED)
			want := map[string]string{
				"epoch": j.Newest().GetEpoch(), "oldest": fmt.Sprint(oldest), "newest": fmt.Sprint(all),
			}
			if diff := cmp.Diff(want, e.Detail); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOriginsOutliveTheirEvents(t *testing.T) {
	dir := t.TempDir()
	o := events.Options{MaxEvents: events.MinEvents}
	j := open(t, dir, o)
	lone := events.Origin{Generation: "lone", Sequence: 42}
	if _, err := j.Append(&davitv1.Event{Uuid: uuidOf(99)}, lone); err != nil {
		t.Fatal(err)
	}
	// An event of the engine's own does not change it.
	if _, err := j.Append(&davitv1.Event{Uuid: uuidOf(99)}, events.Origin{}); err != nil {
		t.Fatal(err)
	}
	fill(t, j, 3, 1000)
	if j.Oldest().GetSequence() < 900 {
		t.Fatal("the first event is still kept")
	}
	j.Kill()
	j = open(t, dir, o)
	if got, ok := j.Origin(uuidOf(99)); !ok || got != lone {
		t.Errorf("origin is %v, %v after reopening, want %v", got, ok, lone)
	}
	want := events.Origin{Generation: "gen-" + uuidOf(4), Sequence: 999}
	if got, _ := j.Origin(uuidOf(4)); got != want {
		t.Errorf("origin is %v, want %v", got, want)
	}
	j.Forget(uuidOf(99))
	fill(t, j, 1001, 1200)
	j.Kill()
	j = open(t, dir, o)
	if got, ok := j.Origin(uuidOf(99)); ok {
		t.Errorf("origin %v is there after it was forgotten", got)
	}
}

func TestOriginsAreBounded(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{})
	const all, most = 1<<16 + 20, 1 << 16
	for n := range all {
		if _, err := j.Append(&davitv1.Event{Uuid: uuidOf(n)}, events.Origin{Generation: "g", Sequence: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got := j.Origins(); got != most {
		t.Errorf("%d origins are kept, the limit is %d", got, most)
	}
	if _, ok := j.Origin(uuidOf(0)); ok {
		t.Error("the oldest origin is still there")
	}
	if _, ok := j.Origin(uuidOf(all - 1)); !ok {
		t.Error("the newest origin is not there")
	}
}

func TestAppendRefusesWhatIsTooLarge(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{})
	_, err := j.Append(&davitv1.Event{Name: strings.Repeat("x", 70_000)}, events.Origin{})
	_ = refused(t, err, davitv1.ErrorReason_ERROR_REASON_INTERNAL)
	fill(t, j, 1, 3)
}

func TestClosedJournalRefuses(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{})
	fill(t, j, 1, 1)
	w := watch(t, j, after(j, 0))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := j.Append(event(2), events.Origin{})
	_ = refused(t, err, davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN)
	_, err = w.Next(t.Context())
	_ = refused(t, err, davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN)
	_, err = j.Watch(t.Context(), events.WatchOptions{})
	_ = refused(t, err, davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN)
}

func TestOpenRefusesLimits(t *testing.T) {
	for _, o := range []events.Options{{MaxEvents: 1}, {MaxBytes: 1}, {MaxLag: -1}} {
		if j, err := events.Open(t.TempDir(), o); err == nil {
			j.Kill()
			t.Errorf("%+v was taken", o)
		}
	}
}
