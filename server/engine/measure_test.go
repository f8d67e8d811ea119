package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// measure reads all pages; an entry is a name, and "+" if there are numbers.
func (h *house) measure(q *davitv1.ListDomainStatsRequest) (list []string, pages int) {
	h.t.Helper()
	for {
		r, err := h.ListDomainStats(h.t.Context(), q)
		if err != nil {
			h.t.Fatalf("measure: %v", err)
		}
		for _, m := range r.GetMeasurements() {
			text := m.GetDomain().GetName()
			if m.GetStats() != nil {
				text += "+"
			}
			if m.GetMaximumMemoryKib() != 65536 {
				h.t.Errorf("%s may have %d KiB", text, m.GetMaximumMemoryKib())
			}
			list = append(list, text)
		}
		pages++
		if r.GetNextPageToken() == "" {
			return list, pages
		}
		q.PageToken = r.GetNextPageToken()
	}
}

// Many domains are measured in order of name, a page at a time, those that run; one that cannot be measured is told
// without numbers.
func TestListDomainStats(t *testing.T) {
	bubble(t, func(h *house) {
		for i := range 7 {
			name := fmt.Sprintf("d%d", i)
			h.define(name, "")
			if i%2 == 1 {
				h.boot(name)
			}
		}
		yes := true
		for _, test := range []struct {
			q     *davitv1.ListDomainStatsRequest
			want  string
			pages int
		}{
			{&davitv1.ListDomainStatsRequest{}, "d0 d1+ d2 d3+ d4 d5+ d6", 1},
			{&davitv1.ListDomainStatsRequest{PageSize: 3}, "d0 d1+ d2 d3+ d4 d5+ d6", 3},
			{&davitv1.ListDomainStatsRequest{Filter: &davitv1.DomainFilter{Active: &yes}, PageSize: 1}, "d1+ d3+ d5+", 3},
			{&davitv1.ListDomainStatsRequest{Domains: []*davitv1.DomainRef{byName("d5"), byName("d2"), byName("d5")}}, "d2 d5+", 1},
			{&davitv1.ListDomainStatsRequest{Domains: []*davitv1.DomainRef{byName("d5"), byName("d2")}, PageSize: 1}, "d2 d5+", 2},
		} {
			list, pages := h.measure(test.q)
			if got := strings.Join(list, " "); got != test.want || pages != test.pages {
				t.Errorf("%v: %q in %d pages, want %q in %d", test.q, got, pages, test.want, test.pages)
			}
		}
		h.faults.fail("Stats", errors.New("its monitor hangs"))
		list, _ := h.measure(&davitv1.ListDomainStatsRequest{})
		if got := strings.Count(strings.Join(list, " "), "+"); got != 2 || len(list) != 7 {
			t.Errorf("with one that fails: %q", list)
		}
	})
}

// A domain that stops while it is measured is told as it is then, and one that is gone is not told.
func TestListDomainStatsMeanwhile(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		h.boot("web")
		h.CreateDomainOf("passing", "sleep infinity")
		passing := h.get("passing").GetUuid()
		for _, uuid := range []string{uuidWeb, passing} {
			if err := h.host.Exit(uuid, 0); err != nil {
				t.Fatal(err)
			}
		}
		r, err := h.ListDomainStats(h.t.Context(), &davitv1.ListDomainStatsRequest{})
		if err != nil || len(r.GetMeasurements()) != 1 || r.GetMeasurements()[0].GetStats() != nil ||
			r.GetMeasurements()[0].GetDomain().GetState() != davitv1.DomainState_DOMAIN_STATE_SHUTOFF {
			t.Errorf("measured: %v, %v", r, err)
		}
	})
}

func TestListDomainStatsRefuses(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		many := make([]*davitv1.DomainRef, 1001)
		for i := range many {
			many[i] = byName("web")
		}
		for want, q := range map[string]*davitv1.ListDomainStatsRequest{
			"page_size: 1001":                     {PageSize: 1001},
			"page_token":                          {PageToken: "rubbish"},
			"filter.states":                       {Filter: &davitv1.DomainFilter{States: []davitv1.DomainState{0}}},
			"domains: 1001 domains":               {Domains: many},
			`no domain with matching name "none"`: {Domains: []*davitv1.DomainRef{byName("web"), byName("none")}},
			"name a domain by uuid, name or id":   {Domains: []*davitv1.DomainRef{{}}},
		} {
			if _, err := h.ListDomainStats(h.t.Context(), q); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("measure: %v, want %s", err, want)
			}
		}
	})
}

// The mounts of a running domain are told; one that does not run has none.
func TestListFilesystems(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb, "<devices><filesystem type='mount'><source dir='/srv/web'/><target dir='/'/></filesystem>"+
			"<filesystem type='mount'><source dir='/srv/data'/><target dir='/data'/><readonly/></filesystem></devices>")
		q := &davitv1.ListFilesystemsRequest{Domain: byName("web")}
		if _, err := h.ListFilesystems(h.t.Context(), q); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("filesystems of inactive: %v", err)
		}
		h.boot("web")
		r, err := h.ListFilesystems(h.t.Context(), q)
		if err != nil {
			t.Fatalf("filesystems: %v", err)
		}
		var list []string
		for _, m := range r.GetFilesystems() {
			list = append(list, fmt.Sprintf("%s %s %t %s", m.GetMountpoint(), m.GetSource(), m.GetReadOnly(), m.GetAlias()))
		}
		if diff := cmp.Diff([]string{"/ /srv/web false fs0", "/data /srv/data true fs1"}, list); diff != "" {
			t.Errorf("filesystems (-want +got):\n%s", diff)
		}
	})
}
