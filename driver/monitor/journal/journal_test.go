package journal_test

import (
	"testing"

	"github.com/davitd/davit/driver/monitor/journal"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

func restarted(count uint32) *monitorv1.MonitorEvent {
	return &monitorv1.MonitorEvent{Kind: &monitorv1.MonitorEvent_Restarted{Restarted: &monitorv1.Restarted{Count: count}}}
}

func fill(t *testing.T, j *journal.Journal, from, to uint32) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := j.Append(restarted(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// replay reads all that is kept after a sequence and checks that there are no holes.
func replay(t *testing.T, j *journal.Journal, after uint64) (counts []uint32) {
	t.Helper()
	for {
		event, _, err := j.Next(after)
		if err != nil {
			t.Fatal(err)
		}
		if event == nil {
			return counts
		}
		if len(counts) > 0 && event.GetSequence() != after+1 {
			t.Errorf("event %d follows %d", event.GetSequence(), after)
		}
		after = event.GetSequence()
		counts = append(counts, event.GetRestarted().GetCount())
	}
}

// What is not acknowledged is there again for whoever asks, from where it asks; what is acknowledged is not.
func TestKeptUntilAcknowledged(t *testing.T) {
	var j journal.Journal
	fill(t, &j, 1, 5)
	if got := replay(t, &j, 0); len(got) != 5 || got[0] != 1 {
		t.Errorf("replay from 0 gives %v", got)
	}
	if got := replay(t, &j, 3); len(got) != 2 || got[0] != 4 {
		t.Errorf("replay from 3 gives %v", got)
	}
	for _, sequence := range []uint64{2, 1, 2} { // an acknowledgement may come late and twice
		if err := j.Acknowledge(sequence); err != nil {
			t.Fatal(err)
		}
	}
	if got := replay(t, &j, 0); len(got) != 3 || got[0] != 3 {
		t.Errorf("replay after acknowledging 2 gives %v", got)
	}
	if err := j.Acknowledge(5); err != nil {
		t.Fatal(err)
	}
	fill(t, &j, 6, 6)
	if got := replay(t, &j, 0); len(got) != 1 || got[0] != 6 {
		t.Errorf("replay after acknowledging all gives %v", got)
	}
	if newest, acknowledged := j.Sequences(); newest != 6 || acknowledged != 5 {
		t.Errorf("sequences are %d and %d, want 6 and 5", newest, acknowledged)
	}
}

// An acknowledgement of what did not happen is refused and changes nothing.
func TestAcknowledgeFuture(t *testing.T) {
	var j journal.Journal
	fill(t, &j, 1, 2)
	if err := j.Acknowledge(3); err == nil {
		t.Error("event 3 of 2 was acknowledged")
	}
	if got := replay(t, &j, 0); len(got) != 2 {
		t.Errorf("replay gives %v", got)
	}
}

// Who waits for the next event is woken by it.
func TestNextWaits(t *testing.T) {
	var j journal.Journal
	_, changed, _ := j.Next(0)
	fill(t, &j, 1, 1)
	<-changed
	if event, _, _ := j.Next(0); event.GetSequence() != 1 {
		t.Errorf("woken for event %v", event)
	}
}

// A full journal makes restarts wait, has room for what ends a container, and has room again once acknowledged.
func TestRoom(t *testing.T) {
	var j journal.Journal
	n := uint32(0)
	for j.Room() == nil {
		n++
		fill(t, &j, n, n)
	}
	if n > journal.Capacity-2 {
		t.Errorf("%d events leave no room for the end", n)
	}
	full := j.Room()
	if err := j.Acknowledge(uint64(n)); err != nil {
		t.Fatal(err)
	}
	<-full
	if j.Room() != nil {
		t.Error("no room after acknowledging all")
	}
}

// What was kept goes on elsewhere: with its numbers and times, behind what was acknowledged; a hole ends it.
func TestRestore(t *testing.T) {
	var j journal.Journal
	fill(t, &j, 1, 5)
	if err := j.Acknowledge(2); err != nil {
		t.Fatal(err)
	}
	after, events := j.Kept()
	if after != 2 || len(events) != 3 || events[0].GetSequence() != 3 || events[0].GetTimeUnixNs() == 0 {
		t.Fatalf("kept after %d: %v", after, events)
	}
	var next journal.Journal
	next.Restore(after, events)
	fill(t, &next, 6, 6)
	if got := replay(t, &next, 0); len(got) != 4 || got[0] != 3 || got[3] != 6 {
		t.Errorf("replay gives %v, want 3 to 6", got)
	}
	if newest, acknowledged := next.Sequences(); newest != 6 || acknowledged != 2 {
		t.Errorf("newest %d, acknowledged %d, want 6, 2", newest, acknowledged)
	}
	var torn journal.Journal
	torn.Restore(1, events)
	if newest, _ := torn.Sequences(); newest != 1 {
		t.Errorf("newest behind a hole is %d, want 1", newest)
	}
}

// However many there are, those that are kept fit into a frame: the newest.
func TestKeptIsBounded(t *testing.T) {
	var j journal.Journal
	const many = 5000
	fill(t, &j, 1, many)
	after, events := j.Kept()
	if after == 0 || int(after)+len(events) != many || events[0].GetSequence() != after+1 {
		t.Errorf("%d kept after %d, want the newest", len(events), after)
	}
	body, err := plain.Append(nil, &monitorv1.Deposit{Events: events})
	if err != nil || len(body) > wire.MaxFrame {
		t.Errorf("they have %d bytes, %v, over the limit of %d", len(body), err, wire.MaxFrame)
	}
}
