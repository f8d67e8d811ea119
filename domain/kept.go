package domain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Elements that only other drivers of libvirt act on are kept as a whole: each is an entry of a list of strings at the
// path "*", XML as libvirt would dump it. See XmlField.kept.

// keeps tells whether a field holds such elements.
func (f *field) keeps() bool { return f.opts.GetPath() == "*" }

// keepsName tells whether the field holds elements of a name.
func (f *field) keepsName(name xmlName) bool {
	return name.space == "" && slices.Contains(f.opts.GetKept(), name.local)
}

// appendKept writes an element that is kept at the end of buf, beginning at its tag and without a line end.
func appendKept(buf []byte, n *node, level int) []byte {
	d := &dumper{buf: buf, single: true}
	d.element(n, level, layout{format: true}, nil)
	return d.buf
}

// keptDepth is how deep, at least, an element that is kept stands in a document.
const keptDepth = 2

// readKept reads an entry: one element of a name that the field keeps. It is there until s reads something else.
func (f *field) readKept(s *scanner, text string) (*node, error) {
	nodes, err := s.fragment(text, keptDepth)
	if err != nil {
		return nil, withPlace(text, err)
	}
	var element *node
	for _, n := range nodes {
		switch {
		case n.kind == elementNode && element == nil:
			element = n
		case n.kind != textNode || strings.Trim(n.text, " \t\r\n") != "":
			return nil, fmt.Errorf("%s is not one element", quote(text))
		}
	}
	if element == nil {
		return nil, fmt.Errorf("%s is not one element", quote(text))
	}
	if !f.keepsName(element.name) {
		return nil, fmt.Errorf("element %s is none of those that are kept here: %s%s",
			quote(element.name.String()), strings.Join(f.opts.GetKept(), ", "), meant(element.name.String(), f.opts.GetKept()))
	}
	return element, nil
}

// nameOfKept is the name of the element that an entry in canonical form begins with, empty if it is none of the field's.
func (f *field) nameOfKept(text string) string {
	tag, ok := strings.CutPrefix(text, "<")
	end := strings.IndexAny(tag, " />")
	if !ok || end < 0 || !slices.Contains(f.opts.GetKept(), tag[:end]) {
		return ""
	}
	return tag[:end]
}

// completeKept brings entries into their canonical form. What cannot be read is left to [Validate].
func completeKept(f *field, list protoreflect.List) {
	var s scanner
	var canonical []byte
	for i := range list.Len() {
		text := list.Get(i).String()
		n, err := f.readKept(&s, text)
		if err != nil {
			continue
		}
		if canonical = appendKept(canonical[:0], n, 0); string(canonical) != text {
			list.Set(i, protoreflect.ValueOfString(string(canonical)))
		}
	}
}

// arrangeKept puts entries in canonical form into libvirt's order; those of one name stay in their own.
func arrangeKept(f *field, list protoreflect.List) {
	rank := make(map[string]int, len(f.opts.GetKept()))
	for i, name := range f.opts.GetKept() {
		rank[name] = i
	}
	type ranked struct {
		rank int
		text string
	}
	entries := make([]ranked, list.Len())
	for i := range entries {
		text := list.Get(i).String()
		entries[i] = ranked{rank[f.nameOfKept(text)], text}
	}
	byRank := func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) }
	if slices.IsSortedFunc(entries, byRank) {
		return
	}
	slices.SortStableFunc(entries, byRank)
	for i, e := range entries {
		list.Set(i, protoreflect.ValueOfString(e.text))
	}
}

// eachKept calls do for every list of kept elements in m.
func eachKept(s *schema, m protoreflect.Message, do func(*field, protoreflect.List)) {
	for _, f := range s.on[keptPass] {
		if f.keeps() && m.Has(f.desc) {
			do(f, m.Mutable(f.desc).List())
		}
		f.eachMessage(m, func(sub protoreflect.Message) { eachKept(f.message, sub, do) })
	}
}

// keptPlaces are the places of the first n entries of a list of kept elements, or of all if there are fewer.
func (p *place) keptPlaces(f *field, list protoreflect.List, n int) []*place {
	all := map[string]int{}
	for i := range list.Len() {
		all[f.nameOfKept(list.Get(i).String())]++
	}
	nth := map[string]int{}
	places := make([]*place, min(n, list.Len()))
	for i := range places {
		name := f.nameOfKept(list.Get(i).String())
		nth[name]++
		places[i] = &place{parent: p, xml: name, field: f.name, entry: i + 1}
		if all[name] > 1 {
			places[i].index = nth[name]
		}
	}
	return places
}

// notKept is why an element that only other drivers act on is told of.
const notKept = "only other drivers of libvirt use it; it is kept and has no effect"

// refuseKept makes faults of the elements that only other drivers act on.
func refuseKept(f *faults, s *schema, m protoreflect.Message, at *place) {
	for _, fd := range s.on[keptPass] {
		switch {
		case !m.Has(fd.desc):
		case fd.keeps():
			list := m.Get(fd.desc).List()
			told := at.keptPlaces(fd, list, f.room())
			for _, where := range told {
				f.at(where, "only other drivers of libvirt use it")
			}
			f.more += list.Len() - len(told)
		case fd.message != nil && fd.list:
			list := m.Get(fd.desc).List()
			for i := range list.Len() {
				refuseKept(f, fd.message, list.Get(i).Message(), at.of(fd, i))
			}
		case fd.message != nil:
			refuseKept(f, fd.message, m.Get(fd.desc).Message(), at.of(fd, 0))
		}
	}
}
