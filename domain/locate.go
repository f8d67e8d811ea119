package domain

import (
	"strconv"
	"strings"
)

// xmlPathOf turns a place in the model, devices.filesystem[1].target_dir, into the one in the XML.
func xmlPathOf(fieldPath string) string {
	s := domainSchema()
	out := "/" + s.root.String()
	for step := range strings.SplitSeq(fieldPath, ".") {
		name, index, _ := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		if s == nil || s.byName[name] == nil {
			return out
		}
		f := s.byName[name]
		if f.opts.GetPath() != "." {
			out += "/" + f.opts.GetPath()
		}
		if i, err := strconv.Atoi(index); err == nil {
			out += "[" + strconv.Itoa(i+1) + "]"
		}
		s = f.message
	}
	return out
}

// isValue tells whether a place in the model is that of a single value, which an element has as its text.
func isValue(fieldPath string) bool {
	s := domainSchema()
	var f *field
	for step := range strings.SplitSeq(fieldPath, ".") {
		name, _, _ := strings.Cut(step, "[")
		if s == nil || s.byName[name] == nil {
			return false
		}
		f = s.byName[name]
		s = f.message
	}
	return f.message == nil && !f.keeps() && !f.opts.GetRaw()
}

// locate finds the place that an XML path names in a document, or the innermost one around it that is there.
func locate(root *node, xmlPath string, spaces []declaration) (offset int) {
	return locateIn(root, xmlPath, spaces, false)
}

// locateIn is locate that can give, for an element that is there, where its text begins.
func locateIn(root *node, xmlPath string, spaces []declaration, inText bool) (offset int) {
	steps := strings.Split(strings.TrimPrefix(xmlPath, "/"), "/")
	at := root
	for _, step := range steps[1:] {
		if name, ok := strings.CutPrefix(step, "@"); ok {
			if a := at.attr(name); a != nil {
				return a.offset
			}
			return at.offset
		}
		name, index, _ := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		n, err := strconv.Atoi(index)
		if err != nil {
			n = 1
		}
		next := nthChild(at, resolveStep(name, spaces), n)
		if next == nil {
			return at.offset
		}
		at = next
	}
	if inText {
		return at.textOffset()
	}
	return at.offset
}

// resolveStep gives a step of the schema its namespace.
func resolveStep(step string, spaces []declaration) xmlName {
	prefix, local, ok := strings.Cut(step, ":")
	if !ok {
		return xmlName{local: step}
	}
	return xmlName{prefix: prefix, local: local, space: declared(spaces, prefix)}
}

func nthChild(n *node, name xmlName, nth int) *node {
	for _, c := range n.children {
		if c.kind == elementNode && c.name.is(name) {
			if nth--; nth == 0 {
				return c
			}
		}
	}
	return nil
}
