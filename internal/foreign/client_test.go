package foreign_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// stranger is a client that knows of a daemon only what the daemon tells: its schema, kept apart from the one that is
// linked into this program.
type stranger struct {
	t     *testing.T
	conn  *grpc.ClientConn
	files *protoregistry.Files
}

func connect(t *testing.T, socket string) *stranger {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := &stranger{t: t, conn: conn}
	s.learn()
	return s
}

// learn asks for the files of every service that the daemon has.
func (s *stranger) learn() {
	s.t.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(s.conn).ServerReflectionInfo(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	ask := func(q *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		if sendErr := stream.Send(q); sendErr != nil {
			s.t.Fatal(sendErr)
		}
		resp, recvErr := stream.Recv()
		if recvErr != nil {
			s.t.Fatal(recvErr)
		}
		if e := resp.GetErrorResponse(); e != nil {
			s.t.Fatalf("reflection: %s", e.GetErrorMessage())
		}
		return resp
	}
	list := ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	})
	found := map[string]*descriptorpb.FileDescriptorProto{}
	for _, service := range list.GetListServicesResponse().GetService() {
		resp := ask(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service.GetName()},
		})
		for _, raw := range resp.GetFileDescriptorResponse().GetFileDescriptorProto() {
			file := &descriptorpb.FileDescriptorProto{}
			if err = proto.Unmarshal(raw, file); err != nil {
				s.t.Fatal(err)
			}
			found[file.GetName()] = file
		}
	}
	set := &descriptorpb.FileDescriptorSet{}
	for _, file := range found {
		set.File = append(set.File, file)
	}
	if s.files, err = protodesc.NewFiles(set); err != nil {
		s.t.Fatalf("the files that reflection gives are not complete: %v", err)
	}
}

// method finds a method by its full name, "davit.v1.DomainService.StartDomain".
func (s *stranger) method(name string) protoreflect.MethodDescriptor {
	s.t.Helper()
	d, err := s.files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		s.t.Fatalf("find method %q: %v", name, err)
	}
	m, ok := d.(protoreflect.MethodDescriptor)
	if !ok {
		s.t.Fatalf("%q is a %T", name, d)
	}
	return m
}

func path(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
}

// request builds a message from JSON.
func (s *stranger) request(m protoreflect.MethodDescriptor, json string) proto.Message {
	s.t.Helper()
	q := dynamicpb.NewMessage(m.Input())
	if err := protojson.Unmarshal([]byte(json), q); err != nil {
		s.t.Fatalf("request of %s: %v", m.Name(), err)
	}
	return q
}

// call makes a call of one question and one answer.
func (s *stranger) call(name, json string) (protoreflect.Message, error) {
	s.t.Helper()
	m := s.method("davit.v1." + name)
	answer := dynamicpb.NewMessage(m.Output())
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	return answer, s.conn.Invoke(ctx, path(m), s.request(m, json), answer)
}

// must makes a call that has to work.
func (s *stranger) must(name, json string) protoreflect.Message {
	s.t.Helper()
	answer, err := s.call(name, json)
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	return answer
}

// watch opens a stream of answers and gives them one by one.
func (s *stranger) watch(ctx context.Context, name, json string) func() protoreflect.Message {
	s.t.Helper()
	m := s.method("davit.v1." + name)
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path(m))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := stream.SendMsg(s.request(m, json)); err != nil {
		s.t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		s.t.Fatal(err)
	}
	return func() protoreflect.Message {
		s.t.Helper()
		answer := dynamicpb.NewMessage(m.Output())
		if err := stream.RecvMsg(answer); err != nil {
			s.t.Fatalf("%s: %v", name, err)
		}
		return answer
	}
}

// field follows names of fields into a message and writes what is there: a number, a text or the name of an enum value;
// "" where a message on the way is not set.
func field(m protoreflect.Message, names ...string) string {
	for i, name := range names {
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		switch {
		case fd == nil:
			return fmt.Sprintf("no field %s in %s", name, m.Descriptor().Name())
		case i < len(names)-1 && !m.Has(fd):
			return ""
		case i < len(names)-1:
			m = m.Get(fd).Message()
		case fd.Enum() != nil:
			return string(fd.Enum().Values().ByNumber(m.Get(fd).Enum()).Name())
		default:
			return m.Get(fd).String()
		}
	}
	return ""
}
