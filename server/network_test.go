package server_test

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/client/pki"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// authority is one with a daemon's pair, and clients that are named by their roles.
func authority(t *testing.T) pki.Folder {
	t.Helper()
	folder := pki.Folder(t.TempDir())
	err := folder.Init(pki.Subject{Name: "host", Hosts: []string{"127.0.0.1"}, Days: 1}, pki.Subject{Name: "client", Role: "admin", Days: 1})
	for _, role := range pki.Roles {
		if err == nil {
			err = folder.AddClient(pki.Subject{Name: role, Role: role, Days: 1})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// onNetwork runs a daemon that listens on the network and gives its address.
func onNetwork(t *testing.T, folder pki.Folder, change ...func(*server.Options)) (*house, string) {
	t.Helper()
	h := start(t, t.TempDir(), append(change, func(o *server.Options) {
		o.Config.TLS.Listen = []string{"127.0.0.1:0"}
		o.Config.TLS.Certificate, o.Config.TLS.Key = folder.Certificate("server"), folder.Key("server")
		o.Config.TLS.ClientCA = folder.Certificate("ca")
		for _, role := range pki.Roles {
			o.Config.TLS.Role = append(o.Config.TLS.Role, server.Role{SAN: "URI:" + pki.RoleURI(role), Role: role})
		}
	})...)
	lines := h.logs.FilterMessage("davitd listens on the network").All()
	if len(lines) != 1 {
		t.Fatalf("the daemon says %d times that it listens", len(lines))
	}
	address, _ := lines[0].ContextMap()["address"].(string)
	return h, address
}

// as connects with a pair of a folder.
func as(t *testing.T, address string, folder pki.Folder, pair string) *client.Client {
	t.Helper()
	identity := client.Identity{CA: folder.Certificate("ca"), Folder: t.TempDir()}
	if pair != "" {
		identity.Certificate, identity.Key = folder.Certificate(pair), folder.Key(pair)
	}
	c, err := client.Dial("davit+tls://"+address+"/system", client.WithIdentity(identity), client.WithRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func code(err error) codes.Code {
	if e, ok := errors.AsType[*domain.Error](err); ok {
		return e.Code
	}
	return domain.ToStatus(err).Code()
}

// Each side says what it has against the other.
func TestRefusalsOfHandshakes(t *testing.T) {
	ours, theirs := authority(t), authority(t)
	_, address := onNetwork(t, ours)
	for _, tt := range []struct {
		name string
		c    *client.Client
		says string // nothing for one that comes in
	}{
		{"known", as(t, address, ours, "read"), ""},
		{"no certificate", as(t, address, ours, ""), "the daemon wants a certificate"},
		{"daemon's certificate", as(t, address, ours, "server"), "the daemon refuses your certificate"},
		{"daemon of another authority", as(t, address, theirs, "read"), "signed by an authority that this side does not trust"},
		{"another name", as(t, strings.Replace(address, "127.0.0.1", "localhost", 1), ours, "read"), "is not for localhost but for 127.0.0.1"},
	} {
		err := tt.c.Connect(t.Context())
		if tt.says == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want UNAUTHENTICATED and %q", tt.name, err, tt.says)
		}
	}
	// Of both it is the daemon that has something against the other.
	mixed, err := client.Dial("tls://"+address, client.WithRetry(0), client.WithIdentity(client.Identity{
		CA: ours.Certificate("ca"), Certificate: theirs.Certificate("read"), Key: theirs.Key("read"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mixed.Close() }()
	if err := mixed.Connect(t.Context()); code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "the daemon ") {
		t.Errorf("client of another authority: %v", err)
	}
}

// What is read again holds for those who are connected; what has a fault changes nothing.
func TestReload(t *testing.T) {
	folder := authority(t)
	h, address := onNetwork(t, folder)
	read, admin := as(t, address, folder, "read"), as(t, address, folder, "admin")
	domains := 0
	define := func(c *client.Client) error {
		domains++
		_, err := c.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(
			"<domain type='lxc'><name>web" + strconv.Itoa(domains) + "</name><memory>65536</memory><os><type>exe</type><init>/bin/sh</init></os></domain>",
		)})
		return err
	}
	if err := define(admin); err != nil {
		t.Fatalf("define as admin: %v", err)
	}
	if err := define(read); code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "read is granted") {
		t.Errorf("define as reader: %v", err)
	}
	faulty := h.config
	faulty.TLS.Role = nil
	faulty.TLS.ClientCA = "/nowhere/cacert.pem"
	if err := h.server.Reload(faulty); err == nil || !strings.Contains(err.Error(), "/nowhere/cacert.pem") {
		t.Errorf("reload with a fault: %v", err)
	}
	if err := define(admin); err != nil {
		t.Errorf("define after a reload with a fault: %v", err)
	}

	certificate, err := pki.ReadCertificate(folder.Certificate("admin"))
	if err != nil {
		t.Fatal(err)
	}
	stricter := h.config
	stricter.TLS.Revoked = []string{"serial:" + certificate.SerialNumber.Text(16)}
	if err := h.server.Reload(stricter); err != nil {
		t.Fatal(err)
	}
	if err := define(admin); err == nil {
		t.Error("define with a certificate that is revoked")
	}
	lines := h.logs.FilterMessage("configuration is read again").All()
	if len(lines) != 1 || lines[0].ContextMap()["connections_ended"] != int64(1) {
		t.Errorf("the log tells of the reload: %v", lines)
	}
	if _, err := read.EventPosition(t.Context()); err != nil {
		t.Errorf("another client: %v", err)
	}
	if err := h.server.Reload(h.config); err != nil {
		t.Fatal(err)
	}
	again := as(t, address, folder, "admin")
	if err := define(again); err != nil {
		t.Errorf("define when it is no longer revoked: %v", err)
	}
	closed := h.config
	closed.TLS.Listen = nil
	if err := h.server.Reload(closed); err != nil {
		t.Fatal(err)
	}
	if err := define(again); err == nil {
		t.Error("define when nobody may come in")
	}
}

// auditor connects to the audit log with a pair of a folder.
func auditor(t *testing.T, address string, folder pki.Folder, pair string) *client.Audit {
	t.Helper()
	c, err := client.DialAudit("tls://"+address, client.WithIdentity(client.Identity{
		CA: folder.Certificate("ca"), Certificate: folder.Certificate(pair), Key: folder.Key(pair),
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A call leaves a record of the certificate that it was made with, which the admins of the network read and nobody else;
// the connection is listed under it.
func TestCallsOfCertificatesAreRecorded(t *testing.T) {
	folder := authority(t)
	h, address := onNetwork(t, folder)
	certificate, err := pki.ReadCertificate(folder.Certificate("operate"))
	if err != nil {
		t.Fatal(err)
	}
	serial, subject := certificate.SerialNumber.Text(16), certificate.Subject.String()
	uuid := uuidOf(t, define(t, h, "web"), "web")
	operate := as(t, address, folder, "operate")
	if _, err = operate.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: byName("web")}); err != nil {
		t.Fatal(err)
	}
	if _, err = operate.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")}); code(err) != codes.PermissionDenied {
		t.Errorf("undefine as operator: %v", err)
	}
	at := ""
	listed, err := davitv1.NewAdminServiceClient(dial(t, h.path(server.RootSocket))).ListClients(t.Context(), &davitv1.ListClientsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range listed.GetClients() {
		if c.GetSocket() == server.NetworkDoor && c.GetCertificate() == subject && c.GetSerial() == serial && c.GetAccess() == "operate" {
			at = c.GetAddress()
		}
	}
	if !strings.HasPrefix(at, "127.0.0.1:") {
		t.Errorf("the connection is not among %v", listed)
	}

	var list []*davitv1.AuditRecord
	stream, err := auditor(t, address, folder, "admin").ReadAudit(t.Context(), &davitv1.ReadAuditRequest{User: subject})
	for err == nil {
		var r *davitv1.ReadAuditResponse
		if r, err = stream.Recv(); err == nil {
			list = append(list, r.GetRecords()...)
		}
	}
	if !errors.Is(err, io.EOF) || len(list) != 2 {
		t.Fatalf("records %v, %v", list, err)
	}
	for i, want := range []struct{ method, code, reason string }{
		{davitv1.DomainService_StartDomain_FullMethodName, "OK", ""},
		{davitv1.DomainService_UndefineDomain_FullMethodName, "PERMISSION_DENIED", "ACCESS_DENIED"},
	} {
		r := list[i]
		holder := r.GetCaller().GetCertificate()
		if r.GetMethod() != want.method || r.GetCode() != want.code || r.GetReason() != want.reason || r.GetSocket() != server.NetworkDoor ||
			r.GetCaller().GetGranted() != "operate" || r.GetCaller().GetProcess() != nil || holder.GetSubject() != subject ||
			holder.GetSerial() != serial || holder.GetAddress() != at || len(holder.GetFingerprint()) < 64 {
			t.Errorf("record %v", r)
		}
	}
	if list[0].GetDomain() != "web" || list[0].GetUuid() != uuid {
		t.Errorf("record %v does not tell the domain", list[0])
	}
	for _, pair := range []string{"read", "operate", "client"} {
		stream, err := auditor(t, address, folder, pair).ReadAudit(t.Context(), &davitv1.ReadAuditRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if pair == "client" { // it has the role admin
			if err != nil {
				t.Errorf("audit log for %s: %v", pair, err)
			}
			continue
		}
		if code(err) != codes.PermissionDenied {
			t.Errorf("audit log for %s: %v", pair, err)
		}
	}
}

// Who follows the audit log on the network reads what comes, until the certificate is revoked.
func TestFollowedAuditEnds(t *testing.T) {
	folder := authority(t)
	h, address := onNetwork(t, folder)
	stream, err := auditor(t, address, folder, "admin").ReadAudit(t.Context(), &davitv1.ReadAuditRequest{Follow: true, Domain: "web"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil || len(r.GetRecords()) != 0 {
		t.Fatalf("there is %v already, %v", r, err)
	}
	define(t, h, "web")
	if r, err = stream.Recv(); err != nil || r.GetRecords()[0].GetMethod() != davitv1.DomainService_DefineDomain_FullMethodName {
		t.Fatalf("record %v, %v", r, err)
	}
	stricter := h.config
	stricter.TLS.Role = nil
	if err = h.server.Reload(stricter); err != nil {
		t.Fatal(err)
	}
	if r, err = stream.Recv(); err == nil {
		t.Errorf("it goes on with %v", r)
	}
}

// A role that was given after the client has connected is taken with the streams that it has opened, whether it is
// lowered or the certificate revoked.
func TestRaisedRoleIsTaken(t *testing.T) {
	folder := authority(t)
	certificate, err := pki.ReadCertificate(folder.Certificate("operate"))
	if err != nil {
		t.Fatal(err)
	}
	for name, lower := range map[string]func(*server.TLS){
		"revoked": func(c *server.TLS) { c.Revoked = []string{"serial:" + certificate.SerialNumber.Text(16)} },
		"lowered": func(c *server.TLS) { c.Role = []server.Role{{CN: "operate", Role: "operate"}} },
		"no role": func(c *server.TLS) { c.Role = nil },
	} {
		for _, first := range []string{"", "read"} {
			h, address := onNetwork(t, folder, func(o *server.Options) {
				o.Config.TLS.Role = nil
				if first != "" {
					o.Config.TLS.Role = []server.Role{{CN: "operate", Role: first}}
				}
			})
			// The roles of the house come after those that the test gives.
			begin, raised, lowered := h.config, h.config, h.config
			begin.TLS.Role = h.config.TLS.Role[:min(1, len(first))]
			raised.TLS.Role = []server.Role{{CN: "operate", Role: "admin"}}
			lowered.TLS.Role = raised.TLS.Role
			lower(&lowered.TLS)
			if err := h.server.Reload(begin); err != nil {
				t.Fatal(err)
			}
			a := auditor(t, address, folder, "operate")
			if _, err := followed(t, a); code(err) != codes.PermissionDenied {
				t.Fatalf("audit log before the role is raised: %v", err)
			}
			if err := h.server.Reload(raised); err != nil {
				t.Fatal(err)
			}
			define(t, h, "web")
			stream, err := followed(t, a)
			if err != nil {
				t.Fatalf("audit log with the raised role: %v", err)
			}
			if err := h.server.Reload(lowered); err != nil {
				t.Fatal(err)
			}
			if r, err := stream.Recv(); err == nil {
				t.Errorf("%s after %q: the stream goes on with %v", name, first, r)
			}
		}
	}
}

// followed opens the audit log and reads its first record, of a domain "web".
func followed(t *testing.T, a *client.Audit) (davitv1.AuditService_ReadAuditClient, error) {
	t.Helper()
	stream, err := a.ReadAudit(t.Context(), &davitv1.ReadAuditRequest{Follow: true, Domain: "web"})
	if err == nil {
		_, err = stream.Recv()
	}
	return stream, err
}

// uuidOf asks for the UUID of a domain.
func uuidOf(t *testing.T, domains davitv1.DomainServiceClient, name string) string {
	t.Helper()
	r, err := domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName(name)})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetDomain().GetUuid()
}

// A daemon does not begin with a key that others can read.
func TestKeyForAllEyes(t *testing.T) {
	folder := authority(t)
	if err := os.Chmod(folder.Key("server"), 0o644); err != nil {
		t.Fatal(err)
	}
	config := server.Rooted(t.TempDir())
	config.Driver = "fake"
	config.TLS.Listen = []string{"127.0.0.1:0"}
	config.TLS.Certificate, config.TLS.Key, config.TLS.ClientCA = folder.Certificate("server"), folder.Key("server"), folder.Certificate("ca")
	s, err := server.New(server.Options{
		Config: config, Logger: zap.NewNop(),
		Driver: func(server.Config, string, *zap.Logger) (driver.Driver, error) { return fake.New(fake.Options{}), nil },
	})
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "mode 0644") {
		t.Errorf("error is %v", err)
	}
}
