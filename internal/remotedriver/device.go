package remotedriver

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// running is the definition of the run.
func (i *instance) running(ctx context.Context) (*davitv1.Domain, error) {
	r, err := i.d.domains.GetDomain(ctx, &davitv1.GetDomainRequest{Domain: i.domain(), View: davitv1.DomainView_DOMAIN_VIEW_FULL})
	return r.GetDomain().GetDefinition(), domain.FromStatus(err)
}

// plug makes the devices of the running domain those of a definition: what is gone is detached, what is new attached, and what is
// another changed. Consoles stay. The first that is refused is the end of it.
func (i *instance) plug(ctx context.Context, def *davitv1.Domain) error {
	live, err := i.running(ctx)
	if err != nil {
		return err
	}
	was, is := byAlias(domain.WithoutChosen(live)), byAlias(def)
	for _, dev := range domain.Devices(live) {
		if alias := domain.DeviceAlias(dev); was[alias] != nil && is[alias] == nil {
			if _, err := i.d.devices.DetachDevice(ctx, &davitv1.DetachDeviceRequest{
				Domain: i.domain(), Affect: davitv1.Affect_AFFECT_LIVE,
				Device: &davitv1.DeviceSelector{By: &davitv1.DeviceSelector_Alias{Alias: alias}},
			}); err != nil {
				return domain.FromStatus(err)
			}
		}
	}
	for _, dev := range domain.Devices(def) {
		alias := domain.DeviceAlias(dev)
		source := &davitv1.DeviceSource{Source: &davitv1.DeviceSource_Device{Device: dev}}
		var err error
		switch {
		case is[alias] == nil: // a console
		case was[alias] == nil:
			_, err = i.d.devices.AttachDevice(ctx, &davitv1.AttachDeviceRequest{Domain: i.domain(), Source: source, Affect: davitv1.Affect_AFFECT_LIVE})
		case !proto.Equal(was[alias], dev):
			_, err = i.d.devices.UpdateDevice(ctx, &davitv1.UpdateDeviceRequest{Domain: i.domain(), Source: source, Affect: davitv1.Affect_AFFECT_LIVE})
		}
		if err != nil {
			return domain.FromStatus(err)
		}
	}
	return nil
}

// byAlias are the devices of a definition that can come and go, by their aliases.
func byAlias(def *davitv1.Domain) map[string]*davitv1.Device {
	all := map[string]*davitv1.Device{}
	for _, dev := range domain.Devices(def) {
		if alias := domain.DeviceAlias(dev); alias != "" && dev.GetConsole() == nil {
			all[alias] = dev
		}
	}
	return all
}

// Interfaces lists network interfaces.
func (i *instance) Interfaces(ctx context.Context) ([]*davitv1.InterfaceStatus, error) {
	if err := i.active(ctx); err != nil {
		return nil, err
	}
	r, err := i.d.devices.ListInterfaces(ctx, &davitv1.ListInterfacesRequest{Domain: i.domain()})
	return r.GetInterfaces(), domain.FromStatus(err)
}

// BlockDevices lists disks.
func (i *instance) BlockDevices(ctx context.Context) ([]*davitv1.BlockDeviceStatus, error) {
	if err := i.active(ctx); err != nil {
		return nil, err
	}
	r, err := i.d.devices.ListBlockDevices(ctx, &davitv1.ListBlockDevicesRequest{Domain: i.domain()})
	return r.GetBlockDevices(), domain.FromStatus(err)
}

// active refuses what has stopped, of which the API lists what is defined.
func (i *instance) active(ctx context.Context) error {
	_, err := i.Stats(ctx)
	return err
}

// completeLimit is how long a look at the definition may take.
const completeLimit = time.Minute

// Complete writes the names of host ends that the definition of the run has.
func (i *instance) Complete(def *davitv1.Domain) {
	ctx, cancel := context.WithTimeout(context.Background(), completeLimit)
	defer cancel()
	live, err := i.running(ctx)
	if err != nil {
		return
	}
	names := map[string]string{}
	for _, n := range live.GetDevices().GetInterface() {
		names[n.GetAlias()] = n.GetTargetDev()
	}
	for _, n := range def.GetDevices().GetInterface() {
		if names[n.GetAlias()] != "" {
			n.TargetDev = names[n.GetAlias()]
		}
	}
}
