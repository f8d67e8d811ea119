package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Interfaces of a container that runs are changed in the network namespace of its init, by davitd, while no boot is being furnished:
// a boot gets those of the old definition or of the new one, never some of each. What is about to be changed is written down before,
// so that a davitd which follows one that was killed knows what it cannot be sure of, and looks at what there really is.

// rewire makes the network interfaces of the container those of a definition, all or none.
func (i *instance) rewire(ctx context.Context, def *davitv1.Domain) error {
	if !hasNetwork(def) && len(i.ports()) == 0 {
		return i.noteWired(def)
	}
	if err := i.startFurnishing(ctx); err != nil {
		return i.refused(opRewire, err)
	}
	if err := i.expectFurnish(ctx, def); err != nil {
		return i.refused(opRewire, err)
	}
	for wait := newPatience(); ; {
		done, err := i.tryRewire(ctx, def)
		if done || err != nil {
			return err
		}
		// A boot is being made; it is furnished first.
		if err := wait.next(ctx); err != nil {
			return err
		}
	}
}

const opRewire = "update domain"

// noteWired says which definition the boots that come are given the interfaces of.
func (i *instance) noteWired(def *davitv1.Domain) error {
	i.wiring.Lock()
	defer i.wiring.Unlock()
	i.wired, i.furnished = proto.CloneOf(def), false
	return nil
}

// expectFurnish has the boots that follow wait for their interfaces, of a domain that had none before. That they wait for
// none is no harm.
func (i *instance) expectFurnish(ctx context.Context, def *davitv1.Domain) error {
	if !hasNetwork(def) || i.furnished {
		return nil
	}
	plan, err := i.monitor.Plan(ctx)
	if told, ok := errors.AsType[*client.Error](err); ok && told.Kind == monitorv1.ErrorKind_ERROR_KIND_INVALID && hasNetwork(i.definition()) {
		return nil // one of an older davit, whose boots wait if they did from the start
	}
	if err == nil && !plan.GetFurnish() {
		plan.Furnish = true
		if err = i.noteFurnished(); err == nil {
			err = i.monitor.Revise(ctx, &monitorv1.Revise{Plan: plan})
		}
		if err == nil {
			err = notePlan(i.folder, plan)
		}
	}
	i.furnished = err == nil
	return err
}

// tryRewire does it, unless a boot is under way that may have been furnished before: it cannot be reached as long as its init does
// not run.
func (i *instance) tryRewire(ctx context.Context, def *davitv1.Domain) (done bool, err error) {
	i.wiring.Lock()
	defer i.wiring.Unlock()
	state, err := i.running(ctx, opRewire)
	if err != nil {
		return false, err
	}
	host, err := i.d.host()
	if err != nil {
		return false, err
	}
	i.unwired = false // what there is of it now the next boot has to clear
	w := &wires{i: i, host: host, ports: i.ports()}
	switch {
	case state.GetPid() != 0:
		w.netns, err = i.openProc(int(state.GetPid()), "ns/net")
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || gone(err) {
			return false, nil // it ended just now
		}
		if err != nil {
			return false, err
		}
		defer func() { _ = w.netns.Close() }()
		err = w.become(def)
	case state.GetPhase() == monitorv1.Phase_PHASE_WAITING:
		err = w.prepare(def)
	default:
		return false, nil
	}
	if err != nil {
		return false, err
	}
	i.wired, i.furnished = proto.CloneOf(def), i.furnished && hasNetwork(def)
	return true, nil
}

// prepare makes sure that the boot that follows can be given the interfaces of a definition; there is no init now. What is not lent any
// more goes home at once.
func (w *wires) prepare(def *davitv1.Domain) error {
	list, err := w.wanted(def)
	if err != nil {
		return w.i.wireFailed("", err)
	}
	for _, p := range slices.Clone(w.ports) {
		if p.Loan == nil || slices.ContainsFunc(list, func(n nic) bool { return n.alias == p.Alias }) {
			continue
		}
		w.giveBack(*p.Loan)
		w.drop(p.Alias)
	}
	if !hasLoan(w.ports) {
		w.i.letLent()
	}
	return w.i.note(w.ports)
}

// drop takes a port out of those that there are.
func (w *wires) drop(alias string) {
	w.ports = slices.DeleteFunc(w.ports, func(p port) bool { return p.Alias == alias })
}

// change is one step of becoming what a definition says, and how it is undone.
type change struct {
	alias    string
	do, undo func() error
}

