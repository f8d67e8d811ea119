package engine

import (
	"context"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// GetDomain tells about one domain.
func (e *Engine) GetDomain(ctx context.Context, q *davitv1.GetDomainRequest) (*davitv1.GetDomainResponse, error) {
	if err := knownView(q.GetView()); err != nil {
		return nil, err
	}
	position := e.journal.Newest() // before the look: what is told up to here is in the answer
	_, s, err := e.table.find(q.GetDomain())
	if err != nil {
		return nil, err
	}
	info, err := e.view(ctx, s, q.GetView(), q.GetInactive(), q.GetIncludeSecrets())
	if err != nil {
		return nil, err
	}
	return &davitv1.GetDomainResponse{Domain: info, Position: position}, nil
}

// GetDomainXML gives the definition as libvirt would print it: that of the run, or the stored one.
func (e *Engine) GetDomainXML(ctx context.Context, q *davitv1.GetDomainXMLRequest) (*davitv1.GetDomainXMLResponse, error) {
	sight, err := sightOf(ctx, q.GetIncludeSecrets())
	if err != nil {
		return nil, err
	}
	_, s, err := e.table.find(q.GetDomain())
	if err != nil {
		return nil, err
	}
	inactive := q.GetInactive() || !s.active()
	chosen := s.effective()
	if inactive {
		chosen = s.inactive()
	}
	def, err := chosen.open()
	if err != nil {
		return nil, err
	}
	domain.Withhold(def, sight)
	text, err := domain.FormatXML(def, domain.FormatOptions{Inactive: inactive})
	if err != nil {
		return nil, err
	}
	return &davitv1.GetDomainXMLResponse{Xml: text, Etag: e.etagFor(ctx, s)}, nil
}

// knownView refuses views that there are not.
func knownView(view davitv1.DomainView) error {
	if _, ok := davitv1.DomainView_name[int32(view)]; !ok {
		return invalid("view", "%d is not known", view)
	}
	return nil
}
