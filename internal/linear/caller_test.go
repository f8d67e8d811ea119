package linear_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/fake"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// caller is one client: it asks, and notes what it was answered and when.
type caller struct {
	t       *testing.T
	client  *client.Client
	host    *fake.Driver
	random  *rand.Rand
	number  int
	begun   time.Time
	starts  int32
	history []porcupine.Operation
}

// weights are how often each verb is asked for.
var weights = [verbs]int{
	verbDefine: 22, verbCreate: 9, verbUndefine: 7, verbStart: 16, verbDestroy: 7, verbShutdown: 6, verbReboot: 4, verbSuspend: 6,
	verbResume: 6, verbRename: 6, verbTitle: 4, verbMemory: 5, verbGet: 12, verbDefinition: 5, verbCrash: 3,
}

// choose makes a question up.
func (c *caller) choose(groups int) question {
	total := 0
	for _, n := range weights {
		total += n
	}
	q := question{group: c.random.IntN(groups), name: 1 + uint8(c.random.IntN(names))}
	at := c.random.IntN(total)
	for q.verb = 0; at >= weights[q.verb]; q.verb++ {
		at -= weights[q.verb]
	}
	uuid := 1 + uint8(c.random.IntN(uuids))
	switch q.verb {
	case verbDefine, verbCreate:
		kinds := []kind{kindPlain, kindPlain, kindPlain, kindDeaf, kindBrief}
		q.uuid = uuid
		q.image = image{kind: kinds[c.random.IntN(len(kinds))], title: 1 + uint8(c.random.IntN(4)), memory: 1 + uint8(c.random.IntN(3))}
		return q
	case verbCrash:
		q.uuid = uuid
		return q
	case verbRename:
		q.to = 1 + uint8(c.random.IntN(names))
	case verbTitle, verbMemory:
		q.to, q.scope = 1+uint8(c.random.IntN(3)), scope(c.random.IntN(4))
	case verbDefinition:
		q.scope = []scope{scopeCurrent, scopeStored}[c.random.IntN(2)]
	default:
	}
	if c.random.IntN(3) == 0 {
		q.uuid = uuid
	}
	return q
}

// follow makes up what is asked at once after something was done: what it has just made free is taken, because whatever is done
// beside the answer, instead of before it, shows then.
func (c *caller) follow(q question) (question, bool) {
	if c.random.IntN(2) == 0 || q.name == 0 {
		return q, false
	}
	next := question{group: q.group, uuid: 1 + uint8(c.random.IntN(uuids)), name: q.name}
	switch q.verb {
	case verbUndefine, verbDestroy:
		next.verb, next.to = verbRename, q.name
	case verbRename:
		next.verb, next.image = verbDefine, image{kind: kindPlain, title: 1, memory: 1}
	default:
		return q, false
	}
	return next, true
}

// act asks and notes. It tells whether it was done.
func (c *caller) act(q question) bool {
	if q.verb == verbStart || q.verb == verbCreate {
		c.starts++
		q.id = int32(c.number)<<16 | c.starts
	}
	called := time.Since(c.begun)
	a, err := c.ask(q)
	returned := time.Since(c.begun)
	if errors.Is(err, errUnknown) {
		return false
	}
	if err != nil {
		a.refused = refusalOf(err)
		if a.refused.reason == davitv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			c.t.Errorf("client %d: %v: %v", c.number, q, err)
			return false
		}
	}
	parts := []part{partWhole}
	if q.id != 0 && (err == nil || a.refused.is(startFailed)) {
		parts = []part{partBegin, partEnd}
	}
	for _, p := range parts {
		out := a
		if q.part = p; p == partBegin {
			out = answer{}
		}
		c.history = append(c.history, porcupine.Operation{
			ClientId: c.number, Input: q, Output: out, Call: called.Nanoseconds(), Return: returned.Nanoseconds(),
		})
	}
	return err == nil
}

// errUnknown is a question of which it is not known what came of it, because it was asked of a guest.
var errUnknown = errors.New("it is not known what came of it")

// ref is whom the question is about.
func (q question) ref() *davitv1.DomainRef {
	if q.uuid != 0 {
		return client.ByUUID(uuidOf(q.group, q.uuid))
	}
	return client.ByName(nameOf(q.group, q.name))
}

