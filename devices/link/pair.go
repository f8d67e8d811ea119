package link

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/vishvananda/netlink"
)

// pair makes the two ends, the guest's where it belongs.
func (a *attachment) pair() error {
	bridge, err := a.host.bridge(a.spec)
	if err != nil {
		return err
	}
	if a.end, err = a.create(); err != nil {
		return err
	}
	attrs := a.end.Attrs()
	a.made.Host, a.made.HostIndex, a.made.GuestIndex = attrs.Name, attrs.Index, attrs.ParentIndex
	a.inner = &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: attrs.ParentIndex, Name: a.spec.Guest}}
	if attrs.ParentIndex == 0 {
		guest, err := a.inside()
		if err != nil {
			return err
		}
		if a.inner, err = find(guest, a.spec.Guest); err != nil {
			return err
		}
		a.made.GuestIndex = a.inner.Attrs().Index
	}
	return a.setHost(bridge)
}

// generated has the kernel make up the name of a host end.
const generated = hostPrefix + "%d"

// create makes a pair. Its host end has the name that is asked for, the one that it had before, or one that the kernel finds free: to
// name it afterwards would cost a grace period.
func (a *attachment) create() (netlink.Link, error) {
	if a.spec.Host != "" {
		return a.createNamed(a.spec.Host)
	}
	if a.spec.HostHint != "" {
		end, err := a.createNamed(a.spec.HostHint)
		if _, inside := errors.AsType[taken](err); inside || !errors.Is(err, fs.ErrExist) {
			return end, err
		}
	}
	return a.createNamed(generated)
}

// createNamed makes a pair whose host end has a name. The error is a taken where the name inside is taken.
func (a *attachment) createNamed(name string) (netlink.Link, error) {
	end, err := a.host.createPair(name, a.ns, a.spec)
	if errors.Is(err, fs.ErrExist) {
		guest, insideErr := a.inside()
		if insideErr != nil {
			return nil, insideErr
		}
		if takenErr := free(guest, a.spec.Guest); takenErr != nil {
			return nil, takenErr
		}
		if name == a.spec.Host && a.removeFormer(name) {
			end, err = a.host.createPair(name, a.ns, a.spec)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make host end %q%s: %w", name, onBridge(a.spec), err)
	}
	return end, nil
}

// setHost completes the host end. Nothing goes through it before it is what it shall be.
func (a *attachment) setHost(bridge *netlink.Bridge) error {
	s := a.spec
	// The most of them need no more than one request.
	plain := !s.Isolated && s.VLAN.IsZero() && s.Bandwidth == (Bandwidth{}) && len(s.HostAddresses) == 0
	want := settings{alias: s.Owner, up: plain && !s.Down}
	if bridge != nil {
		want.master = bridge.Attrs().Index
	}
	if err := a.host.set(a.end, want); err != nil {
		return fmt.Errorf("make host end %q%s: %w", a.made.Host, onBridge(s), err)
	}
	if !plain {
		if err := a.host.setPort(a.end, bridge, s); err != nil {
			return err
		}
		if err := carryOut(a.host.conn, addAddresses(a.made.HostIndex, a.made.Host, s.HostAddresses)); err != nil {
			return err
		}
		if err := a.host.SetBandwidth(a.made, s.Bandwidth); err != nil {
			return err
		}
	}
	if s.Down {
		return nil
	}
	var tasks []task
	if !plain {
		tasks = append(tasks, bringUp(a.made.HostIndex, a.made.Host))
	}
	return carryOut(a.host.conn, append(tasks, addRoutes(a.made.HostIndex, a.made.Host, s.HostRoutes)...))
}

// removeFormer removes the host end of an earlier run of the same owner that has the name: the kernel takes namespaces down in its own
// time, and their interfaces with them.
func (a *attachment) removeFormer(name string) bool {
	former, err := find(a.host.h, name)
	return err == nil && a.spec.Owner != "" && former.Attrs().Alias == a.spec.Owner && remove(a.host.h, former) == nil
}

func onBridge(s Spec) string {
	if s.Kind != Bridge {
		return ""
	}
	return fmt.Sprintf(" on bridge %q", s.Bridge)
}
