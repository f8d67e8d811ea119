package client_test

import (
	"context"
	"errors"
	"testing"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestReadOnlyClient looks, and sends nothing that changes something, whatever the socket would take.
func TestReadOnlyClient(t *testing.T) {
	sent := 0
	s := &stub{
		start: func(context.Context, *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
			sent++
			return &davitv1.StartDomainResponse{}, nil
		},
		get: func(context.Context, *davitv1.GetDomainRequest) (*davitv1.GetDomainResponse, error) {
			return &davitv1.GetDomainResponse{}, nil
		},
	}
	c := s.connect(t, client.WithReadOnly())
	web := client.ByName("web")
	if _, err := c.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: web}); err != nil {
		t.Errorf("GetDomain: %v", err)
	}
	var refused *domain.Error
	_, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: web})
	if !errors.Is(err, domain.ErrPermission) || !errors.As(err, &refused) || refused.Detail["needed"] != "operate" {
		t.Errorf("StartDomain: %v, want that it is refused", err)
	}
	if _, err := c.Exec(t.Context(), web, client.ExecOptions{Argv: []string{"true"}}); !errors.Is(err, domain.ErrPermission) {
		t.Errorf("Exec: %v, want that it is refused", err)
	}
	if _, err := c.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{}); !errors.Is(err, domain.ErrPermission) {
		t.Errorf("DefineDomain: %v, want that it is refused", err)
	}
	if sent > 0 {
		t.Errorf("%d calls that change something were sent", sent)
	}
}
