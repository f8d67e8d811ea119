package native

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/devices/link"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// describeHost is, as text, what davitd itself makes for a start beside the plan, which is the monitor's: the limits of the cgroup
// the interfaces, and the files that consoles are written to, a line each.
func describeHost(def *davitv1.Domain, facts Facts, has func(controller string) bool, list []nic) string {
	var b strings.Builder
	describeLimits(&b, limits(def, facts, has))
	for _, d := range def.GetBlkiotune().GetDevice() {
		fmt.Fprintf(&b, "cgroup io of %s%s\n", d.GetPath(), ioWords(d))
	}
	for _, n := range list {
		fmt.Fprintf(&b, "interface %s: %s\n", n.alias, strings.Join(slices.Concat(linkWords(n), bandwidthWords(n.Bandwidth)), ", "))
	}
	b.WriteString(terminalWords(def))
	return b.String()
}

// describeLimits tells what is written to the controllers, in units that people read.
func describeLimits(b *strings.Builder, l cgroup.Limits) {
	for _, limit := range []struct {
		what  string
		value *uint64
		text  func(uint64) string
	}{
		{"memory at most", l.MemoryMax, sizeText},
		{"memory reclaimed above", l.MemoryHigh, sizeText},
		{"memory and swap at most", l.MemorySwapMax, sizeText},
		{"processor shares", l.CPUShares, countText},
		{"processor period", l.CPUPeriod, microseconds},
		{"io weight", l.IOWeight, countText},
		{"processes at most", l.PidsMax, countText},
	} {
		if limit.value != nil {
			fmt.Fprintf(b, "cgroup %s %s\n", limit.what, limit.text(*limit.value))
		}
	}
	switch {
	case l.CPUQuota == nil:
	case *l.CPUQuota < 0:
		b.WriteString("cgroup processor time unlimited\n")
	default:
		fmt.Fprintf(b, "cgroup processor time at most %s a period\n", microseconds(uint64(*l.CPUQuota)))
	}
	if l.Cpuset != "" {
		fmt.Fprintf(b, "cgroup processors %s\n", l.Cpuset)
	}
	if l.Mems != "" {
		fmt.Fprintf(b, "cgroup memory nodes %s\n", l.Mems)
	}
	rules := make([]string, len(l.Devices))
	for i, r := range l.Devices {
		rules[i] = fmt.Sprintf("%c %s:%s %s", r.Type, deviceNumber(r.Major), deviceNumber(r.Minor), r.Access)
	}
	if len(rules) > 0 {
		fmt.Fprintf(b, "cgroup devices %s, no others\n", strings.Join(rules, ", "))
	}
}

// ioWords are the limits of one block device.
func ioWords(d *davitv1.BlkioDevice) string {
	var b strings.Builder
	for _, limit := range []struct {
		what  string
		value uint64
		text  func(uint64) string
		unit  string
	}{
		{"weight", uint64(d.GetWeight()), countText, ""},
		{"read at most", d.GetReadBytesSec(), sizeText, "/s"},
		{"write at most", d.GetWriteBytesSec(), sizeText, "/s"},
		{"reads at most", uint64(d.GetReadIopsSec()), countText, "/s"},
		{"writes at most", uint64(d.GetWriteIopsSec()), countText, "/s"},
	} {
		if limit.value != 0 {
			fmt.Fprintf(&b, " %s %s%s", limit.what, limit.text(limit.value), limit.unit)
		}
	}
	return b.String()
}

// linkWords are the two ends of an interface and what it is attached to.
func linkWords(n nic) []string {
	words := []string{n.Guest + " inside"}
	add := func(asked bool, format string, args ...any) {
		if asked {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	switch {
	case n.IPVLAN:
		add(true, "ipvlan on %s", n.Parent)
	case n.Kind == link.Direct:
		add(true, "macvlan on %s", n.Parent)
	case n.Kind == link.Lent:
		add(true, "%s of the host", n.Parent)
	case n.Host != "":
		add(true, "%s on the host", n.Host)
	case n.HostHint != "":
		add(true, "%s or the first free vnet on the host", n.HostHint)
	default:
		add(true, "the first free vnet on the host")
	}
	add(n.Bridge != "", "port of bridge %s", n.Bridge)
	add(n.Isolated, "isolated")
	add(n.VLAN.Native != 0, "native VLAN %d", n.VLAN.Native)
	for _, id := range n.VLAN.Tagged {
		add(true, "VLAN %d", id)
	}
	add(n.MAC != nil, "mac %s", n.MAC)
	add(n.MTU != 0, "mtu %d", n.MTU)
	add(n.Down, "down")
	words = append(words, addressWords("", n.Addresses, n.Routes)...)
	return append(words, addressWords(" on the host", n.HostAddresses, n.HostRoutes)...)
}

// addressWords are the addresses and routes of one end.
func addressWords(where string, addresses []link.Address, routes []link.Route) []string {
	var words []string
	for _, a := range addresses {
		text := "address " + a.Prefix.String()
		if a.Peer.IsValid() {
			text += " peer " + a.Peer.String()
		}
		words = append(words, text+where)
	}
	for _, r := range routes {
		text := "route to " + r.To.String()
		if r.Gateway.IsValid() {
			text += " via " + r.Gateway.String()
		}
		if r.Metric != 0 {
			text += " metric " + strconv.Itoa(r.Metric)
		}
		words = append(words, text+where)
	}
	return words
}

// bandwidthWords are the limits of the traffic of an interface.
func bandwidthWords(b link.Bandwidth) []string {
	var words []string
	for _, side := range []struct {
		name string
		link.Limit
	}{{"inbound", b.Inbound}, {"outbound", b.Outbound}} {
		if side.Average == 0 {
			continue
		}
		text := side.name + " " + sizeText(side.Average) + "/s"
		if side.Peak != 0 {
			text += " peak " + sizeText(side.Peak) + "/s"
		}
		if side.Burst != 0 {
			text += " burst " + sizeText(side.Burst)
		}
		words = append(words, text)
	}
	return words
}

// sizeText is a number of bytes in the greatest unit of which it is a whole number.
func sizeText(n uint64) string {
	if n >= cgroup.Unlimited {
		return "unlimited"
	}
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; n != 0 && n%1024 == 0 && i+1 < len(units); i++ {
		n /= 1024
	}
	return strconv.FormatUint(n, 10) + " " + units[i]
}

func countText(n uint64) string {
	if n >= cgroup.Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

func microseconds(n uint64) string { return strconv.FormatUint(n, 10) + " us" }

// deviceNumber is a number of a rule, or the sign for any.
func deviceNumber(n int64) string {
	if n == cgroup.AnyNumber {
		return "*"
	}
	return strconv.FormatInt(n, 10)
}
