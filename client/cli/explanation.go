package cli

import (
	"fmt"
	"strings"

	"github.com/davitd/davit/domain/explain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// explanation is what is told of a place of the schema.
type explanation struct {
	app     *app
	entry   *explain.Entry
	lacking []*davitv1.Finding
	below   []*explain.Entry // all of them, if they were asked for
}

// explainWidth is how many cells a line of prose takes.
const explainWidth = 78

func (x *explanation) print() {
	a, e := x.app, x.entry
	a.print("%s\n\n%s\n", e.Path, wrapped(e.Meaning, "  "))
	x.line("XML", e.XML)
	x.line("Written", e.Spelling)
	x.line("Type", noted(kindOf(e), e))
	x.line("Range", e.Range)
	if e.Unit != "" {
		x.line("Unit", fmt.Sprintf("%s; another in the XML's %s", e.Unit, e.UnitAttr))
	}
	x.line("Default", e.Default)
	x.line("Changes", changesText(e))
	if e.NotHonoured != "" {
		x.line("Kept", "not acted on: "+e.NotHonoured)
	}
	if len(e.Kept) > 0 {
		x.line("Elements", strings.Join(e.Kept, ", "))
	}
	for _, f := range x.lacking {
		x.finding(f)
	}
	for i, v := range e.Values {
		if i == 0 {
			a.print("\nVALUES\n")
		}
		a.print("  %s\n%s", v.Word, wrapped(v.Meaning, "      "))
	}
	x.printFields()
}

// line is a label and what it is about, if that is anything.
func (x *explanation) line(label, value string) {
	if value == "" {
		return
	}
	a, margin := x.app, strings.Repeat(" ", 16)
	a.print("%-16s%s", label+":", strings.TrimPrefix(wrapped(value, margin), margin))
}

// finding tells what the host lacks. It is the daemon's word: nothing of it acts on a terminal.
func (x *explanation) finding(f *davitv1.Finding) {
	text := fmt.Sprintf("%s, %s: %s", cell(f.GetSubject()), healthWord(f.GetHealth()), cell(f.GetSeen()))
	if f.GetRemedy() != "" {
		text += "; remedy: " + cell(f.GetRemedy())
	}
	x.line("This host", text)
}

// printFields lists what is below: a line or two each, or all of it as a tree.
func (x *explanation) printFields() {
	if len(x.below) == 0 && len(x.entry.Children) == 0 {
		return
	}
	a := x.app
	a.print("\nFIELDS\n")
	if len(x.below) == 0 {
		for _, c := range x.entry.Children {
			name := c.Path[strings.LastIndexByte(c.Path, '.')+1:]
			a.print("  %s  <%s>\n%s", name, typeOf(c), wrapped(sentence(c.Meaning), "      "))
		}
		return
	}
	depth := strings.Count(x.entry.Path, ".") + 1
	for _, c := range x.below {
		indent := strings.Repeat("  ", strings.Count(c.Path, ".")-depth+1)
		name := c.Path[strings.LastIndexByte(c.Path, '.')+1:]
		a.print("%s%s  <%s>\n", indent, name, typeOf(c))
	}
}

// kindOf says what can be written at a place.
func kindOf(e *explain.Entry) string {
	switch {
	case e.Message != "":
		return e.Message
	case e.Kind == explain.Raw:
		return "XML"
	case e.Kind == explain.Flag:
		return "flag: an empty element, or none"
	}
	return string(e.Kind)
}

// typeOf is kindOf with the words themselves, if there are some.
func typeOf(e *explain.Entry) string {
	if len(e.Values) == 0 {
		return noted(kindOf(e), e)
	}
	var words []string
	for _, v := range e.Values {
		words = append(words, v.Word)
	}
	return noted(strings.Join(words, ", "), e)
}

// noted adds how often, and by whom.
func noted(text string, e *explain.Entry) string {
	for _, note := range []struct {
		applies bool
		text    string
	}{{e.List, "any number"}, {e.Required, "required"}, {e.Output, "output only"}} {
		if note.applies {
			text += "; " + note.text
		}
	}
	return text
}

// changesText says when a change takes effect, empty where it has none or that is another's business.
func changesText(e *explain.Entry) string {
	var word string
	switch e.Effect {
	case davitv1.ChangeEffect_CHANGE_EFFECT_LIVE:
		word = "live: a running domain can be changed, too"
	case davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT:
		word = "at the next boot"
	case davitv1.ChangeEffect_CHANGE_EFFECT_REDEFINE:
		word = "never"
	default:
		return ""
	}
	if e.EffectReason != "" {
		word += ": " + e.EffectReason
	}
	return word
}

// wrapped is prose in lines of no more than explainWidth cells, each after an indent and with its end.
func wrapped(text, indent string) string {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := ""
		for word := range strings.FieldsSeq(paragraph) {
			switch {
			case line == "":
				line = word
			case cells(indent)+cells(line)+1+cells(word) > explainWidth:
				b.WriteString(indent + line + "\n")
				line = word
			default:
				line += " " + word
			}
		}
		b.WriteString(strings.TrimRight(indent+line, " ") + "\n")
	}
	return b.String()
}

// data is the explanation for programs.
func (x *explanation) data() object {
	o := append(entryData(x.entry), member{"host", findings(x.lacking)})
	if x.below != nil {
		return append(o, member{"fields", fieldsData(x.below)})
	}
	return append(o, member{"fields", fieldsData(x.entry.Children)})
}

func findings(list []*davitv1.Finding) []any {
	all := []any{}
	for _, f := range list {
		all = append(all, f)
	}
	return all
}

func fieldsData(entries []*explain.Entry) []any {
	all := []any{}
	for _, e := range entries {
		all = append(all, entryData(e))
	}
	return all
}

// entryData is an entry without what is below it.
func entryData(e *explain.Entry) object {
	values := []any{}
	for _, v := range e.Values {
		values = append(values, object{{"word", v.Word}, {"meaning", v.Meaning}})
	}
	kept := []any{}
	for _, name := range e.Kept {
		kept = append(kept, name)
	}
	effect := enumWord(e.Effect.Descriptor(), e.Effect.Number())
	if e.Effect == davitv1.ChangeEffect_CHANGE_EFFECT_UNSPECIFIED {
		effect = ""
	}
	return object{
		{"path", e.Path},
		{"xml", e.XML},
		{"spelling", e.Spelling},
		{"meaning", e.Meaning},
		{"kind", string(e.Kind)},
		{"message", e.Message},
		{"list", e.List},
		{"required", e.Required},
		{"values", values},
		{"range", e.Range},
		{"default", e.Default},
		{"unit", e.Unit},
		{"unit_attribute", e.UnitAttr},
		{"effect", effect},
		{"effect_reason", e.EffectReason},
		{"not_honoured", e.NotHonoured},
		{"output_only", e.Output},
		{"kept", kept},
	}
}
