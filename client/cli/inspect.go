package cli

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// inspect finds a domain with its definition: the live one of an active domain, unless the scope is its configuration.
// libvirt's rule about scopes holds: there is no running one of a domain that is not active, and no configuration of a
// transient one.
func (a *app) inspect(ctx context.Context, text string, s scope) (*client.Client, *davitv1.DomainInfo, error) {
	c, info, err := a.lookup(ctx, text)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case s.live && info.GetId() == 0:
		return nil, nil, invalidState("domain is not running")
	case s.config && !info.GetPersistent():
		return nil, nil, invalidState("transient domains do not have any persistent config")
	}
	resp, err := c.GetDomain(ctx, &davitv1.GetDomainRequest{
		Domain: client.ByUUID(info.GetUuid()), View: davitv1.DomainView_DOMAIN_VIEW_FULL, Inactive: s.config,
	})
	return c, resp.GetDomain(), err
}

// invalidState is the error of a domain that is not in the state for what is asked, in the daemon's manner.
func invalidState(message string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE, Message: message,
	}
}

// change sets fields of the definition of a domain, named by their paths in it.
func (a *app) change(ctx context.Context, text string, s scope, def *davitv1.Domain, paths ...string) error {
	c, info, err := a.lookup(ctx, text)
	if err != nil {
		return err
	}
	_, err = c.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
		Domain: client.ByUUID(info.GetUuid()), Affect: s.affect(), Definition: def,
		UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
	})
	return err
}
