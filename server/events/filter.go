package events

import davitv1 "github.com/davitd/davit/proto/davit/v1"

// filter is which events a watcher wants; a nil set takes all.
type filter struct {
	uuids map[string]bool
	kinds map[davitv1.EventKind]bool
}

func newFilter(o WatchOptions) filter {
	return filter{uuids: setOf(o.UUIDs), kinds: setOf(o.Kinds)}
}

func setOf[T comparable](all []T) map[T]bool {
	if len(all) == 0 {
		return nil
	}
	set := make(map[T]bool, len(all))
	for _, v := range all {
		set[v] = true
	}
	return set
}

func (f filter) passes(ev *davitv1.Event) bool {
	return (f.uuids == nil || f.uuids[ev.GetUuid()]) && (f.kinds == nil || f.kinds[KindOf(ev)])
}

// KindOf names the kind of an event.
func KindOf(ev *davitv1.Event) davitv1.EventKind {
	switch ev.GetKind().(type) {
	case *davitv1.Event_Lifecycle:
		return davitv1.EventKind_EVENT_KIND_LIFECYCLE
	case *davitv1.Event_Reboot:
		return davitv1.EventKind_EVENT_KIND_REBOOT
	case *davitv1.Event_MetadataChange:
		return davitv1.EventKind_EVENT_KIND_METADATA_CHANGE
	case *davitv1.Event_Device:
		return davitv1.EventKind_EVENT_KIND_DEVICE
	case *davitv1.Event_Oom:
		return davitv1.EventKind_EVENT_KIND_OOM
	case *davitv1.Event_Tunable:
		return davitv1.EventKind_EVENT_KIND_TUNABLE
	}
	return davitv1.EventKind_EVENT_KIND_UNSPECIFIED
}
