package explain_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/domain/explain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// everything is the definition that has nearly everything.
func everything(t *testing.T) *davitv1.Domain {
	t.Helper()
	return canonical(t, "everything")
}

// canonical is one of the definitions that have each field between them.
func canonical(t *testing.T, name string) *davitv1.Domain {
	t.Helper()
	def, _, err := domain.ParseXML([]byte(golden(t, ".xml")[name+".out.xml"]), domain.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// found visits the messages in a message, the first entry of each list, with their paths.
func found(m protoreflect.Message, path string, visit func(path string, m protoreflect.Message)) {
	visit(path, m)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		below := strings.TrimPrefix(path+"."+string(fd.Name()), ".")
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			found(v.List().Get(0).Message(), below+"[0]", visit)
		default:
			found(v.Message(), below, visit)
		}
		return true
	})
}

// faulty tells whether a definition is refused for this field.
func faulty(def *davitv1.Domain, field string) bool {
	var e *domain.Error
	if !errors.As(domain.Validate(def), &e) {
		return false
	}
	for _, v := range e.Violations {
		if v.Field == field || strings.HasPrefix(v.Field, field+".") {
			return true
		}
	}
	return false
}

// TestLimits holds the numbers that are told to those that are taken: the ends of each run are, what is beside them is not.
func TestLimits(t *testing.T) {
	limits := explain.Limits()
	for _, name := range []string{"everything", "interfaces", "tuning"} {
		tryLimits(t, canonical(t, name), limits)
	}
	for name := range limits {
		t.Errorf("the documents that have everything have no %s", name)
	}
}

// tryLimits tries those of the fields that a definition has, and takes them out.
func tryLimits(t *testing.T, def *davitv1.Domain, limits map[string][]explain.Span) {
	t.Helper()
	found(def.ProtoReflect(), "", func(path string, m protoreflect.Message) {
		for name, spans := range limits {
			group, field, _ := strings.Cut(name, ".")
			if string(m.Descriptor().Name()) != group {
				continue
			}
			delete(limits, name)
			fd := m.Descriptor().Fields().ByName(protoreflect.Name(field))
			try := func(n int64, want bool) {
				old := m.Get(fd)
				defer m.Set(fd, old)
				v, ok := number(fd, n)
				if !ok {
					return
				}
				m.Set(fd, v)
				if got := !faulty(def, strings.TrimPrefix(path+"."+field, ".")); got != want {
					t.Errorf("%s of %s: %d is taken: %v", field, path, n, got)
				}
			}
			for _, s := range spans {
				if name != "Restart.max_delay_ms" { // the first delay may raise it
					try(s.Min, true)
				}
				if !related[name] {
					try(int64(s.Max), true)
				}
				if s.Min > math.MinInt64 && !within(s.Min-1, spans) {
					try(s.Min-1, false)
				}
				if !within(int64(s.Max)+1, spans) {
					try(int64(s.Max)+1, false)
				}
			}
		}
	})
}

// related are the fields for which other fields may lower the greatest number: an address is of IPv4, a range has a length.
var related = map[string]bool{
	"IdRange.target": true, "IpAddress.prefix": true, "Route.prefix": true, "Restart.delay_ms": true,
}

func within(n int64, spans []explain.Span) bool {
	for _, s := range spans {
		if n >= s.Min && (n < 0 || uint64(n) <= s.Max) {
			return true
		}
	}
	return false
}

// number is a value of a field, if its kind holds it.
func number(fd protoreflect.FieldDescriptor, n int64) (protoreflect.Value, bool) {
	switch fd.Kind() {
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n)), n >= 0 && n <= math.MaxUint32
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n)), n >= 0
	default:
		return protoreflect.ValueOfInt64(n), true
	}
}

// TestRequired holds what is said to be required to what is refused for want of it.
func TestRequired(t *testing.T) {
	def := everything(t)
	ref := explain.New()
	tried := 0
	found(def.ProtoReflect(), "", func(path string, m protoreflect.Message) {
		for i := range m.Descriptor().Fields().Len() {
			fd := m.Descriptor().Fields().Get(i)
			field := strings.TrimPrefix(path+"."+string(fd.Name()), ".")
			e, err := ref.Lookup(field)
			if err != nil {
				t.Fatal(err)
			}
			if !e.Required {
				continue
			}
			tried++
			old := m.Get(fd)
			m.Clear(fd)
			if !faulty(def, field) {
				t.Errorf("%s is said to be required, and is not", field)
			}
			m.Set(fd, old)
		}
	})
	if tried < 7 {
		t.Errorf("%d fields are required: they are not looked at as they should be", tried)
	}
}
