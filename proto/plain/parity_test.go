package plain_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/internal/monitorpb"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// pair is a message in two notations.
type pair struct {
	plain plain.Message
	full  proto.Message
}

// travelling are the messages that travel. What is in them is held against protobuf with them.
var travelling = []pair{
	{&monitorv1.Hello{}, &monitorpb.Hello{}},
	{&monitorv1.Error{}, &monitorpb.Error{}},
	{&monitorv1.MonitorRequest{}, &monitorpb.MonitorRequest{}},
	{&monitorv1.MonitorResponse{}, &monitorpb.MonitorResponse{}},
	{&monitorv1.MonitorEvent{}, &monitorpb.MonitorEvent{}},
	{&monitorv1.Ack{}, &monitorpb.Ack{}},
	{&monitorv1.Furnishing{}, &monitorpb.Furnishing{}},
	{&monitorv1.Furnished{}, &monitorpb.Furnished{}},
	{&monitorv1.StreamInput{}, &monitorpb.StreamInput{}},
	{&monitorv1.StreamOutput{}, &monitorpb.StreamOutput{}},
	{&monitorv1.KeeperRequest{}, &monitorpb.KeeperRequest{}},
	{&monitorv1.KeeperResponse{}, &monitorpb.KeeperResponse{}},
	{&monitorv1.Assign{}, &monitorpb.Assign{}},
	{&monitorv1.Plan{}, &monitorpb.Plan{}},
}

// fresh gives a new one of each, both empty.
func (p pair) fresh(t *testing.T) pair {
	t.Helper()
	made, ok := reflect.TypeAssert[plain.Message](reflect.New(reflect.TypeOf(p.plain).Elem()))
	if !ok {
		t.Fatalf("%T is no message", p.plain)
	}
	return pair{made, p.full.ProtoReflect().New().Interface()}
}

// No message of the protocol is left out here.
func TestEveryMessageTravels(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var visit func(protoreflect.MessageDescriptor)
	visit = func(d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] {
			return
		}
		seen[d.FullName()] = true
		for i := range d.Fields().Len() {
			if inner := d.Fields().Get(i).Message(); inner != nil {
				visit(inner)
			}
		}
	}
	for _, p := range travelling {
		visit(p.full.ProtoReflect().Descriptor())
	}
	for _, file := range []protoreflect.FileDescriptor{
		monitorpb.File_davit_monitor_v1_monitor_proto, monitorpb.File_davit_monitor_v1_plan_proto,
	} {
		for i := range file.Messages().Len() {
			if name := file.Messages().Get(i).FullName(); !seen[name] {
				t.Errorf("%s is in no message that is compared", name)
			}
		}
	}
}

// fill gives fields of a message values, and some of each oneof; below it too.
func fill(m protoreflect.Message, random *rand.Rand) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if random.IntN(4) == 0 {
			continue
		}
		if f.IsList() {
			list := m.Mutable(f).List()
			for range random.IntN(3) {
				if f.Message() != nil {
					fill(list.AppendMutable().Message(), random)
					continue
				}
				list.Append(scalar(f, random))
			}
			continue
		}
		if f.Message() != nil {
			fill(m.Mutable(f).Message(), random)
			continue
		}
		m.Set(f, scalar(f, random))
	}
}

func scalar(f protoreflect.FieldDescriptor, random *rand.Rand) protoreflect.Value {
	number := random.Uint64() >> random.IntN(64)
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(number%2 == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(number)))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(number))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(number)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(number))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.Repeat("é", random.IntN(200)))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(bytes.Repeat([]byte{0xff}, random.IntN(200)))
	default:
		panic("a field of a kind that is not compared: " + string(f.FullName()))
	}
}

// same tells whether two messages have the same in each field, by the names that the fields and what is in oneofs have in Go.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		return same(a.Elem(), b.Elem())
	case reflect.Struct:
		if a.Type().Name() != b.Type().Name() {
			return false
		}
		for i := range a.NumField() {
			if other := b.FieldByName(a.Type().Field(i).Name); !other.IsValid() || !same(a.Field(i), other) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	default:
		return a.Kind() == b.Kind() && a.Equal(b.Convert(a.Type()))
	}
}

func (p pair) same() bool { return same(reflect.ValueOf(p.plain), reflect.ValueOf(p.full)) }

// A plain message is written as package proto writes it, and has in each field what that has, for every message and field.
func TestParity(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, kind := range travelling {
		for range 300 {
			sent := kind.fresh(t)
			fill(sent.full.ProtoReflect(), random)
			want, err := proto.MarshalOptions{Deterministic: true}.Marshal(sent.full)
			if err != nil {
				t.Fatal(err)
			}
			if err = plain.Parse(want, sent.plain); err != nil || !sent.same() {
				t.Fatalf("%x is decoded as %+v, want %s (%v)", want, sent.plain, prototext.Format(sent.full), err)
			}
			got, err := plain.Append(nil, sent.plain)
			if err != nil {
				t.Fatal(err)
			}
			back := kind.fresh(t)
			if err = proto.Unmarshal(got, back.full); err != nil || !proto.Equal(sent.full, back.full) || len(got) != len(want) {
				t.Fatalf("%s is encoded as %x, want %x (%v)", prototext.Format(sent.full), got, want, err)
			}
		}
	}
}

// FuzzParity holds the decoder against package proto: whatever one accepts the other does, with the same meaning but for unknown
// fields, and what was decoded is encoded to mean the same.
func FuzzParity(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for i, kind := range travelling {
		m := kind.full.ProtoReflect().New()
		fill(m, random)
		data, err := proto.Marshal(m.Interface())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), data)
	}
	for _, data := range malformed {
		f.Add(uint8(0), data)
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		hold(t, travelling[int(which)%len(travelling)].fresh(t), data)
	})
}

// hold decodes bytes in both notations.
func hold(t *testing.T, got pair, data []byte) {
	t.Helper()
	wantErr := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, got.full)
	gotErr := plain.Parse(data, got.plain)
	if (wantErr == nil) != (gotErr == nil) {
		t.Fatalf("%T: %x is decoded with %v, want %v", got.plain, data, gotErr, wantErr)
	}
	if wantErr != nil {
		return
	}
	if !got.same() {
		t.Fatalf("%x is decoded as %+v, want %s", data, got.plain, prototext.Format(got.full))
	}
	encoded, err := plain.Append(nil, got.plain)
	if err != nil {
		t.Fatal(err)
	}
	back := got.fresh(t)
	if err = proto.Unmarshal(encoded, back.full); err != nil || !proto.Equal(got.full, back.full) {
		t.Fatalf("%s is encoded as %x, which means %s (%v)", prototext.Format(got.full), encoded, prototext.Format(back.full), err)
	}
}
