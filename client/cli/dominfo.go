package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) dominfo() command {
	var name string
	return command{
		name: "dominfo", help: "domain information",
		operands: []operand{domainOperand(&name)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			ref := client.ByUUID(info.GetUuid())
			full, err := c.GetDomain(ctx, &davitv1.GetDomainRequest{Domain: ref, View: davitv1.DomainView_DOMAIN_VIEW_FULL})
			if err != nil {
				return err
			}
			info = full.GetDomain()
			stats, err := measure(ctx, c, info)
			if err != nil {
				return err
			}
			if a.notation != text {
				return a.showInfo(info, stats)
			}
			a.print("%s", infoText(info, stats))
			return nil
		},
	}
}

// measure gets the numbers of an active domain; nil of one that is not, or stopped meanwhile.
func measure(ctx context.Context, c *client.Client, info *davitv1.DomainInfo) (*davitv1.DomainStats, error) {
	if info.GetId() == 0 {
		return nil, nil
	}
	resp, err := c.GetDomainStats(ctx, &davitv1.GetDomainStatsRequest{Domain: client.ByUUID(info.GetUuid())})
	if errors.Is(err, domain.ErrFailedPrecondition) || errors.Is(err, domain.ErrNotFound) {
		return nil, nil
	}
	return resp.GetStats(), err
}

func (a *app) showInfo(info *davitv1.DomainInfo, stats *davitv1.DomainStats) error {
	info.Definition = nil
	doc := object{{"domain", info}}
	if stats != nil {
		doc = append(doc, member{"stats", stats})
	}
	return a.show(doc)
}

// infoText is virsh's list of labels and values.
func infoText(info *davitv1.DomainInfo, stats *davitv1.DomainStats) string {
	var b strings.Builder
	line := func(label, value string) { fmt.Fprintf(&b, "%-15s %s\n", label+":", value) }
	used := info.GetDefinition().GetCurrentMemoryKib()
	line("Id", idText(info))
	line("Name", info.GetName())
	line("UUID", info.GetUuid())
	line("OS Type", info.GetDefinition().GetOs().GetType())
	line("State", domain.StateWord(info.GetState()))
	line("CPU(s)", fmt.Sprint(info.GetVcpus()))
	if stats != nil {
		line("CPU time", fmt.Sprintf("%.1fs", stats.GetCpuTime().AsDuration().Seconds()))
		used = stats.GetMemoryBytes() / 1024
	}
	line("Max memory", fmt.Sprintf("%d KiB", info.GetMemoryKib()))
	line("Used memory", fmt.Sprintf("%d KiB", used))
	line("Persistent", yesNo(info.GetPersistent()))
	line("Autostart", enabled(info.GetAutostart()))
	line("Managed save", "no")
	line("Security model", "none")
	line("Security DOI", "0")
	return b.String()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func enabled(b bool) string {
	if b {
		return "enable"
	}
	return "disable"
}
