package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// records reads the audit log.
func records(t *testing.T, h *house, q *davitv1.ReadAuditRequest) []*davitv1.AuditRecord {
	t.Helper()
	stream, err := davitv1.NewAuditServiceClient(dial(t, h.path(server.RootSocket))).ReadAudit(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var list []*davitv1.AuditRecord
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r.GetRecords()...)
	}
}

// everyMethod gives the methods of davit.v1.
func everyMethod(t *testing.T, each func(name string, access davitv1.Access, m protoreflect.MethodDescriptor)) {
	t.Helper()
	count := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("davit.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for k := range file.Services().Get(i).Methods().Len() {
				m := file.Services().Get(i).Methods().Get(k)
				access, _ := proto.GetExtension(m.Options(), davitv1.E_Access).(davitv1.Access)
				each(fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name()), access, m)
				count++
			}
		}
		return true
	})
	if count < 40 {
		t.Errorf("only %d methods", count)
	}
}

// call makes one call of any kind with an empty request.
func call(t *testing.T, conn *grpc.ClientConn, name string, m protoreflect.MethodDescriptor) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	q, answer := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingClient() && !m.IsStreamingServer() {
		return conn.Invoke(ctx, name, q, answer)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, name)
	if err == nil {
		_ = stream.SendMsg(q) // what is wrong is told by the answer
		err = stream.CloseSend()
	}
	if m.Name() == "WatchEvents" { // it has no end
		cancel()
	}
	for err == nil {
		err = stream.RecvMsg(answer)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// doorOf is the socket that a method is called through by those who may.
func doorOf(m protoreflect.MethodDescriptor) string {
	if m.Parent().Name() == "AdminService" || m.Parent().Name() == "AuditService" {
		return server.RootSocket
	}
	return server.AdminSocket
}

// Every method that needs more than the right to read leaves a record of each call, whatever came of it, and no other does.
func TestEveryChangeIsRecorded(t *testing.T) {
	h := start(t, t.TempDir())
	conns := map[string]*grpc.ClientConn{}
	for _, name := range []string{server.AdminSocket, server.RootSocket} {
		conns[name] = dial(t, h.path(name))
	}
	everyMethod(t, func(name string, access davitv1.Access, m protoreflect.MethodDescriptor) {
		before := len(records(t, h, &davitv1.ReadAuditRequest{}))
		err := call(t, conns[doorOf(m)], name, m)
		all := records(t, h, &davitv1.ReadAuditRequest{})
		// That the records were read before, and that they are read now, is recorded as well.
		list := slices.DeleteFunc(all[before:], func(r *davitv1.AuditRecord) bool {
			return r.GetMethod() == davitv1.AuditService_ReadAudit_FullMethodName && name != r.GetMethod()
		})
		if access == davitv1.Access_ACCESS_READ {
			if len(list) > 0 {
				t.Errorf("%s, which changes nothing, is recorded: %v", name, list)
			}
			return
		}
		if len(list) == 0 {
			t.Errorf("%s is not recorded", name)
			return
		}
		checkRecord(t, name, list, err)
	})
	everyMethod(t, func(name string, _ davitv1.Access, m protoreflect.MethodDescriptor) {
		if m.Name() == "Undrain" {
			if err := call(t, conns[server.RootSocket], name, m); err != nil {
				t.Error(err)
			}
		}
	})
}

// checkRecord compares the last record of a call with how the call ended.
func checkRecord(t *testing.T, name string, list []*davitv1.AuditRecord, err error) {
	t.Helper()
	if strings.HasSuffix(name, "ReadAudit") {
		return // which of them is this one's is told by no record
	}
	last := list[len(list)-1]
	p := last.GetCaller().GetProcess()
	if last.GetMethod() != name || last.GetCode() != codeWord(status.Code(err)) || p.GetUid() != uint32(os.Getuid()) ||
		p.GetPid() != uint32(os.Getpid()) || last.GetCaller().GetGranted() != "admin" ||
		last.GetDuration() == nil || time.Since(last.GetTime().AsTime()) > time.Hour || last.GetSocket() == "" {
		t.Errorf("%s, which ended with %v, is recorded as %v", name, err, last)
	}
	if (status.Code(err) == codes.OK) != (last.GetMessage() == "") {
		t.Errorf("%s, which ended with %v, has the message %q", name, err, last.GetMessage())
	}
}

func codeWord(c codes.Code) string {
	return map[codes.Code]string{
		codes.OK: "OK", codes.InvalidArgument: "INVALID_ARGUMENT", codes.NotFound: "NOT_FOUND", codes.PermissionDenied: "PERMISSION_DENIED",
		codes.Unimplemented: "UNIMPLEMENTED", codes.FailedPrecondition: "FAILED_PRECONDITION", codes.Unavailable: "UNAVAILABLE",
		codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.Internal: "INTERNAL", codes.ResourceExhausted: "RESOURCE_EXHAUSTED",
	}[c]
}

// A call that is denied is recorded, whatever it is; those that come by the hundred are counted.
func TestDenialsAreRecorded(t *testing.T) {
	h := start(t, t.TempDir())
	conn := dial(t, h.path(server.ReadOnlySocket))
	denied := map[string]bool{}
	everyMethod(t, func(name string, access davitv1.Access, m protoreflect.MethodDescriptor) {
		if access == davitv1.Access_ACCESS_READ {
			return
		}
		if err := call(t, conn, name, m); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", name, err)
		}
		denied[name] = true
	})
	list := records(t, h, &davitv1.ReadAuditRequest{Denied: true})
	for _, r := range list {
		if !denied[r.GetMethod()] || r.GetSocket() != "read-only" || r.GetReason() != "ACCESS_DENIED" || r.GetCaller().GetGranted() != "read" {
			t.Errorf("record %v", r)
		}
		delete(denied, r.GetMethod())
	}
	if len(denied) > 0 {
		t.Errorf("not recorded: %v", denied)
	}
	const many = 300
	for range many {
		err := conn.Invoke(t.Context(), davitv1.DomainService_StartDomain_FullMethodName, &davitv1.StartDomainRequest{}, &davitv1.StartDomainResponse{})
		if status.Code(err) != codes.PermissionDenied {
			t.Fatal(err)
		}
	}
	// The next call of the same user that is let in tells how many have no record.
	define(t, h, "web")
	list = records(t, h, &davitv1.ReadAuditRequest{})[len(list):]
	count, suppressed := 0, uint64(0)
	for _, r := range list {
		if r.GetMethod() == davitv1.DomainService_StartDomain_FullMethodName {
			count++
		}
		suppressed += r.GetSuppressed()
	}
	if uint64(count)+suppressed != many || count == 0 {
		t.Errorf("%d records, %d suppressed, of %d", count, suppressed, many)
	}
}

