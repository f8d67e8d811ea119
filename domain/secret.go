package domain

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Withheld stands in a definition in the place of a secret that its reader is not shown.
const Withheld = "(withheld)"

// Sight is how much of a definition somebody is shown.
type Sight int

const (
	// SightLook is that of those who may only look: no secrets.
	SightLook Sight = iota
	// SightPlain has all but passwords, as libvirt shows a definition to those who do not ask for them.
	SightPlain
	// SightFull has everything.
	SightFull
)

// Withhold puts [Withheld] in the place of each secret of def that is not for a sight, and tells whether there was one.
// What is secret is said in the schema; see XmlField.secret and XmlField.password.
func Withhold(def *davitv1.Domain, sight Sight) (any bool) {
	if sight == SightFull {
		return false
	}
	w := &withholder{sight: sight}
	w.message(domainSchema(), def.ProtoReflect())
	return w.found
}

type withholder struct {
	sight   Sight
	found   bool
	scanner scanner
}

func (w *withholder) message(s *schema, m protoreflect.Message) {
	for _, f := range s.on[secretPass] {
		switch {
		case !m.Has(f.desc):
		case f.keeps():
			w.kept(f, m.Mutable(f.desc).List())
		case f.message != nil:
			f.eachMessage(m, func(sub protoreflect.Message) { w.message(f.message, sub) })
		case w.sight == SightLook:
			m.Set(f.desc, protoreflect.ValueOfString(Withheld))
			w.found = true
		}
	}
}

// kept withholds the passwords of kept elements.
func (w *withholder) kept(f *field, list protoreflect.List) {
	for i := range list.Len() {
		if text, found := w.element(f, list.Get(i).String()); found {
			list.Set(i, protoreflect.ValueOfString(text))
			w.found = true
		}
	}
}

// element is a kept element without its passwords. One that cannot be read is withheld as a whole.
func (w *withholder) element(f *field, text string) (shown string, found bool) {
	if !mentions(text, f.opts.GetPassword()) {
		return text, false
	}
	n, err := f.readKept(&w.scanner, text)
	switch {
	case err != nil:
		return Withheld, true
	case hide(n, f.opts.GetPassword()):
		return string(appendKept(nil, n, 0)), true
	}
	return text, false
}

// mentions tells whether one of the names is in a text, so that most are never read.
func mentions(text string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(text, name) })
}

// hide withholds the values of attributes and elements of some names.
func hide(n *node, names []string) (found bool) {
	for i := range n.attrs {
		if a := &n.attrs[i]; slices.Contains(names, a.name.local) && a.value != "" {
			a.value, found = Withheld, true
		}
	}
	if n.kind == elementNode && slices.Contains(names, n.name.local) && len(n.children) > 0 {
		n.children = []*node{{kind: textNode, text: Withheld}}
		return true
	}
	for _, child := range n.children {
		found = hide(child, names) || found
	}
	return found
}

// HoldsSecrets tells whether a definition may hold something that [Withhold] withholds.
func HoldsSecrets(def *davitv1.Domain) bool { return holds(domainSchema(), def.ProtoReflect()) }

func holds(s *schema, m protoreflect.Message) (found bool) {
	for _, f := range s.on[secretPass] {
		switch {
		case !m.Has(f.desc):
		case f.keeps():
			list := m.Get(f.desc).List()
			for i := range list.Len() {
				found = found || mentions(list.Get(i).String(), f.opts.GetPassword())
			}
		case f.message != nil:
			f.eachMessage(m, func(sub protoreflect.Message) { found = found || holds(f.message, sub) })
		default:
			return true
		}
	}
	return found
}

// HasWithheld tells whether something in a definition stands for a secret.
func HasWithheld(def *davitv1.Domain) bool { return withheldIn(domainSchema(), def.ProtoReflect()) }

// Restore puts the secrets of from, the definition that def is to replace, where def has [Withheld]. from may be nil. Where from
// has none, the error names the place: a definition never loses a secret in silence.
func Restore(def, from *davitv1.Domain) error {
	if from == nil {
		from = &davitv1.Domain{}
	}
	r := &restorer{}
	r.message(domainSchema(), def.ProtoReflect(), from.ProtoReflect(), "")
	return r.refusal(def.GetName())
}

