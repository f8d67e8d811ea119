package rpc_test

import (
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// conditions are the states that a domain can be in, each with how the domain web comes there and what state it is then;
// none where the domain is gone.
var conditions = []struct {
	name  string
	make  func(d *daemon) error
	state davitv1.DomainState
}{
	{"defined", func(*daemon) error { return nil }, davitv1.DomainState_DOMAIN_STATE_SHUTOFF},
	{"running", func(d *daemon) error { return d.starts() }, davitv1.DomainState_DOMAIN_STATE_RUNNING},
	{"paused", func(d *daemon) error {
		return errors.Join(d.starts(), d.does("SuspendDomain"))
	}, davitv1.DomainState_DOMAIN_STATE_PAUSED},
	{"transient", func(d *daemon) error {
		return errors.Join(d.starts(), d.does("UndefineDomain"))
	}, davitv1.DomainState_DOMAIN_STATE_RUNNING},
	{"destroyed", func(d *daemon) error {
		return errors.Join(d.starts(), d.does("DestroyDomain"))
	}, davitv1.DomainState_DOMAIN_STATE_SHUTOFF},
	{"ended by itself", func(d *daemon) error {
		return errors.Join(d.starts(), d.host.Exit(uuidWeb, 3), d.does("WaitDomain"))
	}, davitv1.DomainState_DOMAIN_STATE_SHUTOFF},
	{"crashed", func(d *daemon) error {
		return errors.Join(d.starts(), d.host.Crash(uuidWeb, syscall.SIGSEGV), d.does("WaitDomain"))
	}, davitv1.DomainState_DOMAIN_STATE_SHUTOFF},
	{"lost", func(d *daemon) error {
		return errors.Join(d.starts(), d.host.Lose(uuidWeb), d.does("WaitDomain"))
	}, davitv1.DomainState_DOMAIN_STATE_SHUTOFF},
	{"failed to start", func(d *daemon) error {
		d.host.FailNextStart(errors.New("no luck"))
		if d.starts() == nil {
			return errors.New("it was started")
		}
		return nil
	}, davitv1.DomainState_DOMAIN_STATE_SHUTOFF},
	{"being shut down", func(d *daemon) error {
		return errors.Join(d.runs("trap '' TERM; sleep infinity"), d.does("ShutdownDomain"))
	}, 0},
	{"rebooting", func(d *daemon) error {
		return errors.Join(d.runs("trap 'reboot' HUP; sleep infinity"), d.does("RebootDomain"))
	}, 0},
	{"gone", func(d *daemon) error { return d.does("UndefineDomain") }, 0},
	{"found again", func(d *daemon) error {
		err := d.starts()
		d.stop()
		d.start()
		return err
	}, davitv1.DomainState_DOMAIN_STATE_RUNNING},
	{"vanished meanwhile", func(d *daemon) error {
		err := d.starts()
		d.stop()
		err = errors.Join(err, d.host.Vanish(uuidWeb))
		d.start()
		return err
	}, 0},
}

// starts has web started.
func (d *daemon) starts() error { return d.does("StartDomain") }

// runs has web started with another init.
func (d *daemon) runs(script string) error {
	_, err := d.domains.DefineDomain(d.t.Context(), &davitv1.DefineDomainRequest{Source: source("web", uuidWeb, script)})
	return errors.Join(err, d.starts())
}

// does makes the call of a method that makes sense.
func (d *daemon) does(name string) error {
	for _, m := range methods(d.t) {
		if string(m.Name()) == name {
			return d.send(d.t.Context(), time.Minute, m, proto.Clone(good()[name]))
		}
	}
	return errors.New("no such method")
}

// Whatever state a domain is in, each method that looks, and each that reads what takes more than that, answers or says in
// davit's words why not, also while the state changes.
func TestLookAtEveryState(t *testing.T) {
	for _, condition := range conditions {
		t.Run(condition.name, func(t *testing.T) {
			d := newDaemon(t)
			d.start()
			defer func() { d.stop() }()
			d.reset(false)
			if err := condition.make(d); err != nil {
				t.Fatal(domain.FromStatus(err))
			}
			if condition.state != 0 {
				r, err := d.domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName("web")})
				if err != nil || r.GetDomain().GetState() != condition.state {
					t.Errorf("domain is %v, %v", r, err)
				}
			}
			d.lookAtAll(t)
		})
	}
}

