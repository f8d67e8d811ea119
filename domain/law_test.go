package domain_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// refusedFields are there to say why they are refused: no document that is admitted sets them.
var refusedFields = []protoreflect.FullName{"davit.v1.Interface.script"}

// TestKitchenSink holds the golden documents to leave no field of the schema unset: a field without a notation,
// or one that nothing reads, shows here.
func TestKitchenSink(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	for _, name := range refusedFields {
		seen[name] = true
	}
	for _, def := range goldenDocuments(t) {
		note(def.ProtoReflect(), seen)
	}
	var missing []string
	descriptors((&davitv1.Domain{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]bool{}, func(fd protoreflect.FieldDescriptor) {
		if !seen[fd.FullName()] {
			missing = append(missing, string(fd.FullName()))
		}
	})
	if len(missing) > 0 {
		t.Errorf("no golden document sets %s", strings.Join(missing, ", "))
	}
}

// note records the fields that are set.
func note(m protoreflect.Message, seen map[protoreflect.FullName]bool) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		seen[fd.FullName()] = true
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				note(v.List().Get(i).Message(), seen)
			}
		default:
			note(v.Message(), seen)
		}
		return true
	})
}

// descriptors visits every field that a message can hold.
func descriptors(md protoreflect.MessageDescriptor, done map[protoreflect.FullName]bool, visit func(protoreflect.FieldDescriptor)) {
	if done[md.FullName()] {
		return
	}
	done[md.FullName()] = true
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		visit(fd)
		if fd.Message() != nil {
			descriptors(fd.Message(), done, visit)
		}
	}
}

// TestGoldenLaws holds every golden document to the laws of reading and writing.
func TestGoldenLaws(t *testing.T) {
	for name, def := range goldenDocuments(t) {
		t.Run(name, func(t *testing.T) {
			normal := proto.CloneOf(def)
			domain.Normalize(normal)
			again := proto.CloneOf(normal)
			domain.Normalize(again)
			if diff := cmp.Diff(normal, again, protocmp.Transform()); diff != "" {
				t.Errorf("normalising again changes it (-once +twice):\n%s", diff)
			}
			laws(t, normal)
		})
	}
}

// TestRandomLaws holds messages of every shape to the laws.
func TestRandomLaws(t *testing.T) {
	n := uint64(500)
	if testing.Short() {
		n = 100
	}
	for seed := range n {
		def := randomDomain(seed)
		laws(t, def)
		domain.Normalize(def)
		once := proto.CloneOf(def)
		domain.Normalize(def)
		same(t, "normalising again", once, def, "")
		laws(t, def)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// laws holds a pruned message to what the codec promises: each notation gives it back, one after the other gives it
// back, and a document that was written is written again as it is.
func laws(tb testing.TB, def *davitv1.Domain) {
	tb.Helper()
	before := proto.CloneOf(def)
	xml, err := domain.FormatXML(def, domain.FormatOptions{})
	if err != nil {
		tb.Errorf("write XML: %v", err)
		return
	}
	back, _, err := domain.ParseXML([]byte(xml), domain.ParseOptions{Strict: true})
	if err != nil {
		tb.Errorf("read XML again: %v\n%s", err, xml)
		return
	}
	same(tb, "XML", def, back, xml)
	json, err := domain.FormatJSON(back)
	if err != nil {
		tb.Errorf("write JSON: %v", err)
		return
	}
	if back, err = domain.ParseJSON([]byte(json)); err != nil {
		tb.Errorf("read JSON again: %v\n%s", err, json)
		return
	}
	same(tb, "JSON", def, back, json)
	yaml, err := domain.FormatYAML(back)
	if err != nil {
		tb.Errorf("write YAML: %v", err)
		return
	}
	if back, err = domain.ParseYAML([]byte(yaml)); err != nil {
		tb.Errorf("read YAML again: %v\n%s", err, yaml)
		return
	}
	same(tb, "YAML", def, back, yaml)
	last, err := domain.FormatXML(back, domain.FormatOptions{})
	if err != nil || last != xml {
		tb.Errorf("the document changed on its way through JSON and YAML: %v\n%s", err, cmp.Diff(xml, last))
	}
	if !proto.Equal(before, def) {
		tb.Errorf("writing changed the message")
	}
}

func same(tb testing.TB, by string, want, got *davitv1.Domain, text string) {
	tb.Helper()
	if !proto.Equal(want, got) {
		tb.Errorf("%s does not give the message back (-want +got):\n%s\n%s", by, cmp.Diff(want, got, protocmp.Transform()), text)
	}
}

// randomDomain fills a message with whatever the codec promises to carry.
func randomDomain(seed uint64) *davitv1.Domain {
	r := &randomizer{rand.New(rand.NewPCG(seed, 1))}
	def := &davitv1.Domain{}
	r.message(def.ProtoReflect())
	return def
}

type randomizer struct{ *rand.Rand }

// message sets about half of the fields; no singular message is left empty.
func (r *randomizer) message(m protoreflect.Message) (empty bool) {
	empty = true
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		if r.IntN(2) == 0 {
			continue
		}
		switch {
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range 1 + r.IntN(3) {
				if fd.Message() != nil {
					r.message(list.AppendMutable().Message())
				} else if kept := options(fd).GetKept(); len(kept) > 0 {
					list.Append(protoreflect.ValueOfString(r.kept(kept)))
				} else {
					list.Append(r.scalar(fd))
				}
			}
		case fd.Message() != nil:
			if r.message(m.Mutable(fd).Message()) {
				m.Clear(fd)
				continue
			}
		default:
			m.Set(fd, r.scalar(fd))
		}
		empty = empty && !m.Has(fd)
	}
	return empty
}

func (r *randomizer) scalar(fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(1 + r.IntN(values.Len()-1)).Number())
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(r.Uint32() >> r.IntN(32))
	case protoreflect.Uint64Kind:
		n := r.Uint64() >> r.IntN(64)
		if options(fd).GetUnit() != 0 {
			n = min(n, domain.Unlimited)
		}
		return protoreflect.ValueOfUint64(n)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(r.Uint64()) >> r.IntN(64))
	case protoreflect.StringKind:
		if fd.Name() == "metadata" {
			return protoreflect.ValueOfString(r.metadata())
		}
		return protoreflect.ValueOfString(r.text())
	default:
		panic(fmt.Sprintf("no random value of kind %s", fd.Kind()))
	}
}

