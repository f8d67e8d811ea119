package oci

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/domain"
)

// filler sets Go's own form of a document, the types of OCI's specs-go, from its nodes. Unlike encoding/json it tells every value of
// the wrong kind and not the first alone, takes names only as they are spelt, and marks what it does not know.
type filler struct {
	report *convert.Report
	file   string
	types  map[reflect.Type]map[string][]int // fields by their names in JSON
	hints  int
}

func (f *filler) fault(n *node, path, format string, args ...any) {
	value := n.text
	if n.kind == isObject || n.kind == isList {
		value = ""
	}
	f.report.Fault(convert.Place{File: f.file, Line: n.line, Name: path}, value, format, args...)
}

// fill sets v from n.
func (f *filler) fill(n *node, v reflect.Value, path string) {
	if n.kind == isNull {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(n, v.Elem(), path)
	case reflect.Struct:
		f.object(n, v, path)
	case reflect.Map:
		f.names(n, v, path)
	case reflect.Slice:
		f.list(n, v, path)
	case reflect.String:
		if f.expect(n, isString, path) {
			v.SetString(n.text)
		}
	case reflect.Bool:
		if f.expect(n, isBool, path) {
			v.SetBool(n.text == "true")
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		if i, err := strconv.ParseInt(n.text, 10, v.Type().Bits()); f.number(n, v, path, err) {
			v.SetInt(i)
		}
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if i, err := strconv.ParseUint(n.text, 10, v.Type().Bits()); f.number(n, v, path, err) {
			v.SetUint(i)
		}
	default: // of other systems; nobody reads it
	}
}

func (f *filler) expect(n *node, k kind, path string) bool {
	if n.kind != k {
		f.fault(n, path, "is %s, not %s", n.kind, k)
	}
	return n.kind == k
}

// number tells of what is no number, or none of its type.
func (f *filler) number(n *node, v reflect.Value, path string, err error) bool {
	if !f.expect(n, isNumber, path) {
		return false
	}
	if err != nil {
		from, bits := "from 0", v.Type().Bits()
		if v.CanInt() {
			from = "of either sign"
		}
		f.fault(n, path, "is not a whole number %s with %d bits", from, bits)
	}
	return err == nil
}

func (f *filler) object(n *node, v reflect.Value, path string) {
	if !f.expect(n, isObject, path) {
		return
	}
	fields := f.fields(v.Type())
	for _, m := range n.members {
		index, ok := fields[m.name]
		if !ok {
			m.value.unknown = true
			m.value.near = f.near(m.name, fields)
			continue
		}
		f.fill(m.value, v.FieldByIndex(index), below(path, m.name))
	}
}

func (f *filler) names(n *node, v reflect.Value, path string) {
	if !f.expect(n, isObject, path) {
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.members)))
	for _, m := range n.members {
		value := reflect.New(v.Type().Elem()).Elem()
		f.fill(m.value, value, entryName(path, m.name))
		v.SetMapIndex(reflect.ValueOf(m.name).Convert(v.Type().Key()), value)
	}
}

func (f *filler) list(n *node, v reflect.Value, path string) {
	if !f.expect(n, isList, path) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		f.fill(item, v.Index(i), entry(path, i))
	}
}

// fields are the fields of a type by their names.
func (f *filler) fields(t reflect.Type) map[string][]int {
	if known, ok := f.types[t]; ok {
		return known
	}
	fields := map[string][]int{}
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
			fields[name] = field.Index
		}
	}
	f.types[t] = fields
	return fields
}

func (f *filler) near(name string, fields map[string][]int) string {
	if f.hints++; f.hints > convert.MaxWarnings {
		return ""
	}
	known := make([]string, 0, len(fields))
	for k := range fields {
		if strings.EqualFold(k, name) {
			return k
		}
		known = append(known, k)
	}
	return strings.Join(domain.Nearest(name, sorted(known)), " or ")
}

// below is the path of a field.
func below(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// entry is the path of an item of a list.
func entry(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// entryName is the path of what a name in a map stands for.
func entryName(path, name string) string { return fmt.Sprintf("%s[%s]", path, strconv.Quote(name)) }

// sorted sorts a list and gives it.
func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
