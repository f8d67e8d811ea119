package main

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A request that is made again after the daemon was killed gets its first answer, and its id is still taken.
func TestAnswerOutlivesTheDaemon(t *testing.T) {
	s := newSite(t, "fake")
	d := s.launch(t)
	c := s.client(t)
	source := &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: s.document("web")}}
	define := &davitv1.DefineDomainRequest{Source: source, RequestId: "one"}
	first, err := c.DefineDomain(t.Context(), define)
	if err != nil {
		t.Fatal(err)
	}
	d.kill()
	d = s.launch(t)
	c = s.client(t)
	again, err := c.DefineDomain(t.Context(), define)
	if err != nil || !proto.Equal(first, again) {
		t.Errorf("the answer is %v, %v; it was %v", again, err, first)
	}
	other := &davitv1.DefineDomainRequest{Source: source, RequestId: "one", Strict: true}
	if _, err := c.DefineDomain(t.Context(), other); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("another request with the same id: %v", err)
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}
