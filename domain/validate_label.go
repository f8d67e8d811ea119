package domain

import (
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// labels checks the security labels: one for each model, and the words that go together.
func (v *validator) labels(list []*davitv1.SecurityLabel) {
	seen := map[string]int{}
	for i, l := range list {
		place := func(field string) string { return v.entry("seclabel", i, field) }
		v.unique(seen, i, place("model"), l.GetModel(), "the model of label")
		switch l.GetType() {
		case davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC:
			v.required(place("label"), l.GetLabel(), "a static label is missing")
		case davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_DYNAMIC:
			if l.Relabel != nil && !l.GetRelabel() {
				v.fault(place("relabel"), "with a dynamic label, files are labelled")
			}
		default:
		}
		for _, text := range []source{{"model", l.GetModel()}, {"label", l.GetLabel()}, {"baselabel", l.GetBaselabel()}} {
			if strings.ContainsFunc(text.value, isControl) {
				v.fault(place(text.field), "%s contains a control character", quote(text.value))
			}
		}
	}
}
