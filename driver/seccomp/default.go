package seccomp

import (
	"fmt"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// The names of the built-in profiles.
const (
	Application = "application"
	System      = "system"
)

// Default gives a built-in profile.
//
// [Application] is for single programs: no namespaces, no mounts, native calls only. [System] is for an init such as systemd
// with all that it starts, also programs of the 32-bit architecture.
func Default(name string) (Profile, error) {
	p := Profile{Name: name, Default: denied, Unknown: absent, Companion: name == System, Foreign: KillProcess}
	var rules []Rule
	switch name {
	case Application:
		rules = applicationRules()
	case System:
		rules = systemRules()
	default:
		return Profile{}, &domain.Error{
			Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND, Op: "find seccomp profile", Subject: name,
			Message: fmt.Sprintf("the built-in profiles are %q and %q", Application, System), Detail: map[string]string{"profile": name},
		}
	}
	for _, r := range rules { // the caller's own
		r.Names, r.When = slices.Clone(r.Names), slices.Clone(r.When)
		p.Rules = append(p.Rules, r)
	}
	return p, nil
}

var (
	applicationRules = sync.OnceValue(func() []Rule {
		return rulesOf(rulesOfApplication, func(g Group) Action { return g.Application })
	})
	systemRules = sync.OnceValue(func() []Rule {
		return rulesOf(rulesOfSystem, func(g Group) Action { return g.System })
	})
)

// rulesOf puts what is said about arguments before what the groups say.
func rulesOf(own []Rule, action func(Group) Action) []Rule {
	all := slices.Concat(own, rulesOfBoth)
	for _, g := range Groups() {
		all = append(all, Rule{Names: g.Names, Action: action(g)})
	}
	return all
}

// Numbers of the kernel's interface that rules on arguments are about.
const (
	afUnix    = 1
	afInet    = 2
	afInet6   = 10
	afNetlink = 16
	afPacket  = 17

	netlinkRoute         = 0
	netlinkSockDiag      = 4
	netlinkNetfilter     = 12
	netlinkKobjectUevent = 15
	netlinkGeneric       = 16

	// socketcall's numbers of socket and socketpair.
	callSocket     = 1
	callSocketpair = 8

	// newNamespaces are all flags CLONE_NEW* that clone knows; the bit of CLONE_NEWTIME is of the signal there.
	newNamespaces = 0x7e020000

	tiocsti   = 0x5412
	tioclinux = 0x541c

	perLinux   = 0
	perLinux32 = 0x8
	uname26    = 0x20000
	personAsk  = 0xffffffff
)

// rulesOfBoth are on arguments, before what the groups say.
var rulesOfBoth = []Rule{
	{Names: []string{"ioctl"}, Action: denied, When: []Condition{Low(1, tiocsti)}, Comment: "TIOCSTI (writes input into a terminal)"},
	{Names: []string{"ioctl"}, Action: denied, When: []Condition{Low(1, tioclinux)}, Comment: "TIOCLINUX (pastes input into a console)"},
	{Names: []string{"socketpair"}, Action: Allow, When: []Condition{Low(0, afUnix)}, Comment: "AF_UNIX"},
	{Names: []string{"socketcall"}, Action: unsupported, When: []Condition{Low(0, callSocket)}, Comment: "socket"},
	{Names: []string{"socketcall"}, Action: unsupported, When: []Condition{Low(0, callSocketpair)}, Comment: "socketpair"},
	family(afUnix, "AF_UNIX"),
	family(afInet, "AF_INET"),
	family(afInet6, "AF_INET6"),
	netlink(netlinkRoute, "NETLINK_ROUTE"),
}

// rulesOfApplication come before those.
var rulesOfApplication = []Rule{
	{
		Names: []string{"clone"}, Action: Allow, When: []Condition{{Operator: MaskedEqual, Mask: newNamespaces}},
		Comment: "calls without a flag CLONE_NEW*",
	},
	person(perLinux, "PER_LINUX"),
	person(perLinux32, "PER_LINUX32"),
	person(uname26, "UNAME26"),
	person(perLinux32|uname26, "PER_LINUX32 with UNAME26"),
	person(personAsk, "0xffffffff (asks only)"),
}

// rulesOfSystem come before those of both. AF_PACKET is for DHCP. NETLINK_AUDIT is refused as a kernel without audit would: login and sshd go on then.
var rulesOfSystem = []Rule{
	family(afPacket, "AF_PACKET"),
	netlink(netlinkSockDiag, "NETLINK_SOCK_DIAG"),
	netlink(netlinkNetfilter, "NETLINK_NETFILTER"),
	netlink(netlinkKobjectUevent, "NETLINK_KOBJECT_UEVENT"),
	netlink(netlinkGeneric, "NETLINK_GENERIC"),
}

func family(number uint32, comment string) Rule {
	return Rule{Names: []string{"socket"}, Action: Allow, When: []Condition{Low(0, number)}, Comment: comment}
}

func netlink(protocol uint32, comment string) Rule {
	return Rule{Names: []string{"socket"}, Action: Allow, When: []Condition{Low(0, afNetlink), Low(2, protocol)}, Comment: comment}
}

func person(value uint32, comment string) Rule {
	return Rule{Names: []string{"personality"}, Action: Allow, When: []Condition{Low(0, value)}, Comment: comment}
}
