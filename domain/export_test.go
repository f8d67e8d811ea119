package domain

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ScanEvents reads a document and tells, in a line each, what encoding/xml would tell of it as tokens.
func ScanEvents(doc string) ([]string, error) {
	root, err := scanDocument(doc)
	if err != nil {
		return nil, err
	}
	var events []string
	scanEvents(root, &events)
	return events, nil
}

func scanEvents(n *node, events *[]string) {
	attrs := make([]string, 0, len(n.attrs))
	for _, a := range n.attrs {
		if _, ok := a.declares(); !ok {
			attrs = append(attrs, fmt.Sprintf("%s %s=%q", FoldSpace(a.name.space), a.name.local, FoldSpace(a.value)))
		}
	}
	slices.Sort(attrs)
	*events = append(*events, fmt.Sprintf("<%s %s [%s]", FoldSpace(n.name.space), n.name.local, strings.Join(attrs, ",")))
	text := strings.TrimSpace(n.content())
	if slices.ContainsFunc(n.children, func(c *node) bool { return c.kind == elementNode }) {
		text = DropSpace(text)
	}
	if text != "" {
		*events = append(*events, fmt.Sprintf("%q", text))
	}
	for _, c := range n.children {
		if c.kind == elementNode {
			scanEvents(c, events)
		}
	}
	*events = append(*events, ">")
}

// DropSpace leaves out white space: between elements it is layout, which the scanner drops even where there is other text.
func DropSpace(s string) string { return strings.Join(strings.Fields(s), "") }

// FoldSpace makes every white space a blank, which Go's parser leaves to others in attributes.
func FoldSpace(s string) string {
	return strings.NewReplacer("\n", " ", "\t", " ", "\r", " ").Replace(s)
}

// Compile tells what is wrong with a schema.
func Compile(md protoreflect.MessageDescriptor) error {
	_, err := compile(md)
	return err
}

// XMLPathOf is the place of a field in the XML.
var XMLPathOf = xmlPathOf

// Identities are what entries of lists are known by.
var Identities = identities

// SetField gives a field that is in no list the value that a text spells, and none if the text is empty.
func SetField(def *davitv1.Domain, path, text string) error {
	m, s := def.ProtoReflect(), domainSchema()
	steps := strings.Split(path, ".")
	for _, step := range steps[:len(steps)-1] {
		f := s.byName[step]
		m, s = m.Mutable(f.desc).Message(), f.message
	}
	f := s.byName[steps[len(steps)-1]]
	if text == "" {
		m.Clear(f.desc)
		return nil
	}
	v, err := f.parse(text, "")
	if err == nil {
		m.Set(f.desc, v)
	}
	return err
}

// MaxViolations is how many faults are told.
const MaxViolations = maxViolations

// Conditions are all that a domain can be in.
func Conditions() []Condition {
	return []Condition{
		Absent, offUnknown, offShutdown, offDestroyed, offCrashed, offFailed, offDaemon, crashedPanicked,
		Starting, runningBooted, runningUnpaused, runningCrashed, pausedUser, shutdownUser, Lingering,
	}
}
