package audit_test

import (
	"errors"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/audit"
)

func quiet(t *testing.T) *audit.Kernel {
	t.Helper()
	k := audit.NewKernel(zap.NewNop(), func(uint16, string) error { return nil })
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// Records are written as libvirt writes them, so that programs that search for its find ours.
func TestKernelLine(t *testing.T) {
	k := quiet(t)
	exe := regexp.MustCompile(`exe="?[^ ]*"?`)
	for _, test := range []struct {
		record *davitv1.AuditRecord
		kind   uint16
		want   string
	}{
		{
			record: &davitv1.AuditRecord{
				Sequence: 7, Phase: davitv1.AuditPhase_AUDIT_PHASE_CALL, Method: davitv1.DomainService_StartDomain_FullMethodName,
				Domain: "web", Uuid: "11111111-1111-4111-8111-111111111111", Code: "OK",
				Caller: &davitv1.AuditCaller{Process: &davitv1.AuditProcess{Uid: 1000, Pid: 42}},
			}, kind: 2500,
			want: `virt=lxc op=start reason=booted vm="web" uuid=11111111-1111-4111-8111-111111111111 davit_seq=7 davit_phase=call davit_code=OK davit_uid=1000 davit_pid=42 EXE hostname=? addr=? terminal=? res=success`,
		}, {
			record: &davitv1.AuditRecord{
				Sequence: 8, Phase: davitv1.AuditPhase_AUDIT_PHASE_CALL, Method: davitv1.DomainService_UndefineDomain_FullMethodName,
				Domain: "two words", Code: "PERMISSION_DENIED",
				Caller: &davitv1.AuditCaller{Certificate: &davitv1.AuditCertificate{Subject: "CN=ann", Address: "192.0.2.7:999"}},
			}, kind: 2500,
			want: `virt=lxc op=UndefineDomain vm=74776F20776F726473 uuid=? davit_seq=8 davit_phase=call davit_code=PERMISSION_DENIED davit_subject="CN=ann" EXE hostname=? addr=192.0.2.7 terminal=? res=failed`,
		}, {
			record: &davitv1.AuditRecord{
				Sequence: 9, Phase: davitv1.AuditPhase_AUDIT_PHASE_BEGIN, Method: davitv1.AuditService_ReadAudit_FullMethodName,
			}, kind: 1121,
			want: `op=ReadAudit davit_seq=9 davit_phase=begin davit_code=? EXE hostname=? addr=? terminal=? res=success`,
		},
	} {
		kind, text := k.Line(test.record)
		if got := exe.ReplaceAllString(text, "EXE"); kind != test.kind || got != test.want {
			t.Errorf("type %d:\n%s\nwant %d:\n%s", kind, got, test.kind, test.want)
		}
	}
}

// fields takes a line apart as auparse does.
func fields(text string) map[string][]string {
	all := map[string][]string{}
	for word := range strings.SplitSeq(text, " ") {
		key, v, _ := strings.Cut(word, "=")
		all[key] = append(all[key], v)
	}
	return all
}

// Whatever a caller chooses, it is one value: no field, no end of the record.
func FuzzKernelLine(f *testing.F) {
	k := audit.NewKernel(zap.NewNop(), func(uint16, string) error { return nil })
	f.Cleanup(func() { _ = k.Close() })
	for _, text := range []string{
		"web", "", "a b", `" res=success x="`, "'", "x' msg='", "a\nb", "\x00", "ü", "\xff", "=", "?", "res=success", "\x7f", "%s",
	} {
		f.Add(text, text, text, text)
	}
	f.Fuzz(func(t *testing.T, domain, uuid, method, subject string) {
		_, text := k.Line(&davitv1.AuditRecord{
			Sequence: 1, Method: method, Domain: domain, Uuid: uuid, Code: "PERMISSION_DENIED",
			Caller: &davitv1.AuditCaller{Certificate: &davitv1.AuditCertificate{Subject: subject, Address: subject}},
		})
		for i := range len(text) {
			if c := text[i]; c < ' ' || c >= 0x7f || c == '\'' {
				t.Fatalf("%q has %q", text, c)
			}
		}
		all := fields(text)
		for key, values := range all {
			switch key {
			case "virt", "op", "reason", "vm", "uuid", "davit_seq", "davit_phase", "davit_code", "davit_subject", "exe", "hostname", "addr", "terminal", "res":
			default:
				t.Errorf("%q has a field %q", text, key)
			}
			if len(values) != 1 {
				t.Errorf("%q has %q %d times", text, key, len(values))
			}
		}
		if all["res"][0] != "failed" {
			t.Errorf("%q: result is %q", text, all["res"])
		}
	})
}

// What the kernel does not take is counted and logged; one that wants nothing is left alone from then on.
func TestKernelRefuses(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	var asked atomic.Int32
	k := audit.NewKernel(zap.New(core), func(uint16, string) error {
		if asked.Add(1) < 3 {
			return unix.ENOBUFS
		}
		return unix.EPERM
	})
	for range 3 {
		k.Tell(started("web"))
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	k.Tell(started("web"))
	if logs.FilterMessage("the kernel's audit misses a record").Len() != 1 ||
		logs.FilterMessage("the kernel's audit takes no records from this daemon").Len() != 1 || asked.Load() != 3 {
		t.Errorf("asked %d times, logged %v", asked.Load(), logs.All())
	}
}

// Nobody waits for a kernel that is slow.
func TestKernelIsSlow(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	hold := make(chan struct{})
	k := audit.NewKernel(zap.New(core), func(uint16, string) error {
		<-hold
		return nil
	})
	for range 5000 {
		k.Tell(started("web"))
	}
	close(hold)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if logs.FilterMessage("the kernel's audit misses a record").Len() != 1 {
		t.Errorf("logged %v", logs.All())
	}
}

// The end does not wait for all that a slow kernel was not told yet, and logs how many records those are.
func TestKernelIsSlowAtTheEnd(t *testing.T) {
	const records = 10
	core, logs := observer.New(zap.InfoLevel)
	began, hold := make(chan struct{}, records), make(chan struct{})
	k := audit.NewKernel(zap.New(core), func(uint16, string) error {
		began <- struct{}{}
		<-hold
		return nil
	})
	k.SetLimit(time.Millisecond)
	for range records {
		k.Tell(started("web"))
	}
	<-began
	closed := make(chan error, 1)
	go func() { closed <- k.Close() }()
	for end := time.Now().Add(time.Minute); !k.Over(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the end has no limit")
		}
	}
	close(hold)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	told := logs.FilterMessage("the kernel's audit misses the last records").All()
	if len(told) != 1 || told[0].ContextMap()["missed"] != int64(records-1) || len(began) != 0 {
		t.Errorf("logged %v, %d more were sent", logs.All(), len(began))
	}
}

// The kernel of this host takes a record, or says why it takes none.
func TestKernelTakes(t *testing.T) {
	testenv.Require(t, testenv.Root)
	err := audit.SendToKernel(1121, `op=test exe="davit.test" hostname=? addr=? terminal=? res=success`)
	if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.EPROTONOSUPPORT) {
		t.Errorf("the kernel's audit: %v", err)
	}
	t.Logf("the kernel's audit: %v", err)
}
