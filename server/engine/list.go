package engine

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Bounds of a page.
const (
	defaultPage = 100
	maxPage     = 1000
	// pageBytes ends a page that has so much in it, so that an answer fits in a message whatever the definitions hold.
	pageBytes = 1 << 20
)

// tokenMark begins a page token: its version.
const tokenMark = "1"

// ListDomains tells about the domains that pass the filter, in order of name. A token names the last domain of its page,
// so that domains that come and go between two pages move no other.
func (e *Engine) ListDomains(ctx context.Context, q *davitv1.ListDomainsRequest) (*davitv1.ListDomainsResponse, error) {
	if err := checkList(q); err != nil {
		return nil, err
	}
	after, err := readToken(q.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := int(q.GetPageSize())
	if size == 0 {
		size = defaultPage
	}
	answer := &davitv1.ListDomainsResponse{Position: e.journal.Newest()} // before the look, as in GetDomain
	weight := 0
	for s := range e.table.from(after) {
		if !passes(q.GetFilter(), s) {
			continue
		}
		if len(answer.Domains) == size || weight > pageBytes {
			answer.NextPageToken = token(after)
			break
		}
		info, err := e.view(ctx, s, q.GetView(), false, false)
		if err != nil {
			return nil, err
		}
		weight += proto.Size(info)
		answer.Domains = append(answer.Domains, info)
		after = s.name
	}
	return answer, nil
}

// from gives the domains whose names follow one. The table is locked a few names at a time.
func (t *table) from(name string) func(yield func(*snapshot) bool) {
	const stride = 256
	return func(yield func(*snapshot) bool) {
		for {
			list := t.after(name, stride)
			for _, n := range list {
				name = n.name
				if s := n.load(); s != nil && s.name == name && !yield(s) {
					return
				}
			}
			if len(list) < stride {
				return
			}
		}
	}
}

// passes tells whether a domain passes a filter.
func passes(f *davitv1.DomainFilter, s *snapshot) bool {
	switch {
	case f == nil:
		return true
	case len(f.GetStates()) > 0 && !slices.Contains(f.GetStates(), s.State):
		return false
	case f.Active != nil && f.GetActive() != s.active():
		return false
	case f.Persistent != nil && f.GetPersistent() != s.persistent():
		return false
	case f.Autostart != nil && f.GetAutostart() != s.autostart:
		return false
	}
	return true
}

// checkList refuses a list that cannot be.
func checkList(q *davitv1.ListDomainsRequest) error {
	if q.GetPageSize() > maxPage {
		return invalid("page_size", "%d, the limit is %d", q.GetPageSize(), maxPage)
	}
	if err := knownView(q.GetView()); err != nil {
		return err
	}
	return knownStates("filter.states", q.GetFilter().GetStates())
}

// knownStates refuses states that there are not.
func knownStates(field string, states []davitv1.DomainState) error {
	for _, state := range states {
		if _, ok := davitv1.DomainState_name[int32(state)]; !ok || state == 0 {
			return invalid(field, "state %d is not known", state)
		}
	}
	return nil
}

// token asks for the page after a name.
func token(name string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(tokenMark + name))
}

// readToken is the name that a token holds.
func readToken(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	plain, err := base64.RawURLEncoding.DecodeString(text)
	name, ok := strings.CutPrefix(string(plain), tokenMark)
	if err != nil || !ok || name == "" {
		return "", invalid("page_token", "it is not one that this daemon gave")
	}
	return name, nil
}
