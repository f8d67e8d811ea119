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
	a.made.HostIndex, a.made.GuestIndex = attrs.Index, attrs.ParentIndex
	a.inner = &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: attrs.ParentIndex, Name: a.spec.Guest}}
	if attrs.ParentIndex == 0 {
		if a.inner, err = find(a.guest, a.spec.Guest); err != nil {
			return err
		}
		a.made.GuestIndex = a.inner.Attrs().Index
	}
	return a.setHost(bridge)
}

// create makes a pair under the name of one that is being made.
func (a *attachment) create() (netlink.Link, error) {
	name := makingName(a.spec.Owner)
	for again := false; ; again = true {
		end, err := a.host.createPair(name, a.ns, a.spec)
		if err == nil {
			return end, nil
		}
		if again || !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make pair: %w", err)
		}
		// The name inside is taken, or the other one by what was left half made.
		if err = free(a.guest, a.spec.Guest); err != nil {
			return nil, err
		}
		if err = a.host.removeNamed(name); err != nil {
			return nil, err
		}
	}
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
	if err := a.name(want); err != nil {
		return err
	}
	if !plain {
		if err := a.host.setPort(a.end, bridge, s); err != nil {
			return err
		}
		if err := addAddresses(a.host.h, a.end, s.HostAddresses); err != nil {
			return err
		}
		if err := a.host.SetBandwidth(a.made, s.Bandwidth); err != nil {
			return err
		}
	}
	if s.Down {
		return nil
	}
	if !plain {
		if err := a.host.h.LinkSetUp(a.end); err != nil {
			return fmt.Errorf("bring %q up: %w", a.made.Host, err)
		}
	}
	return addRoutes(a.host.h, a.end, s.HostRoutes)
}

// name gives the host end its name, and what else can be had in the same request: the name that is asked for, the one that it had
// before, or one that the kernel finds free.
func (a *attachment) name(want settings) error {
	const generated = hostPrefix + "%d"
	names := []string{a.spec.HostHint, generated}
	if a.spec.Host != "" {
		names = []string{a.spec.Host}
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		want.name = name
		err := a.host.set(a.end, want)
		if errors.Is(err, fs.ErrExist) && name == a.spec.Host && a.removeFormer(name) {
			err = a.host.set(a.end, want)
		}
		if errors.Is(err, fs.ErrExist) && name == a.spec.HostHint {
			continue
		}
		if err != nil {
			return fmt.Errorf("make host end %q%s: %w", name, onBridge(a.spec), err)
		}
		if name == generated {
			end, err := a.host.h.LinkByIndex(a.made.HostIndex)
			if err != nil {
				return fmt.Errorf("find host end: %w", err)
			}
			name = end.Attrs().Name
		}
		a.end.Attrs().Name, a.made.Host = name, name
		return nil
	}
	return nil
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
