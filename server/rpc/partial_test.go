package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// methods are all methods of davit.v1, from their descriptors.
func methods(tb testing.TB) []protoreflect.MethodDescriptor {
	tb.Helper()
	var list []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("davit.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for k := range file.Services().Get(i).Methods().Len() {
				list = append(list, file.Services().Get(i).Methods().Get(k))
			}
		}
		return true
	})
	if len(list) < 20 {
		tb.Fatalf("only %d methods are registered", len(list))
	}
	return list
}

func fullName(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
}

// nic is an interface that needs nothing of the host.
func nic(inner string) *davitv1.DeviceSource {
	return &davitv1.DeviceSource{Source: &davitv1.DeviceSource_Text{Text: "<interface type='ethernet'>" + inner + "</interface>"}}
}

// good is, for each method, a request with as much in it as makes sense.
func good() map[string]proto.Message {
	web, def := byName("web"), source("web", "", "sleep infinity")
	mask := &fieldmaskpb.FieldMask{Paths: []string{"title", "pids_limit", "cputune.shares"}}
	limits := &davitv1.Domain{PidsLimit: 100, Cputune: &davitv1.CpuTune{Shares: 2048}}
	start := &davitv1.ExecStart{
		Domain: web, Argv: []string{"true"}, Env: []string{"A=b"}, Cwd: "/", User: "0:0",
		Size: &davitv1.TerminalSize{Rows: 24, Columns: 80},
	}
	return map[string]proto.Message{
		"DefineDomain":      &davitv1.DefineDomainRequest{Source: def},
		"UndefineDomain":    &davitv1.UndefineDomainRequest{Domain: web},
		"CreateDomain":      &davitv1.CreateDomainRequest{Source: def},
		"StartDomain":       &davitv1.StartDomainRequest{Domain: web},
		"ShutdownDomain":    &davitv1.ShutdownDomainRequest{Domain: web},
		"RebootDomain":      &davitv1.RebootDomainRequest{Domain: web},
		"DestroyDomain":     &davitv1.DestroyDomainRequest{Domain: web, Grace: durationpb.New(time.Millisecond)},
		"SuspendDomain":     &davitv1.SuspendDomainRequest{Domain: web},
		"ResumeDomain":      &davitv1.ResumeDomainRequest{Domain: web},
		"GetDomain":         &davitv1.GetDomainRequest{Domain: web},
		"ListDomains":       &davitv1.ListDomainsRequest{Filter: &davitv1.DomainFilter{}},
		"DiffDomain":        &davitv1.DiffDomainRequest{Domain: web, Source: def},
		"GetDomainXML":      &davitv1.GetDomainXMLRequest{Domain: web},
		"UpdateDomain":      &davitv1.UpdateDomainRequest{Domain: web, UpdateMask: mask, Title: "title", Definition: limits},
		"RenameDomain":      &davitv1.RenameDomainRequest{Domain: web, NewName: "shop"},
		"ResetDomain":       &davitv1.ResetDomainRequest{Domain: web},
		"GetDomainJob":      &davitv1.GetDomainJobRequest{Domain: web},
		"ListFilesystems":   &davitv1.ListFilesystemsRequest{Domain: web},
		"ListDomainStats":   &davitv1.ListDomainStatsRequest{Domains: []*davitv1.DomainRef{web}, Filter: &davitv1.DomainFilter{}},
		"WaitDomain":        &davitv1.WaitDomainRequest{Domain: web},
		"GetDomainStats":    &davitv1.GetDomainStatsRequest{Domain: web},
		"ListProcesses":     &davitv1.ListProcessesRequest{Domain: web},
		"SignalProcess":     &davitv1.SignalProcessRequest{Domain: web, GuestPid: 1, Signal: "TERM"},
		"WatchEvents":       &davitv1.WatchEventsRequest{HeartbeatInterval: durationpb.New(time.Second)},
		"GetEventPosition":  &davitv1.GetEventPositionRequest{},
		"AttachDevice":      &davitv1.AttachDeviceRequest{Domain: web, Source: nic("<mac address='52:54:00:00:00:01'/>")},
		"UpdateDevice":      &davitv1.UpdateDeviceRequest{Domain: web, Source: nic("<mac address='52:54:00:00:00:01'/><link state='down'/>")},
		"DetachDevice":      &davitv1.DetachDeviceRequest{Domain: web, Device: &davitv1.DeviceSelector{By: &davitv1.DeviceSelector_Source{Source: nic("")}}},
		"ListInterfaces":    &davitv1.ListInterfacesRequest{Domain: web},
		"ListBlockDevices":  &davitv1.ListBlockDevicesRequest{Domain: web},
		"OpenConsole":       &davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Open{Open: &davitv1.ConsoleOpen{Domain: web}}},
		"Exec":              &davitv1.ExecRequest{Action: &davitv1.ExecRequest_Start{Start: start}},
		"GetVersion":        &davitv1.GetVersionRequest{},
		"GetHost":           &davitv1.GetHostRequest{},
		"ConvertDefinition": &davitv1.ConvertDefinitionRequest{Source: def},
		"GetCapabilities":   &davitv1.GetCapabilitiesRequest{},
		"GetSysinfo":        &davitv1.GetSysinfoRequest{},
		"GetHostStats":      &davitv1.GetHostStatsRequest{},
		"DiagnoseHost":      &davitv1.DiagnoseHostRequest{},
		"UpdateHost": &davitv1.UpdateHostRequest{
			Merging: &davitv1.MemoryMerging{PagesToScan: new(uint32(50))},
			Pages:   []*davitv1.PageAllocation{{PageKib: 2048, Count: 3}},
		},
		"ReadLog":          &davitv1.ReadLogRequest{Domain: "web", Since: timestamppb.Now(), Tail: new(uint32(5))},
		"ListLogs":         &davitv1.ListLogsRequest{},
		"RemoveLog":        &davitv1.RemoveLogRequest{Domain: "web"},
		"ReadAudit":        &davitv1.ReadAuditRequest{Domain: "web", Since: timestamppb.Now(), Tail: new(uint32(5))},
		"GetDaemon":        &davitv1.GetDaemonRequest{},
		"GetMetrics":       &davitv1.GetMetricsRequest{},
		"SetLogLevel":      &davitv1.SetLogLevelRequest{Level: davitv1.LogLevel_LOG_LEVEL_DEBUG},
		"ListClients":      &davitv1.ListClientsRequest{},
		"DisconnectClient": &davitv1.DisconnectClientRequest{Id: 7},
		"Drain":            &davitv1.DrainRequest{Timeout: durationpb.New(time.Second)},
		"Undrain":          &davitv1.UndrainRequest{},
	}
}

