package server_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// hanging makes starts last as long as nobody ends them.
func hanging(o *server.Options) {
	o.Driver = func(server.Config, string, *zap.Logger) (driver.Driver, error) {
		return fake.New(fake.Options{StartDuration: 24 * time.Hour}), nil
	}
}

// Of hundreds of starts on one connection that hang, those above the limit are told so at once. Meanwhile the same
// connection lists, destroys and watches, and other clients do not notice.
func TestStartsThatHang(t *testing.T) {
	const many = 400
	folder := authority(t)
	h, address := onNetwork(t, folder, hanging)
	conn := dial(t, h.path(server.AdminSocket))
	domains := davitv1.NewDomainServiceClient(conn)
	other := as(t, address, folder, "admin")
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Scale(2*time.Minute))
	defer cancel()
	for i := range many {
		if _, err := domains.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: client.XML(numbered(i))}); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, many)
	for i := range many {
		go func() {
			_, err := domains.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: byName(fmt.Sprintf("web%d", i))})
			ended <- domain.FromStatus(err)
		}()
	}
	limit := h.config.Limits.Calls
	for range many - limit { // as many as there is no place for; the others hang
		e, ok := errors.AsType[*domain.Error](<-ended)
		if !ok || e.Reason != davitv1.ErrorReason_ERROR_REASON_LIMIT_REACHED || e.Detail["limit"] != "limits.calls" || e.Detail["value"] != itoa(uintptr(limit)) {
			t.Fatalf("a start above the limit: %v", e)
		}
	}

	list, err := domains.ListDomains(ctx, &davitv1.ListDomainsRequest{PageSize: many})
	if err != nil || len(list.GetDomains()) != many {
		t.Fatalf("list beside starts that hang: %d domains, %v", len(list.GetDomains()), err)
	}
	watch, err := davitv1.NewEventServiceClient(conn).WatchEvents(ctx, &davitv1.WatchEventsRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if err != nil {
		t.Errorf("watch beside starts that hang: %v", err)
	}
	if _, err = other.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: client.XML(numbered(many))}); err != nil {
		t.Errorf("another client: %v", err)
	}
	if _, err = other.ListDomains(ctx, &davitv1.ListDomainsRequest{}); err != nil {
		t.Errorf("another client: %v", err)
	}
	destroyHanging(ctx, t, domains, many, limit)
	for range limit {
		if err = <-ended; err == nil || ctx.Err() != nil {
			t.Fatalf("a start that was destroyed: %v", err)
		}
	}
}

// destroyHanging ends as many starts that hang, which are those of some of the first so many domains. A start whose call was
// let in may come to its domain later.
func destroyHanging(ctx context.Context, t *testing.T, domains davitv1.DomainServiceClient, of, want int) {
	t.Helper()
	destroyed := map[int]bool{}
	for len(destroyed) < want {
		for i := range of {
			name := byName(fmt.Sprintf("web%d", i))
			job, err := domains.GetDomainJob(ctx, &davitv1.GetDomainJobRequest{Domain: name})
			if err != nil {
				t.Fatalf("%d of %d starts are destroyed: %v", len(destroyed), want, domain.FromStatus(err))
			}
			if destroyed[i] || job.GetOperation() == "" {
				continue
			}
			if _, err = domains.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: name}); err != nil {
				t.Fatalf("destroy beside starts that hang: %v", domain.FromStatus(err))
			}
			destroyed[i] = true
		}
	}
}

// numbered is a definition of a domain of a number.
func numbered(i int) string {
	return fmt.Sprintf("<domain type='lxc'><name>web%d</name><memory>65536</memory><os><type>exe</type><init>/bin/sh</init></os></domain>", i)
}
