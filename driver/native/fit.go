package native

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// factsOf are the facts for a definition: what can change while davitd runs is looked at anew, where the definition is
// about it.
func (d *Driver) factsOf(def *davitv1.Domain) Facts {
	facts := d.hostFacts(def)
	facts.Sources = d.look(def)
	facts.Unmappable = d.lookMaps(def)
	return facts
}

// hostFacts are those but for what its devices are made of.
func (d *Driver) hostFacts(def *davitv1.Domain) Facts {
	facts := d.facts
	if def.GetVcpu().GetCpuset() != "" {
		facts.CPUs = readSet("/sys/devices/system/cpu/online", domain.ParseCpuset)
	}
	if def.GetNumatune().GetNodeset() != "" {
		if facts.Nodes = readSet("/sys/devices/system/node/online", domain.ParseNodeset); facts.Nodes == nil {
			facts.Nodes, _ = domain.ParseNodeset("0") // a kernel without nodes has one
		}
	}
	if names, _ := clocksOf(def); len(names) > 0 {
		dev := d.hooks.dev
		if dev == "" {
			dev = "/dev"
		}
		facts.Clocks = findClocks(dev)
	}
	facts.Space = d.lookSpace(def)
	return facts.withFilter(def, d.opts.SeccompDir)
}

// readSet reads a set of processors or nodes; nil if it cannot be known.
func readSet(path string, parse func(string) (*domain.Cpuset, error)) *domain.Cpuset {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	set, err := parse(strings.TrimSpace(string(text)))
	if err != nil {
		return nil
	}
	return set
}

// unfit are the places of a definition that ask for what the host has not: processors, memory nodes, clocks.
func unfit(def *davitv1.Domain, facts Facts) []domain.Violation {
	var list []domain.Violation
	if missing := beyond(def.GetVcpu().GetCpuset(), facts.CPUs, domain.ParseCpuset); missing != "" {
		list = append(list, violation("vcpu.cpuset", "/domain/vcpu/@cpuset",
			"processor %s is not there: the host has %s", missing, facts.CPUs))
	}
	if missing := beyond(def.GetNumatune().GetNodeset(), facts.Nodes, domain.ParseNodeset); missing != "" {
		list = append(list, violation("numatune.nodeset", "/domain/numatune/memory/@nodeset",
			"memory node %s is not there: the host has %s", missing, facts.Nodes))
	}
	names, at := clocksOf(def)
	for k, name := range names {
		if facts.Clocks[name] == nil {
			list = append(list, violation(fmt.Sprintf("clock.timer[%d].name", at[k]),
				fmt.Sprintf("/domain/clock/timer[%d]/@name", at[k]+1), "the host has no /dev/%s", name))
		}
	}
	return list
}

// beyond is the first of a set that the host has not, "" if it has all or what it has is not known.
func beyond(set string, host *domain.Cpuset, parse func(string) (*domain.Cpuset, error)) string {
	if set == "" || host == nil {
		return ""
	}
	wanted, err := parse(set)
	if err != nil {
		return "" // domain.Validate has refused it
	}
	for n := range domain.MaxCPU {
		if wanted.Has(n) && !host.Has(n) {
			return strconv.Itoa(n)
		}
	}
	return ""
}

// violation is a place of a definition and what is wrong with it.
func violation(field, xmlPath, format string, args ...any) domain.Violation {
	return domain.Violation{Field: field, XMLPath: xmlPath, Message: fmt.Sprintf(format, args...)}
}

// hostLacks is the error of a definition that asks for what this host has not now; nil if there is nothing.
func hostLacks(op, name string, list ...domain.Violation) error {
	if len(list) == 0 {
		return nil
	}
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED,
		Op: op, Subject: name, Message: "the host has not what it asks for", Violations: list,
		Detail: map[string]string{"feature": list[0].Field},
	}
}