// variants gives copies of a message with each field of it, at any depth, unset or with an extreme value.
func variants(m proto.Message, yield func(what string, m proto.Message)) {
	yield("as it is", m)
	yield("empty", m.ProtoReflect().New().Interface())
	vary(m.ProtoReflect(), 0, func(what string, change func()) {
		change()
		yield(what, proto.Clone(m))
	})
}

// vary changes a message in place, and puts it back.
func vary(m protoreflect.Message, depth int, try func(what string, change func())) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		name := string(field.FullName())
		had, old := m.Has(field), m.Get(field)
		restore := func() {
			if had {
				m.Set(field, old)
			} else {
				m.Clear(field)
			}
		}
		try(name+" unset", func() { m.Clear(field) })
		restore()
		for k, value := range extremes(m, field) {
			try(fmt.Sprintf("%s extreme %d", name, k), func() { m.Set(field, value) })
			restore()
		}
		if field.Message() == nil || depth > 4 {
			continue
		}
		switch {
		case field.IsList() && had:
			for k := range m.Get(field).List().Len() {
				vary(m.Get(field).List().Get(k).Message(), depth+1, try)
			}
		case !field.IsList() && !field.IsMap():
			vary(m.Mutable(field).Message(), depth+1, try)
			restore()
		}
	}
}

// extremes are values that a field can have and should not.
func extremes(m protoreflect.Message, field protoreflect.FieldDescriptor) []protoreflect.Value {
	one := func(v any) []protoreflect.Value { return []protoreflect.Value{protoreflect.ValueOf(v)} }
	var values []protoreflect.Value
	switch field.Kind() {
	case protoreflect.BoolKind:
		values = one(true)
	case protoreflect.StringKind:
		for _, text := range []string{"\x00", "../../etc/passwd", strings.Repeat("x", 70<<10), "\u202e\n", "<a>"} {
			values = append(values, protoreflect.ValueOf(text))
		}
	case protoreflect.BytesKind:
		values = one(make([]byte, 33<<10))
	case protoreflect.Int32Kind:
		values = append(one(int32(math.MinInt32)), one(int32(math.MaxInt32))...)
	case protoreflect.Int64Kind:
		values = append(one(int64(math.MinInt64)), one(int64(math.MaxInt64))...)
	case protoreflect.Uint32Kind:
		values = one(uint32(math.MaxUint32))
	case protoreflect.Uint64Kind:
		values = one(uint64(math.MaxUint64))
	case protoreflect.EnumKind:
		values = append(one(protoreflect.EnumNumber(9999)), one(protoreflect.EnumNumber(-1))...)
	default: // messages; the schema has no other kinds
		if !field.IsList() {
			return one(m.NewField(field).Message())
		}
		list := m.NewField(field)
		list.List().Append(list.List().NewElement())
		return []protoreflect.Value{list}
	}
	if !field.IsList() {
		return values
	}
	lists := make([]protoreflect.Value, len(values))
	for i, value := range values {
		lists[i] = m.NewField(field)
		lists[i].List().Append(value)
	}
	return lists
}

