package engine_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (h *house) rename(from, to string) (*davitv1.RenameDomainResponse, error) {
	h.t.Helper()
	return h.RenameDomain(h.t.Context(), &davitv1.RenameDomainRequest{Domain: byName(from), NewName: to})
}

// A renamed domain is the same in all but its name, for those who ask, those who list and the next daemon.
func TestRename(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb, "<title>the shop</title>")
		h.define("mail", uuidMail)
		if _, err := h.UpdateDomain(h.t.Context(), &davitv1.UpdateDomainRequest{
			Domain: byName("web"), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"autostart"}}, Autostart: true,
		}); err != nil {
			t.Fatal(err)
		}
		r, err := h.rename("web", "about")
		if err != nil || r.GetDomain().GetName() != "about" || r.GetDomain().GetUuid() != uuidWeb {
			t.Fatalf("rename: %v, %v", r, err)
		}
		for _, when := range []string{"now", "after a restart"} {
			info := h.get("about")
			if info.GetUuid() != uuidWeb || !info.GetAutostart() || info.GetTitle() != "the shop" || h.get("web") != nil {
				t.Errorf("%s it is %v, and web is %v", when, info, h.get("web"))
			}
			names, _ := h.list(&davitv1.ListDomainsRequest{PageSize: 1}, nil)
			if got := strings.Join(names, " "); got != "about mail" {
				t.Errorf("%s there are %q", when, got)
			}
			if text := h.xml("about", true); !strings.Contains(text, "<name>about</name>") {
				t.Errorf("%s:\n%s", when, text)
			}
			h.kill()
			h.start()
		}
		h.boot("about")
		h.define("web", "") // the name is free
		want := []string{"web: Undefined Renamed", "about: Defined Renamed", "about: Started Booted", "web: Defined Added"}
		if diff := cmp.Diff(want, h.told()[3:]); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if at := h.journal.Newest().GetSequence() - 2; r.GetPosition().GetSequence() != at {
			t.Errorf("the answer is of position %d, want %d", r.GetPosition().GetSequence(), at)
		}
	})
}

func TestRenameRefuses(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		h.define("mail", uuidMail)
		h.define("busy", "")
		h.boot("busy")
		h.CreateDomainOf("passing", "sleep infinity")
		for _, test := range []struct {
			from, to string
			class    error
			want     string
		}{
			{"web", "mail", domain.ErrExists, `domain "mail" already exists with uuid ` + uuidMail},
			{"web", "web", domain.ErrExists, `domain "web" already exists with uuid ` + uuidWeb},
			{"busy", "idle", domain.ErrFailedPrecondition, "cannot rename active domain"},
			{"passing", "idle", domain.ErrFailedPrecondition, "cannot rename active domain"},
			{"none", "idle", domain.ErrNotFound, `no domain with matching name "none"`},
			{"web", "", domain.ErrInvalid, "a domain needs a name"},
			{"web", "a/b", domain.ErrInvalid, `contains "/"`},
			{"web", strings.Repeat("x", 256), domain.ErrInvalid, "255 are the limit"},
			{"web", "..", domain.ErrInvalid, "cannot be a name"},
		} {
			if _, err := h.rename(test.from, test.to); !errors.Is(err, test.class) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("rename %s to %.20q: %v, want %s", test.from, test.to, err, test.want)
			}
		}
		_, err := h.RenameDomain(h.t.Context(), &davitv1.RenameDomainRequest{Domain: byName("web"), NewName: "shop", Etag: "old"})
		if reason(err) != davitv1.ErrorReason_ERROR_REASON_DEFINITION_CHANGED || h.get("shop") != nil {
			t.Errorf("rename with an old etag: %v", err)
		}
	})
}

// A rename that cannot be stored or told leaves the old name, and the new one to others.
func TestRenameOnFullDisk(t *testing.T) {
	for _, method := range []string{"PutStatus", "Put", "Append"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(h *house) {
				h.define("web", uuidWeb)
				h.faults.fail(method, full)
				if _, err := h.rename("web", "shop"); err == nil {
					t.Error("rename: no error")
				}
				for _, when := range []string{"now", "after a restart"} {
					if h.get("web").GetUuid() != uuidWeb || h.get("shop") != nil {
						t.Errorf("%s web is %v, shop %v", when, h.get("web"), h.get("shop"))
					}
					h.kill()
					h.start()
				}
				h.define("shop", "")
				if diff := cmp.Diff([]string{"web: Defined Added", "shop: Defined Added"}, h.told()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if _, err := h.rename("web", "store"); err != nil {
					t.Errorf("rename again: %v", err)
				}
			})
		})
	}
}

// Who waits for his turn while the domain is renamed finds it by what is still its own, and nothing by its old name.
func TestRenameInFront(t *testing.T) {
	slow(t, 10*time.Second, func(h *house) {
		h.define("web", uuidWeb)
		ctx := h.t.Context()
		var calls sync.WaitGroup
		var ended [7]error
		next := 0
		queue := func(do func() error) {
			i := next
			next++
			calls.Go(func() { ended[i] = do() })
			synctest.Wait()
		}
		queue(func() error { return startWeb(ctx, h) })
		queue(func() error {
			_, err := h.ShutdownDomain(ctx, &davitv1.ShutdownDomainRequest{Domain: byName("web")})
			return err
		})
		queue(func() error {
			_, err := h.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: byName("web")})
			return err
		})
		queue(func() error { _, err := h.rename("web", "shop"); return err })
		queue(func() error { return startWeb(ctx, h) })
		queue(func() error {
			_, err := h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb)})
			return err
		})
		queue(func() error {
			_, err := h.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
				Domain:     &davitv1.DomainRef{Ref: &davitv1.DomainRef_Uuid{Uuid: uuidWeb}},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}}, Title: "next",
			})
			return err
		})
		calls.Wait()
		for i, want := range map[int]error{3: nil, 4: domain.ErrNotFound, 5: domain.ErrExists, 6: nil} {
			if !errors.Is(ended[i], want) {
				t.Errorf("call %d ends with %v, want %v", i, ended[i], want)
			}
		}
		if info := h.get("shop"); info.GetUuid() != uuidWeb || info.GetTitle() != "next" {
			t.Errorf("shop is %v", info)
		}
	})
}
