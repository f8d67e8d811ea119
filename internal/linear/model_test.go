package linear_test

import (
	"slices"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Domains come in groups that have nothing to do with each other, so that each is checked by itself. A group has so many UUIDs
// and names; a definition has any of the one and any of the other. Both count from 1, and 0 is none.
const (
	uuids = 3
	names = 2
)

// guest is what an init does of which the daemon was not told yet.
type guest uint8

const (
	guestNone guest = iota
	guestAlive
	guestBetween // it reboots, and has no init
	guestDead
)

// kind is what an init does with requests. The fake driver plays it.
type kind uint8

const (
	kindNone  kind = iota
	kindPlain      // ends when it is asked to end, reboots when it is asked to reboot
	kindDeaf       // hears of an end and goes on, and never reboots
	kindBrief      // ends by itself, at once
)

// image is a definition: its init, its title and its memory.
type image struct {
	kind          kind
	title, memory uint8
}

// maxSeen is how many events of a guest may be on their way. The daemon looks at them before each job.
const maxSeen = 3

// place is one UUID: the domain that has it, or nothing, which is the zero value.
type place struct {
	name    uint8
	cond    domain.Condition
	stored  image // zero for a transient domain
	live    image // zero for one that does not run
	starter int32 // the start that is under way
	cut     bool  // a start was cut off by a destroy that has not been answered
	guest   guest
	seen    [maxSeen]domain.Action // what the guest did and the daemon will be told, in order
}

// world is a group.
type world [uuids]place

func (p *place) there() bool      { return p.name != 0 }
func (p *place) persistent() bool { return p.stored.kind != kindNone }
func (p *place) active() bool     { return p.cond.Active() }

// effective is the definition that holds now.
func (p *place) effective() image {
	if p.active() {
		return p.live
	}
	return p.stored
}

// inactive is the one for the next start.
func (p *place) inactive() image {
	if p.persistent() {
		return p.stored
	}
	return p.live
}

// will adds something that the daemon will be told of the guest.
func (p *place) will(a domain.Action) {
	for i := range p.seen {
		if p.seen[i] == 0 {
			p.seen[i] = a
			return
		}
	}
}

// boot begins a run.
func (p *place) boot(id int32, with image) {
	p.live, p.starter, p.guest, p.cut = with, id, guestAlive, false
	if with.kind == kindBrief {
		p.guest = guestDead
		p.will(domain.PoweredOff)
	}
}

// turn does what the machine says, and tells whether it allows it. The end of a run is the end of a transient domain.
func (p *place) turn(a domain.Action) bool {
	to, err := domain.Next(p.cond, a)
	if err != nil {
		return false
	}
	was := p.active()
	p.cond = to.To
	if was && !p.active() {
		p.rest()
	}
	return true
}

// rest is a domain after its run.
func (p *place) rest() {
	if !p.persistent() {
		*p = place{}
		return
	}
	p.live, p.starter, p.guest, p.seen = image{}, 0, guestNone, [maxSeen]domain.Action{}
}

// unseen gives what a world may have become without anybody asking: guests that reboot are up again, and the daemon is told.
func (w world) unseen() []world {
	all := []world{w}
	for at := 0; at < len(all); at++ {
		for i := range uuids {
			for _, next := range all[at].slip(i) {
				all = include(all, next)
			}
		}
	}
	return all
}

// slip gives what may happen to one domain next.
func (w world) slip(i int) []world {
	var all []world
	if p := w[i]; p.guest == guestBetween && p.seen[maxSeen-1] == 0 {
		p.guest = guestAlive
		p.will(domain.Rebooted)
		all = append(all, w.with(i, p))
	}
	// Whoever starts a domain sees that it started before anything else of it is looked at.
	if p := w[i]; p.seen[0] != 0 && p.starter == 0 {
		a := p.seen[0]
		copy(p.seen[:], p.seen[1:])
		p.seen[maxSeen-1] = 0
		if p.turn(a) {
			all = append(all, w.with(i, p))
		}
	}
	return all
}

func (w world) with(i int, p place) world {
	w[i] = p
	return w
}

func include(all []world, w world) []world {
	if slices.Contains(all, w) {
		return all
	}
	return append(all, w)
}

// step gives what the world may be after something was asked and answered so; nothing, if it cannot have been answered so.
func (w world) step(q question, a answer) []world {
	var all []world
	for _, now := range w.unseen() {
		if next, ok := now.answered(q, a); ok {
			all = include(all, next)
		}
	}
	return all
}

// find is the place of a domain, by its UUID or name.
func (w world) find(uuid, name uint8) int {
	for i, p := range w {
		if p.there() && (uuid != 0 && i == int(uuid)-1 || uuid == 0 && p.name == name) {
			return i
		}
	}
	return -1
}

// Refusals that the model knows. Whatever else is answered, no order explains.
var (
	notFound    = refusal{reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND}
	nameInUse   = refusal{reason: davitv1.ErrorReason_ERROR_REASON_NAME_IN_USE}
	uuidInUse   = refusal{reason: davitv1.ErrorReason_ERROR_REASON_UUID_IN_USE}
	startFailed = refusal{reason: davitv1.ErrorReason_ERROR_REASON_START_FAILED}
	wrongState  = refusal{reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE}
)

// machine is the refusal of domain.Next, with its words.
func (p *place) machine(a domain.Action) (refusal, bool) {
	_, err := domain.Next(p.cond, a)
	if err == nil {
		return refusal{}, false
	}
	return refusalOf(err), true
}
