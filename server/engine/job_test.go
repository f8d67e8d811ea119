package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/fake"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

// slow is a house whose starts take a time.
func slow(t *testing.T, d time.Duration, test func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.host = fake.New(fake.Options{StartDuration: d})
		h.start()
		defer func() { h.stop() }()
		test(h)
	})
}

func reason(err error) davitv1.ErrorReason {
	var e *domain.Error
	errors.As(err, &e)
	if e == nil {
		return 0
	}
	return e.Reason
}

// A second job waits until its caller's deadline and is told, before that, which job was in its way. Questions do not wait.
func TestOneJobAtATime(t *testing.T) {
	slow(t, 10*time.Second, func(h *house) {
		h.define("web", uuidWeb)
		started := make(chan error)
		go func() { started <- startWeb(h.t.Context(), h) }()
		synctest.Wait()
		if got := h.condition("web"); got != "paused (starting up)" {
			t.Errorf("meanwhile it is %s", got)
		}
		if _, err := h.GetDomainStats(h.t.Context(), &davitv1.GetDomainStatsRequest{Domain: byName("web")}); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("measure: %v", err)
		}
		ctx, cancel := context.WithTimeout(h.t.Context(), time.Second)
		defer cancel()
		_, err := h.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: byName("web")})
		if reason(err) != davitv1.ErrorReason_ERROR_REASON_JOB_IN_PROGRESS || !errors.Is(err, domain.ErrAborted) {
			t.Errorf("suspend: %v, want JOB_IN_PROGRESS", err)
		} else if !strings.Contains(err.Error(), "start domain") {
			t.Errorf("suspend: %v: which job is in the way?", err)
		}
		if ctx.Err() != nil {
			t.Error("the answer comes after the caller's deadline")
		}
		// With more time it has its turn.
		if _, err := h.SuspendDomain(h.t.Context(), &davitv1.SuspendDomainRequest{Domain: byName("web")}); err != nil {
			t.Errorf("suspend: %v", err)
		}
		if err := <-started; err != nil {
			t.Errorf("start: %v", err)
		}
		if got := h.condition("web"); got != "paused (user)" {
			t.Errorf("it is %s", got)
		}
	})
}

// A job that has begun is finished, also when its caller is gone.
func TestJobOutlivesItsCaller(t *testing.T) {
	slow(t, 10*time.Second, func(h *house) {
		h.define("web", uuidWeb)
		ctx, cancel := context.WithTimeout(h.t.Context(), time.Second)
		defer cancel()
		var e *domain.Error
		if err := startWeb(ctx, h); !errors.As(err, &e) || e.Code != codes.DeadlineExceeded {
			t.Errorf("start: %v, want DEADLINE_EXCEEDED", err)
		}
		time.Sleep(10 * time.Second)
		if got := h.condition("web"); got != "running (booted)" {
			t.Errorf("it is %s", got)
		}
	})
}

// A start that does not come to an end is given up, and leaves nothing.
func TestJobIsBounded(t *testing.T) {
	slow(t, time.Hour, func(h *house) {
		h.define("web", uuidWeb)
		begun := time.Now()
		if err := startWeb(h.t.Context(), h); err == nil || time.Since(begun) > 2*time.Minute {
			t.Errorf("start: %v after %v", err, time.Since(begun))
		}
		if got := h.condition("web"); got != "shut off (failed)" || h.host.Made() != 0 {
			t.Errorf("it is %s, %d containers", got, h.host.Made())
		}
	})
}

// Who wants a domain destroyed at once does not wait for the grace that somebody else gave.
func TestGraceIsCutShort(t *testing.T) {
	bubble(t, func(h *house) {
		h.CreateDomainOf("deaf", "trap 'echo no' TERM; sleep infinity; sleep infinity")
		graceful := make(chan error, 1)
		go func() {
			_, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{
				Domain: byName("deaf"), Grace: durationpb.New(30 * time.Minute),
			})
			graceful <- err
		}()
		time.Sleep(time.Minute)
		if got := h.condition("deaf"); got != "in shutdown (user)" {
			t.Fatalf("it is %s", got)
		}
		begun := time.Now()
		_, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("deaf")})
		if first := <-graceful; first != nil || time.Since(begun) > time.Second {
			t.Errorf("destroy with grace: %v after %v", first, time.Since(begun))
		}
		if !errors.Is(err, domain.ErrNotFound) && !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("the second destroy: %v, want that nothing is left to destroy", err)
		}
	})
}

// CreateDomainOf creates a transient domain whose init is a script.
func (h *house) CreateDomainOf(name, script string) {
	h.t.Helper()
	text := fmt.Sprintf("<domain type='lxc'><name>%s</name><memory>65536</memory><os><type>exe</type><init>/bin/sh</init>"+
		"<initarg>-c</initarg><initarg>%s</initarg></os></domain>", name, script)
	_, err := h.CreateDomain(h.t.Context(), &davitv1.CreateDomainRequest{
		Source: &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: text}},
	})
	if err != nil {
		h.t.Fatalf("create %s: %v", name, err)
	}
}

