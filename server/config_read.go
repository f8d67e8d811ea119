package server

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// maxConfig bounds the file.
const maxConfig = 1 << 20

// ReadConfig reads a file over a configuration. One that is not there changes nothing, unless it was asked for.
func ReadConfig(path string, required bool, base Config) (Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return ParseConfig("", path, base)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	if len(text) > maxConfig {
		return Config{}, fmt.Errorf("read configuration %q: %d bytes, the limit is %d", path, len(text), maxConfig)
	}
	return ParseConfig(string(text), path, base)
}

// ParseConfig reads text over a configuration and checks the whole. The error, a [domain.Error], has a violation for
// each fault, not the first only: keys that do not exist, with the nearest one that does, values of the wrong kind, and
// values that cannot be. The name is for messages.
func ParseConfig(text, name string, base Config) (Config, error) {
	var tree map[string]any
	p := parser{lines: keyLines(text)}
	if _, err := toml.Decode(text, &tree); err != nil {
		if syntax, ok := errors.AsType[toml.ParseError](err); ok {
			p.faults = []domain.Violation{{Line: syntax.Position.Line, Column: syntax.Position.Col, Message: syntax.Message}}
		} else {
			p.faults = []domain.Violation{{Message: err.Error()}}
		}
		return Config{}, p.error(name)
	}
	c := base
	p.table("", tree, reflect.ValueOf(&c).Elem())
	c.check(p.fault)
	if err := p.error(name); err != nil {
		return Config{}, err
	}
	return c, nil
}

// parser gathers what is wrong.
type parser struct {
	lines  map[string]int
	faults []domain.Violation
}

func (p *parser) fault(key, format string, args ...any) {
	line := p.lines[key]
	if line == 0 { // one of a list that is written on the line of its key
		line = p.lines[strings.TrimRight(key, "[]0123456789")]
	}
	p.faults = append(p.faults, domain.Violation{Field: key, Line: line, Message: fmt.Sprintf(format, args...)})
}

func (p *parser) error(name string) error {
	if len(p.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(p.faults, func(a, b domain.Violation) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field))
	})
	return &domain.Error{
		Code:       codes.InvalidArgument,
		Reason:     davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
		Op:         "read configuration",
		Subject:    name,
		Violations: p.faults,
	}
}

// table puts the keys of a TOML table into a struct.
func (p *parser) table(prefix string, tree map[string]any, into reflect.Value) {
	fields := make(map[string]reflect.Value)
	for i := range into.NumField() {
		fields[into.Type().Field(i).Tag.Get("toml")] = into.Field(i)
	}
	for key, value := range tree {
		full := prefix + key
		field, ok := fields[key]
		if !ok {
			p.fault(full, "no such key%s", nearest(full))
			continue
		}
		p.set(full, value, field)
	}
}

// set puts a value into a field of its kind.
func (p *parser) set(key string, value any, field reflect.Value) {
	switch v := value.(type) {
	case map[string]any:
		if field.Kind() == reflect.Struct {
			p.table(key+".", v, field)
			return
		}
	case string:
		if field.Kind() == reflect.String {
			field.SetString(v)
			return
		}
		if d, err := time.ParseDuration(v); err == nil && isDuration(field) {
			field.SetInt(int64(d))
			return
		}
	case bool:
		if field.Kind() == reflect.Bool {
			field.SetBool(v)
			return
		}
	case []any:
		if field.Kind() == reflect.Slice {
			p.list(key, v, field)
			return
		}
	case []map[string]any:
		if field.Kind() == reflect.Slice {
			var list []any
			for _, one := range v {
				list = append(list, one)
			}
			p.list(key, list, field)
			return
		}
	case int64:
		if field.CanInt() && !isDuration(field) {
			field.SetInt(v)
			return
		}
	}
	p.fault(key, "%v is not %s", value, kindWord(field))
}

// list puts the values of an array into a list. The first has the key "key[1]".
func (p *parser) list(key string, values []any, into reflect.Value) {
	into.SetZero()
	for i, value := range values {
		one := reflect.New(into.Type().Elem()).Elem()
		p.set(fmt.Sprintf("%s[%d]", key, i+1), value, one)
		into.Set(reflect.Append(into, one))
	}
}

// isDuration tells whether a key is how long something takes.
func isDuration(field reflect.Value) bool { return field.Type() == reflect.TypeFor[time.Duration]() }

func kindWord(field reflect.Value) string {
	if isDuration(field) {
		return `a duration in quotes, as in "36h" or "90s"`
	}
	switch field.Kind() {
	case reflect.Struct:
		return "a table"
	case reflect.Slice:
		if field.Type().Elem().Kind() == reflect.Struct {
			return "tables, each begun by a name in two brackets"
		}
		return "a list in brackets"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text in quotes"
	default:
		return "a whole number"
	}
}

// keyLines finds the line of each key. It knows the plain notation only, a header or a key at the start of a line; a
// key that is written in another way has no line.
func keyLines(text string) map[string]int {
	lines := make(map[string]int)
	count := make(map[string]int) // of tables of a list
	table := ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if header, ok := strings.CutPrefix(line, "[["); ok {
			header, _, _ = strings.Cut(header, "]")
			header = strings.TrimSpace(header)
			if count[header]++; count[header] == 1 {
				lines[header] = i + 1
			}
			header = fmt.Sprintf("%s[%d]", header, count[header])
			lines[header] = i + 1
			table = header + "."
			continue
		}
		if header, ok := strings.CutPrefix(line, "["); ok {
			header, _, _ = strings.Cut(header, "]")
			lines[strings.TrimSpace(header)] = i + 1
			table = strings.TrimSpace(header) + "."
			continue
		}
		if key, _, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			full := table + strings.TrimSpace(key)
			if _, seen := lines[full]; !seen {
				lines[full] = i + 1
			}
		}
	}
	return lines
}
