package linear_test

import (
	"github.com/davitd/davit/domain"
)

// verb is what is asked for.
type verb uint8

const (
	verbDefine verb = iota
	verbCreate
	verbUndefine
	verbStart
	verbDestroy
	verbShutdown
	verbReboot
	verbSuspend
	verbResume
	verbRename
	verbTitle
	verbMemory
	verbGet
	verbDefinition
	verbCrash // a guest's doing
	verbs
)

func (v verb) String() string {
	return [verbs]string{
		"define", "create", "undefine", "start", "destroy", "shutdown", "reboot", "suspend", "resume", "rename", "title", "memory",
		"get", "definition", "crash",
	}[v]
}

// part is what of a start an entry of the history is: a start has two instants, at the first of which the domain is seen to be
// starting up. Both are between its call and its answer.
type part uint8

const (
	partWhole part = iota
	partBegin
	partEnd
)

// scope is which definition is meant.
type scope uint8

const (
	scopeCurrent scope = iota
	scopeLive
	scopeStored
	scopeBoth
)

// question is what was asked.
type question struct {
	verb  verb
	part  part
	id    int32 // of a start, to find its two parts
	group int
	uuid  uint8 // 0: by name
	name  uint8
	image image // to define or create
	to    uint8 // new name, title or memory
	scope scope
}

// answer is what was answered.
type answer struct {
	refused refusal // zero if it was done
	view    view    // zero if the answer shows no domain
}

// view is what an answer shows of a domain.
type view struct {
	uuid, name    uint8
	cond          domain.Condition
	persistent    bool
	title, memory uint8 // 0: not shown
}

// look is what the domain at a place looks like.
func (w world) look(i int) view {
	p := w[i]
	return view{uuid: uint8(i + 1), name: p.name, cond: p.cond, persistent: p.persistent(), title: p.effective().title}
}

// answered is the world after a question, if it can have been answered so in this one.
func (w world) answered(q question, a answer) (world, bool) {
	switch q.verb {
	case verbDefine, verbCreate:
		return w.claimed(q, a)
	case verbGet, verbDefinition:
		return w, w.looked(q, a)
	case verbCrash:
		return w.crashed(q)
	default:
	}
	if q.part == partEnd {
		return w.started(q, a)
	}
	i := w.find(q.uuid, q.name)
	if i < 0 {
		return w, a.refused.is(notFound)
	}
	p := w[i]
	if p.starter != 0 {
		return w, false // whoever wants something of it waits
	}
	want := act(&w, &p, q)
	if !a.refused.is(want) {
		return w, false
	}
	w[i] = p
	return w, a.shows(w, i)
}

// shows tells whether an answer is of the domain at a place as it is.
func (a answer) shows(w world, i int) bool {
	return a.view == view{} || a.view == w.look(i)
}

// looked answers who only looks.
func (w world) looked(q question, a answer) bool {
	i := w.find(q.uuid, q.name)
	if i < 0 {
		return a.refused.is(notFound)
	}
	if q.verb == verbGet {
		return a.view == w.look(i)
	}
	p, want := w[i], w.look(i)
	shown := p.effective()
	if q.scope == scopeStored {
		shown = p.inactive()
	}
	want.title, want.memory = shown.title, shown.memory
	return a.view == want
}

// claimed answers who has a definition.
func (w world) claimed(q question, a answer) (world, bool) {
	if q.part == partEnd {
		return w.started(q, a)
	}
	i := int(q.uuid) - 1
	p := w[i]
	switch other := w.find(0, q.name); {
	case p.there() && p.name != q.name:
		return w, a.refused.is(uuidInUse)
	case !p.there() && other >= 0:
		return w, a.refused.is(nameInUse)
	case p.starter != 0:
		return w, false
	}
	p.name = q.name
	var want refusal
	if q.verb == verbDefine {
		want = define(&p, q)
	} else {
		want = create(&p, q)
	}
	if !a.refused.is(want) {
		return w, false
	}
	if want != (refusal{}) {
		return w, true
	}
	w[i] = p
	return w, q.part == partBegin || a.shows(w, i)
}

func define(p *place, q question) refusal {
	action := domain.Define
	if p.persistent() {
		action = domain.Redefine
	}
	if why, no := p.machine(action); no {
		return why
	}
	p.turn(action)
	p.stored = q.image
	return refusal{}
}