// A call whose request is no request at all is recorded like any other.
func TestUndecodedIsRecorded(t *testing.T) {
	h := start(t, t.TempDir())
	conn := dial(t, h.path(server.AdminSocket))
	for _, q := range []proto.Message{
		&davitv1.GetDomainResponse{Domain: &davitv1.DomainInfo{Name: "no request"}}, // its field 1 is a message with text where a number is
		&davitv1.RenameDomainRequest{NewName: strings.Repeat("x", 3<<20)},
	} {
		before := len(records(t, h, &davitv1.ReadAuditRequest{}))
		raw := dynamicpb.NewMessage(q.ProtoReflect().Descriptor())
		proto.Merge(raw, q)
		if _, is := q.(*davitv1.GetDomainResponse); is {
			raw.SetUnknown(protoreflect.RawFields{0xf8, 0xff}) // cut in the middle
		}
		err := conn.Invoke(t.Context(), davitv1.DomainService_RenameDomain_FullMethodName, raw, &davitv1.RenameDomainResponse{})
		if err == nil {
			t.Fatal("it was taken")
		}
		var found *davitv1.AuditRecord
		for end := time.Now().Add(time.Minute); found == nil && time.Now().Before(end); { // it is recorded after it is answered
			for _, r := range records(t, h, &davitv1.ReadAuditRequest{})[before:] {
				if r.GetMethod() == davitv1.DomainService_RenameDomain_FullMethodName {
					found = r
				}
			}
		}
		if found.GetCode() != codeWord(status.Code(err)) {
			t.Errorf("%v is recorded as %v", err, found)
		}
	}
}

// A record tells which domain, and a command's has a beginning and an end.
func TestRecordsTellTheDomain(t *testing.T) {
	h := start(t, t.TempDir())
	domains := define(t, h, "web")
	r, err := domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName("web")})
	if err != nil {
		t.Fatal(err)
	}
	uuid := r.GetDomain().GetUuid()
	if _, err = domains.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: byName("web"), RequestId: "one"}); err != nil {
		t.Fatal(err)
	}
	run(t, h, "web", "true")
	_, err = domains.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: &davitv1.DomainRef{Ref: &davitv1.DomainRef_Uuid{Uuid: uuid}}, Etag: "wrong"})
	if status.Code(err) != codes.Aborted {
		t.Fatal(err)
	}
	list := records(t, h, &davitv1.ReadAuditRequest{Domain: "web"})
	var got []string
	for _, r := range list {
		if r.GetUuid() != uuid || r.GetDomain() != "web" {
			t.Errorf("record %v", r)
		}
		method := r.GetMethod()[strings.LastIndexByte(r.GetMethod(), '/')+1:]
		got = append(got, fmt.Sprintf("%s %s %s", method, strings.TrimPrefix(r.GetPhase().String(), "AUDIT_PHASE_"), r.GetCode()))
	}
	want := []string{"DefineDomain CALL OK", "StartDomain CALL OK", "Exec BEGIN ", "Exec END OK", "UndefineDomain CALL ABORTED"}
	if !slices.Equal(got, want) {
		t.Fatalf("records %q, want %q", got, want)
	}
	if list[1].GetRequestId() != "one" || list[3].GetBegin() != list[2].GetSequence() || list[2].GetRequest() == nil || list[3].GetRequest() != nil {
		t.Errorf("records %v", list)
	}
}

func byName(name string) *davitv1.DomainRef {
	return &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: name}}
}

// run runs a command in a domain to its end.
func run(t *testing.T, h *house, domain string, argv ...string) {
	t.Helper()
	stream, err := davitv1.NewConsoleServiceClient(dial(t, h.path(server.AdminSocket))).Exec(t.Context())
	if err == nil {
		err = stream.Send(&davitv1.ExecRequest{Action: &davitv1.ExecRequest_Start{Start: &davitv1.ExecStart{Domain: byName(domain), Argv: argv}}})
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}