// lookAtAll calls every method that looks, in several ways.
func (d *daemon) lookAtAll(t *testing.T) {
	t.Helper()
	tried := 0
	for _, m := range methods(t) {
		access, _ := proto.GetExtension(m.Options(), davitv1.E_Access).(davitv1.Access)
		if access != davitv1.Access_ACCESS_READ && m.Parent().Name() != "LogService" && m.Name() != "OpenConsole" || m.Name() == "RemoveLog" {
			continue
		}
		for _, q := range sensible(m) {
			tried++
			_, err := d.answers(m, q)
			if err != nil && !clean(err) {
				t.Errorf("%s %v: %v", m.Name(), q, err)
			}
		}
	}
	if tried < 25 {
		t.Errorf("only %d requests", tried)
	}
}

// sensible are requests that look, each in what it shows.
func sensible(m protoreflect.MethodDescriptor) []proto.Message {
	list := []proto.Message{proto.Clone(good()[string(m.Name())])}
	for _, q := range looking(m) {
		switch q.(type) {
		case *davitv1.GetDomainRequest, *davitv1.GetDomainXMLRequest, *davitv1.ListDomainsRequest, *davitv1.WatchEventsRequest:
			list = append(list, q)
		}
	}
	return list
}

// clean tells whether an error is one of davit's own, with a reason, or the end of the patience of a call without end.
func clean(err error) bool {
	switch status.Code(err) {
	case codes.Internal, codes.Unknown, codes.Unavailable, codes.DataLoss, codes.OK:
		return false
	case codes.DeadlineExceeded, codes.Canceled:
		return true
	default:
		return reason(err) != 0
	}
}

// While a domain is started, changed and ended, whoever looks is answered.
func TestLookWhileItChanges(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.reset(false)
	done := make(chan error, 1)
	go func() {
		var err error
		for range 30 {
			err = errors.Join(err, d.starts(), d.does("SuspendDomain"), d.does("ResumeDomain"), d.does("DestroyDomain"))
		}
		done <- err
	}()
	names := []string{"GetDomain", "GetDomainXML", "GetDomainStats", "ListProcesses", "ListFilesystems", "GetDomainJob", "ListInterfaces", "ListBlockDevices", "ListDomainStats", "DiffDomain"}
	for {
		for _, name := range names {
			if err := d.does(name); err != nil && !clean(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(domain.FromStatus(err))
			}
			return
		default:
		}
	}
}

// What is refused, a hundred times over and in every way, keeps nothing: the call that makes sense works after it.
func TestRefusalsKeepNothing(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	slow := []string{"Drain", "WatchEvents", "WaitDomain", "ReadLog", "OpenConsole", "Exec", "ReadAudit"}
	for _, m := range methods(t) {
		empty := good()[string(m.Name())].ProtoReflect().New().Interface()
		times := 100
		if slices.Contains(slow, string(m.Name())) {
			times = 10
		}
		for range times {
			if err := d.send(t.Context(), brief, m, empty); slices.Contains([]codes.Code{codes.Internal, codes.Unknown, codes.Unavailable}, status.Code(err)) {
				t.Fatalf("%s: %v", m.Name(), err)
			}
		}
	}
	for end := time.Now().Add(time.Minute); d.running.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d calls do not end", d.running.Load())
		}
	}
	d.reset(true) // which defines, starts and, if there is one, ends a domain
	for _, name := range []string{"SuspendDomain", "ResumeDomain", "GetDomain", "DestroyDomain", "UndefineDomain"} {
		if err := d.does(name); err != nil {
			t.Errorf("%s: %v", name, domain.FromStatus(err))
		}
	}
}
