package domain

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ReadOptions change how a definition is admitted.
type ReadOptions struct {
	// Strict makes errors of what the schema does not know, and of elements that only other drivers of libvirt act on.
	Strict bool
	// Host is what the definition takes from the host.
	Host HostDefaults
}

// Read admits a definition: it reads the source, brings it into canonical form, fills in the host's defaults and refuses
// what cannot be, all faults at once. What it returns can be stored: it reads back from its XML as it is. Everything
// that a running domain adds is left out of it, as in libvirt. The warnings tell what is not known and what is not honoured.
func Read(src *davitv1.DefinitionSource, o ReadOptions) (*davitv1.Domain, []*davitv1.Warning, error) {
	r, err := readSource(src, o)
	if err != nil {
		return nil, nil, err
	}
	if r.def == nil || r.faults.full() {
		return nil, nil, r.refused()
	}
	def := r.def
	Inactive(def)
	complete(def)
	ApplyHostDefaults(def, o.Host)
	if err := r.check(o); err != nil {
		return nil, nil, err
	}
	arrange(def)
	if err := storable(def); err != nil {
		return nil, nil, err
	}
	return def, slices.Concat(r.warnings, NotHonoured(def), senseless(def), exposed(def), personality(def, o.Host.Arch)), nil
}

// readSource reads a definition out of its source. A message is read without faults.
func readSource(src *davitv1.DefinitionSource, o ReadOptions) (*reading, error) {
	switch s := src.GetSource().(type) {
	case *davitv1.DefinitionSource_Xml:
		return parseXML(s.Xml, ParseOptions{Strict: o.Strict})
	case *davitv1.DefinitionSource_Definition:
		if s.Definition == nil {
			break
		}
		if err := RefuseUnknown(s.Definition); err != nil {
			return nil, err
		}
		return &reading{def: proto.CloneOf(s.Definition)}, nil
	}
	return nil, &Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID, Op: "read domain",
		Violations: []Violation{{Field: "source", Message: "a definition is required, as XML or as a message"}},
	}
}

// check refuses a definition that was completed: what could not be read of it, then what it cannot say, all at once.
func (r *reading) check(o ReadOptions) error {
	f := findFaults(r.def, o.Host.Arch)
	if o.Strict {
		s := domainSchema()
		refuseKept(&f, s, r.def.ProtoReflect(), &place{xml: s.root.String()})
	}
	unread := len(r.faults.list) > 0
	all := r.faults
	shadows := r.shadows()
	for _, v := range f.list {
		if !isBelow(v.Field, shadows) {
			all.add(r.locate(v))
		}
	}
	all.more += f.more
	all.order()
	switch r.faults = all; {
	case unread:
		return r.refused()
	case len(all.list) > 0:
		return invalid(r.def, all)
	}
	return nil
}

// shadows are the places of the model of which is not known what the document says: the message around each value that could
// not be read, or the value alone where that is the domain itself.
func (r *reading) shadows() []string {
	shadows := slices.Clone(r.unread)
	for i, field := range shadows {
		if end := strings.LastIndexByte(field, '.'); end >= 0 {
			shadows[i] = field[:end]
		}
	}
	return shadows
}

// isBelow tells whether a place of the model is one of some others, or in one.
func isBelow(field string, others []string) bool {
	return slices.ContainsFunc(others, func(o string) bool {
		rest, ok := strings.CutPrefix(field, o)
		return ok && o != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// locate adds to a violation where it stands in the document.
func (r *reading) locate(v Violation) Violation {
	if r.root != nil && v.XMLPath != "" {
		v.Line, v.Column = position(r.text, locateIn(r.root, v.XMLPath, domainSchema().spaces, isValue(v.Field)))
	}
	return v
}

// storable makes sure of what is promised to whoever stores a definition: its XML gives it back.
func storable(def *davitv1.Domain) error {
	invalid := &Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID,
		Op: "write domain XML", Subject: def.GetName(),
	}
	text, err := FormatXML(def, FormatOptions{Inactive: !isLive(def)})
	if err != nil {
		invalid.Err = err
		return invalid
	}
	if len(text) > MaxDocument {
		invalid.Message = fmt.Sprintf("in canonical form the document has %d bytes, %d are the limit", len(text), MaxDocument)
		return invalid
	}
	back, _, err := ParseXML([]byte(text), ParseOptions{Strict: true})
	if err != nil {
		invalid.Err = err
		return invalid
	}
	if !proto.Equal(back, def) {
		return &Error{
			Code: codes.Internal, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL,
			Op: "write domain XML", Subject: def.GetName(), Message: "the definition does not come back from its XML",
		}
	}
	return nil
}
