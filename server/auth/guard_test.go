package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// serve runs a guarded server of davit's services, which do nothing, and gives its socket.
func serve(t *testing.T, grant auth.Grant, limits auth.Limits) string {
	t.Helper()
	table, err := auth.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(auth.NewGuard(table).Options()...)
	davitv1.RegisterDomainServiceServer(s, davitv1.UnimplementedDomainServiceServer{})
	davitv1.RegisterEventServiceServer(s, davitv1.UnimplementedEventServiceServer{})
	davitv1.RegisterConsoleServiceServer(s, davitv1.UnimplementedConsoleServiceServer{})
	davitv1.RegisterHostServiceServer(s, davitv1.UnimplementedHostServiceServer{})
	dir, err := os.MkdirTemp("", "davit-auth-") //nolint:usetesting // other users must be able to reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err = os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err = os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(auth.Listen(l, grant, limits, zap.NewNop())) }()
	t.Cleanup(s.Stop)
	return path
}

func dial(t *testing.T, path string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// call sends a request, be the method unary or not, and gives the status of the answer.
func call(t *testing.T, conn *grpc.ClientConn, method string, request any, o ...grpc.CallOption) *status.Status {
	t.Helper()
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, o...)
	if err == nil {
		_ = stream.SendMsg(request)
		_ = stream.CloseSend()
		err = stream.RecvMsg(new(emptypb.Empty))
	}
	return status.Convert(err)
}

// A read-only peer can call exactly the methods that are annotated so; a peer without access none; an admin all.
func TestEachPeerCallsExactlyItsMethods(t *testing.T) {
	for _, granted := range []davitv1.Access{
		davitv1.Access_ACCESS_UNSPECIFIED, davitv1.Access_ACCESS_READ,
		davitv1.Access_ACCESS_OPERATE, davitv1.Access_ACCESS_ADMIN,
	} {
		t.Run(granted.String(), func(t *testing.T) {
			conn := dial(t, serve(t, func(auth.Peer) davitv1.Access { return granted }, auth.Limits{}))
			table, err := auth.NewTable()
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range services() {
				for i := range s.Methods().Len() {
					name := fmt.Sprintf("/%s/%s", s.FullName(), s.Methods().Get(i).Name())
					want := codes.PermissionDenied
					if granted >= table[name] {
						want = codes.Unimplemented // it reached the service
					}
					got := call(t, conn, name, &emptypb.Empty{})
					if got.Code() != want {
						t.Errorf("%s: %v, want %v", name, got, want)
					}
					if want == codes.PermissionDenied {
						wantReason(t, got, davitv1.ErrorReason_ERROR_REASON_ACCESS_DENIED)
					}
				}
			}
			unknown := call(t, conn, "/davit.v1.DomainService/Conquer", &emptypb.Empty{})
			want := codes.Unimplemented
			if granted == davitv1.Access_ACCESS_UNSPECIFIED {
				want = codes.PermissionDenied
			}
			if unknown.Code() != want {
				t.Errorf("unknown method: %v, want %v", unknown, want)
			}
		})
	}
}

func wantReason(t *testing.T, st *status.Status, want davitv1.ErrorReason) {
	t.Helper()
	e, ok := errors.AsType[*domain.Error](domain.FromStatus(st.Err()))
	if !ok || e.Reason != want {
		t.Errorf("status is %v, want reason %v", st, want)
	}
}

// rubbish is a codec whose messages no server can decode.
type rubbish struct{}

func (rubbish) Marshal(any) ([]byte, error) { return bytes.Repeat([]byte{0xff}, 3<<20), nil }
func (rubbish) Unmarshal([]byte, any) error { return nil }
func (rubbish) Name() string                { return "proto" }

// What an unauthorised caller sends is not decoded: nothing in it, nor its size, changes the answer.
func TestDeniedBeforeDecoding(t *testing.T) {
	conn := dial(t, serve(t, auth.ReadOnly, auth.Limits{}))
	denied := call(t, conn, "/davit.v1.DomainService/DefineDomain", &emptypb.Empty{}, grpc.ForceCodec(rubbish{}))
	if denied.Code() != codes.PermissionDenied {
		t.Errorf("denied method: %v", denied)
	}
	// The same to a method that may be called is looked at.
	if read := call(t, conn, "/davit.v1.HostService/GetHost", &emptypb.Empty{}, grpc.ForceCodec(rubbish{})); read.Code() != codes.Internal {
		t.Errorf("allowed method: %v", read)
	}
}

