package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
	"github.com/davitd/davit/server/events"
	"github.com/davitd/davit/server/store"
)

// house is a daemon without a front door: an engine on the fake driver, with the real store and journal in a folder that
// outlives it.
type house struct {
	t       testing.TB
	dir     string
	host    *fake.Driver // what goes on without the daemon
	log     *zap.Logger
	faults  faults
	options func(*engine.Options)
	etag    string // of web, for tests that need it

	life    *life
	store   *store.Store
	journal *events.Journal
	*engine.Engine
}

// faults are errors that the store, the journal and the driver are made to give, by the name of the method.
type faults struct {
	mu  sync.Mutex
	set map[string][]error
}

// fail makes the next calls of a method fail, one for each error.
func (f *faults) fail(method string, errs ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set == nil {
		f.set = map[string][]error{}
	}
	f.set[method] = errs
}

func (f *faults) take(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.set[method]
	if len(list) == 0 {
		return nil
	}
	f.set[method] = list[1:]
	if bug, ok := errors.AsType[panicking](list[0]); ok {
		panic(bug)
	}
	return list[0]
}

// panicking is a fault that is no error: the method panics.
type panicking string

func (p panicking) Error() string { return string(p) }

// life is one life of the daemon. It can be cut off at a given step: from then on whoever of it touches the outside
// world ends there, as all do when a process is killed.
type life struct {
	mu    sync.Mutex
	steps int
	last  int // the step after which it is over; 0: never
	over  bool
	names []string
}

// step is one touch of the outside world.
func (l *life) step(name string) {
	l.mu.Lock()
	l.steps++
	l.names = append(l.names, name)
	if l.last != 0 && l.steps > l.last {
		l.over = true
	}
	over := l.over
	l.mu.Unlock()
	if over {
		runtime.Goexit()
	}
}

// end kills it.
func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

func newHouse(tb testing.TB) *house {
	tb.Helper()
	h := &house{t: tb, dir: tb.TempDir(), host: fake.New(fake.Options{})}
	h.log = zaptest.NewLogger(tb, zaptest.Level(zap.ErrorLevel))
	return h
}

// open starts the daemon; with steps above 0 it is killed after so many.
func (h *house) open(steps int) {
	h.t.Helper()
	var err error
	h.life = &life{last: steps}
	if h.store, err = store.Open(store.Options{LibDir: h.dir + "/lib", RunDir: h.dir + "/run"}); err != nil {
		h.t.Fatal(err)
	}
	if h.journal, err = events.Open(h.dir+"/events", events.Options{}); err != nil {
		h.t.Fatal(err)
	}
	o := engine.Options{
		Driver:  mortalDriver{h.host, h.life, &h.faults},
		Store:   mortalStore{h.store, h.life, &h.faults},
		Journal: mortalJournal{h.journal, h.life, &h.faults},
		Host:    domain.HostDefaults{Arch: "x86_64"}, Logger: h.log,
	}
	if h.options != nil {
		h.options(&o)
	}
	if h.Engine, err = engine.New(o); err != nil {
		h.t.Fatal(err)
	}
}

// start is open and recover.
func (h *house) start() {
	h.t.Helper()
	h.open(0)
	h.recover()
}

func (h *house) recover() {
	h.t.Helper()
	if err := h.Recover(h.t.Context()); err != nil {
		h.t.Fatalf("recover: %v", err)
	}
}

// stop closes the daemon in good order.
func (h *house) stop() {
	h.t.Helper()
	if err := h.Engine.Close(context.Background()); err != nil {
		h.t.Errorf("close engine: %v", err)
	}
	h.shut()
}

// kill cuts the daemon off where it is.
func (h *house) kill() {
	h.t.Helper()
	h.life.end()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.Engine.Close(ctx) // only ends goroutines; it touches nothing any more
	h.shut()
}

func (h *house) shut() {
	h.t.Helper()
	if err := errors.Join(h.host.Close(), h.journal.Close(), h.store.Close()); err != nil {
		h.t.Errorf("shut: %v", err)
	}
}

// bubble runs a test on a house in a bubble of synctest, where time passes only when nothing else happens.
func bubble(t *testing.T, test func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.start()
		defer func() { h.stop() }()
		test(h)
	})
}

// mortalStore is a store in a life.
type mortalStore struct {
	*store.Store
	life   *life
	faults *faults
}

func (s mortalStore) write(name string, do func() error) error {
	s.life.step("before " + name)
	if err := s.faults.take(name); err != nil {
		return err
	}
	err := do()
	s.life.step("after " + name)
	return err
}

func (s mortalStore) Put(def *davitv1.Domain) error {
	return s.write("Put", func() error { return s.Store.Put(def) })
}

func (s mortalStore) Delete(uuid string) error {
	return s.write("Delete", func() error { return s.Store.Delete(uuid) })
}

