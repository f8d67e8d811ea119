package convert

import (
	"errors"
	"strings"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Origin says where in a document the fields of a definition come from, by their paths: "memtune.hard_limit_kib",
// "devices.filesystem[2]". A field below one that is named has its origin.
type Origin map[string]struct {
	Place
	Value string
}

// Set names the place and the value that a field comes from.
func (o Origin) Set(field string, p Place, value string) {
	o[field] = struct {
		Place
		Value string
	}{p, cut(value, maxQuoted)}
}

// Of is where a field comes from; a field that the document does not speak of has its own path for a name.
func (o Origin) Of(field string) (p Place, value string) {
	for at := field; at != ""; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		if from, ok := o[at]; ok {
			return from.Place, from.Value
		}
	}
	return Place{Name: field}, ""
}

// Complete brings what a converter made into canonical form and reports what cannot be, each where it comes from. If there are
// faults already, it reports only values that are wrong in themselves: the rest may be for want of what was not read.
func Complete(def *davitv1.Domain, r *Report, from Origin) {
	failed := r.Failed()
	domain.Normalize(def)
	err := domain.Validate(def)
	if err == nil {
		return
	}
	var e *domain.Error
	if !errors.As(err, &e) || len(e.Violations) == 0 {
		r.Fault(Place{}, "", "%s", err)
		return
	}
	for _, v := range e.Violations {
		p, value := from.Of(v.Field)
		if failed && (value == "" || !strings.Contains(v.Message, Quote(value))) {
			continue
		}
		if value != "" && strings.Contains(v.Message, Quote(value)) {
			value = ""
		}
		if value != "" {
			r.Fault(p, value, "is refused: %s", v.Message)
		} else {
			r.Fault(p, "", "%s", v.Message)
		}
	}
}