// The same request again gets the first answer again: while it runs, afterwards, for ten minutes, errors included.
func TestRequestID(t *testing.T) {
	slow(t, 10*time.Second, func(h *house) {
		h.define("web", uuidWeb)
		alice := engine.WithCaller(h.t.Context(), "alice")
		start := &davitv1.StartDomainRequest{Domain: byName("web"), RequestId: "one"}
		var both [2]*davitv1.StartDomainResponse
		var group sync.WaitGroup
		for i := range both {
			group.Go(func() {
				r, err := h.StartDomain(alice, start)
				if err != nil {
					t.Errorf("start: %v", err)
				}
				both[i] = r
			})
		}
		group.Wait()
		again, err := h.StartDomain(alice, start)
		if err != nil || !proto.Equal(again, both[0]) || !proto.Equal(again, both[1]) {
			t.Errorf("again: %v, %v; first %v and %v", again, err, both[0], both[1])
		}
		if len(again.GetPhases()) == 0 {
			t.Error("who asks again is not told where the time of the start went")
		}
		if _, err := h.StartDomain(engine.WithCaller(alice, "bob"), start); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("somebody else with the same id: %v", err)
		}
		other := &davitv1.StartDomainRequest{Domain: byName("web"), RequestId: "one", Paused: true}
		if _, err := h.StartDomain(alice, other); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("another request with the same id: %v", err)
		}
		destroy := &davitv1.DestroyDomainRequest{Domain: byName("web"), RequestId: "one"}
		for range 2 { // of another method: another request
			if _, err := h.DestroyDomain(alice, destroy); err != nil {
				t.Errorf("destroy: %v", err)
			}
		}
		time.Sleep(11 * time.Minute)
		if _, err := h.DestroyDomain(alice, destroy); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("destroy after ten minutes: %v", err)
		}
		for range 2 {
			if _, err := h.DestroyDomain(alice, destroy); !errors.Is(err, domain.ErrFailedPrecondition) {
				t.Errorf("destroy that failed: %v", err)
			}
		}
		if _, err := h.StartDomain(alice, &davitv1.StartDomainRequest{RequestId: strings.Repeat("x", 65)}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("long id: %v", err)
		}
	})
}

// Who asks again after the connection broke gets the outcome of what goes on, and what never began is begun.
func TestRequestIDAfterTheCallerLeft(t *testing.T) {
	slow(t, 10*time.Second, func(h *house) {
		h.define("web", uuidWeb)
		start := &davitv1.StartDomainRequest{Domain: byName("web"), RequestId: "one"}
		broken, cut := context.WithTimeout(h.t.Context(), time.Second)
		defer cut()
		if _, err := h.StartDomain(broken, start); err == nil {
			t.Error("start: no error")
		}
		r, err := h.StartDomain(h.t.Context(), start)
		if err != nil || r.GetDomain().GetId() != 1 {
			t.Errorf("start again: %v, %v", r, err)
		}
		if _, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		go func() { _ = startWeb(h.t.Context(), h) }()
		synctest.Wait()
		undefine := &davitv1.UndefineDomainRequest{Domain: byName("web"), RequestId: "two"}
		broken, cut = context.WithTimeout(h.t.Context(), time.Second)
		defer cut()
		if _, err := h.UndefineDomain(broken, undefine); reason(err) != davitv1.ErrorReason_ERROR_REASON_JOB_IN_PROGRESS {
			t.Errorf("undefine: %v", err)
		}
		if _, err := h.UndefineDomain(h.t.Context(), undefine); err != nil {
			t.Errorf("undefine again: %v", err)
		}
	})
}

// What is remembered of requests is bounded.
func TestRequestIDsAreBounded(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		resume := func(i int) error {
			_, err := h.ResumeDomain(h.t.Context(), &davitv1.ResumeDomainRequest{Domain: byName("web"), RequestId: fmt.Sprint(i)})
			return err
		}
		for i := range 5000 {
			if err := resume(i); !errors.Is(err, domain.ErrFailedPrecondition) {
				t.Fatalf("resume: %v", err)
			}
		}
		h.boot("web")
		if _, err := h.SuspendDomain(h.t.Context(), &davitv1.SuspendDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		if err := resume(4999); err == nil {
			t.Error("the newest was forgotten")
		}
		if err := resume(0); err != nil {
			t.Errorf("the oldest was not: %v", err)
		}
	})
}

// Close lets begun jobs end, ends whoever waits, and leaves the domains running.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.host = fake.New(fake.Options{StartDuration: 10 * time.Second})
		h.start()
		h.define("web", uuidWeb)
		h.define("mail", uuidMail)
		h.boot("web")
		outcome := map[string]chan error{"wait": make(chan error, 1), "start": make(chan error, 1), "queued": make(chan error, 1)}
		go func() {
			_, err := h.WaitDomain(h.t.Context(), &davitv1.WaitDomainRequest{Domain: byName("web")})
			outcome["wait"] <- err
		}()
		go func() {
			_, err := h.StartDomain(h.t.Context(), &davitv1.StartDomainRequest{Domain: byName("mail")})
			outcome["start"] <- err
		}()
		synctest.Wait()
		go func() {
			_, err := h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("mail")})
			outcome["queued"] <- err
		}()
		console, err := h.OpenConsole(h.t.Context(), &davitv1.ConsoleOpen{Domain: byName("web")})
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := console.Receive()
			read <- err
		}()
		synctest.Wait()
		h.stop()
		if err := <-outcome["start"]; err != nil {
			t.Errorf("a start that had begun: %v", err)
		}
		for name, err := range map[string]error{"wait": <-outcome["wait"], "queued job": <-outcome["queued"], "console": <-read} {
			if reason(err) != davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN {
				t.Errorf("%s: %v, want SHUTTING_DOWN", name, err)
			}
		}
		if _, err := h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{Source: xml("late", "")}); reason(err) != davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN {
			t.Errorf("define after the end: %v", err)
		}
		if h.host.Running() != 2 {
			t.Errorf("%d containers run, want 2", h.host.Running())
		}
		h.start()
		if h.condition("web") != "running (booted)" || h.condition("mail") != "running (booted)" {
			t.Errorf("web is %s, mail is %s", h.condition("web"), h.condition("mail"))
		}
		h.stop()
	})
}
