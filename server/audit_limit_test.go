package server_test

import (
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// limitRecords are the records of calls that a limit refused, and how many calls they tell of.
func limitRecords(t *testing.T, h *house) (list []*davitv1.AuditRecord, calls uint64) {
	t.Helper()
	for _, r := range records(t, h, &davitv1.ReadAuditRequest{}) {
		if r.GetCode() == "RESOURCE_EXHAUSTED" && r.GetReason() == "LIMIT_REACHED" {
			list = append(list, r)
			calls += 1 + r.GetSuppressed()
		}
	}
	return list, calls
}

// Of calls that a limit refuses the first is recorded at once, and each is counted in one that is, at the latest when the daemon
// ends.
func TestLimitedCallsAreRecorded(t *testing.T) {
	root := t.TempDir()
	h := start(t, root, func(o *server.Options) { o.Config.Limits.CallsPerSecond, o.Config.Limits.Burst = 1, 20 })
	c := davitv1.NewDomainServiceClient(dial(t, h.path(server.ReadOnlySocket)))
	refused, looked := uint64(0), false
	for range 300 {
		_, err := c.ListDomains(t.Context(), &davitv1.ListDomainsRequest{})
		if status.Code(err) == codes.ResourceExhausted {
			refused++
		}
		if refused != 1 || looked {
			continue
		}
		looked = true // once: the socket that it is read from has the same limit
		if list, calls := limitRecords(t, h); len(list) != 1 || calls != 1 {
			t.Fatalf("the first is recorded as %v", list)
		}
	}
	if refused < 10 {
		t.Fatalf("only %d calls were refused", refused)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	list, calls := limitRecords(t, start(t, root))
	if calls != refused || len(list) < 2 || len(list) > 10 {
		t.Errorf("%d records of %d calls, %d were refused", len(list), calls, refused)
	}
	for _, r := range list {
		if r.GetMethod() != davitv1.DomainService_ListDomains_FullMethodName || r.GetSocket() != "read-only" ||
			!strings.Contains(r.GetMessage(), "limits.calls_per_second") || r.GetCaller().GetProcess().GetUid() != uint32(os.Getuid()) {
			t.Errorf("record %v", r)
		}
	}
}

// Calls on a connection that is one too many are recorded as such.
func TestCallsOnAConnectionTooManyAreRecorded(t *testing.T) {
	folder := authority(t)
	h, address := onNetwork(t, folder, func(o *server.Options) { o.Config.TLS.MaxConnectionsPerClient = 1 })
	if _, err := as(t, address, folder, "operate").EventPosition(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := as(t, address, folder, "operate").EventPosition(t.Context()); code(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
	list, calls := limitRecords(t, h)
	if calls != 1 || !strings.Contains(list[0].GetMessage(), "tls.max_connections_per_client") || list[0].GetSocket() != server.NetworkDoor ||
		!strings.Contains(list[0].GetCaller().GetCertificate().GetSubject(), "CN=operate") {
		t.Errorf("records %v", list)
	}
}

// The socket for root has limits as the others have: a program that calls without end is told so there, too.
func TestRootsSocketHasLimits(t *testing.T) {
	h := start(t, t.TempDir(), func(o *server.Options) { o.Config.Limits.CallsPerSecond, o.Config.Limits.Burst = 1, 20 })
	conn := dial(t, h.path(server.RootSocket))
	for range 10_000 {
		_, err := davitv1.NewAdminServiceClient(conn).ListClients(t.Context(), &davitv1.ListClientsRequest{})
		if status.Code(err) == codes.ResourceExhausted {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("no limit is reached")
}
