package rpc_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Bounds of what a daemon that is fuzzed may hold.
const (
	fuzzDomains    = 64        // after so many it begins anew
	fuzzInterval   = 500       // calls between two looks at goroutines and memory
	fuzzGoroutines = 500       // more than there were when it began
	fuzzHeap       = 256 << 20 // bytes, once garbage is collected
	fuzzPatience   = time.Minute
)

// The first byte of an input chooses the method, the second how the messages are made: raw, or as mutations of a request that
// makes sense. Nothing that comes in kills a service, keeps it forever, or leaves something behind.
func FuzzEveryMethod(f *testing.F) {
	all := methods(f)
	for i, m := range all {
		wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(good()[string(m.Name())])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte{byte(i), 0}, wire...))
		for variant := range byte(6) {
			f.Add([]byte{byte(i), 1, variant * 37, variant})
			f.Add(append([]byte{byte(i), 2, variant, byte(len(wire))}, wire...))
		}
	}
	d := newDaemon(f)
	d.start()
	f.Cleanup(d.stop)
	d.reset(true)
	w := &watched{daemon: d, goroutines: runtime.NumGoroutine()}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) < 2 || len(input) > 64<<10 {
			return
		}
		m := all[int(input[0])%len(all)]
		w.call(t, m, requests(m, input[1], input[2:]))
	})
}

// requests are the messages that an input makes for a method: one, or several for a call of many.
func requests(m protoreflect.MethodDescriptor, mode byte, data []byte) []proto.Message {
	raw := func(data []byte) proto.Message {
		q := dynamicpb.NewMessage(m.Input())
		if proto.Unmarshal(data, q) != nil {
			q = dynamicpb.NewMessage(m.Input())
			q.SetUnknown(data) // as it is
		}
		return q
	}
	sense := proto.Clone(good()[string(m.Name())])
	switch mode % 3 {
	case 0:
		return []proto.Message{raw(data)}
	case 1: // one of the requests with a field that is wrong, and what else there is
		if len(data) < 2 {
			return []proto.Message{sense}
		}
		var list []proto.Message
		variants(sense, func(_ string, q proto.Message) { list = append(list, proto.Clone(q)) })
		q := list[int(binary.LittleEndian.Uint16(data))%len(list)]
		_ = proto.UnmarshalOptions{Merge: true}.Unmarshal(data[2:], q) // as far as it goes
		return []proto.Message{q}
	default: // a request that makes sense, then whatever comes, in pieces
		list := []proto.Message{sense}
		for len(data) > 0 && len(list) < 5 {
			n := min(int(data[0])+1, len(data))
			list, data = append(list, raw(data[1:n])), data[n:]
		}
		if !m.IsStreamingClient() {
			return list[len(list)-1:]
		}
		return list
	}
}

// watched is a daemon whose goroutines and memory are looked at.
type watched struct {
	*daemon
	goroutines, calls int
}

// call makes a call and waits until the service has ended it.
func (w *watched) call(t *testing.T, m protoreflect.MethodDescriptor, list []proto.Message) {
	t.Helper()
	err := w.speak(m, list)
	if fault := []codes.Code{codes.Internal, codes.Unknown, codes.Unavailable, codes.DataLoss}; slices.Contains(fault, status.Code(err)) && !undecodable(m, list) {
		t.Errorf("%s %v: %v", m.Name(), list, err)
	}
	for end := time.Now().Add(fuzzPatience); w.running.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%s %v does not end\n%s", m.Name(), list, stacks[:runtime.Stack(stacks, true)])
		}
	}
	if w.calls++; w.calls%fuzzInterval == 0 {
		w.look(t)
	}
}

// undecodable tells whether a message is none of its kind: grpc itself says INTERNAL to that.
func undecodable(m protoreflect.MethodDescriptor, list []proto.Message) bool {
	return slices.ContainsFunc(list, func(q proto.Message) bool {
		wire, err := proto.Marshal(q)
		return err != nil || proto.Unmarshal(wire, dynamicpb.NewMessage(m.Input())) != nil
	})
}

// speak makes a call with its messages, and gives how it ended.
func (w *watched) speak(m protoreflect.MethodDescriptor, list []proto.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), brief/4)
	defer cancel()
	if !m.IsStreamingClient() && !m.IsStreamingServer() {
		return w.conn.Invoke(ctx, fullName(m), list[0], dynamicpb.NewMessage(m.Output()))
	}
	stream, err := w.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, fullName(m))
	for _, q := range list {
		if err == nil {
			err = stream.SendMsg(q)
		}
	}
	if stream == nil {
		return err
	}
	_ = stream.CloseSend()
	for err = nil; err == nil; {
		err = stream.RecvMsg(dynamicpb.NewMessage(m.Output()))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// look removes what calls have made, and looks at what they have left.
func (w *watched) look(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), fuzzPatience)
	defer cancel()
	r, err := w.domains.ListDomains(ctx, &davitv1.ListDomainsRequest{PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.GetDomains()) > fuzzDomains {
		w.clear(ctx, r.GetDomains())
	}
	_, _ = w.domains.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: source("web", uuidWeb, "sleep infinity")})
	_, _ = w.domains.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: byName("web")})
	for end := time.Now().Add(fuzzPatience); runtime.NumGoroutine() > w.goroutines+fuzzGoroutines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d when it began\n%s", runtime.NumGoroutine(), w.goroutines, stacks[:runtime.Stack(stacks, true)])
		}
	}
	var memory runtime.MemStats
	runtime.GC()
	if runtime.ReadMemStats(&memory); memory.HeapAlloc > fuzzHeap {
		t.Fatalf("%d bytes are in use after %d calls", memory.HeapAlloc, w.calls)
	}
	if path := os.Getenv("DAVIT_FUZZ_REPORT"); path != "" { // for who wants to see how it goes
		line := time.Now().Format(time.TimeOnly) + " calls " + strconv.Itoa(w.calls) + " goroutines " + strconv.Itoa(runtime.NumGoroutine()) +
			" heap KiB " + strconv.Itoa(int(memory.HeapAlloc>>10)) + " domains " + strconv.Itoa(len(r.GetDomains())) + "\n"
		_ = os.WriteFile(filepath.Join(path, "worker-"+strconv.Itoa(os.Getpid())), []byte(line), 0o600)
	}
}

// clear removes domains.
func (w *watched) clear(ctx context.Context, list []*davitv1.DomainInfo) {
	for _, info := range list {
		ref := &davitv1.DomainRef{Ref: &davitv1.DomainRef_Uuid{Uuid: info.GetUuid()}}
		_, _ = w.domains.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: ref})
		_, _ = w.domains.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: ref})
	}
}
