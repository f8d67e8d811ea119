package cli

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// listOptions is what list was told.
type listOptions struct {
	all, inactive, persistent, transient, autostart, noAutostart bool
	running, paused, shutoff, other                              bool
	uuid, name, id, table, title                                 bool
	watch                                                        bool
}

func (o *listOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.inactive, "inactive", false, "list inactive domains")
	f.BoolVar(&o.all, "all", false, "list inactive & active domains")
	f.BoolVar(&o.transient, "transient", false, "list transient domains")
	f.BoolVar(&o.persistent, "persistent", false, "list persistent domains")
	f.BoolVar(&o.running, "state-running", false, "list domains in running state")
	f.BoolVar(&o.paused, "state-paused", false, "list domains in paused state")
	f.BoolVar(&o.shutoff, "state-shutoff", false, "list domains in shutoff state")
	f.BoolVar(&o.other, "state-other", false, "list domains in other states")
	f.BoolVar(&o.autostart, "autostart", false, "list domains with autostart enabled")
	f.BoolVar(&o.noAutostart, "no-autostart", false, "list domains with autostart disabled")
	f.BoolVar(&o.uuid, "uuid", false, "list uuid's only")
	f.BoolVar(&o.name, "name", false, "list domain names only")
	f.BoolVar(&o.id, "id", false, "list domain IDs only")
	f.BoolVar(&o.table, "table", false, "list table (default)")
	f.BoolVar(&o.title, "title", false, "show domain title")
	f.BoolVarP(&o.watch, "watch", "w", false, "show the list again whenever it changes, until interrupted")
}

func (a *app) list() command {
	var o listOptions
	return command{
		name: "list", help: "list domains",
		flags:     o.flags,
		exclusive: [][2]string{{"table", "name"}, {"table", "uuid"}, {"table", "id"}},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, err := a.daemon(ctx)
			if err != nil {
				return err
			}
			if o.watch {
				return a.watchList(ctx, c, o)
			}
			domains, err := chosen(ctx, c, o)
			if err != nil {
				return failed(err, "Failed to list domains")
			}
			return a.showList(domains, o)
		},
	}
}

// chosen are the domains that the options choose, in virsh's order.
func chosen(ctx context.Context, c *client.Client, o listOptions) ([]*davitv1.DomainInfo, error) {
	domains := []*davitv1.DomainInfo{}
	for d, err := range c.Domains(ctx, o.filter()) {
		if err != nil {
			return nil, err
		}
		domains = append(domains, d)
	}
	slices.SortStableFunc(domains, virshOrder)
	return domains, nil
}

// filter is the choice that the options make: active domains when they say nothing.
func (o listOptions) filter() *davitv1.DomainFilter {
	f := &davitv1.DomainFilter{
		Persistent: either(o.persistent, o.transient),
		Autostart:  either(o.autostart, o.noAutostart),
	}
	choose := func(given bool, states ...davitv1.DomainState) {
		if given {
			f.States = append(f.States, states...)
		}
	}
	choose(o.running, davitv1.DomainState_DOMAIN_STATE_RUNNING)
	choose(o.paused, davitv1.DomainState_DOMAIN_STATE_PAUSED)
	choose(o.shutoff, davitv1.DomainState_DOMAIN_STATE_SHUTOFF)
	choose(o.other, davitv1.DomainState_DOMAIN_STATE_SHUTDOWN, davitv1.DomainState_DOMAIN_STATE_CRASHED)
	switch {
	case o.all, len(f.States) > 0 && !o.inactive:
		// The states say whether they are active.
	default:
		active := !o.inactive
		f.Active = &active
	}
	return f
}

// either is yes, no, or, where both or neither are asked for, no matter.
func either(yes, no bool) *bool {
	if yes == no {
		return nil
	}
	return &yes
}

// virshOrder puts active domains first, by number, then the others by name.
func virshOrder(x, y *davitv1.DomainInfo) int {
	switch {
	case x.GetId() != 0 && y.GetId() != 0:
		return cmp.Compare(x.GetId(), y.GetId())
	case x.GetId() != 0:
		return -1
	case y.GetId() != 0:
		return 1
	}
	return cmp.Compare(strings.ToLower(x.GetName()), strings.ToLower(y.GetName()))
}

func (a *app) showList(domains []*davitv1.DomainInfo, o listOptions) error {
	if a.notation != text {
		all := []any{}
		for _, d := range domains {
			all = append(all, d)
		}
		return a.show(all)
	}
	a.printLines(listLines(a.out, domains, o))
	return nil
}

// listLines are the lines of a list as s can show them.
func listLines(s *screen, domains []*davitv1.DomainInfo, o listOptions) [][]span {
	if o.uuid || o.name || o.id {
		return listColumns(s, domains, o)
	}
	header := []string{"Id", "Name", "State"}
	if o.title {
		header = append(header, "Title")
	}
	t := newTable(header...)
	for _, d := range domains {
		row := []string{idText(d), d.GetName(), domain.StateWord(d.GetState())}
		if o.title {
			row = append(row, d.GetTitle())
		}
		t.add(row...)
		t.paint(2, styleOf(d.GetState()))
	}
	return t.lines(s)
}

// listColumns is a line a domain with only what was asked for, for scripts.
func listColumns(s *screen, domains []*davitv1.DomainInfo, o listOptions) [][]span {
	var all [][]span
	for _, d := range domains {
		var parts []string
		if o.uuid {
			parts = append(parts, d.GetUuid())
		}
		if o.id {
			parts = append(parts, idText(d))
		}
		if o.name {
			name := d.GetName()
			if s.terminal {
				name = s.encoded(cell(name))
			}
			parts = append(parts, name)
		}
		all = append(all, []span{{text: strings.Join(parts, " ")}})
	}
	return all
}
