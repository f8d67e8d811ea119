package domain

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// DiffOptions change what is told of two definitions.
type DiffOptions struct {
	// Unchanged tells the fields that are the same, too.
	Unchanged bool
	// Passwords tells them. Without it a change of one is told, with [Withheld] for what it was and what it becomes.
	Passwords bool
}

// Diff tells, field by field in the order of the schema, how one definition becomes another, and what each change comes
// down to as far as that is the same on every host; see FieldChange. Both are canonical. It tells nothing of two definitions
// that say the same, and what a running domain adds to its own does not count.
func Diff(from, to *davitv1.Domain, o DiffOptions) []*davitv1.FieldChange {
	d := &differ{DiffOptions: o}
	s := domainSchema()
	d.message(s, inactive(from).ProtoReflect(), inactive(to).ProtoReflect(), &place{xml: s.root.String()})
	d.withhold(from, to)
	return d.changes
}

// withhold tells of changes that another running domain could take, and this one cannot.
func (d *differ) withhold(from, to *davitv1.Domain) {
	for _, c := range d.changes {
		if c.GetEffect() != davitv1.ChangeEffect_CHANGE_EFFECT_LIVE {
			continue
		}
		why := ""
		switch c.GetField() {
		case "current_memory_kib":
			if to.GetCurrentMemoryKib() > from.GetMemoryKib() {
				why = fmt.Sprintf("a running domain has at most the %d KiB that it was started with", from.GetMemoryKib())
			}
		case "numatune.nodeset":
			if !BindsMemory(from) || !BindsMemory(to) {
				why = "only what binds a running domain to its memory nodes can bind it to others"
			}
		}
		if why == "" {
			why = keepsRoot(c, from, to)
		}
		if why != "" {
			c.Effect, c.Reason = davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT, why
		}
	}
}

// inactive is a copy without what belongs to a running domain.
func inactive(def *davitv1.Domain) *davitv1.Domain {
	def = proto.CloneOf(def)
	Inactive(def)
	return def
}

// differ collects changes.
type differ struct {
	DiffOptions
	changes []*davitv1.FieldChange
}

// tell adds a change of the field or entry at a place, from one text to another.
func (d *differ) tell(at *place, from, to string) *davitv1.FieldChange {
	c := &davitv1.FieldChange{Field: at.fieldPath(), XmlPath: at.xmlPath(), Old: from, New: to}
	if from == to {
		c.Effect = davitv1.ChangeEffect_CHANGE_EFFECT_UNCHANGED
	} else {
		c.Effect, c.Reason = EffectOf(c.GetField())
	}
	d.changes = append(d.changes, c)
	return c
}

// message compares two messages of a kind. Either may be one that is not there.
func (d *differ) message(s *schema, from, to protoreflect.Message, at *place) {
	for _, f := range s.fields {
		if !from.Has(f.desc) && !to.Has(f.desc) {
			continue
		}
		a, b := from.Get(f.desc), to.Get(f.desc)
		switch {
		case f.opts.GetRaw():
			d.metadata(f, a.String(), b.String(), at)
		case f.desc.IsList() && f.message == nil && !f.keeps():
			d.value(at.list(f), f.listText(a.List()), f.listText(b.List()))
		case f.desc.IsList():
			d.list(f, a.List(), b.List(), at)
		case f.message != nil:
			d.message(f.message, a.Message(), b.Message(), at.of(f, 0))
		default:
			d.value(at.of(f, 0), f.textIn(from), f.textIn(to))
		}
	}
}

// value compares the texts of a field.
func (d *differ) value(at *place, from, to string) {
	if from != to || d.Unchanged {
		d.tell(at, from, to)
	}
}

// entry compares an element that is kept with another. What it tells of them is not all of what it compares.
func (d *differ) entry(at *place, from, to entryView) {
	if from.text != to.text || d.Unchanged {
		c := d.tell(at, from.text, to.text)
		c.Old, c.New = from.shown, to.shown
	}
}

