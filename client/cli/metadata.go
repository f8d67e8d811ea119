package cli

import (
	"context"
	"errors"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// metadataOptions is what metadata was told.
type metadataOptions struct {
	name, uri, key, set string
	edit, remove        bool
	scope
}

func (o *metadataOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.live, "live", false, "modify/get running state")
	f.BoolVar(&o.config, "config", false, "modify/get persistent configuration")
	f.BoolVar(&o.current, "current", false, "modify/get current state configuration")
	f.BoolVar(&o.edit, "edit", false, "use an editor to change the metadata")
	f.StringVar(&o.key, "key", "", "key to be used as a namespace identifier")
	f.StringVar(&o.set, "set", "", "new metadata to set")
	f.BoolVar(&o.remove, "remove", false, "remove the metadata corresponding to an uri")
}

func (a *app) metadata() command {
	var o metadataOptions
	return command{
		name: "metadata", help: "show or set domain's custom XML metadata",
		operands:  []operand{domainOperand(&o.name), {name: "uri", help: "URI of the namespace", one: &o.uri}},
		flags:     o.flags,
		exclusive: append(scopesExclude(), [2]string{"edit", "set"}, [2]string{"remove", "set"}, [2]string{"remove", "edit"}),
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			changes := set.Changed("set") || o.edit
			if changes && o.key == "" {
				return failed(nil, "namespace key is required when modifying metadata")
			}
			switch {
			case o.edit:
				return a.editMetadata(ctx, o)
			case changes:
				element, err := newElement(o.set, o.key, o.uri)
				if err != nil {
					return err
				}
				return a.setMetadata(ctx, o, element, "Metadata modified")
			case o.remove:
				return a.setMetadata(ctx, o, "", "Metadata removed")
			}
			return a.showMetadata(ctx, o)
		},
	}
}

func errNoMetadata() error {
	return failed(nil, "metadata not found: Requested metadata element is not present")
}

func (a *app) showMetadata(ctx context.Context, o metadataOptions) error {
	_, info, err := a.inspect(ctx, o.name, o.scope)
	if err != nil {
		return err
	}
	element, found, err := findElement(info.GetDefinition().GetMetadata(), o.uri)
	switch {
	case err != nil:
		return err
	case !found:
		return errNoMetadata()
	case a.notation != text:
		return a.show(object{{"uri", o.uri}, {"xml", element.bare()}})
	}
	a.print("%s\n", element.bare())
	return nil
}

// editMetadata lets the user edit an element as --set takes it, until it is taken or given up.
func (a *app) editMetadata(ctx context.Context, o metadataOptions) error {
	_, info, err := a.inspect(ctx, o.name, o.scope)
	if err != nil {
		return err
	}
	before := "\n"
	if old, found, wrong := findElement(info.GetDefinition().GetMetadata(), o.uri); wrong == nil && found {
		before = old.bare() + "\n"
	}
	for after := before; ; {
		if after, err = a.edited(ctx, after, ".xml"); err != nil {
			return err
		}
		if after == before {
			a.extra("Metadata not changed\n")
			return nil
		}
		element, err := newElement(after, o.key, o.uri)
		if err == nil {
			err = a.setMetadata(ctx, o, element, "Metadata modified")
		}
		if err == nil {
			return nil
		}
		a.report(err)
		if a.askAgain("Failed.", false) == giveUp {
			return exitError(1)
		}
	}
}

// setMetadata puts an element in the place of the one of its namespace, or removes that one when it is empty. The other
// elements stay, also those that somebody else sets at the same time.
func (a *app) setMetadata(ctx context.Context, o metadataOptions, element, done string) error {
	targets := []scope{o.scope}
	if o.live && o.config {
		targets = []scope{{live: true}, {config: true}}
	}
	for _, s := range targets {
		if err := a.setMetadataOf(ctx, o, s, element); err != nil {
			return err
		}
	}
	a.extra("%s\n", done)
	return nil
}

func (a *app) setMetadataOf(ctx context.Context, o metadataOptions, s scope, element string) error {
	for {
		c, info, err := a.inspect(ctx, o.name, s)
		if err != nil {
			return err
		}
		inner, err := replaceElement(info.GetDefinition().GetMetadata(), o.uri, element)
		if err != nil {
			return err
		}
		_, err = c.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
			Domain: client.ByUUID(info.GetUuid()), Affect: s.affect(), Metadata: inner, Etag: info.GetEtag(),
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"metadata"}},
		})
		if !errors.Is(err, errChanged) {
			return unsure(err)
		}
	}
}
