package cli

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// addressRule is the line under the header: virsh's table of addresses has columns of a fixed width.
const addressRule = "-------------------------------------------------------------------------------"

func (a *app) domifaddr() command {
	var name, iface, source string
	var full bool
	return command{
		name: "domifaddr", help: "Get network interfaces' addresses for a running domain",
		operands: []operand{
			domainOperand(&name), {name: "interface", help: "network interface name", one: &iface, optional: true},
		},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&full, "full", false, "always display names and MACs of interfaces")
			f.StringVar(&source, "source", "", "address source: 'agent' has all interfaces by their names inside, loopback too")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			if err := addressSource(source); err != nil {
				return err
			}
			_, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			if info.GetId() == 0 {
				return failed(invalidState("domain is not running"), "Failed to query for interfaces addresses")
			}
			all, err := a.interfaces(ctx, info.GetUuid(), false)
			if err != nil {
				return failed(err, "Failed to query for interfaces addresses")
			}
			shown := addressed(all, iface, source == "agent")
			if iface != "" && len(shown) == 0 {
				return failed(unknownDevice("invalid path, '"+cell(iface)+"' is not a known interface"), "Failed to query for interfaces addresses")
			}
			if a.notation != text {
				return a.show(rowsOf(shown))
			}
			a.extra(" %-10s %-20s %-8s     %s\n%s\n", "Name", "MAC address", "Protocol", "Address", addressRule)
			for _, i := range shown {
				a.printAddresses(i, full, source == "agent")
			}
			return nil
		},
	}
}

// addressSource refuses the sources that a container does not need: davit looks at the addresses themselves.
func addressSource(source string) error {
	switch source {
	case "", "agent":
		return nil
	case "lease", "arp":
		return &hinted{
			failed(nil, "unsupported configuration: addresses of a container are not taken from %s", source),
			"without --source, they are read inside the domain",
		}
	}
	return failed(nil, "Unknown data source '%s'", cell(source))
}

// addressed are the interfaces to tell of: those of the definition, or all that are there.
func addressed(all []*davitv1.InterfaceStatus, iface string, inside bool) []*davitv1.InterfaceStatus {
	var shown []*davitv1.InterfaceStatus
	for _, i := range all {
		if (inside || i.GetAlias() != "") && (iface == "" || i.GetHostDev() == iface || i.GetGuestDev() == iface) {
			shown = append(shown, i)
		}
	}
	return shown
}

// printAddresses prints the rows of an interface.
func (a *app) printAddresses(i *davitv1.InterfaceStatus, full, inside bool) {
	name, mac := endOf(i), orDash(i.GetMac())
	if inside {
		name = i.GetGuestDev()
	}
	row := " %-10s %-17s    %-12s %s\n"
	if len(i.GetAddresses()) == 0 {
		a.print(row, cell(name), cell(mac), "N/A", "N/A")
	}
	for n, address := range i.GetAddresses() {
		protocol := "ipv4"
		if strings.Contains(address, ":") {
			protocol = "ipv6"
		}
		if n > 0 && !full {
			name, mac = "-", "-"
		}
		a.print(row, cell(name), cell(mac), protocol, cell(address))
	}
}
