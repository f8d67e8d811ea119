package domain

import "google.golang.org/protobuf/reflect/protoreflect"

// pass is a walk through a whole definition that looks for something. A schema knows which of its fields each of them has
// to look at, so that a walk leaves out what cannot hold anything for it.
type pass int

const (
	livePass   pass = iota // fields of a running domain
	keptPass               // elements that only other drivers act on
	presetPass             // fields with a value where the document gives none
	prunePass              // messages that may be there and empty
	honestPass             // fields that are not honoured
	checkPass              // values that not every notation can hold
	secretPass             // values that are not shown to everybody
	passes
)

// looksAt tells whether a pass looks at a field itself, not at what is in it.
func (p pass) looksAt(f *field) bool {
	switch p {
	case livePass:
		return f.opts.GetLive()
	case keptPass:
		return f.keeps()
	case presetPass:
		return f.hasPre
	case prunePass:
		return f.message != nil && !f.list
	case honestPass:
		return f.keeps() || f.opts.GetNotHonoured() != ""
	case checkPass:
		return f.kind == protoreflect.StringKind || f.words != nil || f.opts.GetUnit() != 0
	case secretPass:
		return f.opts.GetSecret() || len(f.opts.GetPassword()) > 0
	default:
		return false
	}
}

// route finds the fields of each pass.
func (c *compiler) route() {
	for p := range passes {
		worth := map[*schema]bool{} // those with something to look at, however deep
		for changed := true; changed; {
			changed = false
			for _, s := range c.done {
				for _, f := range s.fields {
					if !worth[s] && (p.looksAt(f) || worth[f.message]) {
						worth[s], changed = true, true
					}
				}
			}
		}
		for _, s := range c.done {
			for _, f := range s.fields {
				if p.looksAt(f) || worth[f.message] {
					s.on[p] = append(s.on[p], f)
				}
			}
		}
	}
}

// eachMessage calls do for each message that a field of m holds.
func (f *field) eachMessage(m protoreflect.Message, do func(protoreflect.Message)) {
	switch {
	case f.message == nil || !m.Has(f.desc):
	case f.list:
		list := m.Get(f.desc).List()
		for i := range list.Len() {
			do(list.Get(i).Message())
		}
	default:
		do(m.Get(f.desc).Message())
	}
}
