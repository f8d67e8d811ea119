package cli

import (
	"context"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domifstat() command {
	var name, iface string
	return command{
		name: "domifstat", help: "get network interface stats for a domain",
		operands: []operand{domainOperand(&name), interfaceOperand(&iface)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			found, err := a.countedInterface(ctx, name, iface)
			if err != nil {
				return failed(err, "Failed to get interface stats %s %s", cell(name), cell(iface))
			}
			if a.notation != text {
				return a.show(sparse{found})
			}
			for _, s := range interfaceNumbers(found.GetCounters()) {
				a.print("%s %s %d\n", cell(iface), s.name, s.value)
			}
			return nil
		},
	}
}

// countedInterface is an interface of an active domain, whose traffic was counted.
func (a *app) countedInterface(ctx context.Context, name, iface string) (*davitv1.InterfaceStatus, error) {
	_, info, err := a.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	if info.GetId() == 0 {
		return nil, invalidState("domain is not running")
	}
	all, err := a.interfaces(ctx, info.GetUuid(), false)
	if err != nil {
		return nil, err
	}
	found, err := listedInterface(all, iface)
	if err == nil && found.GetCounters() == nil {
		err = invalidState("the traffic of interface '" + cell(iface) + "' is not counted")
	}
	return found, err
}

// interfaceNumbers are the counters of an interface, with virsh's names. libvirt's order is theirs.
func interfaceNumbers(c *davitv1.InterfaceCounters) []statistic {
	return []statistic{
		{"rx_bytes", c.GetReceivedBytes()},
		{"rx_packets", c.GetReceivedPackets()},
		{"rx_errs", c.GetReceiveErrors()},
		{"rx_drop", c.GetReceiveDrops()},
		{"tx_bytes", c.GetSentBytes()},
		{"tx_packets", c.GetSentPackets()},
		{"tx_errs", c.GetSendErrors()},
		{"tx_drop", c.GetSendDrops()},
	}
}