func (s mortalStore) SetAutostart(uuid string, on bool) error {
	return s.write("SetAutostart", func() error { return s.Store.SetAutostart(uuid, on) })
}

func (s mortalStore) PutStatus(status store.Status) error {
	return s.write("PutStatus", func() error { return s.Store.PutStatus(status) })
}

func (s mortalStore) PutRequest(r store.Request) error {
	return s.write("PutRequest", func() error { return s.Store.PutRequest(r) })
}

func (s mortalStore) DeleteStatus(uuid string) error {
	return s.write("DeleteStatus", func() error { return s.Store.DeleteStatus(uuid) })
}

// mortalJournal is a journal in a life.
type mortalJournal struct {
	*events.Journal
	life   *life
	faults *faults
}

func (j mortalJournal) Append(ev *davitv1.Event, origin events.Origin) (*davitv1.EventPosition, error) {
	j.life.step("before Append")
	if err := j.faults.take("Append"); err != nil {
		return nil, err
	}
	position, err := j.Journal.Append(ev, origin)
	j.life.step("after Append")
	return position, err
}

// mortalDriver is the fake driver in a life.
type mortalDriver struct {
	*fake.Driver
	life   *life
	faults *faults
}

func (d mortalDriver) Start(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	d.life.step("before Start")
	i, err := d.Driver.Start(ctx, spec)
	d.life.step("after Start")
	if err != nil {
		return nil, err
	}
	return mortalInstance{i, d.life, d.faults}, nil
}

func (d mortalDriver) Recover(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	d.life.step("before Recover")
	i, err := d.Driver.Recover(ctx, spec)
	if err != nil {
		return nil, err
	}
	return mortalInstance{i, d.life, d.faults}, nil
}

func (d mortalDriver) Sweep(ctx context.Context, keep []driver.Ref) error {
	d.life.step("before Sweep")
	return d.Driver.Sweep(ctx, keep)
}

// mortalInstance is an instance in a life.
type mortalInstance struct {
	driver.Instance
	life   *life
	faults *faults
}

func (i mortalInstance) act(name string, do func() error) error {
	i.life.step("before " + name)
	if err := i.faults.take(name); err != nil {
		return err
	}
	err := do()
	i.life.step("after " + name)
	return err
}

func (i mortalInstance) Acknowledge(ctx context.Context, sequence uint64) error {
	return i.act("Acknowledge", func() error { return i.Instance.Acknowledge(ctx, sequence) })
}

func (i mortalInstance) Shutdown(ctx context.Context, mode davitv1.ShutdownMode, reboot bool) error {
	return i.act("Shutdown", func() error { return i.Instance.Shutdown(ctx, mode, reboot) })
}

func (i mortalInstance) Suspend(ctx context.Context) error {
	return i.act("Suspend", func() error { return i.Instance.Suspend(ctx) })
}

func (i mortalInstance) Resume(ctx context.Context) error {
	return i.act("Resume", func() error { return i.Instance.Resume(ctx) })
}

func (i mortalInstance) Update(ctx context.Context, def *davitv1.Domain) error {
	return i.act("Update", func() error { return i.Instance.Update(ctx, def) })
}

func (i mortalInstance) Stats(ctx context.Context) (*davitv1.DomainStats, error) {
	if err := i.faults.take("Stats"); err != nil {
		return nil, err
	}
	return i.Instance.Stats(ctx)
}

func (i mortalInstance) Filesystems(ctx context.Context) ([]*davitv1.MountedFilesystem, error) {
	lister, ok := i.Instance.(driver.FilesystemLister)
	if !ok {
		return nil, domain.ErrUnsupported
	}
	return lister.Filesystems(ctx)
}

func (i mortalInstance) Interfaces(ctx context.Context) ([]*davitv1.InterfaceStatus, error) {
	return i.reporter().Interfaces(ctx)
}

func (i mortalInstance) BlockDevices(ctx context.Context) ([]*davitv1.BlockDeviceStatus, error) {
	return i.reporter().BlockDevices(ctx)
}

func (i mortalInstance) reporter() driver.DeviceReporter {
	reporter, _ := i.Instance.(driver.DeviceReporter)
	return reporter
}

func (i mortalInstance) Complete(def *davitv1.Domain) {
	if completer, ok := i.Instance.(driver.Completer); ok {
		completer.Complete(def)
	}
}

func (i mortalInstance) Kill(ctx context.Context) error {
	return i.act("Kill", func() error { return i.Instance.Kill(ctx) })
}

func (i mortalInstance) Release(ctx context.Context) error {
	return i.act("Release", func() error { return i.Instance.Release(ctx) })
}

// xml is a definition of a domain whose init is a service: it runs until it is told to shut down.
func xml(name, uuid string, more ...string) *davitv1.DefinitionSource {
	text := fmt.Sprintf("<domain type='lxc'><name>%s</name>", name)
	if uuid != "" {
		text += fmt.Sprintf("<uuid>%s</uuid>", uuid)
	}
	text += "<memory>65536</memory><os><type>exe</type><init>/sbin/init</init></os>"
	for _, m := range more {
		text += m
	}
	return &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: text + "</domain>"}}
}

