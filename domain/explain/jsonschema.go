package explain

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// schemaID names the JSON Schema.
const schemaID = "https://github.com/davitd/davit/schemas/domain.schema.json"

// object is a JSON object in the order of its members.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		value, err := encode(m.value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(strconv.AppendQuote(b, m.name), ':'), value...)
	}
	return append(b, '}'), nil
}

// encode writes a value with its "<" and "&" as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// JSONSchema is the schema of the definition in JSON and YAML, of draft 2020-12, with the meaning of each field. Like
// [Reference.RelaxNG] it refuses what the schema does not know, and what cannot be where one place tells. It also refuses null,
// which the codec takes for a field that is not set: an editor had better not offer it.
func (r *Reference) JSONSchema() (string, error) {
	defs := object{}
	r.define(r.root, map[string]bool{}, &defs)
	doc, err := encode(object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", schemaID},
		{"$comment", "Written by go test ./domain/explain -update from the annotations and comments of proto/davit/v1/*.proto."},
		{"title", "A domain of davit"},
		{"$ref", reference(string(r.root.desc.Name()))},
		{"$defs", defs},
	})
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = json.Indent(&b, doc, "", "  ")
	return b.String() + "\n", err
}

func reference(name string) string { return "#/$defs/" + name }

// define adds a message, and what it holds.
func (r *Reference) define(m *message, done map[string]bool, defs *object) {
	name := string(m.desc.Name())
	if done[name] {
		return
	}
	done[name] = true
	properties, needed := object{}, []string{}
	for _, f := range m.fields {
		properties = append(properties, member{f.name, r.property(f)})
		if r.requires(f) {
			needed = append(needed, f.name)
		}
	}
	def := object{
		{"description", r.comment(m.desc.FullName())}, {"type", "object"}, {"properties", properties}, {"additionalProperties", false},
	}
	if len(needed) > 0 {
		def = append(def, member{"required", needed})
	}
	*defs = append(*defs, member{name, def})
	for _, f := range m.fields {
		if f.message != nil {
			r.define(f.message, done, defs)
		}
		if ed := f.desc.Enum(); ed != nil && !done[string(ed.Name())] {
			done[string(ed.Name())] = true
			*defs = append(*defs, member{string(ed.Name()), object{
				{"description", r.comment(ed.FullName())}, {"oneOf", words(r.values(ed))},
			}})
		}
	}
}

// words are those of an enum, each with its meaning.
func words(values []Value) []object {
	var all []object
	for _, v := range values {
		all = append(all, object{{"const", v.Word}, {"description", v.Meaning}})
	}
	return all
}

// property is the schema of a field.
func (r *Reference) property(f *field) object {
	p := object{{"description", r.told(f)}}
	if f.keeps() {
		p[0].value = r.comment(f.desc.FullName()) + " Not acted on."
	}
	value := r.valueSchema(f)
	if f.desc.IsList() {
		value = object{{"type", "array"}, {"items", value}}
	}
	p = append(p, value...)
	if f.opts.GetDefaultValue() != "" {
		p = append(p, member{"default", f.defaultJSON()})
	}
	if f.opts.GetLive() {
		p = append(p, member{"readOnly", true})
	}
	return p
}

// valueSchema is what the field, or an entry of its list, may be.
func (r *Reference) valueSchema(f *field) object {
	switch f.kind() {
	case Group:
		return object{{"$ref", reference(string(f.message.desc.Name()))}}
	case Word:
		return object{{"$ref", reference(string(f.desc.Enum().Name()))}}
	case Switch, Flag:
		return object{{"type", "boolean"}}
	case Number, Size:
		return numbers(f.spans())
	default:
	}
	p := object{{"type", "string"}}
	if r.requires(f) {
		p = append(p, member{"minLength", 1})
	}
	return p
}

// numbers are whole numbers of some runs.
func numbers(spans []span) object {
	bounds := func(s span) object {
		return object{{"minimum", s.min}, {"maximum", s.max}}
	}
	p := object{{"type", "integer"}}
	if len(spans) == 1 {
		return append(p, bounds(spans[0])...)
	}
	var either []object
	for _, s := range spans {
		either = append(either, bounds(s))
	}
	return append(p, member{"anyOf", either})
}

// defaultJSON is the field's default as JSON has it.
func (f *field) defaultJSON() any {
	text := f.opts.GetDefaultValue()
	switch f.kind() {
	case Number, Size:
		return json.Number(text)
	case Switch:
		yes, _ := f.boolWords()
		return text == yes
	default:
		return text
	}
}
