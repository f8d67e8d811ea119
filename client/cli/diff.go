package cli

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// The exit codes of diff are diff(1)'s.
const (
	exitDiffers = 1
	exitTrouble = 2
)

func (a *app) diff() command {
	var name, file string
	var which scope
	var all, strict, secrets bool
	return command{
		name: "diff", help: "tell how a file differs from a domain; exits as diff(1) does",
		operands: []operand{domainOperand(&name), fileOperand(&file)},
		flags: func(f *pflag.FlagSet) {
			which.flags(f, "compare with")
			f.BoolVar(&all, "all", false, "tell the fields that are the same, too")
			f.BoolVar(&secrets, "security-info", false, "include security sensitive information")
			f.BoolVar(&strict, "validate", false, "refuse elements and attributes that davit does not know")
		},
		exclusive: append(scopesExclude(), [2]string{"live", "config"}),
		misuse:    exitTrouble,
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			resp, err := a.compare(ctx, name, file, &davitv1.DiffDomainRequest{
				Strict: strict, Against: which.affect(), Unchanged: all, IncludeSecrets: secrets,
			})
			if err == nil {
				err = a.showDiff(resp)
			}
			if err == nil {
				err = a.out.failure()
			}
			switch {
			case err != nil && !a.gone():
				a.report(err)
				return exitError(exitTrouble)
			case err != nil:
				return exitError(exitTrouble)
			case differ(resp.GetChanges()):
				return exitError(exitDiffers)
			}
			return nil
		},
	}
}

// compare asks how a file differs from a domain.
func (a *app) compare(ctx context.Context, name, file string, q *davitv1.DiffDomainRequest) (*davitv1.DiffDomainResponse, error) {
	var err error
	if q.Source, err = a.readDefinition(file); err != nil {
		return nil, err
	}
	c, info, err := a.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	q.Domain = client.ByUUID(info.GetUuid())
	resp, err := c.DiffDomain(ctx, q)
	if err != nil {
		return nil, failed(err, "Failed to compare domain '%s' with %s", name, file)
	}
	return resp, nil
}

// differ tells whether any of the fields that are told is another.
func differ(changes []*davitv1.FieldChange) bool {
	for _, c := range changes {
		if c.GetEffect() != davitv1.ChangeEffect_CHANGE_EFFECT_UNCHANGED {
			return true
		}
	}
	return false
}

func (a *app) showDiff(resp *davitv1.DiffDomainResponse) error {
	a.warnAll(resp.GetWarnings())
	switch {
	case a.notation != text:
		return a.show(resp)
	case len(resp.GetChanges()) == 0:
		a.extra("No differences\n")
	default:
		a.printChanges(resp.GetChanges())
	}
	return nil
}

// showRehearsal tells what a define would do.
func (a *app) showRehearsal(resp *davitv1.DefineDomainResponse, file string) error {
	name := resp.GetDomain().GetName()
	switch {
	case a.notation != text:
		return a.show(resp)
	case resp.GetWouldCreate():
		a.extra("Domain '%s' would be defined from %s\n", name, file)
	case len(resp.GetChanges()) == 0:
		a.extra("Domain '%s' would stay as it is\n", name)
	default:
		a.printChanges(resp.GetChanges())
	}
	return nil
}

// printChanges prints changes as a table. Values that are long are cut; data in JSON or YAML has all of them.
func (a *app) printChanges(changes []*davitv1.FieldChange) {
	t := newTable("Field", "Old", "New", "Effect")
	for _, c := range changes {
		word, how := effectWord(c.GetEffect())
		if c.GetReason() != "" {
			word += ": " + c.GetReason()
		}
		t.add(c.GetField(), a.brief(c.GetOld()), a.brief(c.GetNew()), word)
		t.paint(len(t.rows[0])-1, how)
	}
	a.printTable(t)
}

// widestValue is how many cells of the table a value may take.
const widestValue = 40

// brief is a value for a table.
func (a *app) brief(value string) string {
	if value == "" {
		return "-"
	}
	value = cell(value)
	if cells(value) <= widestValue {
		return value
	}
	mark := a.out.ellipsis()
	return cutCells(value, widestValue-cells(mark)) + mark
}

// effectWord is what a change comes down to, and how that is shown.
func effectWord(effect davitv1.ChangeEffect) (string, style) {
	switch effect {
	case davitv1.ChangeEffect_CHANGE_EFFECT_UNCHANGED:
		return "unchanged", dim
	case davitv1.ChangeEffect_CHANGE_EFFECT_LIVE:
		return "live", green
	case davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT:
		return "next boot", yellow
	case davitv1.ChangeEffect_CHANGE_EFFECT_REDEFINE:
		return "redefine", red
	case davitv1.ChangeEffect_CHANGE_EFFECT_IMPOSSIBLE:
		return "impossible here", red
	case davitv1.ChangeEffect_CHANGE_EFFECT_NONE:
		return "none", dim
	default:
		return strings.ToLower(strings.TrimPrefix(effect.String(), "CHANGE_EFFECT_")), ""
	}
}