// ask asks the daemon.
func (c *caller) ask(q question) (a answer, err error) {
	ctx, ref := c.t.Context(), q.ref()
	var info *davitv1.DomainInfo
	switch q.verb {
	case verbDefine:
		var r *davitv1.DefineDomainResponse
		r, err = c.client.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: client.XML(q.xml())})
		info = r.GetDomain()
	case verbCreate:
		var r *davitv1.CreateDomainResponse
		r, err = c.client.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: client.XML(q.xml())})
		info = r.GetDomain()
	case verbStart:
		var r *davitv1.StartDomainResponse
		r, err = c.client.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: ref})
		info = r.GetDomain()
	case verbRename:
		var r *davitv1.RenameDomainResponse
		r, err = c.client.RenameDomain(ctx, &davitv1.RenameDomainRequest{Domain: ref, NewName: nameOf(q.group, q.to)})
		info = r.GetDomain()
	case verbTitle, verbMemory:
		var r *davitv1.UpdateDomainResponse
		r, err = c.client.UpdateDomain(ctx, q.update())
		info = r.GetDomain()
	case verbGet, verbDefinition:
		get := &davitv1.GetDomainRequest{Domain: ref}
		if q.verb == verbDefinition {
			get.View, get.Inactive = davitv1.DomainView_DOMAIN_VIEW_FULL, q.scope == scopeStored
		}
		var r *davitv1.GetDomainResponse
		r, err = c.client.GetDomain(ctx, get)
		info = r.GetDomain()
	case verbCrash:
		if c.host.Crash(uuidOf(q.group, q.uuid), syscall.SIGSEGV) != nil {
			return answer{}, errUnknown // there is no guest, or the daemon is just ending it
		}
	default:
		err = c.order(ctx, q)
	}
	if info != nil {
		a.view = viewOf(info)
	}
	return a, err
}

// order is what is answered without showing the domain.
func (c *caller) order(ctx context.Context, q question) (err error) {
	ref := q.ref()
	switch q.verb {
	case verbUndefine:
		_, err = c.client.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: ref})
	case verbDestroy:
		_, err = c.client.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: ref})
	case verbShutdown:
		_, err = c.client.ShutdownDomain(ctx, &davitv1.ShutdownDomainRequest{Domain: ref})
	case verbReboot:
		_, err = c.client.RebootDomain(ctx, &davitv1.RebootDomainRequest{Domain: ref})
	case verbSuspend:
		_, err = c.client.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: ref})
	case verbResume:
		_, err = c.client.ResumeDomain(ctx, &davitv1.ResumeDomainRequest{Domain: ref})
	default:
		panic("nobody is asked for this: " + q.verb.String())
	}
	return err
}

// The values behind the numbers of the model.
var memories = []uint64{0, 16384, 32768, 65536}

func uuidOf(group int, uuid uint8) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", group+1, uuid)
}

func nameOf(group int, name uint8) string { return fmt.Sprintf("g%d-n%d", group, name) }

func titleOf(n uint8) string { return strings.Repeat("t", int(n)) }

// xml is the definition of a define or create.
func (q question) xml() string {
	init := map[kind]string{
		kindPlain: "<init>/sbin/init</init>",
		kindDeaf:  "<init>/bin/sh</init><initarg>-c</initarg><initarg>trap 'sleep infinity' TERM; sleep infinity</initarg>",
		kindBrief: "<init>/bin/true</init>",
	}[q.image.kind]
	return fmt.Sprintf("<domain type='lxc'><name>%s</name><uuid>%s</uuid><title>%s</title><memory>65536</memory>"+
		"<currentMemory>%d</currentMemory><os><type>exe</type>%s</os></domain>",
		nameOf(q.group, q.name), uuidOf(q.group, q.uuid), titleOf(q.image.title), memories[q.image.memory], init)
}

func (q question) update() *davitv1.UpdateDomainRequest {
	r := &davitv1.UpdateDomainRequest{Domain: q.ref(), Affect: map[scope]davitv1.Affect{
		scopeCurrent: davitv1.Affect_AFFECT_UNSPECIFIED, scopeLive: davitv1.Affect_AFFECT_LIVE,
		scopeStored: davitv1.Affect_AFFECT_CONFIG, scopeBoth: davitv1.Affect_AFFECT_LIVE_AND_CONFIG,
	}[q.scope]}
	if q.verb == verbTitle {
		r.UpdateMask, r.Title = &fieldmaskpb.FieldMask{Paths: []string{"title"}}, titleOf(q.to)
	} else {
		r.UpdateMask = &fieldmaskpb.FieldMask{Paths: []string{"current_memory_kib"}}
		r.Definition = &davitv1.Domain{CurrentMemoryKib: memories[q.to]}
	}
	return r
}

// viewOf is what an answer shows, in the numbers of the model.
func viewOf(info *davitv1.DomainInfo) view {
	v := view{
		cond:       domain.Condition{State: info.GetState(), Reason: info.GetReason()},
		persistent: info.GetPersistent(), title: uint8(len(info.GetTitle())),
	}
	var group int
	_, _ = fmt.Sscanf(info.GetName(), "g%d-n%d", &group, &v.name)
	for n := uint8(1); n <= uuids; n++ {
		if uuidOf(group, n) == info.GetUuid() {
			v.uuid = n
		}
	}
	if def := info.GetDefinition(); def != nil {
		v.title, v.memory = uint8(len(def.GetTitle())), uint8(slices.Index(memories, def.GetCurrentMemoryKib()))
	}
	return v
}
