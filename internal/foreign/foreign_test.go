package foreign_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/internal/testdaemon"
)

const definition = `{"source": {"definition": {
	"type": "DOMAIN_TYPE_LXC", "name": "abroad", "memory_kib": "65536",
	"os": {"type": "exe", "init": "/bin/sh", "initarg": ["-c", "echo hello; sleep infinity"]},
	"devices": {"console": [{"type": "CONSOLE_TYPE_PTY"}]}}}}`

// TestStranger defines, starts, watches and destroys a domain with nothing but what the daemon tells of its API.
func TestStranger(t *testing.T) {
	s := connect(t, testdaemon.Start(t).Socket)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	next := s.watch(ctx, "EventService.WatchEvents", `{"kinds": ["EVENT_KIND_LIFECYCLE"]}`)
	if first := next(); field(first, "position", "epoch") == "" {
		t.Fatalf("a watch begins with %v, not with a position", first)
	}

	defined := s.must("DomainService.DefineDomain", definition)
	uuid := field(defined, "domain", "uuid")
	ref := fmt.Sprintf(`{"domain": {"uuid": %q}}`, uuid)
	if got := field(s.must("DomainService.StartDomain", ref), "domain", "state"); got != "DOMAIN_STATE_RUNNING" {
		t.Errorf("a domain that was started is %s", got)
	}
	_, err := s.call("DomainService.StartDomain", ref)
	checkRefusal(t, err, codes.FailedPrecondition, "DOMAIN_STATE")
	s.must("DomainService.DestroyDomain", ref)
	s.must("DomainService.UndefineDomain", ref)
	_, err = s.call("DomainService.GetDomain", ref)
	checkRefusal(t, err, codes.NotFound, "DOMAIN_NOT_FOUND")

	var told []string
	for len(told) < 4 {
		if answer := next(); field(answer, "event", "uuid") == uuid {
			told = append(told, field(answer, "event", "lifecycle", "detail"))
		}
	}
	want := []string{
		"LIFECYCLE_EVENT_DETAIL_DEFINED_ADDED", "LIFECYCLE_EVENT_DETAIL_STARTED_BOOTED",
		"LIFECYCLE_EVENT_DETAIL_STOPPED_DESTROYED", "LIFECYCLE_EVENT_DETAIL_UNDEFINED_REMOVED",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// checkRefusal looks for the code and the reason of an error, which is in a google.rpc.ErrorInfo.
func checkRefusal(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	st := status.Convert(err)
	told := slices.ContainsFunc(st.Details(), func(detail any) bool {
		info, ok := detail.(interface {
			GetReason() string
			GetDomain() string
		})
		return ok && info.GetReason() == reason && info.GetDomain() == "davit.v1"
	})
	if st.Code() != code || !told {
		t.Errorf("refused with %s and %v; want %s and %s", st.Code(), st.Details(), code, reason)
	}
}

// TestSchemaSpeaksForItself finds every service of the API by reflection, each method with an access rule.
func TestSchemaSpeaksForItself(t *testing.T) {
	s := connect(t, testdaemon.Start(t).Socket)
	for _, name := range []string{"DomainService", "HostService", "EventService", "ConsoleService", "LogService"} {
		d, err := s.files.FindDescriptorByName(protoreflect.FullName("davit.v1." + name))
		if err != nil {
			t.Error(err)
			continue
		}
		service, ok := d.(protoreflect.ServiceDescriptor)
		if !ok || service.Methods().Len() == 0 {
			t.Errorf("%s is %v", name, d)
		}
	}
}
