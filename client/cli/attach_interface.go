package cli

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// interfaceOptions is what attach-interface was told.
type interfaceOptions struct {
	kind, source                    string
	target, guest, mac, model, mode string
	ipvlan                          string
	inbound, outbound               string
	addresses                       []string
	mtu                             uint32
	printXML                        bool
}

func (o *interfaceOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.target, "target", "", "name of the host end; vnetN when absent")
	f.StringVar(&o.guest, "guest", "", "name inside")
	f.StringVar(&o.mac, "mac", "", "MAC address")
	f.StringVar(&o.model, "model", "", "model type; of no meaning for containers")
	f.StringVar(&o.mode, "source-mode", "", "mode attribute of <source/> element: vepa, bridge, private or passthrough, of type direct")
	f.StringVar(&o.inbound, "inbound", "", "control domain's incoming traffics: average,peak,burst in KiB/s")
	f.StringVar(&o.outbound, "outbound", "", "control domain's outgoing traffics: average,peak,burst in KiB/s")
	f.StringArrayVar(&o.addresses, "ip", nil, "address inside, with the length of its prefix: 192.0.2.1/24; can be given again")
	f.Uint32Var(&o.mtu, "mtu", 0, "greatest size of a packet in bytes")
	f.StringVar(&o.ipvlan, "ipvlan", "", "an ipvlan with the hardware address of its source in place of a macvlan, of type direct: l2")
	f.BoolVar(&o.printXML, "print-xml", false, "print XML document rather than attach the interface")
}

func (a *app) attachInterface() command {
	var name string
	var o interfaceOptions
	var s deviceScope
	return command{
		name: "attach-interface", help: "attach network interface",
		operands: []operand{
			domainOperand(&name),
			{name: "type", help: "network interface type: bridge, direct, ethernet or network", one: &o.kind},
			{name: "source", help: "bridge, interface or network of the host; none of type ethernet", one: &o.source, optional: true},
		},
		flags: func(f *pflag.FlagSet) {
			o.flags(f)
			s.flags(f)
		},
		exclusive: deviceScopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			doc, err := o.markup()
			if err != nil {
				return err
			}
			if o.printXML {
				a.print("%s", doc)
				return nil
			}
			change := deviceChange{"Interface attached successfully", "Failed to attach interface", s, interfacePlaces}
			return a.attach(ctx, name, client.DeviceXML(doc), change)
		},
	}
}

// markup is the interface in XML.
func (o interfaceOptions) markup() (string, error) {
	source, err := o.sourceMarkup()
	if err != nil {
		return "", err
	}
	m := (&markup{name: "interface"}).with("type", o.kind)
	if o.ipvlan != "" {
		m.with("xmlns:davit", davitNamespace).add(given("davit:ipvlan", "mode", o.ipvlan))
	}
	m.add(
		source, given("target", "dev", o.target), given("guest", "dev", o.guest), given("mac", "address", o.mac),
		given("model", "type", o.model))
	for _, address := range o.addresses {
		ip, refused := addressMarkup(address)
		if refused != nil {
			return "", refused
		}
		m.add(ip)
	}
	if o.mtu != 0 {
		m.add(given("mtu", "size", strconv.FormatUint(uint64(o.mtu), 10)))
	}
	limits, err := o.limits()
	if err != nil {
		return "", err
	}
	return m.add(limits).write()
}

// sourceMarkup is what the interface is attached to.
func (o interfaceOptions) sourceMarkup() (*markup, error) {
	switch {
	case o.kind == "ethernet" && o.source != "":
		return nil, usage("unexpected data '%s'", cell(o.source))
	case o.kind == "ethernet":
		return nil, nil
	case o.kind != "bridge" && o.kind != "network" && o.kind != "direct":
		err := failed(nil, "No support for %s in command 'attach-interface'", cell(o.kind))
		if o.kind == "hostdev" {
			err = &hinted{err, "'attach-device' takes <hostdev mode='capabilities' type='net'> with an interface of the host"}
		}
		return nil, err
	case o.source == "":
		return nil, usage("command 'attach-interface' requires <source> option")
	case o.kind == "direct":
		return given("source", "dev", o.source).with("mode", o.mode), nil
	}
	return given("source", o.kind, o.source), nil
}

// limits are those of traffic, nil when there are none.
func (o interfaceOptions) limits() (*markup, error) {
	inbound, outbound, err := o.rates()
	if err != nil || inbound == nil && outbound == nil {
		return nil, err
	}
	return (&markup{name: "bandwidth"}).add(rateMarkup("inbound", inbound), rateMarkup("outbound", outbound)), nil
}

func (o interfaceOptions) rates() (inbound, outbound *davitv1.BandwidthLimit, err error) {
	if o.inbound != "" {
		if inbound, err = rateOf(o.inbound); err != nil {
			return nil, nil, err
		}
		if inbound.GetAverage() == 0 && inbound.GetFloor() == 0 {
			return nil, nil, failed(nil, "either inbound average or floor is mandatory")
		}
	}
	if o.outbound != "" {
		if outbound, err = rateOf(o.outbound); err != nil {
			return nil, nil, err
		}
		switch {
		case outbound.GetAverage() == 0:
			return nil, nil, failed(nil, "outbound average is mandatory")
		case outbound.GetFloor() != 0:
			return nil, nil, failed(nil, "outbound floor is unsupported yet")
		}
	}
	return inbound, outbound, nil
}

// addressMarkup is an address inside. What is no address is the daemon's to refuse. Without the length of its network it would be in one
// of its class, 10.0.0.5 in all of 10.0.0.0/8, which nobody means who types it.
func addressMarkup(text string) (*markup, error) {
	address, prefix, _ := strings.Cut(text, "/")
	family := "ipv4"
	if strings.Contains(address, ":") {
		family = "ipv6"
	}
	if ip, err := netip.ParseAddr(address); err == nil && prefix == "" {
		length := "24"
		if ip.Is6() {
			length = "64"
		}
		return nil, &hinted{
			failed(nil, "option --ip needs the length of the network's prefix: '%s'", cell(text)), "for instance --ip " + address + "/" + length,
		}
	}
	return (&markup{name: "ip"}).with("address", address).with("family", family).with("prefix", prefix), nil
}