func create(p *place, q question) refusal {
	if why, no := p.machine(domain.Create); no {
		return why
	}
	p.turn(domain.Create)
	p.boot(q.id, q.image)
	return refusal{}
}

// started answers who waited for a start to end.
func (w world) started(q question, a answer) (world, bool) {
	for i, p := range w {
		if p.starter != q.id {
			continue
		}
		if a.refused.is(startFailed) { // by a destroy
			p.turn(domain.StartFailed)
			p.cut = p.there()
			return w.with(i, p), true
		}
		p.starter = 0
		p.turn(domain.Started)
		w[i] = p
		return w, a.refused == (refusal{}) && a.shows(w, i)
	}
	return w, false
}

// crashed is the end of an init by a signal.
func (w world) crashed(q question) (world, bool) {
	i := int(q.uuid) - 1
	p := w[i]
	if p.guest != guestAlive || p.seen[maxSeen-1] != 0 {
		return w, false
	}
	p.guest = guestDead
	p.will(domain.Crashed)
	return w.with(i, p), true
}

// act does something to a domain, or tells why not; the place is then as it was.
func act(w *world, p *place, q question) refusal {
	switch q.verb {
	case verbStart:
		if why, no := p.machine(domain.Start); no {
			return why
		}
		p.turn(domain.Start)
		p.boot(q.id, p.stored)
	case verbUndefine:
		return undefine(p)
	case verbDestroy:
		return destroy(p)
	case verbShutdown, verbReboot, verbSuspend, verbResume:
		return ask(p, q.verb)
	case verbRename:
		switch {
		case p.active():
			return wrongState
		case w.find(0, q.to) >= 0:
			return nameInUse
		}
		p.name = q.to
	case verbTitle, verbMemory:
		return update(p, q)
	default:
		panic("no such thing is done: " + q.verb.String())
	}
	return refusal{}
}

func undefine(p *place) refusal {
	if !p.persistent() {
		return wrongState
	}
	if !p.active() {
		*p = place{}
		return refusal{}
	}
	p.stored = image{}
	return refusal{}
}

func destroy(p *place) refusal {
	if !p.active() && p.cut {
		p.cut = false
		return refusal{}
	}
	if why, no := p.machine(domain.Destroy); no {
		return why
	}
	p.cut = false
	p.turn(domain.Destroy)
	return refusal{}
}

// actions are the machine's names.
var actions = map[verb]domain.Action{
	verbShutdown: domain.Shutdown, verbReboot: domain.Reboot, verbSuspend: domain.Suspend, verbResume: domain.Resume,
}

// ask asks the guest for something, which a dead one refuses in words of the driver.
func ask(p *place, v verb) refusal {
	action := actions[v]
	if why, no := p.machine(action); no {
		return why
	}
	to, _ := domain.Next(p.cond, action) // it was allowed
	idle := to.To == p.cond && len(to.Events) == 0
	switch {
	case idle && (v == verbSuspend || v == verbResume): // the guest is not asked
	case p.guest == guestDead:
		return wrongState
	case v == verbShutdown && p.guest == guestBetween, v == verbReboot && (p.guest == guestBetween || p.live.kind == kindDeaf):
		return wrongState
	case v == verbShutdown && p.live.kind == kindPlain:
		p.guest = guestDead
		p.will(domain.PoweredOff)
	case v == verbReboot:
		p.guest = guestBetween
	}
	p.turn(action)
	return refusal{}
}

// update changes a definition or two.
func update(p *place, q question) refusal {
	live, stored := p.active(), !p.active()
	switch q.scope {
	case scopeLive:
		live, stored = true, false
	case scopeStored:
		live, stored = false, true
	case scopeBoth:
		live, stored = true, true
	default:
	}
	switch {
	case live && !p.active(), stored && !p.persistent():
		return wrongState
	case live && q.verb == verbMemory && p.live.memory != q.to && p.guest == guestDead:
		return wrongState // nobody is there whose limit could be changed
	}
	if live {
		p.live.set(q)
	}
	if stored {
		p.stored.set(q)
	}
	return refusal{}
}

func (m *image) set(q question) {
	if q.verb == verbTitle {
		m.title = q.to
	} else {
		m.memory = q.to
	}
}
