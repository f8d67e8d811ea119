package explain

import (
	"fmt"
	"iter"
	"regexp"
	"strings"
)

// UnknownError is a path that leads nowhere.
type UnknownError struct {
	Path string
	// Nearest are paths that may have been meant, the likeliest first.
	Nearest []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("explain %q: the schema has no such place", e.Path)
}

// Lookup documents a place: a field by its path in the model, with or without "domain." before it; one of its words,
// after the field; or anything of the XML by its path there. Places in lists, as errors give them, are overlooked:
// "devices.filesystem[1].accessmode". Children have no children of their own. A place that there is not is an *[UnknownError].
func (r *Reference) Lookup(path string) (*Entry, error) {
	plain := indexes.ReplaceAllString(strings.TrimSpace(path), "")
	if e := r.look(plain); e != nil {
		return e, nil
	}
	return nil, &UnknownError{Path: path, Nearest: r.nearest(plain)}
}

// look is Lookup without places in lists, nil if there is nothing.
func (r *Reference) look(path string) *Entry {
	if steps, ok := strings.CutPrefix(path, "/"); ok {
		return r.lookupXML(strings.Split(strings.TrimSuffix(steps, "/"), "/"))
	}
	return r.lookupModel(path)
}

var indexes = regexp.MustCompile(`\[\d*\]`)

// All gives every place of the model, each group before what is in it. They have no children.
func (r *Reference) All() iter.Seq[*Entry] { return r.Below("") }

// Below gives every place of the model below one, itself not among them; all for "".
func (r *Reference) Below(path string) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		m, in := r.root, r.origin()
		if path != "" && path != r.name {
			f, holder := r.find(strings.TrimPrefix(path, r.name+"."))
			if f == nil || f.message == nil {
				return
			}
			m, in = f.message, f.below(holder)
		}
		r.each(m, in, yield)
	}
}

func (r *Reference) each(m *message, in at, yield func(*Entry) bool) bool {
	for _, f := range m.fields {
		if !yield(r.entry(f, in)) {
			return false
		}
		if f.message != nil && !r.each(f.message, f.below(in), yield) {
			return false
		}
	}
	return true
}

// origin is where the document is.
func (r *Reference) origin() at { return at{path: r.name, xml: "/" + r.name} }

// document is the entry of all of it.
func (r *Reference) document() *Entry {
	e := &Entry{
		Path: r.name, XML: "/" + r.name, Spelling: "<" + r.name + " type='lxc'>...</" + r.name + ">",
		Meaning: r.comment(r.root.desc.FullName()), Kind: Group, Message: string(r.root.desc.Name()), Required: true,
	}
	return r.withFields(e, r.root)
}

// withFields adds the fields of a message.
func (r *Reference) withFields(e *Entry, m *message) *Entry {
	for _, f := range m.fields {
		e.Children = append(e.Children, r.entry(f, at{path: e.Path, xml: e.XML}))
	}
	return e
}

// find follows a path without the document's name to a field, and where its message stands.
func (r *Reference) find(path string) (*field, at) {
	m, in := r.root, r.origin()
	steps := strings.Split(path, ".")
	for i, step := range steps {
		f := m.field(step)
		switch {
		case f == nil || f.message == nil && i+1 < len(steps):
			return nil, at{}
		case i+1 == len(steps):
			return f, in
		}
		m, in = f.message, f.below(in)
	}
	return nil, at{}
}

func (r *Reference) lookupModel(path string) *Entry {
	if path == "" || path == r.name {
		return r.document()
	}
	path = strings.TrimPrefix(path, r.name+".")
	if f, in := r.find(path); f != nil {
		return r.whole(f, in)
	}
	// The last step may be a word, which may have points.
	for i := strings.IndexByte(path, '.'); i >= 0; {
		if f, in := r.find(path[:i]); f != nil && f.message == nil {
			return r.word(r.entry(f, in), path[i+1:])
		}
		next := strings.IndexByte(path[i+1:], '.')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return nil
}

// whole is the entry of a field with the fields below it; of a group it also says what all of its kind are.
func (r *Reference) whole(f *field, in at) *Entry {
	e := r.entry(f, in)
	if f.message != nil {
		e.Meaning += "\n\n" + r.comment(f.message.desc.FullName())
		r.withFields(e, f.message)
	}
	return e
}

// word is the entry of one of a field's words, nil if it has no such word.
func (r *Reference) word(of *Entry, word string) *Entry {
	for _, v := range of.Values {
		if v.Word == word {
			spelling := of.Spelling
			if old := sampleOf(of); old != "" {
				spelling = strings.Replace(spelling, old, word, 1)
			}
			return &Entry{
				Path: of.Path + "." + word, XML: of.XML, Spelling: spelling, Meaning: v.Meaning, Kind: Word,
				Effect: of.Effect, EffectReason: of.EffectReason, NotHonoured: of.NotHonoured,
			}
		}
	}
	for _, name := range of.Kept {
		if name == word {
			return r.keptElement(of, name)
		}
	}
	return nil
}

// sampleOf is the value that an entry's spelling shows, with what stands around it.
func sampleOf(e *Entry) string {
	switch {
	case e.Default != "":
		return e.Default
	case len(e.Values) > 0:
		return e.Values[0].Word
	}
	return ""
}

// keptElement is the entry of an element that only other drivers act on.
func (r *Reference) keptElement(of *Entry, name string) *Entry {
	return &Entry{
		Path: of.Path, XML: strings.TrimSuffix(of.XML, "*") + name, Spelling: "<" + name + ">...</" + name + ">",
		Meaning: "An element that davit's schema does not look into.", Kind: Element, List: true, NotHonoured: of.NotHonoured,
		Effect: of.Effect, EffectReason: of.EffectReason,
	}
}

// lookupXML follows a path in the XML.
func (r *Reference) lookupXML(steps []string) *Entry {
	if steps[0] != r.name {
		return nil
	}
	if len(steps) == 1 {
		return r.document()
	}
	e, in, xml := r.root.self, r.origin(), "/"+r.name
	for i, step := range steps[1:] {
		last := i+2 == len(steps)
		if name, ok := strings.CutPrefix(step, "@"); ok {
			if !last {
				return nil
			}
			return r.attribute(e, name, in)
		}
		next := e.child(step)
		xml += "/" + step
		switch {
		case next == nil && last && e.kept != nil:
			return r.word(r.entry(e.kept, in), step)
		case next == nil:
			return nil
		case last && next.value != nil:
			return r.whole(next.value, in)
		case next.value != nil && next.value.message != nil:
			in, e = next.value.below(in), next.value.message.self
		default:
			e = next
		}
	}
	return r.container(e, in, xml)
}

func (r *Reference) attribute(e *element, name string, in at) *Entry {
	for _, a := range e.attrs {
		if a.name == name {
			return r.entry(a.field, in)
		}
	}
	return nil
}

// container is the entry of an element that only holds others.
func (r *Reference) container(e *element, in at, xml string) *Entry {
	out := &Entry{Path: in.path, XML: xml, Spelling: "<" + e.name + ">...</" + e.name + ">", Kind: Element}
	r.inside(e, in, out)
	out.Meaning = "An element that holds what stands below; it has no field of its own."
	return out
}

// inside adds the fields of an element and those below it.
func (r *Reference) inside(e *element, in at, out *Entry) {
	for _, a := range e.attrs {
		if !a.unit {
			out.Children = append(out.Children, r.entry(a.field, in))
		}
	}
	if e.value != nil {
		out.Children = append(out.Children, r.entry(e.value, in))
	}
	for _, c := range e.children {
		r.inside(c, in, out)
	}
}
