package domain

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// parse reads a value of the field, or of one entry of a list, as XML spells it. unit is the unit as the document gives
// it, empty for the field's own. Strings are kept as they are, the others may have blanks around. No value holds on to
// the document that it came from.
func (f *field) parse(text, unit string) (protoreflect.Value, error) {
	if f.kind == protoreflect.StringKind {
		return protoreflect.ValueOfString(strings.Clone(text)), nil
	}
	text = strings.Trim(text, " \t\r\n")
	switch f.kind {
	case protoreflect.BoolKind:
		yes, no := f.boolWords()
		if text != yes && text != no {
			return protoreflect.Value{}, oneOf(text, []string{yes, no})
		}
		return protoreflect.ValueOfBool(text == yes), nil
	case protoreflect.EnumKind:
		n, ok := f.words.numbers[text]
		if !ok {
			return protoreflect.Value{}, oneOf(text, f.words.list)
		}
		return protoreflect.ValueOfEnum(n), nil
	default:
	}
	if f.opts.GetUnit() != davitv1.XmlUnit_XML_UNIT_UNSPECIFIED {
		n, err := parseSize(text, unit, f.opts.GetUnit())
		return protoreflect.ValueOfUint64(n), err
	}
	return f.parseNumber(text)
}

// parseNumber reads a number of the field. One that has a value where the document gives none cannot be 0, which is none.
func (f *field) parseNumber(text string) (protoreflect.Value, error) {
	v, err := parseNumber(f.kind, text)
	if err == nil && f.hasPre && !f.desc.HasPresence() && v.Equal(f.desc.Default()) {
		return v, fmt.Errorf("%s is not a number above 0; without one it is %s", quote(text), f.opts.GetDefaultValue())
	}
	return v, err
}

// idle are words of libvirt that stand for nothing in a container, by the field that would hold them, with the reason. They
// are not kept.
var idle = map[protoreflect.FullName]map[string]string{
	"davit.v1.Clock.adjustment": {"reset": "containers have the host's clock, which no guest has adjusted"},
}

func (f *field) boolWords() (yes, no string) {
	if f.opts.GetOnOff() {
		return "on", "off"
	}
	return "yes", "no"
}

// oneOf says which words were expected, and which of them may have been meant.
func oneOf(got string, want []string) error {
	if len(want) == 1 {
		return fmt.Errorf("%s is not %s", quote(got), want[0])
	}
	return fmt.Errorf("%s is not one of %s%s", quote(got), strings.Join(want, ", "), meant(got, want))
}

// parseNumber reads a decimal number.
func parseNumber(kind protoreflect.Kind, text string) (protoreflect.Value, error) {
	bits := 64
	if kind == protoreflect.Uint32Kind || kind == protoreflect.Int32Kind {
		bits = 32
	}
	var u uint64
	var i int64
	var err error
	signed := kind == protoreflect.Int32Kind || kind == protoreflect.Int64Kind
	if signed {
		i, err = strconv.ParseInt(text, 10, bits)
	} else {
		u, err = strconv.ParseUint(text, 10, bits)
	}
	if err != nil {
		return protoreflect.Value{}, fmt.Errorf("%s is not %s", quote(text), numberRange(signed, bits))
	}
	switch kind {
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(u)), nil
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(i)), nil
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(i), nil
	default:
		return protoreflect.ValueOfUint64(u), nil
	}
}

func numberRange(signed bool, bits int) string {
	if signed {
		return fmt.Sprintf("a number from %d to %d", int64(-1)<<(bits-1), int64(1)<<(bits-1)-1)
	}
	return fmt.Sprintf("a number from 0 to %d", ^uint64(0)>>(64-bits))
}

// format spells a value of the field as XML and the other notations do.
func (f *field) format(v protoreflect.Value) string {
	switch f.kind {
	case protoreflect.BoolKind:
		yes, no := f.boolWords()
		if v.Bool() {
			return yes
		}
		return no
	case protoreflect.EnumKind:
		return f.words.byValue[v.Enum()]
	case protoreflect.StringKind:
		return v.String()
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return strconv.FormatInt(v.Int(), 10)
	default:
		return strconv.FormatUint(v.Uint(), 10)
	}
}