// restoreDevice is [Restore] of one device of a domain. from is the one of the same kind whose place it takes; nil if it takes none.
func restoreDevice(domain string, dev, from *davitv1.Device) error {
	kind, m := kindOf(dev)
	was := m.Type().Zero()
	if from != nil {
		_, was = kindOf(from)
	}
	r := &restorer{}
	r.message(deviceField(kind).message, m, was, kind+".")
	return r.refusal(domain)
}

type restorer struct {
	faults  []Violation
	scanner scanner
}

// refusal is the error of all secrets that could not be put back, nil if there are none.
func (r *restorer) refusal(domain string) error {
	if len(r.faults) == 0 {
		return nil
	}
	return &Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID,
		Op: "keep secrets of domain", Subject: domain, Violations: r.faults,
	}
}

// fault says that a secret cannot be put back.
func (r *restorer) fault(field string) {
	if len(r.faults) == maxViolations {
		return
	}
	r.faults = append(r.faults, Violation{Field: field, Message: fmt.Sprintf(
		"%q stands for a secret that the domain does not have there: give the value itself, as a definition with its secrets has it", Withheld)})
}

func (r *restorer) message(s *schema, m, from protoreflect.Message, at string) {
	for _, f := range s.on[secretPass] {
		switch field := at + f.name; {
		case !m.Has(f.desc):
		case f.keeps():
			r.kept(f, m.Mutable(f.desc).List(), from.Get(f.desc).List(), field)
		case f.message != nil && f.list:
			r.list(f, m.Get(f.desc).List(), from.Get(f.desc).List(), field)
		case f.message != nil:
			r.message(f.message, m.Get(f.desc).Message(), from.Get(f.desc).Message(), field+".")
		case m.Get(f.desc).String() != Withheld:
		case from.Has(f.desc) && from.Get(f.desc).String() != Withheld:
			m.Set(f.desc, from.Get(f.desc))
		default:
			r.fault(field)
		}
	}
}

// list takes each entry for the one that is the same but for its secrets.
func (r *restorer) list(f *field, list, from protoreflect.List, field string) {
	used := make([]bool, from.Len())
	for i := range list.Len() {
		entry := list.Get(i).Message()
		if !withheldIn(f.message, entry) {
			continue
		}
		match := entry.New()
		for k := range from.Len() {
			if !used[k] && alike(f.message, entry, from.Get(k).Message()) {
				used[k], match = true, from.Get(k).Message()
				break
			}
		}
		r.message(f.message, entry, match, fmt.Sprintf("%s[%d].", field, i))
	}
}

// kept takes each element for the one that is the same but for its passwords.
func (r *restorer) kept(f *field, list, from protoreflect.List, field string) {
	used := make([]bool, from.Len())
	for i := range list.Len() {
		text := list.Get(i).String()
		if !strings.Contains(text, Withheld) {
			continue
		}
		found := false
		for k := 0; k < from.Len() && !found; k++ {
			if old := from.Get(k).String(); !used[k] && r.hidden(f, old) == r.hidden(f, text) && !strings.Contains(old, Withheld) {
				used[k], found = true, true
				list.Set(i, from.Get(k))
			}
		}
		if !found {
			r.fault(fmt.Sprintf("%s[%d]", field, i))
		}
	}
}

// hidden is an element without its passwords.
func (r *restorer) hidden(f *field, text string) string {
	n, err := f.readKept(&r.scanner, text)
	if err != nil {
		return text
	}
	hide(n, f.opts.GetPassword())
	return string(appendKept(nil, n, 0))
}

// withheldIn tells whether something is withheld in a message.
func withheldIn(s *schema, m protoreflect.Message) (found bool) {
	for _, f := range s.on[secretPass] {
		switch {
		case !m.Has(f.desc):
		case f.keeps():
			list := m.Get(f.desc).List()
			for i := range list.Len() {
				found = found || strings.Contains(list.Get(i).String(), Withheld)
			}
		case f.message != nil:
			f.eachMessage(m, func(sub protoreflect.Message) { found = found || withheldIn(f.message, sub) })
		default:
			found = found || m.Get(f.desc).String() == Withheld
		}
	}
	return found
}

// alike tells whether two messages are the same but for their secrets.
func alike(s *schema, a, b protoreflect.Message) bool {
	blank := func(m protoreflect.Message) proto.Message {
		c := proto.Clone(m.Interface())
		(&withholder{sight: SightLook}).message(s, c.ProtoReflect())
		return c
	}
	return proto.Equal(blank(a), blank(b))
}
