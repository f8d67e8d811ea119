package server_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/client/pki"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// readerBound is what one client can make the daemon hold by looking, with as many connections and calls as it may have and
// answers of a MiB that it does not read.
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

// dialNetwork connects with a pair of a folder.
func dialNetwork(t *testing.T, address string, folder pki.Folder, pair string) *grpc.ClientConn {
	t.Helper()
	ca, err := pki.ReadCertificate(folder.Certificate("ca"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := tls.LoadX509KeyPair(folder.Certificate(pair), folder.Key(pair))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13}
	config.RootCAs.AddCert(ca)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Who asks for everything and reads nothing makes the daemon hold a bounded amount, keeps nobody else waiting, and gets
// all of its answers once it reads: every user of the host, and who looks from the network, whatever it may do besides.
func TestReaderThatDoesNotRead(t *testing.T) {
	for _, pair := range []string{"", "read", "operate"} {
		t.Run(cmp.Or(pair, "socket"), func(t *testing.T) {
			folder := authority(t)
			h, address := onNetwork(t, folder)
			connect := func() *grpc.ClientConn { return dial(t, h.path(server.ReadOnlySocket)) }
			if pair != "" {
				connect = func() *grpc.ClientConn { return dialNetwork(t, address, folder, pair) }
			}
			askForAll(t, large(t, h), connect, h.config.Socket.MaxReadersPerUser)
		})
	}
}

// askForAll asks on all connections that there may be but one, which is for another who reads.
func askForAll(t *testing.T, ref *davitv1.DomainRef, connect func() *grpc.ClientConn, most int) {
	t.Helper()
	const each = 16
	full := davitv1.DomainView_DOMAIN_VIEW_FULL
	before := heap()
	var unread []grpc.ClientStream
	for range most - 1 {
		conn := connect()
		for n := range each {
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
	var held int64
	for end := time.Now().Add(testenv.Scale(2 * time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		held = max(held, heap()-before)
	}
	t.Logf("%d answers of 1 MiB make the heap grow by %d KiB", len(unread), held>>10)
	if held > readerBound {
		t.Errorf("the heap grew by %d bytes, the bound is %d", held, readerBound)
	}
	other := davitv1.NewDomainServiceClient(connect())
	if _, err := other.GetDomainXML(t.Context(), &davitv1.GetDomainXMLRequest{Domain: ref}); err != nil {
		t.Errorf("another connection: %v", err)
	}
	kinds := []proto.Message{new(davitv1.GetDomainXMLResponse), new(davitv1.GetDomainResponse), new(davitv1.ListDomainsResponse)}
	var reading sync.WaitGroup
	defer reading.Wait()
	for n, stream := range unread {
		reading.Go(func() { // the first that was asked need not be the first to be answered
			answer := proto.CloneOf(kinds[n%each%3])
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

// The limits of who may only look are lower than those of others, at the read-only socket and on the network.
func TestReadOnlyLimits(t *testing.T) {
	folder := authority(t)
	h, address := onNetwork(t, folder)
	for name, conn := range map[string]*grpc.ClientConn{
		"socket": dial(t, h.path(server.ReadOnlySocket)), "network": dialNetwork(t, address, folder, "read"),
	} {
		t.Run(name, func(t *testing.T) { readOnlyLimits(t, conn) })
	}
	for n := range 9 { // one is open already
		conn := dialNetwork(t, address, folder, "read")
		_, err := davitv1.NewEventServiceClient(conn).GetEventPosition(t.Context(), &davitv1.GetEventPositionRequest{})
		if e, ok := errors.AsType[*domain.Error](domain.FromStatus(err)); n < 7 && err != nil || n >= 7 && (!ok || e.Detail["limit"] != "tls.max_connections_per_client" || e.Detail["value"] != "8") {
			t.Errorf("connection %d of a reader: %v", n+2, err)
		}
	}
	// Who may do more asks with more.
	domains := davitv1.NewDomainServiceClient(dialNetwork(t, address, folder, "operate"))
	if _, err := domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName(strings.Repeat("x", 64<<10))}); status.Code(err) != codes.NotFound {
		t.Errorf("64 KiB of name from who operates: %v", err)
	}
}

func readOnlyLimits(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	domains := davitv1.NewDomainServiceClient(conn)
	long := byName(strings.Repeat("x", 64<<10))
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
