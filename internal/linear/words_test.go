package linear_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// refusal is an error as far as the model knows it.
type refusal struct {
	reason  davitv1.ErrorReason
	message string // empty: whatever the words
}

// is tells whether it is the one that the model gives.
func (r refusal) is(want refusal) bool {
	return r.reason == want.reason && (want.message == "" || r.message == want.message)
}

func refusalOf(err error) refusal {
	var e *domain.Error
	if !errors.As(err, &e) {
		return refusal{}
	}
	return refusal{reason: e.Reason, message: e.Message}
}

func (r refusal) String() string {
	if r == (refusal{}) {
		return "done"
	}
	return strings.TrimPrefix(r.reason.String(), "ERROR_REASON_") + " " + r.message
}

func (q question) String() string {
	target := fmt.Sprintf("name %d", q.name)
	if q.uuid != 0 {
		target = fmt.Sprintf("uuid %d", q.uuid)
	}
	text := q.verb.String()
	switch q.part {
	case partBegin:
		text = fmt.Sprintf("begin %d of %s", q.id, text)
	case partEnd:
		return fmt.Sprintf("end %d of %s", q.id, text)
	default:
	}
	switch q.verb {
	case verbDefine, verbCreate:
		return fmt.Sprintf("%s uuid %d name %d %+v", text, q.uuid, q.name, q.image)
	case verbRename, verbTitle, verbMemory, verbDefinition:
		return fmt.Sprintf("%s %s to %d scope %d", text, target, q.to, q.scope)
	default:
		return text + " " + target
	}
}

func (a answer) String() string {
	if a.view == (view{}) {
		return a.refused.String()
	}
	v := a.view
	text := fmt.Sprintf("uuid %d name %d %v title %d", v.uuid, v.name, v.cond, v.title)
	if v.memory != 0 {
		text += fmt.Sprintf(" memory %d", v.memory)
	}
	if !v.persistent {
		text += " transient"
	}
	return text
}

func (w world) String() string {
	var list []string
	for i, p := range w {
		if !p.there() {
			continue
		}
		list = append(list, fmt.Sprintf("uuid %d name %d %v stored %v live %v guest %d starter %d cut %t seen %v",
			i+1, p.name, p.cond, p.stored, p.live, p.guest, p.starter, p.cut, p.seen))
	}
	return strings.Join(list, "\n")
}
