package native

import (
	"context"
	"errors"
	"os"
	"slices"

	"go.uber.org/zap"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/driver/monitor/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// What stands for a domain's interfaces on the host is davitd's. It is made while the monitor makes the container, at each
// boot of the guest, and goes with the guest's network namespace.

// furnishing is who puts interfaces into the network namespaces of a run.
type furnishing struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// hasNetwork tells whether a definition has interfaces, or is lent some.
func hasNetwork(def *davitv1.Domain) bool {
	return len(def.GetDevices().GetInterface()) > 0 || slices.ContainsFunc(def.GetDevices().GetHostdev(), func(h *davitv1.Hostdev) bool {
		return h.GetType() == davitv1.HostdevType_HOSTDEV_TYPE_NET
	})
}

// startFurnishing furnishes the container from now on, whenever its monitor makes it.
func (i *instance) startFurnishing(ctx context.Context) error { return i.furnishAfter(ctx, nil) }

// furnishAfter is startFurnishing once another furnishing is over, which was told to end; nil if there was none.
func (i *instance) furnishAfter(ctx context.Context, before *furnishing) error {
	if i.monitor == nil {
		return nil
	}
	return i.furnishFor(ctx, before, i.monitor)
}

// furnished is a monitor that can be furnished for: one that runs, or is being started.
type furnished interface {
	Furnish(ctx context.Context) (*client.Furnish, error)
}

// furnishFor is furnishAfter for a monitor.
func (i *instance) furnishFor(ctx context.Context, before *furnishing, monitor furnished) error {
	i.mu.Lock()
	taken := i.furnishing != nil
	i.mu.Unlock()
	if taken {
		return nil
	}
	f, err := monitor.Furnish(ctx)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.furnishing != nil { // somebody else was faster
		return f.Close()
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	i.furnishing = &furnishing{cancel, done}
	go func() {
		defer close(done)
		if before != nil {
			<-before.done
		}
		i.furnish(ctx, f)
	}()
	return nil
}

// stopFurnishing leaves it to the next davitd.
func (i *instance) stopFurnishing() {
	i.mu.Lock()
	f := i.furnishing
	i.furnishing = nil
	i.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
}

// furnish serves the monitor until it is gone, or ctx ends.
func (i *instance) furnish(ctx context.Context, f *client.Furnish) {
	for wait := newPatience(); ; {
		for f != nil {
			netns, err := f.Next(ctx)
			if err != nil {
				break
			}
			err = i.attach(netns)
			_ = netns.Close()
			if err != nil {
				i.d.log.Warn("a domain's interfaces cannot be made", zap.String("uuid", i.spec.UUID), zap.Error(err))
			}
			if f.Done(err) != nil {
				break
			}
			wait = newPatience()
		}
		if f != nil {
			_ = f.Close()
		}
		if ctx.Err() != nil || i.isEnded() || i.isLost() || wait.next(ctx) != nil {
			return
		}
		var err error
		if f, err = i.monitor.Furnish(ctx); err != nil {
			if alive, aliveErr := i.monitorAlive(ctx); aliveErr == nil && !alive {
				return
			}
			f = nil
		}
	}
}

// attach makes the interfaces of the container in the network namespace of a boot, all or none. The namespace is new, or half
// furnished by a davitd that was killed.
func (i *instance) attach(netns *os.File) error {
	i.wiring.Lock()
	defer i.wiring.Unlock()
	host, err := i.d.host()
	if err != nil {
		return err
	}
	w := &wires{i: i, host: host, netns: netns, ports: i.ports()}
	list, err := w.wanted(i.wiredAs())
	if err != nil {
		return err
	}
	// A domain that was just started has left nothing anywhere.
	if !i.unwired {
		if err = w.clear(list); err != nil {
			return err
		}
	}
	i.unwired, w.ports = false, nil
	if err = w.makeAll(list); err != nil {
		return errors.Join(err, w.clear(list))
	}
	return nil
}

// wiredAs is the definition whose interfaces a boot is given.
func (i *instance) wiredAs() *davitv1.Domain {
	if i.wired != nil {
		return i.wired
	}
	return i.definition()
}

// host is the network namespace that we are in.
func (d *Driver) host() (*link.Host, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.network == nil {
		var err error
		if d.network, err = link.Open(d.opts.Network); err != nil {
			return nil, err
		}
	}
	return d.network, nil
}

// forgetInterfaces removes what the kernel does not take along with the network namespace of a domain, and takes back what was
// lent to it, from that namespace if it is known.
func (d *Driver) forgetInterfaces(ctx context.Context, folder, guest *os.File) error {
	if folder == nil {
		return nil
	}
	// Without a record the next sweep finds what is left.
	r, _ := readRecord(folder)
	if len(r.Interfaces) == 0 {
		return nil
	}
	host, err := d.host()
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range r.Interfaces {
		if p.Loan != nil {
			errs = append(errs, d.takeBack(ctx, host, r.UUID, *p.Loan, guest))
		} else {
			errs = append(errs, host.Forget(p.Made))
		}
	}
	return errors.Join(errs...)
}

// sweepInterfaces removes the host ends of domains that are not kept. Most have gone by themselves.
func (d *Driver) sweepInterfaces(kept map[string]bool) error {
	host, err := d.host()
	if err != nil {
		return err
	}
	var owners []string
	for uuid, keep := range kept {
		if keep {
			owners = append(owners, owner(d.opts.Instance, uuid))
		}
	}
	return host.Sweep(ownerPrefix(d.opts.Instance), owners)
}
