package events_test

import (
	"testing"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

// Every kind of event that the schema has can be asked for, each by a kind of its own.
func TestEachKindCanBeAskedFor(t *testing.T) {
	seen := map[davitv1.EventKind]bool{events.KindOf(&davitv1.Event{}): true} // none
	kinds := (&davitv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range kinds.Len() {
		ev := &davitv1.Event{}
		ev.ProtoReflect().Mutable(kinds.Get(i))
		kind := events.KindOf(ev)
		if seen[kind] {
			t.Errorf("%s is of kind %v, as another is", kinds.Get(i).Name(), kind)
		}
		seen[kind] = true
	}
	if len(seen) != len(davitv1.EventKind_name) {
		t.Errorf("%d kinds of events, the schema has %d", len(seen), len(davitv1.EventKind_name))
	}
}
