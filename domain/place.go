package domain

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// place is where something stands, in the XML and in the model. It is a list from the inside out, so that the way down
// costs nothing and paths are only written for faults.
type place struct {
	parent *place
	xml    string // step in the XML, "" if there is none
	index  int    // from 1 among its like, 0 if it stands alone
	field  string // step in the model, "" if there is none
	entry  int    // place in a list plus 1, 0 if it is no list
	attr   bool   // the step in the XML is an attribute
	next   *place // below p, used again and again; see below
}

// xmlPath is the place in the XML: /domain/devices/filesystem[2]/@accessmode.
func (p *place) xmlPath() string {
	var steps []string
	for ; p != nil; p = p.parent {
		if p.xml == "" {
			continue
		}
		step := "/" + p.xml
		if p.attr {
			step = "/@" + p.xml
		}
		if p.index > 0 {
			step += "[" + strconv.Itoa(p.index) + "]"
		}
		steps = append(steps, step)
	}
	return joinReversed(steps, "")
}

// fieldPath is the place in the model: devices.filesystem[1].accessmode.
func (p *place) fieldPath() string {
	var steps []string
	for ; p != nil; p = p.parent {
		if p.field == "" {
			continue
		}
		step := p.field
		if p.entry > 0 {
			step += "[" + strconv.Itoa(p.entry-1) + "]"
		}
		steps = append(steps, step)
	}
	return joinReversed(steps, ".")
}

func joinReversed(steps []string, sep string) string {
	var b strings.Builder
	for i, step := range slices.Backward(steps) {
		b.WriteString(step)
		if i > 0 {
			b.WriteString(sep)
		}
	}
	return b.String()
}

// below is an element or attribute below p that is no field of its own. It is there until p is asked for the next one. A walk, which is at one place at a time, makes as many
// places as it goes deep.
func (p *place) below(xml string, index int) *place {
	if p.next == nil {
		p.next = &place{}
	}
	*p.next = place{parent: p, xml: xml, index: index, next: p.next.next}
	return p.next
}

// of is the place of a field of the message at p, by the field's path; entry is its place in a list, from 0.
// It is one of [place.below].
func (p *place) of(f *field, entry int) *place {
	path := f.opts.GetPath()
	if path == "." {
		path = ""
	}
	at := p.below(path, 0)
	at.field = f.name
	if f.list {
		at.index, at.entry = entry+1, entry+1
	}
	return at
}

// maxViolations is how many faults of one document are told.
const maxViolations = 50

// faults collects what is wrong.
type faults struct {
	list []Violation
	more int // beyond those that are told
}

// room is how many further faults are told.
func (f *faults) room() int { return max(maxViolations-len(f.list), 0) }

// full tells whether a further fault is only counted. Who would have to look for its place asks first: a document can
// have more faults than it has time to find them.
func (f *faults) full() bool { return len(f.list) >= maxViolations }

func (f *faults) add(v Violation) {
	if f.full() {
		f.more++
		return
	}
	f.list = append(f.list, v)
}

// at adds a fault of the place.
func (f *faults) at(p *place, message string) {
	f.add(Violation{XMLPath: p.xmlPath(), Field: p.fieldPath(), Message: message})
}

// order puts the faults in the order of the document; those without a place come last.
func (f *faults) order() {
	slices.SortStableFunc(f.list, func(a, b Violation) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// violations are the faults, with a last one that counts those that are not told.
func (f *faults) violations() []Violation {
	if f.more == 0 {
		return f.list
	}
	return append(f.list, Violation{Message: "and " + strconv.Itoa(f.more) + " more"})
}
