package domain_test

import (
	"errors"
	"testing"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestWords: states, reasons and events are told in virsh's words, all of them.
func TestWords(t *testing.T) {
	for s, want := range map[davitv1.DomainState]string{
		0: "no state", 1: "running", 2: "paused", 3: "in shutdown", 4: "shut off", 5: "crashed",
	} {
		if got := domain.StateWord(s); got != want {
			t.Errorf("StateWord(%v) is %q, want %q", s, got, want)
		}
	}
	for r, want := range map[davitv1.DomainReason]string{
		0: "unknown", 1: "booted", 2: "unpaused", 3: "crashed", 10: "user", 11: "starting up", 20: "user", 21: "stuck",
		30: "shutdown", 31: "destroyed", 32: "crashed", 33: "failed", 34: "daemon", 35: "unknown", 40: "panicked",
	} {
		if got := domain.ReasonWord(r); got != want {
			t.Errorf("ReasonWord(%v) is %q, want %q", r, got, want)
		}
	}
	want := map[davitv1.LifecycleEventDetail]string{
		0: "Unknown", 1: "Added", 2: "Updated", 3: "Removed", 4: "Booted", 5: "Paused", 6: "Unpaused", 7: "Shutdown",
		8: "Destroyed", 9: "Crashed", 10: "Failed", 11: "Finished after host request", 12: "Panicked", 13: "Renamed", 14: "Renamed", 15: "Stuck",
	}
	for n := range davitv1.LifecycleEventDetail_name {
		d := davitv1.LifecycleEventDetail(n)
		if _, got := domain.EventWords(&davitv1.LifecycleEvent{Detail: d}); got != want[d] {
			t.Errorf("the detail %v is %q, want %q", d, got, want[d])
		}
	}
	for n, want := range []string{"Unspecified", "Defined", "Undefined", "Started", "Suspended", "Resumed", "Stopped", "Shutdown", "Crashed"} {
		if got, _ := domain.EventWords(&davitv1.LifecycleEvent{Type: davitv1.LifecycleEventType(n)}); got != want {
			t.Errorf("event %d is %q, want %q", n, got, want)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]int{
		"TERM": 15, "SIGTERM": 15, "sigterm": 15, "15": 15, "KILL": 9, "9": 9, "hup": 1, "CLD": 17, "POLL": 29, "IOT": 6,
		"RTMIN": 34, "SIGRTMIN+3": 37, "rtmin+30": 64, "RTMAX": 64, "RTMAX-1": 63, "64": 64, "1": 1,
	} {
		if got, err := domain.ParseSignal(in); err != nil || got != want {
			t.Errorf("ParseSignal(%q) is %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "65", "-1", "+9", "SIG", "NOPE", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMIN+", "RTMIN++1", "SIGSIGTERM", "9 "} {
		if got, err := domain.ParseSignal(in); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("ParseSignal(%q) is %d, %v", in, got, err)
		}
	}
	for n := 1; n <= 64; n++ {
		if got, err := domain.ParseSignal(domain.SignalName(n)); err != nil || got != n {
			t.Errorf("signal %d is %q, which is %d, %v", n, domain.SignalName(n), got, err)
		}
	}
	if got := domain.SignalName(15); got != "SIGTERM" {
		t.Errorf("signal 15 is %q", got)
	}
}

// TestRefuseUnknown: fields of a later version are found however deep, and told with their place.
func TestRefuseUnknown(t *testing.T) {
	def := minimal()
	def.Devices = &davitv1.Devices{Filesystem: []*davitv1.Filesystem{{}, {}}}
	request := &davitv1.DefineDomainRequest{Source: &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Definition{Definition: def}}}
	if err := domain.RefuseUnknown(request); err != nil {
		t.Errorf("a known request is refused: %v", err)
	}
	def.Devices.Filesystem[1].ProtoReflect().SetUnknown([]byte{0xf8, 0x7f, 0x01})
	request.ProtoReflect().SetUnknown([]byte{0xf8, 0x7f, 0x01})
	err := domain.RefuseUnknown(request)
	const want = "read request\n  field 2047 of davit.v1.DefineDomainRequest is not known\n" +
		"  source.definition.devices.filesystem[1]: field 2047 of davit.v1.Filesystem is not known"
	var e *domain.Error
	if !errors.As(err, &e) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := domain.RefuseUnknown(nil); err != nil {
		t.Errorf("nothing is refused: %v", err)
	}
}