func TestUnknownPeerIsDenied(t *testing.T) {
	table, err := auth.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	err = auth.NewGuard(table).Check(context.Background(), "/davit.v1.HostService/GetHost")
	if e, ok := errors.AsType[*domain.Error](err); !ok || e.Code != codes.PermissionDenied {
		t.Errorf("error is %v", err)
	}
	// Nor does the server serve a listener that does not tell.
	s := grpc.NewServer(auth.NewGuard(table).Options()...)
	davitv1.RegisterHostServiceServer(s, davitv1.UnimplementedHostServiceServer{})
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	if got := call(t, dial(t, path), "/davit.v1.HostService/GetHost", &emptypb.Empty{}); got.Code() != codes.Unavailable {
		t.Errorf("answer is %v", got)
	}
}

func TestAdminGrants(t *testing.T) {
	grant := auth.Admin(500)
	own := uint32(os.Geteuid())
	for _, c := range []struct {
		peer auth.Peer
		want davitv1.Access
	}{
		{auth.Peer{UID: 0, GID: 7}, davitv1.Access_ACCESS_ADMIN},
		{auth.Peer{UID: own, GID: 7}, davitv1.Access_ACCESS_ADMIN},
		{auth.Peer{UID: own + 1, GID: 500}, davitv1.Access_ACCESS_ADMIN},
		{auth.Peer{UID: own + 1, GID: 7, Groups: []uint32{8, 500}}, davitv1.Access_ACCESS_ADMIN},
		{auth.Peer{UID: own + 1, GID: 7, Groups: []uint32{8}}, davitv1.Access_ACCESS_UNSPECIFIED},
		{auth.Peer{UID: own + 1, GID: 0}, davitv1.Access_ACCESS_UNSPECIFIED},
	} {
		if got := grant(c.peer); got != c.want {
			t.Errorf("%+v gets %v, want %v", c.peer, got, c.want)
		}
	}
	nobody := auth.Peer{UID: own + 1, GID: 1<<32 - 1, Groups: []uint32{1<<32 - 1}}
	if got := auth.Admin(-1)(nobody); got != davitv1.Access_ACCESS_UNSPECIFIED {
		t.Errorf("without a group %+v gets %v", nobody, got)
	}
}

// The test binary is its own client, run as another user.
const clientSocket = "DAVIT_AUTH_TEST_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(clientSocket); path != "" {
		conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err == nil {
			_, err = davitv1.NewDomainServiceClient(conn).DefineDomain(context.Background(), &davitv1.DefineDomainRequest{})
		}
		fmt.Println(status.Code(err))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A user is known by what the kernel says of it, its groups included.
func TestPeersOfOtherUsers(t *testing.T) {
	testenv.Require(t, testenv.Root)
	const group = 4242
	path := serve(t, auth.Admin(group), auth.Limits{})
	var many []uint32 // more than the first question has room for
	for i := range uint32(300) {
		many = append(many, 5000+i)
	}
	for name, c := range map[string]struct {
		who  syscall.Credential
		want string
	}{
		"root":            {syscall.Credential{}, "Unimplemented"},
		"group":           {syscall.Credential{Uid: 65534, Gid: group}, "Unimplemented"},
		"further group":   {syscall.Credential{Uid: 65534, Gid: 65534, Groups: []uint32{7, group}}, "Unimplemented"},
		"one of many":     {syscall.Credential{Uid: 65534, Gid: 65534, Groups: append(slices.Clone(many), group)}, "Unimplemented"},
		"nobody":          {syscall.Credential{Uid: 65534, Gid: 65534}, "PermissionDenied"},
		"group 0":         {syscall.Credential{Uid: 65534, Gid: 0}, "PermissionDenied"},
		"not one of many": {syscall.Credential{Uid: 65534, Gid: 65534, Groups: many}, "PermissionDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := callAs(t, path, c.who); got != c.want {
				t.Errorf("define is %s, want %s", got, c.want)
			}
		})
	}
}

func callAs(t *testing.T, path string, who syscall.Credential) string {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = self.Close() }()
	cmd := exec.CommandContext(t.Context(), "/proc/self/fd/3") // the path may not be reachable for the other user
	cmd.ExtraFiles = []*os.File{self}
	cmd.Env = append(os.Environ(), clientSocket+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &who}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("client: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestConnectionsAreBounded(t *testing.T) {
	testenv.Require(t, testenv.Root)
	path := serve(t, auth.ReadOnly, auth.Limits{Total: 3, PerUser: 1})
	nobody := syscall.Credential{Uid: 65534, Gid: 65534}
	for range 3 { // one after the other, each gives its place back
		if got := callAs(t, path, nobody); got != "PermissionDenied" {
			t.Errorf("define is %s", got)
		}
	}
	for range 5 { // root has no limit but counts
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	// The last connection is accepted once root's own call is answered.
	call(t, dial(t, path), "/davit.v1.HostService/GetHost", &emptypb.Empty{})
	if got := callAs(t, path, nobody); got != "ResourceExhausted" {
		t.Errorf("define is %s above the limit, want ResourceExhausted", got)
	}
}