// list compares two lists, entry by entry.
func (d *differ) list(f *field, from, to protoreflect.List, at *place) {
	m := newMatch(f, from, to, d.Passwords)
	for j := range to.Len() {
		switch i := m.of[j]; {
		case i < 0:
			c := d.tell(m.place(at, m.to, j), "", m.to[j].shown)
			if order := orders[entryKind(f)]; order != "" && m.followed(j) && c.GetEffect() == davitv1.ChangeEffect_CHANGE_EFFECT_LIVE {
				c.Effect, c.Reason = davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT, order+", and one that is attached comes last"
			}
		case f.message != nil:
			d.message(f.message, from.Get(i).Message(), to.Get(j).Message(), m.place(at, m.to, j))
		default:
			d.entry(m.place(at, m.to, j), m.from[i], m.to[j])
		}
	}
	for i, used := range m.used {
		if !used {
			d.tell(m.place(at, m.from, i), m.from[i].shown, "")
		}
	}
	if why := orders[entryKind(f)]; why != "" && m.disordered() {
		c := d.tell(at.list(f), m.names(m.from, true), m.names(m.to, false))
		if c.GetEffect() == davitv1.ChangeEffect_CHANGE_EFFECT_LIVE && isPluggable(at.list(f).fieldPath()) {
			c.Effect = davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT // devices come and go, and do not change places
		}
		if c.GetReason() == "" {
			c.Reason = why
		}
	}
}

// metadata compares applications' elements, of which each namespace has one.
func (d *differ) metadata(f *field, from, to string, at *place) {
	old, now := applications(from), applications(to)
	at = at.of(f, 0)
	for _, n := range now.list {
		d.value(n.place(at), old.text[n.space], now.text[n.space])
	}
	for _, n := range old.list {
		if _, stays := now.text[n.space]; !stays {
			d.tell(n.place(at), old.text[n.space], "")
		}
	}
}

// application is the element that an application has in the metadata.
type application struct{ space, name string }

// place is where it stands: in the model by its namespace, in the XML by its name.
func (n application) place(at *place) *place {
	return &place{parent: &place{parent: at.parent, xml: at.xml, field: at.field + "[" + n.space + "]"}, xml: n.name}
}

// owned are the elements of metadata in their order, and the text of each by its namespace.
type owned struct {
	list []application
	text map[string]string
}

// applications reads inner XML of the metadata element. What cannot be read, which no definition that was validated holds,
// is nobody's.
func applications(inner string) owned {
	o := owned{text: map[string]string{}}
	nodes, err := readMetadata(inner)
	if err != nil {
		return owned{[]application{{}}, map[string]string{"": inner}}
	}
	for _, n := range nodes {
		if _, twice := o.text[n.name.space]; twice || n.kind != elementNode || n.name.space == "" {
			continue
		}
		o.list = append(o.list, application{n.name.space, n.name.String()})
		o.text[n.name.space] = dumpMetadata([]*node{n}, 0)
	}
	return o
}

// list is the place of a list as a whole.
func (p *place) list(f *field) *place { return &place{parent: p, xml: f.opts.GetPath(), field: f.name} }

// textIn is the field's value as the notations spell it, empty if it is absent.
func (f *field) textIn(m protoreflect.Message) string {
	if !m.Has(f.desc) {
		return ""
	}
	return f.format(m.Get(f.desc))
}

// listText is a list of plain values in JSON, empty if there is none.
func (f *field) listText(list protoreflect.List) string {
	if list.Len() == 0 {
		return ""
	}
	values := make([]string, list.Len())
	for i := range values {
		values[i] = f.format(list.Get(i))
	}
	return jsonStrings(values)
}

// jsonStrings are texts as a list in JSON.
func jsonStrings(texts []string) string {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, t := range texts {
		n.Content = append(n.Content, scalar(strTag, strings.ToValidUTF8(t, "\uFFFD")))
	}
	return jsonText(n)
}

// jsonText is a tree on one line. Text that is not UTF-8, which no definition that was validated holds, ends it.
func jsonText(n *yaml.Node) string {
	var b bytes.Buffer
	_ = writeJSON(&b, n)
	return b.String()
}
