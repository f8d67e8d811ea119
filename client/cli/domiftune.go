package cli

import (
	"context"
	"strconv"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domiftune() command {
	var name, iface string
	var inbound, outbound string
	var s scope
	return command{
		name: "domiftune", help: "get/set parameters of a virtual interface",
		operands: []operand{domainOperand(&name), interfaceOperand(&iface)},
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&inbound, "inbound", "", "control domain's incoming traffics: average,peak,burst in KiB/s, 0 for no limit")
			f.StringVar(&outbound, "outbound", "", "control domain's outgoing traffics: average,peak,burst in KiB/s, 0 for no limit")
			s.flags(f, "affect")
		},
		exclusive: scopesExclude(),
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			var changes []rateChange
			for _, d := range []struct{ option, words string }{{"inbound", inbound}, {"outbound", outbound}} {
				if !set.Changed(d.option) {
					continue
				}
				rate, err := rateOf(d.words)
				if err != nil {
					return err
				}
				if rate.GetAverage() == 0 && (rate.GetPeak() != 0 || rate.GetBurst() != 0) {
					return failed(nil, "%s average is mandatory", d.option)
				}
				if d.option == "outbound" && rate.GetFloor() != 0 {
					return failed(nil, "outbound floor is unsupported yet")
				}
				changes = append(changes, rateChange{d.option, rate})
			}
			if len(changes) == 0 {
				return a.showDomiftune(ctx, name, iface, s)
			}
			for _, one := range s.each() {
				if err := a.changeRates(ctx, name, iface, one, changes); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// rateChange is the limit of a direction as it shall be; none if all of it is 0.
type rateChange struct {
	direction string
	rate      *davitv1.BandwidthLimit
}

// changeRates changes the limits of an interface in one definition, in which what is not named stays what it was.
func (a *app) changeRates(ctx context.Context, name, iface string, s scope, changes []rateChange) error {
	_, info, err := a.inspect(ctx, name, s)
	if err != nil {
		return failed(err, "Unable to set interface parameters")
	}
	found, err := a.interfaceOf(ctx, info, iface)
	if err != nil {
		return failed(err, "Unable to set interface parameters")
	}
	found = proto.CloneOf(found)
	limits := found.GetBandwidth()
	if limits == nil {
		limits = &davitv1.Bandwidth{}
	}
	for _, c := range changes {
		rate := c.rate
		if rate.GetAverage() == 0 && rate.GetFloor() == 0 {
			rate = nil
		}
		if c.direction == "inbound" {
			limits.Inbound = rate
		} else {
			limits.Outbound = rate
		}
	}
	if found.Bandwidth = limits; limits.GetInbound() == nil && limits.GetOutbound() == nil {
		found.Bandwidth = nil
	}
	return a.alter(ctx, info, &davitv1.UpdateDeviceRequest{
		Source: client.DeviceModel(interfaceDevice(found)), Affect: s.affect(), Etag: s.stamp(info),
	}, deviceChange{failure: "Unable to set interface parameters"})
}

// showDomiftune prints the limits of an interface as virsh does; what has no limit is 0.
func (a *app) showDomiftune(ctx context.Context, name, iface string, s scope) error {
	_, info, err := a.inspect(ctx, name, s)
	if err != nil {
		return failed(err, "Unable to get number of interface parameters")
	}
	found, err := a.interfaceOf(ctx, info, iface)
	if err != nil {
		return failed(err, "Unable to get number of interface parameters")
	}
	var all []parameter
	for _, d := range []struct {
		name string
		rate *davitv1.BandwidthLimit
	}{{"inbound", found.GetBandwidth().GetInbound()}, {"outbound", found.GetBandwidth().GetOutbound()}} {
		for _, f := range rateFields(d.rate) {
			if f.name != "floor" || d.name == "inbound" {
				all = append(all, parameter{d.name + "." + f.name, strconv.FormatUint(f.value, 10)})
			}
		}
	}
	return a.showParameters(all)
}
