package plain_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// nested are groups within groups, of a field that no message has.
func nested(depth int) []byte {
	begin := protowire.AppendTag(nil, 99, protowire.StartGroupType)
	end := protowire.AppendTag(nil, 99, protowire.EndGroupType)
	return slices.Concat(bytes.Repeat(begin, depth), bytes.Repeat(end, depth))
}

// malformed are bytes that a Hello must not be, and some at the edge of it.
var malformed = [][]byte{
	{0x08},                               // no value
	{0x08, 0x80},                         // half a number
	{0x12, 5, 'a'},                       // half a text
	{0x12, 1, 0xff},                      // no UTF-8
	{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}, // a text of 4 GiB
	{0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},       // of all bytes there can be
	{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},       // the greatest number
	{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02},       // one with more than 64 bits
	{0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, // one of more than ten bytes
	{0x00, 0},                         // field 0
	{0xf8, 0xff, 0xff, 0xff, 0x0f, 0}, // the greatest field
	{0x80, 0x80, 0x80, 0x80, 0x10, 0}, // one behind it
	{0x0e},                            // of encoding 6
	{0x0f},                            // of encoding 7
	{0x0d, 1, 2, 3},                   // three bytes of four
	{0x0d, 1, 2, 3, 4},                // a known field, encoded otherwise
	{0x09, 1, 2, 3, 4, 5, 6, 7, 8},    // and again
	{0x11, 1, 2, 3, 4, 5, 6, 7},       // seven bytes of eight
	{0x0c},                            // the end of a group that did not begin
	{0x9b, 6, 0x08, 1, 0x9c, 6},       // a group
	{0x9b, 6, 0x08, 1},                // one without an end
	{0x9b, 6, 0x94, 6},                // one with another's end
	{0x9b, 6, 0x00, 0, 0x9c, 6},       // one with a field 0 in it
	{0x9b, 6, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 0x9c, 6}, // one with a field that is too great outside
	nested(10_000), nested(10_001), nested(10_002),
}

// What is no message is refused, by the same rules as those of package proto.
func TestMalformed(t *testing.T) {
	for _, data := range malformed {
		hold(t, travelling[0].fresh(t), data)
	}
	for _, data := range [][]byte{malformed[0], malformed[2], malformed[3], malformed[7], malformed[9], nested(10_002)} {
		if err := plain.Parse(data, &monitorv1.Hello{}); err == nil {
			t.Errorf("%.20x is decoded", data)
		}
	}
}

// A field that comes twice: the last number counts, lists grow, messages are one of the fields of both, and of a oneof the last is left.
func TestTwice(t *testing.T) {
	both := func(a, b plain.Message) []byte {
		t.Helper()
		data, err := plain.Append(nil, a)
		if err == nil {
			data, err = plain.Append(data, b)
		}
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	plan := new(monitorv1.Plan)
	if err := plain.Parse(both(
		&monitorv1.Plan{Name: "a", Held: []string{"x"}, Namespaces: &monitorv1.Namespaces{User: true}},
		&monitorv1.Plan{Name: "b", Held: []string{"y"}, Namespaces: &monitorv1.Namespaces{Net: true}},
	), plan); err != nil {
		t.Fatal(err)
	}
	want := &monitorv1.Plan{Name: "b", Held: []string{"x", "y"}, Namespaces: &monitorv1.Namespaces{User: true, Net: true}}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Error(diff)
	}
	exit := new(monitorv1.Exit)
	if err := plain.Parse(both(
		&monitorv1.Exit{How: &monitorv1.Exit_Code{Code: 3}}, &monitorv1.Exit{How: &monitorv1.Exit_Signal{}},
	), exit); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&monitorv1.Exit{How: &monitorv1.Exit_Signal{}}, exit); diff != "" {
		t.Error(diff)
	}
}

// Strings that are not UTF-8 do not travel, as with package proto.
func TestUTF8(t *testing.T) {
	if _, err := plain.Append(nil, &monitorv1.Hello{Version: "\xff"}); err == nil {
		t.Error("a string that is not UTF-8 is encoded")
	}
	if err := plain.Parse([]byte{0x12, 1, 0xff}, &monitorv1.Hello{}); err == nil {
		t.Error("a string that is not UTF-8 is decoded")
	}
}

// A copy says the same, whatever is in its strings, and shares nothing with what it was made of.
func TestClone(t *testing.T) {
	plan := &monitorv1.Plan{Name: "\xff", Held: []string{"a"}, Init: &monitorv1.Process{Seccomp: []byte{1, 2}}}
	c := plain.Clone(plan)
	if diff := cmp.Diff(plan, c); diff != "" {
		t.Fatal(diff)
	}
	c.Held[0], c.Init.Seccomp[0] = "b", 9
	if plan.Held[0] != "a" || plan.Init.Seccomp[0] != 1 {
		t.Errorf("a change of the copy changes %+v", plan)
	}
	if c := plain.Clone[monitorv1.Plan](nil); c == nil || !plain.Equal(c, &monitorv1.Plan{}) {
		t.Errorf("a copy of nothing is %+v", c)
	}
}

func TestEqual(t *testing.T) {
	a := func() *monitorv1.Exit { return &monitorv1.Exit{How: &monitorv1.Exit_Code{}, TimeUnixNs: 1} }
	if !plain.Equal(a(), a()) {
		t.Error("two of the same are not equal")
	}
	for name, b := range map[string]*monitorv1.Exit{
		"nothing": nil, "empty": {}, "another time": {How: &monitorv1.Exit_Code{}, TimeUnixNs: 2}, "no code": {TimeUnixNs: 1},
		"another way": {How: &monitorv1.Exit_Signal{}, TimeUnixNs: 1},
	} {
		if plain.Equal(a(), b) {
			t.Errorf("it is equal to %s", name)
		}
	}
	if !plain.Equal(&monitorv1.Plan{Held: []string{}}, &monitorv1.Plan{}) || plain.Equal(&monitorv1.Plan{Held: []string{""}}, &monitorv1.Plan{}) {
		t.Error("lists are not told apart by their elements")
	}
}

// A value of an enumeration has the name of the .proto file, and one of a release to come its number.
func TestEnumeration(t *testing.T) {
	for value, want := range map[monitorv1.Phase]string{
		monitorv1.Phase_PHASE_RUNNING: "PHASE_RUNNING", 0: "PHASE_UNSPECIFIED", 99: "99", -1: "-1",
	} {
		if got := value.String(); got != want {
			t.Errorf("%d is %q, want %q", int32(value), got, want)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	data := &monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Data{Data: &monitorv1.StreamData{
		Offset: 1 << 30, Data: make([]byte, 16<<10),
	}}}
	for b.Loop() {
		encoded, err := plain.Append(nil, data)
		if err == nil {
			err = plain.Parse(encoded, &monitorv1.StreamOutput{})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
