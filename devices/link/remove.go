package link

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// Detach removes an interface from a guest that runs on. It may be gone already.
func (host *Host) Detach(ns *os.File, m Made) error {
	if m.HostIndex != 0 {
		end, err := host.h.LinkByIndex(m.HostIndex)
		if err == nil {
			err = host.h.LinkDel(end)
		}
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("detach interface %q: %w", m.Guest, err)
		}
		return host.Forget(m)
	}
	guest, err := inside(ns)
	if err != nil {
		return fmt.Errorf("detach interface %q: %w", m.Guest, err)
	}
	defer guest.Close()
	inner, err := guest.LinkByIndex(m.GuestIndex)
	if err == nil {
		err = guest.LinkDel(inner)
	}
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("detach interface %q: %w", m.Guest, err)
	}
	return nil
}

// Forget removes what stays on the host when the guest's namespace is gone, or going.
func (host *Host) Forget(m Made) error {
	if m.HostIndex == 0 {
		return nil
	}
	block, err := find(host.h, blockName(m.HostIndex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = host.h.LinkDel(block)
	}
	return err
}

// Clear removes interfaces from a guest's namespace, by their names inside, as far as they are there.
func Clear(ns *os.File, names []string) error {
	guest, err := inside(ns)
	if err != nil {
		return err
	}
	defer guest.Close()
	for _, name := range names {
		l, err := find(guest, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = remove(guest, l)
		}
		if err != nil {
			return fmt.Errorf("remove interface %q: %w", name, err)
		}
	}
	return nil
}

// Sweep removes the interfaces whose owner begins with prefix and is not kept, and the devices of limits that belong to no
// interface any more.
func (host *Host) Sweep(prefix string, kept func(owner string) bool) error {
	list, err := host.h.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	there := map[int]bool{}
	var errs []error
	for _, l := range list {
		a := l.Attrs()
		if ours(l, prefix) && !kept(a.Alias) {
			errs = append(errs, remove(host.h, l))
			continue
		}
		there[a.Index] = true
	}
	for _, l := range list {
		number, ok := strings.CutPrefix(l.Attrs().Name, blockPrefix)
		if !ok || l.Type() != "ifb" {
			continue
		}
		if index, err := strconv.Atoi(number); err == nil && !there[index] {
			errs = append(errs, remove(host.h, l))
		}
	}
	return errors.Join(errs...)
}

// remove deletes an interface, which may go by itself meanwhile.
func remove(h *netlink.Handle, l netlink.Link) error {
	err := h.LinkDel(l)
	if err == nil {
		return nil
	}
	if _, gone := h.LinkByIndex(l.Attrs().Index); isNotFound(gone) {
		return nil
	}
	return fmt.Errorf("remove interface %q: %w", l.Attrs().Name, err)
}
