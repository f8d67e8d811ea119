package domain

import (
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// words are the spellings of an enum. The value 0 has none: it is a field that is not set.
type words struct {
	list    []string // in order of declaration
	numbers map[string]protoreflect.EnumNumber
	byValue map[protoreflect.EnumNumber]string
}

// newWords derives the spellings: the value's name less the enum's prefix, in lower case, with "-" for "_", unless the
// value says otherwise.
func newWords(ed protoreflect.EnumDescriptor) (*words, error) {
	w := &words{numbers: map[string]protoreflect.EnumNumber{}, byValue: map[protoreflect.EnumNumber]string{}}
	prefix := enumPrefix(string(ed.Name()))
	for i := range ed.Values().Len() {
		v := ed.Values().Get(i)
		if v.Number() == 0 {
			continue
		}
		name, ok := strings.CutPrefix(string(v.Name()), prefix)
		word := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if o, _ := proto.GetExtension(v.Options(), davitv1.E_XmlValue).(*davitv1.XmlEnumValue); o.GetWord() != "" {
			word, ok = o.GetWord(), true
		}
		if !ok {
			return nil, fmt.Errorf("enum value %s has no prefix %s and no word", v.Name(), prefix)
		}
		if _, twice := w.numbers[word]; twice {
			return nil, fmt.Errorf("enum %s has the word %q twice", ed.Name(), word)
		}
		w.numbers[word] = v.Number()
		w.byValue[v.Number()] = word
		w.list = append(w.list, word)
	}
	return w, nil
}

// EnumWord is how a value of one of the schema's enums is spelt in XML, JSON and YAML; empty for 0, which is a field that
// is not set, and for a value that there is not.
func EnumWord(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	w, err := newWords(ed)
	if err != nil {
		return "" // of another schema
	}
	return w.byValue[n]
}

// enumPrefix is the prefix of an enum's values: FooBar's is FOO_BAR_.
func enumPrefix(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String() + "_"
}