// become makes the interfaces of the container those of a definition, all or none.
func (w *wires) become(def *davitv1.Domain) error {
	list, err := w.wanted(def)
	if err != nil {
		return w.i.wireFailed("", err)
	}
	before := slices.Clone(w.ports)
	alias, changes, err := w.compare(list)
	if err == nil && len(changes) == 0 && !slices.ContainsFunc(before, isPending) {
		return nil
	}
	if err == nil {
		err = w.announce()
	}
	done := 0
	for ; err == nil && done < len(changes); done++ {
		alias = changes[done].alias
		if err = w.step("change interface"); err == nil {
			err = changes[done].do()
		}
	}
	if err == nil {
		w.sort(list)
		if err = w.step("note interfaces"); err == nil {
			err = w.i.note(w.ports)
		}
	}
	if err == nil {
		if !hasLoan(w.ports) {
			w.i.letLent()
		}
		return nil
	}
	return errors.Join(w.i.wireFailed(alias, err), w.undo(changes[:done], before))
}

// announce writes down what may be other than it was from now on.
func (w *wires) announce() error {
	if err := w.step("announce interfaces"); err != nil {
		return err
	}
	if hasLoan(w.ports) {
		if err := w.i.holdLent(w.netns); err != nil {
			return err
		}
	}
	return w.i.note(w.ports)
}

// undo makes all as it was before the changes, the last first. The one that failed has undone itself.
func (w *wires) undo(done []change, before []port) error {
	var errs []error
	for _, c := range slices.Backward(done) {
		if err := c.undo(); err != nil {
			errs = append(errs, fmt.Errorf("undo: %w", err))
		}
	}
	after := make([]port, 0, len(before))
	for _, old := range before {
		if now := find(w.ports, old.Alias); now != nil {
			now.Pending = old.Pending
			after = append(after, *now)
			w.drop(old.Alias)
		} else {
			old.Pending = true
			after = append(after, old)
		}
	}
	if len(errs) > 0 {
		// What could not be made as it was is in doubt, and so is what should not be there.
		after = append(after, w.ports...)
		for k := range after {
			after[k].Pending = true
		}
	}
	w.ports = after
	if !hasLoan(w.ports) {
		w.i.letLent()
	}
	return errors.Join(append(errs, w.i.note(w.ports))...)
}

// sort puts the ports into the order of the definition.
func (w *wires) sort(list []nic) {
	at := func(p port) int { return slices.IndexFunc(list, func(n nic) bool { return n.alias == p.Alias }) }
	slices.SortStableFunc(w.ports, func(a, b port) int { return at(a) - at(b) })
}

// compare finds out what has to be done: what goes, and has a name that something else is to have, or can be refused, goes first; then come those that
// are new and those that change; and last goes the rest. On an error it tells of which device.
func (w *wires) compare(list []nic) (alias string, changes []change, err error) {
	if err := w.recover(); err != nil {
		return "", nil, err
	}
	var first, middle, last []change
	for k := range w.ports {
		p := &w.ports[k]
		if slices.ContainsFunc(list, func(n nic) bool { return n.alias == p.Alias }) {
			continue
		}
		p.Pending = true
		c := w.removal(*p)
		if p.Loan != nil || slices.ContainsFunc(list, func(n nic) bool { return n.Guest == p.guest() || n.Host != "" && n.Host == p.Host }) {
			first = append(first, c)
		} else {
			last = append(last, c)
		}
	}
	for _, n := range list {
		c, err := w.adapt(n)
		if err != nil {
			return n.alias, nil, err
		}
		if c != nil {
			middle = append(middle, *c)
		}
	}
	return "", slices.Concat(first, middle, last), nil
}

// recover removes what a davitd that was killed has left half made, and what of it there is no knowing about. What it was removing
// or changing is there or not, as it is found.
func (w *wires) recover() error {
	if !slices.ContainsFunc(w.ports, isPending) {
		return nil
	}
	var kept []port
	var made []link.Made
	for _, p := range w.ports {
		switch {
		case p.isMade() && p.Loan == nil:
			kept, made = append(kept, p), append(made, p.Made)
		case p.isMade():
			kept = append(kept, p)
		case p.Loan != nil:
			w.giveBack(*p.Loan)
		default:
			if err := w.host.Discard(w.netns, p.Spec); err != nil {
				return err
			}
		}
	}
	w.ports = kept
	return w.host.Prune(w.i.owner(), made)
}