// The UUIDs of tests.
const (
	uuidWeb  = "11111111-1111-4111-8111-111111111111"
	uuidMail = "22222222-2222-4222-8222-222222222222"
)

func byName(name string) *davitv1.DomainRef {
	return &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: name}}
}

// define defines a domain, and fails the test if that fails.
func (h *house) define(name, uuid string, more ...string) *davitv1.DomainInfo {
	h.t.Helper()
	r, err := h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{Source: xml(name, uuid, more...)})
	if err != nil {
		h.t.Fatalf("define %s: %v", name, err)
	}
	return r.GetDomain()
}

// boot starts a domain.
func (h *house) boot(name string) *davitv1.DomainInfo {
	h.t.Helper()
	r, err := h.StartDomain(h.t.Context(), &davitv1.StartDomainRequest{Domain: byName(name)})
	if err != nil {
		h.t.Fatalf("start %s: %v", name, err)
	}
	return r.GetDomain()
}

// get is the domain as it is now; nil if there is none.
func (h *house) get(name string) *davitv1.DomainInfo {
	h.t.Helper()
	r, err := h.GetDomain(h.t.Context(), &davitv1.GetDomainRequest{Domain: byName(name)})
	if errors.Is(err, domain.ErrNotFound) {
		return nil
	}
	if err != nil {
		h.t.Fatalf("get %s: %v", name, err)
	}
	return r.GetDomain()
}

// condition is what a domain does, in words.
func (h *house) condition(name string) string {
	h.t.Helper()
	info := h.get(name)
	if info == nil {
		return "absent"
	}
	return domain.Condition{State: info.GetState(), Reason: info.GetReason()}.String()
}

// told are all events so far, in words.
func (h *house) told() []string {
	h.t.Helper()
	w, err := h.journal.Watch(h.t.Context(), events.WatchOptions{Oldest: true})
	if err != nil {
		h.t.Fatal(err)
	}
	var list []string
	for w.Position().GetSequence() < h.journal.Newest().GetSequence() {
		ev, err := w.Next(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		list = append(list, words(ev))
	}
	return list
}

// words is an event as virsh would print it.
func words(ev *davitv1.Event) string {
	switch k := ev.GetKind().(type) {
	case *davitv1.Event_Lifecycle:
		kind, detail := domain.EventWords(k.Lifecycle)
		return fmt.Sprintf("%s: %s %s", ev.GetName(), kind, detail)
	case *davitv1.Event_Reboot:
		return fmt.Sprintf("%s: reboot %d", ev.GetName(), k.Reboot.GetCount())
	case *davitv1.Event_MetadataChange:
		return fmt.Sprintf("%s: %v %s", ev.GetName(), k.MetadataChange.GetType(), k.MetadataChange.GetUri())
	case *davitv1.Event_Oom:
		return fmt.Sprintf("%s: oom %d", ev.GetName(), k.Oom.GetCount())
	case *davitv1.Event_Device:
		kind := strings.ToLower(strings.TrimPrefix(k.Device.GetType().String(), "DEVICE_EVENT_TYPE_"))
		return strings.TrimSpace(fmt.Sprintf("%s: %s %s %s", ev.GetName(), kind, k.Device.GetAlias(), k.Device.GetCause()))
	case *davitv1.Event_Tunable:
		text := ev.GetName() + ": tunable"
		for _, t := range k.Tunable.GetTunables() {
			text += " " + t.GetField() + "=" + t.GetValue()
		}
		return text
	}
	return fmt.Sprintf("%s: %T", ev.GetName(), ev.GetKind())
}

// wait waits for a domain to stop.
func (h *house) wait(name string, states ...davitv1.DomainState) *davitv1.WaitDomainResponse {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	r, err := h.WaitDomain(ctx, &davitv1.WaitDomainRequest{Domain: byName(name), States: states})
	if err != nil {
		h.t.Fatalf("wait for %s: %v", name, err)
	}
	return r
}

// xml is a domain's document.
func (h *house) xml(name string, inactive bool) string {
	h.t.Helper()
	r, err := h.GetDomainXML(h.t.Context(), &davitv1.GetDomainXMLRequest{Domain: byName(name), Inactive: inactive})
	if err != nil {
		h.t.Fatalf("get XML of %s: %v", name, err)
	}
	return r.GetXml()
}

// arm lets the life end after some more steps.
func (l *life) arm(steps int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps, l.last, l.names = 0, steps, nil
	l.over = steps == 0
}

// dead tells whether it is over.
func (l *life) dead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// where names the last steps.
func (l *life) where() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.names) == 0 {
		return "at once"
	}
	return fmt.Sprintf("at step %d (%s)", len(l.names), l.names[len(l.names)-1])
}
