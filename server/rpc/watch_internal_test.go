package rpc

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

// told sends what a journal has, as eventService does.
type told struct {
	davitv1.UnimplementedEventServiceServer
	journal *events.Journal
}

func (s *told) WatchEvents(q *davitv1.WatchEventsRequest, stream grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
	w, err := s.journal.Watch(stream.Context(), events.WatchOptions{})
	if err != nil {
		return err
	}
	if err := stream.Send(&davitv1.WatchEventsResponse{Item: &davitv1.WatchEventsResponse_Position{Position: w.Position()}}); err != nil {
		return err
	}
	return (&following{watcher: w, stream: stream, every: time.Hour, batch: int(q.GetBatch())}).follow(stream.Context())
}

// processorTime is what this process has used.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWatch has 100 watchers, each on a connection of its own, told of an event every millisecond: what that takes of the processor
// here and at the watchers, with one event in each response and with as many as come.
func BenchmarkWatch(b *testing.B) {
	for _, batch := range []uint32{1, 64} {
		b.Run(strconv.Itoa(int(batch)), func(b *testing.B) { broadcast(b, batch) })
	}
}

func broadcast(b *testing.B, batch uint32) {
	b.Helper()
	const watchers = 100
	journal, err := events.Open(b.TempDir(), events.Options{})
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer()
	davitv1.RegisterEventServiceServer(server, &told{journal: journal})
	listener, socket := listen(b)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) })
	b.Cleanup(func() {
		server.Stop()
		running.Wait()
		_ = journal.Close()
	})
	var ready, heard sync.WaitGroup
	for range watchers {
		ready.Add(1)
		heard.Go(func() { hear(b, socket, batch, b.N, ready.Done) })
	}
	ready.Wait()
	before := processorTime(b)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	b.ResetTimer()
	for i := range b.N {
		ev := &davitv1.Event{Uuid: "00000000-0000-4000-8000-000000000001", Name: "web", Id: uint32(i), Kind: &davitv1.Event_Lifecycle{
			Lifecycle: &davitv1.LifecycleEvent{Type: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_RESUMED},
		}}
		if _, err := journal.Append(ev, events.Origin{}); err != nil {
			b.Fatal(err)
		}
		<-tick.C
	}
	heard.Wait()
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/1e3/float64(b.N)/watchers, "cpu-us/told")
}

// hear watches until it has been told of so many events.
func hear(b *testing.B, socket string, batch uint32, events int, ready func()) {
	b.Helper()
	ready = sync.OnceFunc(ready)
	defer ready()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	stream, err := davitv1.NewEventServiceClient(conn).WatchEvents(ctx, &davitv1.WatchEventsRequest{Batch: batch})
	if err != nil {
		b.Error(err)
		return
	}
	for events > 0 {
		r, err := stream.Recv()
		if err != nil {
			b.Error(err)
			return
		}
		ready()
		events -= len(r.GetBatch().GetEvents())
		if r.GetEvent() != nil {
			events--
		}
	}
}

// listen makes a socket.
func listen(b *testing.B) (net.Listener, string) {
	b.Helper()
	socket := filepath.Join(b.TempDir(), "davit.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	return l, socket
}
