package domain_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestDiffOfSame: nothing is told of a definition and itself, whatever it says.
func TestDiffOfSame(t *testing.T) {
	for name, def := range goldenDocuments(t) {
		domain.Normalize(def)
		if got := told(domain.Diff(def, proto.CloneOf(def), domain.DiffOptions{})); len(got) > 0 {
			t.Errorf("%s differs from itself: %s", name, got)
		}
	}
	for seed := range uint64(200) {
		def := randomDomain(seed)
		if got := told(domain.Diff(def, proto.CloneOf(def), domain.DiffOptions{})); len(got) > 0 {
			t.Fatalf("seed %d differs from itself: %s", seed, got)
		}
	}
}

// TestDiffSeesEveryField: a field that is changed or taken away, one at a time, is what is told, under its own name; what
// belongs to a running domain never is.
func TestDiffSeesEveryField(t *testing.T) {
	full := &davitv1.Domain{}
	fill(full.ProtoReflect())
	all := spots(full.ProtoReflect().Descriptor(), nil)
	if len(all) < 200 {
		t.Errorf("%d fields: the schema is not walked as it should be", len(all))
	}
	for _, at := range all {
		for _, v := range []protoreflect.Value{second(at.leaf()), {}} {
			changed := proto.CloneOf(full)
			at.set(changed.ProtoReflect(), v)
			var got []string
			for _, c := range domain.Diff(full, changed, domain.DiffOptions{}) {
				got = append(got, c.GetField())
				if path, _, _ := strings.Cut(c.GetField(), "[urn:a]"); !strings.HasPrefix(c.GetXmlPath(), strings.TrimSuffix(domain.XMLPathOf(path), "/*[1]")) {
					t.Errorf("%s has the XML path %s", c.GetField(), c.GetXmlPath())
				}
			}
			if diff := cmp.Diff(at.want(), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", at.path(), diff)
			}
			symmetric(t, full, changed)
		}
	}
}

// spot is a field at any depth, with those that lead to it.
type spot []protoreflect.FieldDescriptor

// spots are all fields of a message that hold a value of their own.
func spots(md protoreflect.MessageDescriptor, above spot) []spot {
	var all []spot
	for i := range md.Fields().Len() {
		at := append(slices.Clone(above), md.Fields().Get(i))
		if at.leaf().Message() != nil {
			all = append(all, spots(at.leaf().Message(), at)...)
		} else {
			all = append(all, at)
		}
	}
	return all
}

func (at spot) leaf() protoreflect.FieldDescriptor { return at[len(at)-1] }

// set gives the field another value, or none if v is no value.
func (at spot) set(m protoreflect.Message, v protoreflect.Value) {
	for _, fd := range at[:len(at)-1] {
		if fd.IsList() {
			m = m.Mutable(fd).List().Get(0).Message()
		} else {
			m = m.Mutable(fd).Message()
		}
	}
	switch {
	case !v.IsValid():
		m.Clear(at.leaf())
	case at.leaf().IsList():
		m.Mutable(at.leaf()).List().Set(0, v)
	default:
		m.Set(at.leaf(), v)
	}
}

// path is what the field is called in a change.
func (at spot) path() string {
	var steps []string
	for _, fd := range at {
		step := string(fd.Name())
		switch {
		case fd.IsList() && (fd.Message() != nil || len(options(fd).GetKept()) > 0):
			step += "[0]"
		case options(fd).GetRaw():
			step += "[urn:a]"
		}
		steps = append(steps, step)
	}
	return strings.Join(steps, ".")
}

// want is what a change of the field is told as: by its name, as one entry in place of another if that is known by nothing
// but this field, or not at all.
func (at spot) want() []string {
	for _, fd := range at {
		if options(fd).GetLive() {
			return nil
		}
	}
	groups := domain.Identities[string(at.leaf().ContainingMessage().Name())]
	if len(groups) == 1 && slices.Contains(groups[0], string(at.leaf().Name())) {
		return []string{at[:len(at)-1].path(), at[:len(at)-1].path()}
	}
	return []string{at.path()}
}

// fill sets every field of a message; lists get one entry.
func fill(m protoreflect.Message) {
	for i := range m.Descriptor().Fields().Len() {
		switch fd := m.Descriptor().Fields().Get(i); {
		case fd.IsList() && fd.Message() != nil:
			fill(m.Mutable(fd).List().AppendMutable().Message())
		case fd.IsList():
			m.Mutable(fd).List().Append(value(fd, 1))
		case fd.Message() != nil:
			fill(m.Mutable(fd).Message())
		default:
			m.Set(fd, value(fd, 1))
		}
	}
}

