package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/domain"
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

// hasNetwork tells whether a definition has interfaces.
func hasNetwork(def *davitv1.Domain) bool { return len(def.GetDevices().GetInterface()) > 0 }

// startFurnishing furnishes the container from now on, whenever its monitor makes it.
func (i *instance) startFurnishing(ctx context.Context) error {
	if !hasNetwork(i.spec.Definition) || i.monitor == nil {
		return nil
	}
	f, err := i.monitor.Furnish(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	i.furnishing = &furnishing{cancel, make(chan struct{})}
	go i.furnish(ctx, f)
	return nil
}

// stopFurnishing leaves it to the next davitd.
func (i *instance) stopFurnishing() {
	if i.furnishing != nil {
		i.furnishing.cancel()
		<-i.furnishing.done
		i.furnishing = nil
	}
}

// furnish serves the monitor until it is gone, or ctx ends.
func (i *instance) furnish(ctx context.Context, f *client.Furnish) {
	defer close(i.furnishing.done)
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

// attach makes the interfaces of the container in its network namespace, all or none. The namespace is new, or half
// furnished by a davitd that was killed.
func (i *instance) attach(netns *os.File) error {
	list, faults := nics(i.spec.Definition, owner(i.d.opts.Instance, i.spec.UUID))
	if len(faults) > 0 {
		return errors.New(faults[0].Message)
	}
	host, err := i.d.host()
	if err != nil {
		return err
	}
	if err = i.detach(host, netns, list); err != nil {
		return err
	}
	made := make([]link.Made, 0, len(list))
	for _, n := range list {
		m, err := host.Attach(netns, n.Spec)
		if err != nil {
			return errors.Join(err, i.detach(host, netns, list))
		}
		made = append(made, m)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.record.Interfaces = made
	if err := writeRecord(i.folder, i.record, false); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// detach removes what there may be of a domain's interfaces, from an earlier boot or an earlier try.
func (i *instance) detach(host *link.Host, netns *os.File, list []nic) error {
	own := owner(i.d.opts.Instance, i.spec.UUID)
	if err := host.Sweep(own, func(string) bool { return false }); err != nil {
		return err
	}
	var names []string
	for _, n := range list {
		names = append(names, n.Guest)
	}
	return link.Clear(netns, names)
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

// forgetInterfaces removes what the kernel does not take along with the network namespace of a domain.
func (d *Driver) forgetInterfaces(folder *os.File) error {
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
	for _, m := range r.Interfaces {
		errs = append(errs, host.Forget(m))
	}
	return errors.Join(errs...)
}

// sweepInterfaces removes the host ends of domains that are not kept. Most have gone by themselves.
func (d *Driver) sweepInterfaces(kept func(uuid string) bool) error {
	host, err := d.host()
	if err != nil {
		return err
	}
	prefix := ownerPrefix(d.opts.Instance)
	return host.Sweep(prefix, func(owner string) bool { return kept(strings.TrimPrefix(owner, prefix)) })
}

// absent tells what the interfaces of a definition need and the host has not.
func (d *Driver) absent(def *davitv1.Domain) (faults []domain.Violation, warnings []*davitv1.Warning, err error) {
	list, faults := nics(def, "")
	if len(faults) > 0 || len(list) == 0 {
		return faults, nil, nil
	}
	host, err := d.host()
	if err != nil {
		return nil, nil, err
	}
	for k, n := range list {
		name, attribute := n.Bridge, "bridge"
		if n.Kind == link.Direct {
			name, attribute = n.Parent, "dev"
		}
		if name == "" {
			continue
		}
		if err := host.Look(name, n.Kind == link.Bridge); err != nil {
			message := fmt.Sprintf("%v; it must when the domain is started", err)
			if errors.Is(err, fs.ErrNotExist) {
				message = fmt.Sprintf("%q does not exist; it must when the domain is started", name)
			}
			warnings = append(warnings, &davitv1.Warning{
				XmlPath: fmt.Sprintf("/domain/devices/interface[%d]/source/@%s", k+1, attribute), Field: n.field + ".source_" + attribute, Message: message,
			})
		}
	}
	return nil, warnings, nil
}
