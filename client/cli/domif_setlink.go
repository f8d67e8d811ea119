package cli

import (
	"context"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// interfaceOperand is the argument that names an interface of the domain.
func interfaceOperand(to *string) operand {
	return operand{name: "interface", help: "interface device: its name on the host or inside, or its MAC address", one: to}
}

func (a *app) domifSetlink() command {
	var name, iface, state string
	var config, persistent, printXML bool
	return command{
		name: "domif-setlink", help: "set link state of a virtual interface",
		operands: []operand{
			domainOperand(&name), interfaceOperand(&iface), {name: "state", help: "new state of the device: up or down", one: &state},
		},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&persistent, "persistent", false, "the same as --config")
			f.BoolVar(&config, "config", false, "affect next boot")
			f.BoolVar(&printXML, "print-xml", false, "print XML document rather than set the interface link state")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			link, ok := linkStates[state]
			if !ok {
				return failed(nil, "invalid link state '%s'", cell(state))
			}
			s := scope{config: config || persistent}
			_, info, err := a.inspect(ctx, name, s)
			if err != nil {
				return failed(err, "Failed to update interface link state")
			}
			found, err := a.interfaceOf(ctx, info, iface)
			if err != nil {
				return err
			}
			found = proto.CloneOf(found)
			found.LinkState = link
			if printXML {
				return a.printDevice(interfaceDevice(found))
			}
			return a.alter(ctx, info, &davitv1.UpdateDeviceRequest{
				Source: client.DeviceModel(interfaceDevice(found)), Affect: s.affect(), Etag: s.stamp(info),
			}, deviceChange{done: "Device updated successfully", failure: "Failed to update interface link state"})
		},
	}
}

// linkStates are virsh's words.
var linkStates = map[string]davitv1.LinkState{"up": davitv1.LinkState_LINK_STATE_UP, "down": davitv1.LinkState_LINK_STATE_DOWN}
