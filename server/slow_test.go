package server_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// A subscriber that reads nothing costs those who read nothing: they hear of everything, in order and at once. When it reads after
// all it is told that it was too slow, and from where to go on, and misses nothing then. REL-19.
func TestSubscriberThatDoesNotRead(t *testing.T) {
	const rounds, each, readers = 20, 40, 10
	const told = 2 + rounds*each
	h := start(t, t.TempDir(), func(o *server.Options) { o.Config.Events.MaxLag = 2 * each })
	conn := dial(t, h.path(server.AdminSocket))
	domains := davitv1.NewDomainServiceClient(conn)
	name := strings.Repeat("web", 80) // events are large, so that a connection holds few of them
	ref := &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: name}}
	_, err := domains.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: &davitv1.DefinitionSource{
		Source: &davitv1.DefinitionSource_Xml{
			Xml: "<domain type='lxc'><name>" + name + "</name><memory>65536</memory><os><type>exe</type><init>/sbin/init</init></os></domain>",
		},
	}})
	if err == nil {
		_, err = domains.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: ref})
	}
	if err != nil {
		t.Fatal(err)
	}
	watch := func(start *davitv1.WatchEventsRequest) davitv1.EventService_WatchEventsClient {
		t.Helper()
		small := grpc.WithStaticStreamWindowSize(64 << 10) // it does not grow
		stream, fault := davitv1.NewEventServiceClient(dial(t, h.path(server.AdminSocket), small)).WatchEvents(t.Context(), start)
		if fault == nil {
			_, fault = stream.Recv() // the position
		}
		if fault != nil {
			t.Fatal(fault)
		}
		return stream
	}
	deaf := watch(&davitv1.WatchEventsRequest{})
	var reading [readers]davitv1.EventService_WatchEventsClient
	for n := range reading {
		reading[n] = watch(&davitv1.WatchEventsRequest{})
	}
	before := heap()
	for round := range uint64(rounds) {
		for n := range each {
			if n%2 == 0 {
				_, err = domains.SuspendDomain(t.Context(), &davitv1.SuspendDomainRequest{Domain: ref})
			} else {
				_, err = domains.ResumeDomain(t.Context(), &davitv1.ResumeDomainRequest{Domain: ref})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for n, stream := range reading {
			if err = hear(stream, 3+round*each, 2+(round+1)*each); err != nil {
				t.Fatalf("reader %d: %v", n, err)
			}
		}
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("who does not read makes the daemon hold %d bytes", grown)
	}
	err = hear(deaf, 3, told)
	var e *domain.Error
	if !errors.As(domain.FromStatus(errors.Unwrap(err)), &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_WATCHER_TOO_SLOW {
		t.Fatalf("who did not read was told %v", err)
	}
	var last uint64
	if _, err = fmt.Sscan(e.Detail["sequence"], &last); err != nil {
		t.Fatalf("it was not told where to go on: %v", e.Detail)
	}
	after := &davitv1.EventPosition{Epoch: e.Detail["epoch"], Sequence: last}
	if err = hear(watch(&davitv1.WatchEventsRequest{Start: &davitv1.WatchEventsRequest_After{After: after}}), last+1, told); err != nil {
		t.Error(err)
	}
}

// hear reads the events of these numbers.
func hear(stream davitv1.EventService_WatchEventsClient, from, to uint64) error {
	for next := from; next <= to; {
		r, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("in place of event %d: %w", next, err)
		}
		if ev := r.GetEvent(); ev != nil {
			if got := ev.GetPosition().GetSequence(); got != next {
				return fmt.Errorf("event %d comes in place of %d", got, next)
			}
			next++
		}
	}
	return nil
}
