package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) detachInterface() command {
	var name, kind, mac string
	var s deviceScope
	return command{
		name: "detach-interface", help: "detach network interface",
		operands: []operand{domainOperand(&name), {name: "type", help: "network interface type", one: &kind}},
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&mac, "mac", "", "MAC address")
			s.flags(f)
		},
		exclusive: deviceScopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			_, info, err := a.inspect(ctx, name, s.read())
			if err != nil {
				return failed(err, "Failed to detach interface")
			}
			found, err := interfaceToDetach(info.GetDefinition(), kind, mac)
			if err != nil {
				return failed(err, "Failed to detach interface")
			}
			like := interfaceDevice(&davitv1.Interface{Type: found.GetType(), Mac: found.GetMac()})
			return a.detach(ctx, name, client.ByDevice(client.DeviceModel(like)),
				deviceChange{"Interface detached successfully", "Failed to detach interface", s, nil})
		},
	}
}

// interfaceToDetach is the one interface of a type, or that of them with a hardware address.
func interfaceToDetach(def *davitv1.Domain, kind, mac string) (*davitv1.Interface, error) {
	var found []*davitv1.Interface
	for _, i := range def.GetDevices().GetInterface() {
		if typeWord(i.GetType()) == kind {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 0:
		return nil, failed(nil, "No interface found whose type is %s", cell(kind))
	case mac == "" && len(found) > 1:
		return nil, failed(nil, "Domain has %d interfaces. Please specify which one to detach using --mac", len(found))
	case mac == "":
		return found[0], nil
	}
	for _, i := range found {
		if sameMAC(i.GetMac(), mac) {
			return i, nil
		}
	}
	return nil, failed(nil, "No interface with MAC address %s was found", cell(mac))
}
