package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// descOptions is what desc was told.
type descOptions struct {
	name        string
	title, edit bool
	scope
	words []string
}

func (o descOptions) noun() string {
	if o.title {
		return "title"
	}
	return "description"
}

func (a *app) desc() command {
	var o descOptions
	return command{
		name: "desc", help: "show or set domain's description or title",
		operands: []operand{domainOperand(&o.name), {name: "new-desc", optional: true, rest: &o.words}},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&o.live, "live", false, "modify/get running state")
			f.BoolVar(&o.config, "config", false, "modify/get persistent configuration")
			f.BoolVar(&o.current, "current", false, "modify/get current state configuration")
			f.BoolVar(&o.title, "title", false, "modify/get the title instead of description")
			f.BoolVar(&o.edit, "edit", false, "open an editor to modify the description")
		},
		exclusive: scopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.lookup(ctx, o.name)
			if err != nil {
				return err
			}
			if len(o.words) == 0 && !o.edit {
				return a.showDesc(ctx, c, info, o)
			}
			return a.setDesc(ctx, c, info, o)
		},
	}
}

// readDesc is the text as it is now.
func readDesc(ctx context.Context, c *client.Client, info *davitv1.DomainInfo, o descOptions) (string, error) {
	resp, err := c.GetDomain(ctx, &davitv1.GetDomainRequest{
		Domain: client.ByUUID(info.GetUuid()), View: davitv1.DomainView_DOMAIN_VIEW_FULL, Inactive: o.config,
	})
	if o.title {
		return resp.GetDomain().GetDefinition().GetTitle(), err
	}
	return resp.GetDomain().GetDefinition().GetDescription(), err
}

func (a *app) showDesc(ctx context.Context, c *client.Client, info *davitv1.DomainInfo, o descOptions) error {
	value, err := readDesc(ctx, c, info, o)
	switch {
	case err != nil:
		return err
	case a.notation != text:
		return a.show(object{{o.noun(), value}})
	case value == "":
		a.extra("No %s for domain: %s\n", o.noun(), info.GetName())
	default:
		a.print("%s\n", value)
	}
	return nil
}

func (a *app) setDesc(ctx context.Context, c *client.Client, info *davitv1.DomainInfo, o descOptions) error {
	value, err := a.newDesc(ctx, c, info, o)
	switch {
	case errors.Is(err, errUnchanged):
		a.extra("Domain %s not changed\n", o.noun())
		return nil
	case err != nil:
		return err
	}
	req := &davitv1.UpdateDomainRequest{
		Domain: client.ByUUID(info.GetUuid()), Affect: o.affect(),
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{o.noun()}},
	}
	if o.title {
		req.Title = value
	} else {
		req.Description = value
	}
	if _, err := c.UpdateDomain(ctx, req); err != nil {
		return failed(unsure(err), "Failed to set new domain %s", o.noun())
	}
	a.extra("Domain %s updated successfully\n", o.noun())
	return nil
}

// newDesc is the text to set: the words that were given, or what there is, and as the user edits it.
func (a *app) newDesc(ctx context.Context, c *client.Client, info *davitv1.DomainInfo, o descOptions) (string, error) {
	value := strings.Join(o.words, " ")
	if !o.edit {
		return value, nil
	}
	if len(o.words) == 0 {
		var err error
		if value, err = readDesc(ctx, c, info, o); err != nil {
			return "", err
		}
	}
	after, err := a.edited(ctx, value, ".txt")
	if err != nil {
		return "", err
	}
	if o.title || !strings.HasSuffix(value, "\n") {
		after = strings.TrimSuffix(after, "\n") // editors add one
	}
	if after == value {
		return "", errUnchanged
	}
	return after, nil
}
