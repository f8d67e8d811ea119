package client

import (
	"context"
	"errors"
	"iter"
	"strconv"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// pageSize is how many domains [Client.Domains] asks for at a time.
const pageSize = 500

// ByName names a domain by its name.
func ByName(name string) *davitv1.DomainRef {
	return &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: name}}
}

// ByUUID names a domain by its UUID.
func ByUUID(uuid string) *davitv1.DomainRef {
	return &davitv1.DomainRef{Ref: &davitv1.DomainRef_Uuid{Uuid: uuid}}
}

// ByID names a running domain by its number.
func ByID(id uint32) *davitv1.DomainRef {
	return &davitv1.DomainRef{Ref: &davitv1.DomainRef_Id{Id: id}}
}

// XML is a definition in libvirt's domain XML.
func XML(document string) *davitv1.DefinitionSource {
	return &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: document}}
}

// Model is a definition as a message.
func Model(definition *davitv1.Domain) *davitv1.DefinitionSource {
	return &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Definition{Definition: definition}}
}

// Lookup finds a domain by what a person wrote: the number of a running domain, else a UUID, else a name. Name it by
// the UUID of the answer from then on, so that a number or name that changes hands meanwhile is never acted on.
func (c *Client) Lookup(ctx context.Context, text string) (*davitv1.DomainInfo, error) {
	for _, ref := range readings(text) {
		resp, err := c.GetDomain(ctx, &davitv1.GetDomainRequest{Domain: ref})
		if err == nil {
			return resp.GetDomain(), nil
		}
		if !errors.Is(err, domain.ErrNotFound) {
			return nil, err
		}
	}
	return nil, &domain.Error{
		Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND, Op: "get domain", Subject: text,
		Message: "no domain has this number, UUID or name",
	}
}

// readings are the ways to read what a person calls a domain, in order.
func readings(text string) []*davitv1.DomainRef {
	var refs []*davitv1.DomainRef
	if id, err := strconv.ParseUint(text, 10, 32); err == nil && id > 0 {
		refs = append(refs, ByID(uint32(id)))
	}
	if uuid, err := domain.ParseUUID(text); err == nil {
		refs = append(refs, ByUUID(uuid))
	}
	if domain.ValidateName(text) == nil {
		refs = append(refs, ByName(text))
	}
	return refs
}

// Domains lists the domains that the filter chooses, in order of name; nil chooses all. It asks for a page when the one
// before is used up. An error ends it.
func (c *Client) Domains(ctx context.Context, filter *davitv1.DomainFilter) iter.Seq2[*davitv1.DomainInfo, error] {
	return func(yield func(*davitv1.DomainInfo, error) bool) {
		req := &davitv1.ListDomainsRequest{Filter: filter, PageSize: pageSize}
		for {
			resp, err := c.ListDomains(ctx, req)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, d := range resp.GetDomains() {
				if !yield(d, nil) {
					return
				}
			}
			if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
				return
			}
		}
	}
}
