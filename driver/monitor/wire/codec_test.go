package wire_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// everyMessage are the messages of the protocol.
func everyMessage() (types []protoreflect.MessageType) {
	for _, file := range []protoreflect.FileDescriptor{
		monitorv1.File_davit_monitor_v1_monitor_proto, monitorv1.File_davit_monitor_v1_plan_proto,
	} {
		for i := range file.Messages().Len() {
			name := file.Messages().Get(i).Name()
			for _, m := range []proto.Message{
				&monitorv1.Hello{}, &monitorv1.MonitorRequest{}, &monitorv1.MonitorResponse{}, &monitorv1.MonitorEvent{},
				&monitorv1.Ack{}, &monitorv1.StreamInput{}, &monitorv1.StreamOutput{}, &monitorv1.KeeperRequest{},
				&monitorv1.KeeperResponse{}, &monitorv1.Plan{}, &monitorv1.Error{},
			} {
				if m.ProtoReflect().Descriptor().Name() == name {
					types = append(types, m.ProtoReflect().Type())
				}
			}
		}
	}
	return types
}

// fill gives every field of a message a value, and one of each oneof; below it too.
func fill(m protoreflect.Message, random *rand.Rand, depth int) {
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
					fill(list.AppendMutable().Message(), random, depth+1)
					continue
				}
				list.Append(scalar(f, random))
			}
			continue
		}
		if f.Message() != nil {
			fill(m.Mutable(f).Message(), random, depth+1)
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
		panic("a field of a kind that the codec does not know: " + string(f.FullName()))
	}
}

// The codec writes what package proto writes, and reads what it writes, for every message and field.
func TestCodec(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, messageType := range everyMessage() {
		for range 300 {
			m := messageType.New()
			fill(m, random, 0)
			want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
			if err != nil {
				t.Fatal(err)
			}
			got, err := wire.Encode(m.Interface())
			if err != nil {
				t.Fatal(err)
			}
			back := messageType.New().Interface()
			if err := proto.Unmarshal(got, back); err != nil || !proto.Equal(m.Interface(), back) {
				t.Fatalf("%s is encoded as %x, want %x (%v)", prototext.Format(m.Interface()), got, want, err)
			}
			if len(got) != len(want) {
				t.Errorf("%s takes %d bytes, want %d", prototext.Format(m.Interface()), len(got), len(want))
			}
			decoded := messageType.New().Interface()
			if err := wire.Decode(want, decoded); err != nil || !proto.Equal(m.Interface(), decoded) {
				t.Fatalf("%x is decoded as %s, want %s (%v)", want, prototext.Format(decoded),
					prototext.Format(m.Interface()), err)
			}
		}
	}
}

// Strings that are not UTF-8 do not travel, as with package proto.
func TestCodecUTF8(t *testing.T) {
	if _, err := wire.Encode(&monitorv1.Hello{Version: "\xff"}); err == nil {
		t.Error("a string that is not UTF-8 is encoded")
	}
	if err := wire.Decode([]byte{0x12, 1, 0xff}, &monitorv1.Hello{}); err == nil {
		t.Error("a string that is not UTF-8 is decoded")
	}
}

// FuzzCodec holds the codec against package proto: whatever one accepts the other does, with the same meaning but for
// unknown fields.
func FuzzCodec(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	types := everyMessage()
	for i, messageType := range types {
		m := messageType.New()
		fill(m, random, 0)
		data, err := proto.Marshal(m.Interface())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), data)
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		messageType := types[int(which)%len(types)]
		want, got := messageType.New().Interface(), messageType.New().Interface()
		wantErr := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, want)
		gotErr := wire.Decode(data, got)
		if (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("%s: %x is decoded with %v, want %v", messageType.Descriptor().Name(), data, gotErr, wantErr)
		}
		if wantErr == nil && !proto.Equal(want, got) {
			t.Fatalf("%x is decoded as %s, want %s", data, prototext.Format(got), prototext.Format(want))
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	data := &monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Data{Data: &monitorv1.StreamData{
		Offset: 1 << 30, Data: make([]byte, 16<<10),
	}}}
	for b.Loop() {
		encoded, err := wire.Encode(data)
		if err == nil {
			err = wire.Decode(encoded, &monitorv1.StreamOutput{})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
