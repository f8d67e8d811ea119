package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

// gatedStore is a store of which some methods wait at a gate, and fail then if they are to.
type gatedStore struct {
	engine.Store
	method string
	gate   chan error
}

func (s *gatedStore) pass(method string) error {
	if s.gate == nil || s.method != method {
		return nil
	}
	return <-s.gate
}

func (s *gatedStore) Put(def *davitv1.Domain) error {
	if err := s.pass("Put"); err != nil {
		return err
	}
	return s.Store.Put(def)
}

func (s *gatedStore) DeleteStatus(uuid string) error {
	if err := s.pass("DeleteStatus"); err != nil {
		return err
	}
	return s.Store.DeleteStatus(uuid)
}

// gated is a test on a house whose store has a gate.
func gated(t *testing.T, method string, test func(h *house, s *gatedStore)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h, s := newHouse(t), &gatedStore{method: method}
		h.options = func(o *engine.Options) {
			s.Store = o.Store
			o.Store = s
		}
		h.start()
		defer func() { h.stop() }()
		test(h, s)
	})
}

// A name that a rename is about to take is nobody's until it is taken: who wants it waits, and is refused only if a domain of
// that name is there to be seen. The old one is free once the new one is there.
func TestNamesDuringRename(t *testing.T) {
	for name, fault := range map[string]error{"it succeeds": nil, "it fails": full} {
		t.Run(name, func(t *testing.T) {
			gated(t, "Put", func(h *house, s *gatedStore) {
				h.define("web", uuidWeb)
				h.define("mail", uuidMail)
				s.gate = make(chan error)
				renamed, defined, moved := make(chan error, 1), make(chan error, 1), make(chan error, 1)
				go func() { _, err := h.rename("web", "shop"); renamed <- err }()
				synctest.Wait()
				go func() {
					_, err := h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{Source: xml("shop", "")})
					defined <- err
				}()
				synctest.Wait()
				go func() { _, err := h.rename("mail", "shop"); moved <- err }()
				synctest.Wait()
				if h.get("shop") != nil || len(defined)+len(moved) > 0 {
					t.Errorf("shop is %v, and %d others were answered", h.get("shop"), len(defined)+len(moved))
				}
				if _, err := h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{
					Source: xml("shop", ""), ValidateOnly: true,
				}); err != nil {
					t.Errorf("it could not be defined: %v", err)
				}
				s.gate <- fault
				close(s.gate)
				first, second, third := <-renamed, <-defined, <-moved
				if !errors.Is(first, fault) || (fault == nil) != (h.get("shop").GetUuid() == uuidWeb) {
					t.Errorf("rename: %v, shop is %v", first, h.get("shop"))
				}
				refused := 0
				for _, err := range []error{second, third} {
					if errors.Is(err, domain.ErrExists) {
						refused++
					} else if err != nil {
						t.Errorf("another who wants the name: %v", err)
					}
				}
				if want := map[bool]int{true: 2, false: 1}[fault == nil]; refused != want {
					t.Errorf("define: %v, rename: %v, want %d refused", second, third, want)
				}
			})
		})
	}
}

// A name is free once the undefine of its domain was answered, also for a rename, whatever is still to be cleared away.
func TestRenameToAFreeName(t *testing.T) {
	gated(t, "DeleteStatus", func(h *house, s *gatedStore) {
		h.define("web", uuidWeb)
		h.define("mail", uuidMail)
		s.gate = make(chan error)
		if _, err := h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		renamed := make(chan error, 1)
		go func() { _, err := h.rename("mail", "web"); renamed <- err }()
		synctest.Wait()
		early := len(renamed)
		close(s.gate)
		if err := <-renamed; err != nil || early > 0 || h.get("web").GetUuid() != uuidMail {
			t.Errorf("rename: %v, %d answers before the name was free, web is %v", err, early, h.get("web"))
		}
	})
}
