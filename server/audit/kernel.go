package audit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Types of records of the kernel's audit (linux/audit.h).
const (
	trustedApp  = 1121 // AUDIT_TRUSTED_APP
	virtControl = 2500 // AUDIT_VIRT_CONTROL
)

// kernelQueue is how many records may wait for the kernel: it may be slow where its own queue is full, and calls do not
// wait for it.
const kernelQueue = 1024

// closeLimit is how long the kernel has, at the end, to take what waits: it is asked for one record at a time, and may take
// [answerLimit] for each. The daemon has to end. One more that is on its way is waited for.
const closeLimit = 2 * time.Second

// Kernel hands records to the kernel's audit. A nil one hands over nothing.
type Kernel struct {
	log   *zap.Logger
	send  func(kind uint16, text string) error
	close func() error
	exe   string

	limit time.Duration // see [closeLimit]

	mu    sync.Mutex
	queue chan *davitv1.AuditRecord // nil when it is over
	lost  uint64
	told  time.Time     // when the last loss was logged
	over  atomic.Bool   // nothing more is to be sent
	ended chan struct{} // closed when nothing is
}

// OpenKernel connects to the kernel's audit. Where there is none, or the daemon may not write to it, that is logged when
// the first record comes, and the records are in the log alone.
func OpenKernel(log *zap.Logger) (*Kernel, error) {
	s, err := openNetlink()
	if err != nil {
		return nil, fmt.Errorf("open the kernel's audit: %w", err)
	}
	return newKernel(log, s.send, s.close), nil
}

func newKernel(log *zap.Logger, send func(kind uint16, text string) error, closing func() error) *Kernel {
	exe, err := os.Executable()
	if err != nil {
		exe = "davitd"
	}
	k := &Kernel{
		log: log.Named("audit"), send: send, close: closing, exe: exe, limit: closeLimit,
		queue: make(chan *davitv1.AuditRecord, kernelQueue), ended: make(chan struct{}),
	}
	queue := k.queue
	go func() {
		defer close(k.ended)
		k.run(queue)
	}()
	return k
}

// tell hands a record over. It never waits.
func (k *Kernel) tell(r *davitv1.AuditRecord) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.queue == nil {
		return
	}
	select {
	case k.queue <- r:
	default:
		k.lose(errors.New("too many wait"))
	}
}

// lose counts a record that the kernel did not get. The mutex is held.
func (k *Kernel) lose(err error) {
	k.lost++
	if now := time.Now(); k.told.IsZero() || now.Sub(k.told) >= lossPause {
		k.told = now
		k.log.Warn("the kernel's audit misses a record", zap.Uint64("missed", k.lost), zap.Error(err))
	}
}

// run sends what is handed over until there is no more, the kernel wants none, or the time is over.
func (k *Kernel) run(queue <-chan *davitv1.AuditRecord) {
	for r := range queue {
		if k.over.Load() {
			k.log.Warn("the kernel's audit misses the last records", zap.Int("missed", 1+len(queue)))
			return
		}
		kind, text := k.line(r)
		err := k.send(kind, text)
		if err == nil {
			continue
		}
		k.mu.Lock()
		if unwanted(err) {
			k.queue = nil
			k.mu.Unlock()
			k.log.Info("the kernel's audit takes no records from this daemon", zap.Error(err))
			return
		}
		k.lose(err)
		k.mu.Unlock()
	}
}

// unwanted tells whether an error is one that every record would meet: no audit in this kernel or namespace, or no
// CAP_AUDIT_WRITE.
func unwanted(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EPROTONOSUPPORT)
}

// Close hands over what waits, as far as the kernel takes it in time, and ends.
func (k *Kernel) Close() error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	if k.queue != nil {
		close(k.queue)
		k.queue = nil
	}
	k.mu.Unlock()
	late := time.AfterFunc(k.limit, func() { k.over.Store(true) })
	defer late.Stop()
	<-k.ended
	return k.close()
}

// operations are libvirt's words for what VIRT_CONTROL tells, by method; the others have their own.
var operations = map[string]string{
	"CreateDomain": "op=start reason=booted", "StartDomain": "op=start reason=booted",
	"DestroyDomain": "op=stop reason=destroyed", "ShutdownDomain": "op=stop reason=shutdown",
}

// line writes a record as the kernel's audit has it: fields that programs search for first, in libvirt's order, then who
// asked, then those that end every record of a program.
func (k *Kernel) line(r *davitv1.AuditRecord) (kind uint16, text string) {
	method := r.GetMethod()[strings.LastIndexByte(r.GetMethod(), '/')+1:]
	var b strings.Builder
	kind = trustedApp
	what := operations[method]
	if what == "" {
		what = "op=" + bare(method)
	}
	if r.GetUuid() != "" || r.GetDomain() != "" {
		kind = virtControl
		b.WriteString("virt=lxc ")
	}
	b.WriteString(what)
	if kind == virtControl {
		b.WriteString(" vm=" + value(r.GetDomain()) + " uuid=" + bare(r.GetUuid()))
	}
	address := "?"
	fmt.Fprintf(&b, " davit_seq=%d davit_phase=%s davit_code=%s", r.GetSequence(), bare(phaseWord(r.GetPhase())), bare(r.GetCode()))
	if p := r.GetCaller().GetProcess(); p != nil {
		fmt.Fprintf(&b, " davit_uid=%d davit_pid=%d", p.GetUid(), p.GetPid())
	} else if c := r.GetCaller().GetCertificate(); c != nil {
		b.WriteString(" davit_subject=" + value(c.GetSubject()))
		if host, _, err := net.SplitHostPort(c.GetAddress()); err == nil {
			address = bare(host)
		}
	}
	fmt.Fprintf(&b, " exe=%s hostname=? addr=%s terminal=? res=%s", value(k.exe), address, outcome(r))
	return kind, b.String()
}

// phaseWord is "call", "begin" or "end".
func phaseWord(p davitv1.AuditPhase) string {
	return strings.ToLower(strings.TrimPrefix(p.String(), "AUDIT_PHASE_"))
}

// outcome is audit's word for how a call went. One that has just begun was let in.
func outcome(r *davitv1.AuditRecord) string {
	if r.GetCode() == "OK" || r.GetPhase() == davitv1.AuditPhase_AUDIT_PHASE_BEGIN {
		return "success"
	}
	return "failed"
}

// value writes a text that a caller chose: in quotes if it is plain, else in hexadecimal. Plain is what audit(8) takes for
// so, less the quote that ends the record itself.
func value(text string) string {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\'' {
			return fmt.Sprintf("%X", text)
		}
	}
	return `"` + text + `"`
}

// bare writes a word that needs no quotes; "?" stands for one that has other than letters, digits and ".:_-".
func bare(word string) string {
	for i := range len(word) {
		c := word[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(".:_-", rune(c)) {
			return "?"
		}
	}
	if word == "" {
		return "?"
	}
	return word
}