// send makes one call, of any kind, with one message, and gives how it ended.
func (d *daemon) send(ctx context.Context, patience time.Duration, m protoreflect.MethodDescriptor, q proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer := dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingClient() && !m.IsStreamingServer() {
		return d.conn.Invoke(ctx, fullName(m), q, answer)
	}
	stream, err := d.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, fullName(m))
	if err != nil {
		return err
	}
	if err = stream.SendMsg(q); err == nil || errors.Is(err, io.EOF) { // at EOF the answer says why
		err = stream.CloseSend()
	}
	for err == nil {
		err = stream.RecvMsg(dynamicpb.NewMessage(m.Output()))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// brief is how long a call that waits for something is let wait.
const brief = 100 * time.Millisecond

// A request with any field left out, or with a value that nobody expects, is answered, and never by a fault of davit.
func TestPartialRequests(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	tried := 0
	for _, m := range methods(t) {
		q, ok := good()[string(m.Name())]
		if !ok {
			t.Errorf("no request for method %s", m.Name())
			continue
		}
		for _, active := range []bool{false, true} {
			d.reset(active)
			variants(q, func(what string, q proto.Message) {
				tried++
				err := d.send(t.Context(), brief, m, q)
				fault := []codes.Code{codes.Internal, codes.Unknown, codes.Unavailable, codes.DataLoss}
				if slices.Contains(fault, status.Code(err)) {
					t.Errorf("%s with %s, active %t: %v", m.Name(), what, active, err)
				}
			})
		}
	}
	if tried < 1000 {
		t.Errorf("only %d requests", tried)
	}
	t.Logf("%d requests", tried)
	if err := d.send(t.Context(), brief, methods(t)[0], good()[string(methods(t)[0].Name())]); status.Code(err) == codes.Unavailable {
		t.Errorf("afterwards: %v", err)
	}
}

// reset leaves one domain, web, active or not.
func (d *daemon) reset(active bool) {
	d.t.Helper()
	ctx := d.t.Context()
	list, err := d.domains.ListDomains(ctx, &davitv1.ListDomainsRequest{PageSize: 1000})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, info := range list.GetDomains() {
		ref := &davitv1.DomainRef{Ref: &davitv1.DomainRef_Uuid{Uuid: info.GetUuid()}}
		_, _ = d.domains.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: ref})
		_, _ = d.domains.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: ref})
	}
	if _, err := d.domains.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: source("web", uuidWeb, "sleep infinity")}); err != nil {
		d.t.Fatal(err)
	}
	if active {
		if _, err := d.domains.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: byName("web")}); err != nil {
			d.t.Fatal(err)
		}
	}
}

// A request that changes something and holds a field that nobody knows, at any depth, is refused as a whole.
func TestUnknownFields(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.reset(false)
	reads := map[string]bool{
		"GetDomain": true, "ListDomains": true, "GetDomainXML": true, "DiffDomain": true, "WaitDomain": true, "GetDomainStats": true,
		"ListProcesses": true, "WatchEvents": true, "GetEventPosition": true, "GetVersion": true, "GetHost": true,
		"ConvertDefinition": true, "GetDomainJob": true, "ListFilesystems": true, "ListDomainStats": true, "ListInterfaces": true, "ListBlockDevices": true,
		"GetCapabilities": true, "GetSysinfo": true, "GetHostStats": true, "DiagnoseHost": true,
		"GetDaemon": true, "GetMetrics": true, "ListClients": true,
	}
	unknown := protoreflect.RawFields{0xf8, 0xff, 0x01, 0x01} // field 4095, varint 1
	for _, m := range methods(t) {
		if reads[string(m.Name())] {
			continue
		}
		for depth, inject := range []func(protoreflect.Message) (done bool){
			func(q protoreflect.Message) bool {
				q.SetUnknown(unknown)
				return true
			},
			func(q protoreflect.Message) (done bool) {
				q.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
					if field.Message() != nil && !field.IsList() {
						v.Message().SetUnknown(unknown)
						done = true
					}
					return true
				})
				return done
			},
		} {
			q := proto.Clone(good()[string(m.Name())])
			if !inject(q.ProtoReflect()) {
				continue // it holds no message
			}
			err := d.send(t.Context(), time.Minute, m, q)
			if !errors.Is(domain.FromStatus(err), domain.ErrInvalid) || !strings.Contains(fmt.Sprint(status.Convert(err).Details()), "4095") {
				t.Errorf("%s with an unknown field at depth %d: %v", m.Name(), depth, err)
			}
		}
	}
	if r, err := d.domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName("web")}); err != nil ||
		r.GetDomain().GetState() != davitv1.DomainState_DOMAIN_STATE_SHUTOFF {
		t.Errorf("something was done: %v, %v", r, err)
	}
}