// second is another value than the one that a field is filled with, if there is one.
func second(fd protoreflect.FieldDescriptor) protoreflect.Value {
	only := fd.Kind() == protoreflect.EnumKind && fd.Enum().Values().Len() < 3 || fd.Kind() == protoreflect.BoolKind && !fd.HasPresence()
	if only {
		return protoreflect.Value{}
	}
	return value(fd, 2)
}

// value is the first or second value of a field.
func value(fd protoreflect.FieldDescriptor, n int) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n == 1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(fd.Enum().Values().Get(n).Number())
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(-n))
	default:
	}
	switch kept := options(fd).GetKept(); {
	case len(kept) > 0:
		return protoreflect.ValueOfString(fmt.Sprintf("<%s v='%d'/>", kept[0], n))
	case options(fd).GetRaw():
		return protoreflect.ValueOfString(fmt.Sprintf(`<a:x xmlns:a="urn:a" v="%d"/>`, n))
	}
	return protoreflect.ValueOfString(fmt.Sprintf("text-%d", n))
}

// symmetric holds two definitions to what their differences promise: there and back, each change is the same with old and
// new in each other's place.
func symmetric(t *testing.T, a, b *davitv1.Domain) {
	t.Helper()
	there, back := []string{}, []string{}
	for _, c := range domain.Diff(a, b, domain.DiffOptions{}) {
		there = append(there, fmt.Sprintf("%s %q %q", unnumbered(c.GetField()), c.GetOld(), c.GetNew()))
	}
	for _, c := range domain.Diff(b, a, domain.DiffOptions{}) {
		back = append(back, fmt.Sprintf("%s %q %q", unnumbered(c.GetField()), c.GetNew(), c.GetOld()))
	}
	slices.Sort(there)
	slices.Sort(back)
	if diff := cmp.Diff(there, back); diff != "" {
		t.Errorf("there and back (-there +back):\n%s", diff)
	}
}

var numbers = regexp.MustCompile(`\[\d+\]`)

// unnumbered is a path without the places of entries, which two definitions may have elsewhere.
func unnumbered(path string) string { return numbers.ReplaceAllString(path, "[]") }

// TestDiffThereAndBack holds any two definitions to the same.
func TestDiffThereAndBack(t *testing.T) {
	n := uint64(200)
	if testing.Short() {
		n = 50
	}
	for seed := range n {
		symmetric(t, randomDomain(seed), randomDomain(seed+n))
		if t.Failed() {
			t.Fatalf("seeds %d and %d", seed, seed+n)
		}
	}
}

// TestDiffSuffices: what is told makes one definition of the other, but for the entries of lists.
func TestDiffSuffices(t *testing.T) {
	for seed := range uint64(200) {
		a, b := randomDomain(seed), randomDomain(seed+1000)
		for _, def := range []*davitv1.Domain{a, b} {
			domain.Inactive(def)
			def.Metadata = ""
			withoutLists(def.ProtoReflect())
		}
		for _, c := range domain.Diff(a, b, domain.DiffOptions{}) {
			if err := domain.SetField(a, c.GetField(), c.GetNew()); err != nil {
				t.Fatal(err)
			}
		}
		for _, def := range []*davitv1.Domain{a, b} {
			withoutLists(def.ProtoReflect())
		}
		if diff := cmp.Diff(b, a, protocmp.Transform()); diff != "" {
			t.Fatalf("seed %d: the changes do not make it (-want +got):\n%s", seed, diff)
		}
	}
}

// withoutLists clears all lists of a message, and then what is empty.
func withoutLists(m protoreflect.Message) (empty bool) {
	empty = true
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.IsList() || fd.Message() != nil && withoutLists(v.Message()) {
			m.Clear(fd)
			return true
		}
		empty = false
		return true
	})
	return empty
}

// TestIdentities: what is in a list is known by something, and that is a field.
func TestIdentities(t *testing.T) {
	known := map[string]bool{}
	descriptors((&davitv1.Domain{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]bool{}, func(fd protoreflect.FieldDescriptor) {
		if !fd.IsList() || fd.Message() == nil {
			return
		}
		name := string(fd.Message().Name())
		known[name] = true
		groups := domain.Identities[name]
		if len(groups) == 0 {
			t.Errorf("match.go does not say what an entry of %s is known by", fd.FullName())
		}
		for _, field := range slices.Concat(groups...) {
			if fd.Message().Fields().ByName(protoreflect.Name(field)) == nil {
				t.Errorf("%s is to be known by %q, which it does not have", name, field)
			}
		}
	})
	for name := range domain.Identities {
		if !known[name] {
			t.Errorf("there is no list of %s", name)
		}
	}
}
