package server_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// readerBound is what one user can make the daemon hold through the read-only socket, by as many connections and calls
// as it may have and answers of a MiB that it does not read.
const readerBound = 64 << 20

// large defines a domain whose definition is nearly as large as one may be.
func large(t *testing.T, h *house) *davitv1.DomainRef {
	t.Helper()
	_, err := davitv1.NewDomainServiceClient(dial(t, h.path(server.AdminSocket))).DefineDomain(t.Context(),
		&davitv1.DefineDomainRequest{Source: &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{
			Xml: "<domain type='lxc'><name>large</name><memory>65536</memory><description>" +
				strings.Repeat("x", 1000<<10) + "</description><os><type>exe</type><init>/bin/true</init></os></domain>",
		}}})
	if err != nil {
		t.Fatal(err)
	}
	return &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: "large"}}
}

// ask begins a call and reads nothing of its answer.
func ask(t *testing.T, conn *grpc.ClientConn, method string, q proto.Message) grpc.ClientStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Scale(5*time.Minute))
	t.Cleanup(cancel)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err == nil {
		err = stream.SendMsg(q)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Who asks for everything and reads nothing makes the daemon hold a bounded amount, keeps nobody else waiting, and gets
// all of its answers once it reads.
func TestReaderThatDoesNotRead(t *testing.T) {
	h := start(t, t.TempDir())
	ref := large(t, h)
	full := davitv1.DomainView_DOMAIN_VIEW_FULL
	before := heap()
	var unread []grpc.ClientStream
	for range h.config.Socket.MaxReadersPerUser - 1 { // one is for another who reads
		conn := dial(t, h.path(server.ReadOnlySocket))
		for n := range 16 {
			switch n % 3 {
			case 0:
				unread = append(unread, ask(t, conn, davitv1.DomainService_GetDomainXML_FullMethodName, &davitv1.GetDomainXMLRequest{Domain: ref}))
			case 1:
				unread = append(unread, ask(t, conn, davitv1.DomainService_GetDomain_FullMethodName, &davitv1.GetDomainRequest{Domain: ref, View: full}))
			default:
				unread = append(unread, ask(t, conn, davitv1.DomainService_ListDomains_FullMethodName, &davitv1.ListDomainsRequest{View: full}))
			}
		}
	}
	var most int64
	for end := time.Now().Add(testenv.Scale(2 * time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		most = max(most, heap()-before)
	}
	t.Logf("%d answers of 1 MiB make the heap grow by %d KiB", len(unread), most>>10)
	if most > readerBound {
		t.Errorf("the heap grew by %d bytes, the bound is %d", most, readerBound)
	}
	other := davitv1.NewDomainServiceClient(dial(t, h.path(server.ReadOnlySocket)))
	if _, err := other.GetDomainXML(t.Context(), &davitv1.GetDomainXMLRequest{Domain: ref}); err != nil {
		t.Errorf("another connection: %v", err)
	}
	kinds := []proto.Message{new(davitv1.GetDomainXMLResponse), new(davitv1.GetDomainResponse), new(davitv1.ListDomainsResponse)}
	var reading sync.WaitGroup
	defer reading.Wait()
	for n, stream := range unread {
		reading.Go(func() { // the first that was asked need not be the first to be answered
			answer := proto.CloneOf(kinds[n%16%3])
			if err := stream.RecvMsg(answer); err != nil || proto.Size(answer) < 1000<<10 {
				t.Errorf("answer %d is %d bytes, %v", n, proto.Size(answer), err)
			}
		})
	}
}

// Answers that nobody wants any more give their place back, at the latest when the garbage is collected.
func TestCancelledAnswersFreeTheirPlace(t *testing.T) {
	h := start(t, t.TempDir())
	ref := large(t, h)
	conn := dial(t, h.path(server.ReadOnlySocket))
	client := davitv1.NewDomainServiceClient(conn)
	for n := range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%20)*time.Millisecond)
		_, err := client.GetDomainXML(ctx, &davitv1.GetDomainXMLRequest{Domain: ref})
		cancel()
		if err != nil && status.Code(err) != codes.DeadlineExceeded {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Scale(time.Minute))
	defer cancel()
	if _, err := client.GetDomainXML(ctx, &davitv1.GetDomainXMLRequest{Domain: ref}); err != nil {
		t.Errorf("after cancelled calls: %v", err)
	}
}

// The limits of the read-only socket are lower than those of the other.
func TestReadOnlyLimits(t *testing.T) {
	h := start(t, t.TempDir())
	conn := dial(t, h.path(server.ReadOnlySocket))
	long := &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: strings.Repeat("x", 64<<10)}}
	domains := davitv1.NewDomainServiceClient(conn)
	if _, err := domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: long}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("64 KiB of name: %v", err)
	}
	client := davitv1.NewEventServiceClient(conn)
	for n := range 32 {
		watch, err := client.WatchEvents(t.Context(), &davitv1.WatchEventsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := watch.Recv(); err != nil {
			t.Fatalf("watcher %d: %v", n, err)
		}
	}
	watch, err := client.WatchEvents(t.Context(), &davitv1.WatchEventsRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if e, ok := errors.AsType[*domain.Error](domain.FromStatus(err)); !ok || e.Detail["limit"] != "limits.watchers" || e.Detail["value"] != "32" {
		t.Errorf("watcher 33 of a user: %v", err)
	}
	if _, err := client.GetEventPosition(t.Context(), &davitv1.GetEventPositionRequest{}); err != nil {
		t.Errorf("another call on the connection: %v", err)
	}
}