// alphabet is what tends to be mangled.
var alphabet = []string{
	"a", "Z", "0", "-", ".", "/", ":", "#", "~", "'", `"`, "&", "<", ">", "]]>", "&amp;", " ", "  ", "\n", "\t", "\r", "\r\n", "é", "€",
	"\U0001F600", "\u0085", "\u2028", "\u00a0", "\ufeff", "\ufffd", "%", "@", "`", "!", "{", "}", "[", "]", ",", "|", "*", "?", "\\", "\\n",
	"yes", "null", "0x1f", "1e3", "2001-01-01", "<!--", "-->", "<![CDATA[", "\u007f", "=",
}

func (r *randomizer) text() string {
	var b strings.Builder
	for range r.IntN(8) {
		b.WriteString(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

// kept is an element of another driver as the codec itself would write it.
func (r *randomizer) kept(names []string) string {
	name := names[r.IntN(len(names))]
	choices := []string{
		"<" + name + "/>", "<" + name + " a='&apos;&quot;&lt;'/>", "<" + name + ">text &amp; &lt;more&gt;</" + name + ">",
		"<" + name + " a='1'>\n  <x y='2'/>\n  <!-- c -->\n  <z> </z>\n</" + name + ">",
		"<" + name + " xmlns:q='urn:q' q:a='1'>\n  <q:x/>\n</" + name + ">",
	}
	return choices[r.IntN(len(choices))]
}

// metadata is XML as the codec itself would write it.
func (r *randomizer) metadata() string {
	choices := []string{
		`<a:x xmlns:a="urn:a"/>`,
		`<x xmlns="urn:b" y="&quot;&lt;&amp;">text &amp; &lt;more&gt;</x>`,
		"<a:x xmlns:a=\"urn:c\">\n  <a:y/>\n  <!-- c -->\n</a:x>",
		`<a:x xmlns:a="urn:d">mixed <a:y/> <a:z> </a:z></a:x>`,
		`<a:x xmlns:a="urn:e"><![CDATA[<>&]]></a:x>`,
	}
	r.Shuffle(len(choices), func(i, j int) { choices[i], choices[j] = choices[j], choices[i] })
	return strings.Join(choices[:r.IntN(len(choices))], "\n")
}
