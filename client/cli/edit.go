package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) edit() command {
	var name string
	var lax bool
	return command{
		name: "edit", help: "edit the definition of a domain with $VISUAL, $EDITOR or vi; -o yaml and -o json choose the notation",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&lax, "skip-validate", false, "let elements and attributes pass that davit does not know")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			e := &definitionEdit{app: a, client: c, uuid: info.GetUuid(), strict: !lax}
			switch err := e.run(ctx); {
			case errors.Is(err, errUnchanged):
				a.extra("Domain '%s' XML configuration not changed.\n", info.GetName())
			case err != nil:
				return err
			default:
				a.extra("Domain '%s' XML configuration edited.\n", info.GetName())
			}
			return nil
		},
	}
}

// errUnchanged ends an edit that left the text as it was.
var errUnchanged = errors.New("not changed")

// definitionEdit is an edit of a stored definition. It is put back only in place of the one that the user saw.
type definitionEdit struct {
	app    *app
	client *client.Client
	uuid   string
	strict bool

	doc, etag string // what the user edits, and which definition it is
}

func (e *definitionEdit) run(ctx context.Context) error {
	if err := e.fetch(ctx); err != nil {
		return err
	}
	original := e.doc
	for {
		doc, err := e.app.edited(ctx, e.doc, e.suffix())
		switch {
		case err != nil:
			return err
		case doc == original:
			return errUnchanged
		}
		e.doc = doc
		if again, err := e.store(ctx); !again {
			return err
		}
	}
}

func (e *definitionEdit) suffix() string {
	if e.app.notation == text {
		return ".xml"
	}
	return "." + string(e.app.notation)
}

// fetch reads the stored definition.
func (e *definitionEdit) fetch(ctx context.Context) error {
	ref := client.ByUUID(e.uuid)
	if e.app.notation == text {
		resp, err := e.client.GetDomainXML(ctx, &davitv1.GetDomainXMLRequest{Domain: ref, Inactive: true, IncludeSecrets: true})
		e.doc, e.etag = resp.GetXml(), resp.GetEtag()
		return err
	}
	resp, err := e.client.GetDomain(ctx, &davitv1.GetDomainRequest{
		Domain: ref, View: davitv1.DomainView_DOMAIN_VIEW_FULL, Inactive: true, IncludeSecrets: true,
	})
	if err != nil {
		return err
	}
	e.etag = resp.GetDomain().GetEtag()
	e.doc, err = formatDefinition(resp.GetDomain().GetDefinition(), string(e.app.notation))
	return err
}

// store puts the text in place of the definition, or asks what to do when it is refused, until the user wants to edit
// again (true) or gives up.
func (e *definitionEdit) store(ctx context.Context) (again bool, err error) {
	for {
		err := e.define(ctx)
		if err == nil {
			return false, nil
		}
		why := "Failed."
		if errors.Is(err, errChanged) {
			why = "The XML configuration was changed by another user."
		} else {
			e.app.report(err)
		}
		switch e.app.askAgain(why, e.strict) {
		case editAgain:
			return true, nil
		case relax:
			e.strict = false
		case force:
			if gone := e.refresh(ctx); gone != nil {
				return false, gone
			}
		case giveUp:
			if errors.Is(err, errChanged) {
				e.app.report(err)
			}
			return false, exitError(1)
		}
	}
}

// errChanged is the error of a definition that is not the one that was read.
var errChanged = &domain.Error{Code: domain.ErrAborted.Code, Reason: davitv1.ErrorReason_ERROR_REASON_DEFINITION_CHANGED}

// refresh lets the text take the place of whatever definition there is now.
func (e *definitionEdit) refresh(ctx context.Context) error {
	doc := e.doc
	err := e.fetch(ctx)
	e.doc = doc
	return err
}

// define asks the daemon, with what can be said without it said before.
func (e *definitionEdit) define(ctx context.Context) error {
	e.app.given = e.doc
	source, err := sourceOf(strings.TrimPrefix(e.suffix(), "."), e.doc)
	if err != nil {
		return err
	}
	if _, _, err = domain.Read(source, domain.ReadOptions{Strict: e.strict}); err != nil {
		return err
	}
	resp, err := e.client.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: source, Strict: e.strict, Etag: e.etag})
	if err != nil {
		return unsure(err)
	}
	e.app.warnAll(resp.GetWarnings())
	return nil
}
