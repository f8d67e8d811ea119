package auth_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// descriptors of all of davit's services.
func services() []protoreflect.ServiceDescriptor {
	var all []protoreflect.ServiceDescriptor
	for _, f := range []protoreflect.FileDescriptor{
		davitv1.File_davit_v1_domain_service_proto, davitv1.File_davit_v1_event_proto,
		davitv1.File_davit_v1_console_service_proto, davitv1.File_davit_v1_host_service_proto,
		davitv1.File_davit_v1_log_service_proto, davitv1.File_davit_v1_admin_service_proto,
	} {
		for i := range f.Services().Len() {
			all = append(all, f.Services().Get(i))
		}
	}
	return all
}

func TestEveryMethodSaysItsAccess(t *testing.T) {
	table, err := auth.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	count := map[davitv1.Access]int{}
	for _, s := range services() {
		for i := range s.Methods().Len() {
			name := fmt.Sprintf("/%s/%s", s.FullName(), s.Methods().Get(i).Name())
			access, ok := table[name]
			if !ok || access == davitv1.Access_ACCESS_UNSPECIFIED {
				t.Errorf("%s has access %v", name, access)
			}
			count[access]++
		}
	}
	for _, access := range []davitv1.Access{davitv1.Access_ACCESS_READ, davitv1.Access_ACCESS_OPERATE, davitv1.Access_ACCESS_ADMIN} {
		if count[access] == 0 {
			t.Errorf("no method needs %v", access)
		}
	}
	// A few that must never become weaker.
	for name, least := range map[string]davitv1.Access{
		"/davit.v1.DomainService/DefineDomain":    davitv1.Access_ACCESS_ADMIN,
		"/davit.v1.DomainService/CreateDomain":    davitv1.Access_ACCESS_ADMIN,
		"/davit.v1.DomainService/DestroyDomain":   davitv1.Access_ACCESS_OPERATE,
		"/davit.v1.ConsoleService/Exec":           davitv1.Access_ACCESS_OPERATE,
		"/davit.v1.ConsoleService/OpenConsole":    davitv1.Access_ACCESS_OPERATE,
		"/davit.v1.LogService/ReadLog":            davitv1.Access_ACCESS_OPERATE,
		"/davit.v1.LogService/RemoveLog":          davitv1.Access_ACCESS_ADMIN,
		"/davit.v1.HostService/UpdateHost":        davitv1.Access_ACCESS_ADMIN,
		"/davit.v1.AdminService/GetDaemon":        davitv1.Access_ACCESS_ADMIN,
		"/davit.v1.AdminService/GetMetrics":       davitv1.Access_ACCESS_ADMIN,
		"/davit.v1.AdminService/ListClients":      davitv1.Access_ACCESS_ADMIN,
		"/davit.v1.AdminService/DisconnectClient": davitv1.Access_ACCESS_ADMIN,
		// It shows nothing, and makes the daemon work as hard as the caller likes.
		"/davit.v1.HostService/ConvertDefinition": davitv1.Access_ACCESS_OPERATE,
	} {
		if table[name] < least {
			t.Errorf("%s needs %v, less than %v", name, table[name], least)
		}
	}
}

func TestMethodWithoutAccessIsAnError(t *testing.T) {
	for name, options := range map[string]*descriptorpb.MethodOptions{
		"no options":  nil,
		"unspecified": withAccess(davitv1.Access_ACCESS_UNSPECIFIED),
		"too high":    withAccess(17),
	} {
		f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
			Name: new("lax.proto"), Package: new("lax"), Syntax: new("proto3"),
			MessageType: []*descriptorpb.DescriptorProto{{Name: new("Void")}},
			Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Lax"), Method: []*descriptorpb.MethodDescriptorProto{
				{Name: new("Good"), InputType: new(".lax.Void"), OutputType: new(".lax.Void"), Options: withAccess(davitv1.Access_ACCESS_READ)},
				{Name: new("Bad"), InputType: new(".lax.Void"), OutputType: new(".lax.Void"), Options: options},
			}}},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = auth.TableOf(f)
		if err == nil || !strings.Contains(err.Error(), "/lax.Lax/Bad") || strings.Contains(err.Error(), "/lax.Lax/Good") {
			t.Errorf("%s: error is %v, want one that names /lax.Lax/Bad", name, err)
		}
	}
}

func withAccess(a davitv1.Access) *descriptorpb.MethodOptions {
	o := new(descriptorpb.MethodOptions)
	proto.SetExtension(o, davitv1.E_Access, a)
	return o
}

func TestCovers(t *testing.T) {
	table, err := auth.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	davitv1.RegisterDomainServiceServer(s, davitv1.UnimplementedDomainServiceServer{})
	healthv1.RegisterHealthServer(s, health.NewServer())
	reflection.Register(s)
	if err = table.Covers(s.GetServiceInfo()); err != nil {
		t.Error(err)
	}
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "lax.Lax",
		Methods:     []grpc.MethodDesc{{MethodName: "Anything"}},
		Streams:     []grpc.StreamDesc{{StreamName: "Everything", ServerStreams: true}},
	}, nil)
	err = table.Covers(s.GetServiceInfo())
	for _, name := range []string{"/lax.Lax/Anything", "/lax.Lax/Everything"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error is %v, want one that names %s", err, name)
		}
	}
}
