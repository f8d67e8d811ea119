package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// wires are the interfaces of a run while they are made, changed or removed in the network namespace of a boot. The lock wiring of
// the instance is held meanwhile.
type wires struct {
	i     *instance
	host  *link.Host
	netns *os.File
	ports []port // what there is
}

// step lets a test fail, or die, before a step.
func (w *wires) step(name string) error { return w.i.d.takeStep(name) }

// wanted are the interfaces of a definition.
func (w *wires) wanted(def *davitv1.Domain) ([]nic, error) {
	list, faults, missing := nics(def, nicSources{owner: w.i.owner(), ports: w.ports, networks: w.i.d.opts.Networks})
	if bad := append(faults, missing...); len(bad) > 0 {
		return nil, errors.New(bad[0].Message)
	}
	return list, nil
}

func (i *instance) owner() string { return owner(i.d.opts.Instance, i.spec.UUID) }

// makeAll makes the interfaces of a boot and writes them down.
func (w *wires) makeAll(list []nic) error {
	for _, n := range list {
		p, err := w.offer(n)
		if err != nil {
			return err
		}
		w.ports = append(w.ports, p)
	}
	// What is lent must be known to whoever comes after us before it goes. All else is found by its mark.
	if hasLoan(w.ports) {
		if err := errors.Join(w.i.holdLent(w.netns), w.i.note(w.ports)); err != nil {
			return err
		}
	}
	for k := range w.ports {
		if err := w.make(&w.ports[k]); err != nil {
			return err
		}
	}
	return w.noteMade()
}

// noteMade writes the interfaces of a boot down. While the start is not complete its last step does.
func (w *wires) noteMade() error {
	if slices.ContainsFunc(w.ports, outlives) || !w.i.remembered(w.ports) {
		return w.i.note(w.ports)
	}
	return nil
}

// outlives tells whether something of a port stays when the network namespace of its domain goes, and is found by the record. All else
// whoever follows one that was killed finds by its mark.
func outlives(p port) bool { return p.Loan != nil || p.Spec.Bandwidth != (link.Bandwidth{}) }

// offer begins the port of an interface that is to be made.
func (w *wires) offer(n nic) (port, error) {
	p := port{Alias: n.alias, Spec: n.Spec, Pending: true}
	if n.Kind != link.Lent {
		return p, w.checkMAC(n)
	}
	loan, err := w.host.Offer(n.Parent, n.Guest)
	if errors.Is(err, fs.ErrNotExist) {
		if name := w.i.d.borrower(n.Parent); name != "" {
			return p, &takenError{fmt.Sprintf("interface %q is lent to domain %q", n.Parent, name), name}
		}
	}
	p.Loan = &loan
	return p, err
}

// make makes what a port stands for.
func (w *wires) make(p *port) (err error) {
	if err = w.step("make interface"); err != nil {
		return err
	}
	if p.Loan != nil {
		var loan link.Loan
		if loan, err = w.host.Lend(w.netns, *p.Loan, p.Spec); err == nil {
			*p.Loan, p.Pending = loan, false
		}
		return err
	}
	made, err := w.host.Attach(w.netns, p.Spec)
	if errors.Is(err, fs.ErrExist) && w.evict(p.Spec.Host) {
		made, err = w.host.Attach(w.netns, p.Spec)
	}
	if err != nil {
		return err
	}
	p.Made, p.Pending = made, false
	// A reboot asks for the name again.
	if p.Spec.Host == "" {
		p.Spec.HostHint = made.Host
	}
	return nil
}

// evict removes the interface that has the name of a host end, if it is the host end of a domain that is no more: the kernel has yet
// to take it. True if there was one.
func (w *wires) evict(name string) bool {
	if name == "" {
		return false
	}
	of := w.host.Owner(name)
	uuid, ours := strings.CutPrefix(of, ownerPrefix(w.i.d.opts.Instance))
	if !ours {
		return false
	}
	if uuid == w.i.spec.UUID {
		if slices.ContainsFunc(w.ports, func(p port) bool { return p.Host == name }) {
			return false
		}
	} else if w.i.d.isLive(uuid) {
		return false
	}
	return w.host.Evict(name, of) == nil
}

// isLive tells whether a domain of ours runs, or is about to.
func (d *Driver) isLive(uuid string) bool {
	folder, err := d.states.open(uuid)
	if err != nil {
		return false
	}
	_ = folder.Close()
	return true
}

// clear removes what there may be of a domain's interfaces, from an earlier boot or an earlier try; list is what was to be made.
func (w *wires) clear(list []nic) error {
	for _, p := range append(w.i.ports(), w.ports...) {
		if p.Loan != nil {
			w.giveBack(*p.Loan)
		}
	}
	if err := w.host.Prune(w.i.owner(), nil); err != nil {
		return err
	}
	names := make([]string, 0, len(list))
	for _, n := range list {
		if n.Kind != link.Lent {
			names = append(names, n.Guest)
		}
	}
	w.i.letLent()
	return errors.Join(link.Clear(w.netns, names), w.i.note(nil))
}

// giveBack takes a loan of an earlier boot back, from that one's namespace or from this one. If the guest has seen to it that it
// cannot be found, that is nothing to fail for: what needs it will.
func (w *wires) giveBack(loan link.Loan) {
	for _, ns := range []*os.File{w.i.lentTo(), w.netns, nil} {
		err := w.host.GiveBack(ns, loan)
		if err == nil {
			return
		}
		if ns == nil {
			w.i.d.logLoan(w.i.spec.UUID, err)
		}
	}
}

// checkMAC refuses a hardware address that an interface of another domain has on the same bridge or interface of the host: neither
// would be reached.
func (w *wires) checkMAC(n nic) error {
	if n.MAC == nil || n.Kind == link.Ethernet {
		return nil
	}
	w.i.d.mu.Lock()
	defer w.i.d.mu.Unlock()
	for _, other := range w.i.d.lives {
		if other == w.i {
			continue
		}
		other.mu.Lock()
		same := !other.ended && slices.ContainsFunc(other.record.Interfaces, func(p port) bool {
			return p.Spec.Bridge == n.Bridge && p.Spec.Parent == n.Parent && p.Spec.MAC.String() == n.MAC.String()
		})
		other.mu.Unlock()
		if same {
			name := other.spec.Definition.GetName()
			return &takenError{fmt.Sprintf("domain %q has the hardware address %s on %q", name, n.MAC, n.Bridge+n.Parent), name}
		}
	}
	return nil
}

// wireFailed is the error of a change of interfaces that cannot be made.
func (i *instance) wireFailed(alias string, err error) error {
	if _, own := errors.AsType[*domain.Error](err); own || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED,
		Op: "update domain", Subject: i.spec.Definition.GetName(), Message: err.Error(), Detail: map[string]string{"device": alias},
	}
	if busy, ok := errors.AsType[*takenError](err); ok {
		e.Reason, e.Detail["owner"] = davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY, busy.owner
	}
	if elsewhere, ok := errors.AsType[*elsewhereError](err); ok {
		e.Reason, e.Message = davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY, elsewhere.Error()
	}
	if errno := errnoOf(err); errno != 0 {
		e.Code, e.Reason = codeOf(errno, e.Code, e.Reason)
	}
	return e
}

// takenError tells that another domain has what is needed.
type takenError struct{ message, owner string }

func (e *takenError) Error() string { return e.message }

// elsewhereError tells that the guest has taken an interface of the host to where it cannot be found.
type elsewhereError struct{ name string }

func (e *elsewhereError) Error() string {
	return fmt.Sprintf("interface %q is not where the guest was given it: it is used in a network namespace of the guest's own", e.name)
}
