package engine_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/types/known/timestamppb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// An event that no journal can take is told short, and those that follow it are told.
func TestUnfitEventIsToldShort(t *testing.T) {
	for name, uri := range map[string]string{
		"too large":   strings.Repeat("x", 100<<10),
		"cut in rune": strings.Repeat("ö", 50<<10),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *house) {
				h.log = zap.NewNop() // it complains, as it should
				h.define("web", uuidWeb)
				h.boot("web")
				h.kill()
				h.open(0)
				statuses, err := h.store.Statuses()
				if err != nil || len(statuses) != 1 {
					t.Fatalf("statuses are %v, %v", statuses, err)
				}
				unfit := &davitv1.Event{
					Time: timestamppb.Now(), Uuid: uuidWeb, Name: "web",
					Kind: &davitv1.Event_MetadataChange{MetadataChange: &davitv1.MetadataChangeEvent{
						Type: davitv1.MetadataType_METADATA_TYPE_ELEMENT, Uri: uri,
					}},
				}
				owing := statuses[0]
				owing.Owed, owing.Mark = append(owing.Owed, unfit), owing.Mark+1
				if err := h.store.PutStatus(owing); err != nil {
					t.Fatal(err)
				}
				h.recover()
				if err := h.host.Crash(uuidWeb, syscall.SIGSEGV); err != nil {
					t.Fatal(err)
				}
				h.wait("web")
				time.Sleep(time.Minute)
				told := h.told()
				short := told[len(told)-3]
				if !strings.HasPrefix(short, "web: METADATA_TYPE_ELEMENT "+uri[:100]) || !strings.HasSuffix(short, " bytes left out)") || len(short) > 2<<10 {
					t.Errorf("the event is told as %.200q", short)
				}
				if last := told[len(told)-1]; last != "web: Stopped Crashed" {
					t.Errorf("the last event is %q", last)
				}
			})
		})
	}
}

// A fault of davit in the actor, between jobs, costs a line of the log; what was owed is told.
func TestPanicBetweenJobs(t *testing.T) {
	bubble(t, func(h *house) {
		h.stop()
		core, logs := observer.New(zap.ErrorLevel)
		h.log = zap.New(core)
		h.start()
		h.define("web", uuidWeb)
		h.boot("web")
		h.faults.fail("Append", full, panicking("append"), panicking("append again"))
		if err := h.host.Crash(uuidWeb, syscall.SIGSEGV); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if told := h.told(); told[len(told)-1] != "web: Stopped Crashed" || h.condition("web") != "shut off (crashed)" {
			t.Errorf("it is %s, events are %q", h.condition("web"), told)
		}
		if panics := logs.FilterMessage("panic").Len(); panics != 2 {
			t.Errorf("the log tells of %d panics, want 2", panics)
		}
		h.boot("web")
	})
}