// adapt is what has to be done for one interface, nil if nothing has.
func (w *wires) adapt(n nic) (*change, error) {
	p := find(w.ports, n.alias)
	if p == nil {
		return w.addition(n)
	}
	standing, drifted, err := w.standing(*p)
	if err != nil {
		return nil, err
	}
	fixed := p.Spec.Fixed(n.Spec)
	same := p.Spec.Same(n.Spec)
	switch {
	case !standing && p.Pending:
		// It was being removed, and is to stay.
		w.drop(n.alias)
		return w.addition(n)
	case fixed != "":
		return nil, fmt.Errorf("the %s of an interface cannot be changed while the domain runs: detach it and attach another", fixed)
	case same && !p.Pending && !drifted:
		return nil, nil
	case !standing && same:
		return nil, nil // the guest has removed it, and has it again when it reboots
	case !standing:
		return nil, fmt.Errorf("the guest has removed the interface %q: %w", p.guest(), fs.ErrNotExist)
	case p.Loan != nil:
		p.Pending = false
		return nil, nil
	}
	c := w.alteration(*p, n, p.Pending || drifted)
	p.Pending = true
	return &c, nil
}

// standing tells whether what a port stands for is there.
func (w *wires) standing(p port) (standing, drifted bool, err error) {
	if p.Loan == nil {
		return w.host.Standing(w.netns, p.Made, p.Spec)
	}
	states, err := link.Look(w.netns, []int{p.Loan.GuestIndex})
	return len(states) == 1 && states[0].Kind == p.Loan.Kind, false, err
}

// addition makes an interface.
func (w *wires) addition(n nic) (*change, error) {
	p, err := w.offer(n)
	if err != nil {
		return nil, err
	}
	w.ports = append(w.ports, p)
	return &change{
		alias: n.alias,
		do: func() error {
			now := find(w.ports, n.alias)
			if err := w.make(now); err != nil {
				w.drop(n.alias)
				return err
			}
			return nil
		},
		undo: func() error { return w.remove(n.alias) },
	}, nil
}

// removal removes one; undone, another like it is made.
func (w *wires) removal(p port) change {
	return change{
		alias: p.Alias,
		do:    func() error { return w.remove(p.Alias) },
		undo: func() error {
			again := p
			again.Spec.HostHint, again.Made = p.Host, link.Made{}
			if err := w.make(&again); err != nil {
				return err
			}
			w.ports = append(w.ports, again)
			return nil
		},
	}
}

// remove removes an interface, or gives it back. An interface of the host that the guest has taken elsewhere stays.
func (w *wires) remove(alias string) error {
	p := find(w.ports, alias)
	if p == nil {
		return nil
	}
	if p.Loan != nil {
		err := w.host.GiveBack(w.netns, *p.Loan)
		if errors.Is(err, fs.ErrNotExist) {
			return &elsewhereError{p.Loan.Name}
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err != nil {
			w.i.d.logLoan(w.i.spec.UUID, err)
		}
	} else if err := w.host.Detach(w.netns, p.Made); err != nil {
		return err
	}
	w.drop(alias)
	return nil
}

// alteration changes one, from what it is or, in doubt, from whatever it is.
func (w *wires) alteration(p port, n nic, doubt bool) change {
	from := &p.Spec
	if doubt {
		from = nil
	}
	back := func() error { return w.host.Change(w.netns, p.Made, nil, p.Spec) }
	return change{
		alias: n.alias,
		do: func() error {
			err := w.host.Change(w.netns, p.Made, from, n.Spec)
			if err != nil && from == nil && p.Spec.Same(n.Spec) {
				// Nothing was asked of it: it stays as it is, a bridge that is gone for example.
				w.i.d.log.Warn("an interface is not what it should be", zap.String("uuid", w.i.spec.UUID), zap.Error(err))
				err = nil
			}
			if err != nil {
				return errors.Join(err, undone(back()))
			}
			now := find(w.ports, n.alias)
			hint := now.Spec.HostHint
			now.Spec, now.Pending = n.Spec, false
			if now.Spec.HostHint == "" {
				now.Spec.HostHint = hint
			}
			return nil
		},
		undo: func() error {
			if err := back(); err != nil {
				return err
			}
			now := find(w.ports, n.alias)
			now.Spec, now.Pending = p.Spec, false
			return nil
		},
	}
}

// undone tells what could not be undone, but for what is gone.
func undone(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("undo: %w", err)
}
