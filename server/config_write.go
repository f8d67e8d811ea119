package server

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// TOML writes the whole configuration as a file, each key with what it means.
func (c Config) TOML() string {
	var b strings.Builder
	b.WriteString("# Configuration of davitd. Every key may be left out.\n")
	v := reflect.ValueOf(c)
	writeKeys(&b, v)
	for i := range v.NumField() {
		if v.Field(i).Kind() != reflect.Struct {
			continue
		}
		b.WriteString("\n")
		writeDoc(&b, v.Type().Field(i))
		fmt.Fprintf(&b, "[%s]\n", v.Type().Field(i).Tag.Get("toml"))
		writeKeys(&b, v.Field(i))
		writeTables(&b, v.Type().Field(i).Tag.Get("toml")+".", v.Field(i))
	}
	return b.String()
}

// isTables tells whether a key is a list of tables.
func isTables(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

// writeTables writes the lists of tables in a table. One that is empty is shown as it would be, as a comment.
func writeTables(b *strings.Builder, prefix string, table reflect.Value) {
	for i := range table.NumField() {
		list, field := table.Field(i), table.Type().Field(i)
		if !isTables(field.Type) {
			continue
		}
		header := "[[" + prefix + field.Tag.Get("toml") + "]]\n"
		b.WriteString("\n")
		writeDoc(b, field)
		for n := range list.Len() {
			if n > 0 {
				b.WriteString("\n")
			}
			b.WriteString(header)
			writeKeys(b, list.Index(n))
		}
		if list.Len() == 0 {
			b.WriteString("#\n# " + header)
			var shown strings.Builder
			writeKeys(&shown, reflect.Zero(field.Type.Elem()))
			for line := range strings.Lines(shown.String()) {
				b.WriteString(strings.TrimRight("# "+strings.TrimPrefix(line, "# "), " "))
			}
		}
	}
}

// writeKeys writes the plain values of a table.
func writeKeys(b *strings.Builder, table reflect.Value) {
	for i := range table.NumField() {
		value, field := table.Field(i), table.Type().Field(i)
		if value.Kind() == reflect.Struct || isTables(field.Type) {
			continue
		}
		text := fmt.Sprint(value.Interface())
		switch {
		case value.Kind() == reflect.String || isDuration(value):
			text = quote(text)
		case value.Kind() == reflect.Slice:
			text = quoteAll(value)
		}
		b.WriteString("\n")
		writeDoc(b, field)
		fmt.Fprintf(b, "%s = %s\n", field.Tag.Get("toml"), text)
	}
}

// quoteAll writes a TOML array of strings.
func quoteAll(list reflect.Value) string {
	var all []string
	for i := range list.Len() {
		all = append(all, quote(list.Index(i).String()))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// quote writes a TOML basic string. Its escapes are Go's, but for those that it does not have.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// docWidth is where comments are broken.
const docWidth = 98

func writeDoc(b *strings.Builder, field reflect.StructField) {
	line := "#"
	for word := range strings.FieldsSeq(field.Tag.Get("doc")) {
		if len(line)+1+len(word) > docWidth {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

// configKeys lists every key of the configuration, those of tables with the table's name and a dot before them.
func configKeys() []string {
	var keys []string
	var add func(prefix string, t reflect.Type)
	add = func(prefix string, t reflect.Type) {
		for field := range t.Fields() {
			key := prefix + field.Tag.Get("toml")
			keys = append(keys, key)
			switch {
			case field.Type.Kind() == reflect.Struct:
				add(key+".", field.Type)
			case isTables(field.Type):
				add(key+".", field.Type.Elem())
			}
		}
	}
	add("", reflect.TypeFor[Config]())
	return keys
}

// ordinal is the number of a place in a list.
var ordinal = regexp.MustCompile(`\[\d+\]`)

// nearest proposes the key that somebody may have meant: one that differs by a few letters, or has the same last word.
func nearest(key string) string {
	key = ordinal.ReplaceAllString(key, "")
	best, distance := "", 1+max(2, len(key)/3)
	for _, known := range configKeys() {
		if d := editDistance(key, known); d < distance {
			best, distance = known, d
		}
		if _, last, ok := strings.Cut(known, "."); ok && last == key {
			return ", is " + strconv.Quote(known) + " meant?"
		}
	}
	if best == "" {
		return ""
	}
	return ", is " + strconv.Quote(best) + " meant?"
}

// editDistance counts the letters to insert, remove or change (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
