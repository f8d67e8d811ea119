package domain

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// identities say, by the name of its message, what an entry of a list is known by: the fields of the first group, all as
// one, else those of the next.
var identities = map[string][][]string{
	"BlkioDevice":   {{"path"}},
	"Console":       {{"target_port"}},
	"Controller":    {{"type", "index"}},
	"Disk":          {{"target_dev"}},
	"Filesystem":    {{"target_dir"}},
	"Hostdev":       {{"mode", "type", "source_block", "source_char", "source_interface", "source_vendor_id", "source_product_id", "source_bus", "source_device"}},
	"IdRange":       {{"start"}},
	"InitEnv":       {{"name"}},
	"Interface":     {{"mac"}, {"guest_dev"}, {"target_dev"}, {"type", "source_bridge", "source_network", "source_dev"}},
	"IpAddress":     {{"address"}},
	"Route":         {{"family", "address", "netmask", "prefix"}},
	"ResourceLimit": {{"name"}},
	"SecurityLabel": {{"model"}},
	"Serial":        {{"target_port"}},
	"Timer":         {{"name"}},
	"UnmaskedPath":  {{"path"}},
	"VlanTag":       {{"id"}},
}

// orders say of lists whose order means something what it means.
var orders = map[string]string{
	"Filesystem": "they are mounted in this order",
	"Interface":  "the domain has them in this order",
	"IpAddress":  "packets are sent from the first one",
}

// entryKind is the name of the message that a list has for entries, empty for plain values.
func entryKind(f *field) string {
	if f.message == nil {
		return ""
	}
	return string(f.message.desc.Name())
}

// match tells which entry of one list is which of another, so that one more in between is one change.
type match struct {
	f        *field
	from, to []entryView
	of       []int  // by place in to: the place in from, -1 for an entry that is new
	used     []bool // by place in from: it is in to
}

// entryView is what an entry is compared by.
type entryView struct {
	text  string   // all of it
	shown string   // what is told of it
	keys  []string // what it is known by, one for each group; empty where it has none of the fields
	name  string   // of an element that is kept
	nth   int      // among those of its name, from 1; 0 if there is no other
}

// newMatch compares two lists. Passwords of entries are told, or not.
func newMatch(f *field, from, to protoreflect.List, passwords bool) *match {
	m := &match{f: f, from: f.views(from, passwords), to: f.views(to, passwords), of: make([]int, to.Len()), used: make([]bool, from.Len())}
	for j := range m.of {
		m.of[j] = -1
	}
	m.pair(func(e entryView) (string, bool) { return e.text, true })
	for group := range identities[entryKind(f)] {
		m.pair(func(e entryView) (string, bool) { return e.keys[group], e.keys[group] != "" })
	}
	// What is known by nothing at all is known by its turn.
	m.pair(func(e entryView) (string, bool) { return e.name, strings.Join(e.keys, "") == "" })
	return m
}

// pair finds the entries that have one key, in their order, among those that were not found yet.
func (m *match) pair(key func(entryView) (string, bool)) {
	waiting := map[string][]int{}
	for i, e := range m.from {
		if k, ok := key(e); ok && !m.used[i] {
			waiting[k] = append(waiting[k], i)
		}
	}
	for j, e := range m.to {
		k, ok := key(e)
		if !ok || m.of[j] >= 0 || len(waiting[k]) == 0 {
			continue
		}
		i := waiting[k][0]
		m.of[j], m.used[i], waiting[k] = i, true, waiting[k][1:]
	}
}

// views looks at the entries of a list.
func (f *field) views(list protoreflect.List, passwords bool) []entryView {
	if f.keeps() {
		return f.keptViews(list, passwords)
	}
	all := make([]entryView, list.Len())
	for i := range all {
		entry := list.Get(i).Message()
		all[i].text = jsonText(encodeMessage(f.message, entry))
		all[i].shown = all[i].text
		if !passwords && holds(f.message, entry) {
			plain := proto.Clone(entry.Interface()).ProtoReflect()
			(&withholder{sight: SightPlain}).message(f.message, plain)
			all[i].shown = jsonText(encodeMessage(f.message, plain))
		}
		for _, group := range identities[entryKind(f)] {
			all[i].keys = append(all[i].keys, f.message.key(entry, group))
		}
	}
	return all
}

// keptViews looks at elements that are kept.
func (f *field) keptViews(list protoreflect.List, passwords bool) []entryView {
	w := &withholder{sight: SightPlain}
	all, count := make([]entryView, list.Len()), map[string]int{}
	for i := range all {
		text := list.Get(i).String()
		name := f.nameOfKept(text)
		count[name]++
		all[i] = entryView{text: text, shown: text, name: name, nth: count[name]}
		if !passwords {
			all[i].shown, _ = w.element(f, text)
		}
	}
	for i := range all {
		if count[all[i].name] == 1 {
			all[i].nth = 0
		}
	}
	return all
}

// key is what some fields of a message say, empty if none is set.
func (s *schema) key(m protoreflect.Message, group []string) string {
	texts, set := make([]string, len(group)), false
	for i, name := range group {
		f := s.byName[name]
		texts[i], set = f.textIn(m), set || m.Has(f.desc)
	}
	switch {
	case !set:
		return ""
	case len(texts) == 1:
		return texts[0]
	}
	return jsonStrings(texts)
}

// disordered tells whether entries that stay change places.
func (m *match) disordered() bool {
	last := -1
	for _, i := range m.of {
		if i < 0 {
			continue
		}
		if i < last {
			return true
		}
		last = i
	}
	return false
}

// followed tells whether an entry that was there comes after the j-th.
func (m *match) followed(j int) bool {
	return slices.ContainsFunc(m.of[j+1:], func(i int) bool { return i >= 0 })
}

// names are the entries that stay, in the order of one of the lists.
func (m *match) names(views []entryView, from bool) string {
	var all []string
	for i, e := range views {
		if from && !m.used[i] || !from && m.of[i] < 0 {
			continue
		}
		name := e.shown
		for _, key := range e.keys {
			if key != "" {
				name = key
				break
			}
		}
		all = append(all, name)
	}
	return jsonStrings(all)
}

// place is where an entry of one of the lists stands. Elements that are kept are counted by their names.
func (m *match) place(at *place, views []entryView, i int) *place {
	if !m.f.keeps() {
		return at.of(m.f, i)
	}
	return &place{parent: at, xml: views[i].name, index: views[i].nth, field: m.f.name, entry: i + 1}
}
