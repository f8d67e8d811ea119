package engine

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

// How much of an event is left when the journal can never take all of it.
const (
	maxText = 1 << 10
	maxList = 16
)

// tell gives the journal an event. One that it can never take would stand in the way of all that follow it: it is told
// short, and its texts say that something was left out. If that is not taken either nothing is told, and the log says so.
func (e *Engine) tell(ev *davitv1.Event, origin events.Origin) (*davitv1.EventPosition, error) {
	at, err := e.journal.Append(ev, origin)
	if !errors.Is(err, events.ErrUnfit) {
		return at, err
	}
	e.log.Error("event is told short", zap.String("uuid", ev.GetUuid()), zap.Int("bytes", proto.Size(ev)), zap.Error(err))
	short := proto.CloneOf(ev)
	shorten(short.ProtoReflect())
	at, err = e.journal.Append(short, origin)
	if errors.Is(err, events.ErrUnfit) {
		e.log.Error("event is not told", zap.String("uuid", ev.GetUuid()), zap.Error(err))
		return e.journal.Newest(), nil
	}
	return at, err
}

// shorten cuts the texts and lists of a message. What is cut of a list is told nowhere but in the log.
func shorten(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			m.Clear(field) // no event has one
		case field.IsList():
			list := value.List()
			list.Truncate(min(list.Len(), maxList))
			for i := range list.Len() {
				if text, ok := shorter(field, list.Get(i)); ok {
					list.Set(i, text)
				}
			}
		default:
			if text, ok := shorter(field, value); ok {
				m.Set(field, text)
			}
		}
		return true
	})
}

// shorter cuts one value, and tells whether it has to be put in the place of the other.
func shorter(field protoreflect.FieldDescriptor, value protoreflect.Value) (protoreflect.Value, bool) {
	if field.Message() != nil {
		shorten(value.Message())
		return value, false
	}
	switch v := value.Interface().(type) {
	case string:
		return protoreflect.ValueOfString(cut(v)), true
	case []byte:
		return protoreflect.ValueOfBytes(v[:min(len(v), maxText)]), true
	}
	return value, false
}

// cut is the beginning of a text, and how much was left out.
func cut(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxText {
		return text
	}
	head := strings.ToValidUTF8(text[:maxText], "")
	return fmt.Sprintf("%s… (%d bytes left out)", head, len(text)-len(head))
}
