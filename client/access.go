package client

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// readable refuses a method that needs more than to look, as the daemon's read-only socket does: a client that is to
// change nothing keeps to that on every socket.
func readable(method string) error {
	needs := accessOf(method)
	if needs <= davitv1.Access_ACCESS_READ {
		return nil
	}
	words := map[davitv1.Access]string{davitv1.Access_ACCESS_OPERATE: "operate", davitv1.Access_ACCESS_ADMIN: "admin"}
	return &domain.Error{
		Code: codes.PermissionDenied, Reason: davitv1.ErrorReason_ERROR_REASON_ACCESS_DENIED,
		Op: "call", Subject: method, Message: words[needs] + " access is needed, and the connection is to be read-only",
		Detail: map[string]string{"method": method, "needed": words[needs], "granted": "read"},
	}
}

// accessOf is the access that a method says it needs, none where it is not davit's.
func accessOf(method string) davitv1.Access {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return davitv1.Access_ACCESS_UNSPECIFIED
	}
	access, _ := proto.GetExtension(found.Options(), davitv1.E_Access).(davitv1.Access)
	return access
}
