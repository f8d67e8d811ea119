package audit

import (
	"errors"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// subject tells which domain a request is about, by what it says itself: its field domain, or the definition in it.
func subject(m protoreflect.Message) (name, uuid string) {
	if _, filter := m.Interface().(*davitv1.ReadAuditRequest); filter {
		return "", ""
	}
	if field := m.Descriptor().Fields().ByName("domain"); field != nil && !field.IsList() && m.Has(field) {
		if field.Kind() == protoreflect.StringKind { // the logs': a name or a UUID
			return either(m.Get(field).String())
		}
		if ref, ok := m.Get(field).Message().Interface().(*davitv1.DomainRef); ok {
			return ref.GetName(), ref.GetUuid()
		}
	}
	if field := m.Descriptor().Fields().ByName("source"); field != nil && field.Message() != nil && m.Has(field) {
		if source, ok := m.Get(field).Message().Interface().(*davitv1.DefinitionSource); ok {
			return source.GetDefinition().GetName(), source.GetDefinition().GetUuid()
		}
	}
	// A call of many messages begins with one that holds what it is about.
	fields := m.Descriptor().Oneofs().ByName("action")
	if fields == nil {
		return "", ""
	}
	if field := m.WhichOneof(fields); field != nil && field.Message() != nil {
		return subject(m.Get(field).Message())
	}
	return "", ""
}

// either takes a word for a UUID, if it is one, or a name.
func either(word string) (name, uuid string) {
	if uuid, err := domain.ParseUUID(word); err == nil {
		return "", uuid
	}
	return word, ""
}

// reason is that of an error, as a word.
func reason(err error) string {
	e, ok := errors.AsType[*domain.Error](domain.FromStatus(err))
	if !ok || e.Reason == davitv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return ""
	}
	return strings.TrimPrefix(e.Reason.String(), "ERROR_REASON_")
}
