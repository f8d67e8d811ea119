package link

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// Detach removes an interface from a guest that runs on. It may be gone already.
func (host *Host) Detach(ns *os.File, m Made) error {
	if m.HostIndex != 0 {
		end, err := host.end(m)
		if err == nil {
			err = remove(host.h, end)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("detach interface %q: %w", m.Guest, err)
		}
		return host.Forget(m)
	}
	guest, err := inside(ns)
	if err != nil {
		return fmt.Errorf("detach interface %q: %w", m.Guest, err)
	}
	defer guest.Close()
	inner, err := direct(guest, m)
	if err == nil {
		err = remove(guest, inner)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("detach interface %q: %w", m.Guest, err)
	}
	return nil
}

// Forget removes what stays on the host when the guest's namespace is gone, or going.
func (host *Host) Forget(m Made) error {
	if m.HostIndex == 0 {
		return nil
	}
	return host.removeNamed(blockName(m.HostIndex))
}

// removeNamed removes an interface of the host, if it is there.
func (host *Host) removeNamed(name string) error {
	l, err := find(host.h, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return remove(host.h, l)
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

// Sweep removes the host ends whose owner begins with prefix and is none of kept, those that were being made for an owner that is not
// kept, and the devices of limits that belong to no interface any more. An owner is the prefix and a UUID.
func (host *Host) Sweep(prefix string, kept []string) error {
	making := make([]uint32, len(kept))
	for i, owner := range kept {
		making[i] = makingGroup(owner)
	}
	return host.sweep(func(l netlink.Link) bool {
		a := l.Attrs()
		if a.Alias != "" {
			return prefix != "" && strings.HasPrefix(a.Alias, prefix) && !slices.Contains(kept, a.Alias)
		}
		return isHalfMade(l) && a.Group&^0xffff == makingOf(prefix) && !slices.Contains(making, a.Group)
	})
}

// Prune removes the host ends of an owner but for those that are kept, and the one that it was making.
func (host *Host) Prune(owner string, kept []Made) error {
	return host.sweep(func(l netlink.Link) bool {
		a := l.Attrs()
		if a.Alias == "" {
			return isHalfMade(l) && a.Group == makingGroup(owner)
		}
		return a.Alias == owner && !slices.ContainsFunc(kept, func(m Made) bool { return m.HostIndex == a.Index })
	})
}

// sweep removes the interfaces that are to go, and the devices of limits that belong to none.
func (host *Host) sweep(goes func(netlink.Link) bool) error {
	list, err := host.h.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	there := map[int]bool{}
	var errs []error
	for _, l := range list {
		if goes(l) {
			errs = append(errs, remove(host.h, l))
		} else {
			there[l.Attrs().Index] = true
		}
	}
	for _, l := range list {
		number, ok := strings.CutPrefix(l.Attrs().Name, blockPrefix)
		if !ok || l.Type() != "ifb" {
			continue
		}
		if index, err := strconv.Atoi(number); err == nil && !there[index] {
			// One that came while the list was made may belong to a host end that came then, too.
			if _, err := host.h.LinkByIndex(index); isNotFound(err) {
				errs = append(errs, remove(host.h, l))
			}
		}
	}
	return errors.Join(errs...)
}

// Owner tells what the interface of a name is marked with, empty if it is not there or not marked.
func (host *Host) Owner(name string) string {
	l, err := find(host.h, name)
	if err != nil {
		return ""
	}
	return l.Attrs().Alias
}

// Evict removes the interface of a name, if it is marked with that owner.
func (host *Host) Evict(name, owner string) error {
	l, err := find(host.h, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (owner == "" || l.Attrs().Alias != owner) {
		return nil
	}
	if err != nil {
		return err
	}
	return remove(host.h, l)
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
