package domain

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// RefuseUnknown refuses a message that holds fields which this version does not know. protobuf keeps them in silence;
// a caller who asks for something must not believe that it is done.
func RefuseUnknown(m proto.Message) error {
	var f faults
	if m != nil {
		findUnknown(&f, m.ProtoReflect(), nil)
	}
	if len(f.list) == 0 {
		return nil
	}
	return &Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
		Op: "read request", Violations: f.violations(),
	}
}

func findUnknown(f *faults, m protoreflect.Message, at *place) {
	for b := m.GetUnknown(); len(b) > 0; {
		number, _, n := protowire.ConsumeField(b)
		if n < 0 {
			break
		}
		b = b[n:]
		f.at(at, fmt.Sprintf("field %d of %s is not known", number, m.Descriptor().FullName()))
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := string(fd.Name())
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					findUnknown(f, v.Message(), &place{parent: at, field: name})
					return true
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				findUnknown(f, v.List().Get(i).Message(), &place{parent: at, field: name, entry: i + 1})
			}
		default:
			findUnknown(f, v.Message(), &place{parent: at, field: name})
		}
		return true
	})
}
