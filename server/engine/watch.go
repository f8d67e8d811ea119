package engine

import (
	"context"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

// maxWatched is how many domains a watch may name: each watcher keeps its list for as long as it watches.
const maxWatched = 1000

// WatchEvents follows the journal as a request asks for.
func (e *Engine) WatchEvents(ctx context.Context, q *davitv1.WatchEventsRequest) (*events.Watcher, error) {
	if n := len(q.GetUuids()); n > maxWatched {
		return nil, invalid("uuids", "%d domains, the limit is %d; all are watched when none is named", n, maxWatched)
	}
	options := events.WatchOptions{Kinds: q.GetKinds()}
	for _, text := range q.GetUuids() {
		uuid, err := domain.ParseUUID(text)
		if err != nil {
			return nil, invalid("uuids", "%v", err)
		}
		options.UUIDs = append(options.UUIDs, uuid)
	}
	for _, kind := range q.GetKinds() {
		if _, ok := davitv1.EventKind_name[int32(kind)]; !ok || kind == 0 {
			return nil, invalid("kinds", "kind %d is not known", kind)
		}
	}
	switch start := q.GetStart().(type) {
	case *davitv1.WatchEventsRequest_After:
		options.After = start.After
	case *davitv1.WatchEventsRequest_Oldest:
		options.Oldest = start.Oldest
	}
	return e.journal.Watch(ctx, options)
}

// GetEventPosition tells where the journal stands.
func (e *Engine) GetEventPosition(context.Context, *davitv1.GetEventPositionRequest) (*davitv1.GetEventPositionResponse, error) {
	return &davitv1.GetEventPositionResponse{Newest: e.journal.Newest(), Oldest: e.journal.Oldest()}, nil
}
