package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// list reads all pages; between them something may happen.
func (h *house) list(q *davitv1.ListDomainsRequest, between func(page int)) (names []string, pages int) {
	h.t.Helper()
	for {
		r, err := h.ListDomains(h.t.Context(), q)
		if err != nil {
			h.t.Fatalf("list: %v", err)
		}
		for _, d := range r.GetDomains() {
			names = append(names, d.GetName())
		}
		pages++
		if r.GetNextPageToken() == "" {
			return names, pages
		}
		if between != nil {
			between(pages)
		}
		q.PageToken = r.GetNextPageToken()
	}
}

// Pages are in order of name, each domain that stays is in exactly one, and those that come and go move no other.
func TestListPages(t *testing.T) {
	bubble(t, func(h *house) {
		var want []string
		for i := range 25 {
			name := fmt.Sprintf("d%02d", i)
			h.define(name, "")
			want = append(want, name)
		}
		names, pages := h.list(&davitv1.ListDomainsRequest{PageSize: 5}, nil)
		if diff := cmp.Diff(want, names); diff != "" || pages != 5 {
			t.Errorf("%d pages (-want +got):\n%s", pages, diff)
		}
		names, _ = h.list(&davitv1.ListDomainsRequest{PageSize: 5}, func(page int) {
			for _, gone := range []string{"d00", "d04", "d05"} { // before, the last of the page, after
				if page == 1 {
					if _, err := h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName(gone)}); err != nil {
						t.Fatal(err)
					}
				}
			}
			if page == 2 {
				h.define("d03a", "")
				h.define("d20a", "")
			}
		})
		got := slices.DeleteFunc(slices.Clone(want), func(n string) bool { return n == "d05" })
		got = slices.Insert(got, slices.Index(got, "d21"), "d20a")
		if diff := cmp.Diff(got, names); diff != "" {
			t.Errorf("under change (-want +got):\n%s", diff)
		}
		names, pages = h.list(&davitv1.ListDomainsRequest{}, nil)
		if len(names) != 24 || pages != 1 {
			t.Errorf("without a size: %d in %d pages", len(names), pages)
		}
		for name, q := range map[string]*davitv1.ListDomainsRequest{
			"page_size":     {PageSize: 1001},
			"page_token":    {PageToken: "rubbish"},
			"view":          {View: 99},
			"filter.states": {Filter: &davitv1.DomainFilter{States: []davitv1.DomainState{0}}},
		} {
			_, err := h.ListDomains(h.t.Context(), q)
			var e *domain.Error
			if !errors.As(err, &e) || e.Code != codes.InvalidArgument || e.Violations[0].Field != name {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestListFilters(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("off", "")
		h.define("on", "")
		h.define("auto", "")
		h.boot("on")
		h.CreateDomainOf("passing", "sleep infinity")
		if _, err := h.UpdateDomain(h.t.Context(), &davitv1.UpdateDomainRequest{
			Domain: byName("auto"), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"autostart"}}, Autostart: true,
		}); err != nil {
			t.Fatal(err)
		}
		yes, no := true, false
		for _, test := range []struct {
			filter *davitv1.DomainFilter
			want   string
		}{
			{nil, "auto off on passing"},
			{&davitv1.DomainFilter{Active: &yes}, "on passing"},
			{&davitv1.DomainFilter{Active: &no}, "auto off"},
			{&davitv1.DomainFilter{Persistent: &no}, "passing"},
			{&davitv1.DomainFilter{Active: &yes, Persistent: &yes}, "on"},
			{&davitv1.DomainFilter{Autostart: &yes}, "auto"},
			{&davitv1.DomainFilter{States: []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_SHUTOFF}}, "auto off"},
			{&davitv1.DomainFilter{States: []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_PAUSED}}, ""},
		} {
			names, _ := h.list(&davitv1.ListDomainsRequest{Filter: test.filter, View: davitv1.DomainView_DOMAIN_VIEW_FULL}, nil)
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("%v: %q, want %q", test.filter, got, test.want)
			}
		}
	})
}

// An answer stays small whatever the definitions hold.
func TestListIsBoundedInBytes(t *testing.T) {
	bubble(t, func(h *house) {
		big := "<description>" + strings.Repeat("x", 400<<10) + "</description>"
		for i := range 8 {
			h.define(fmt.Sprintf("big%d", i), "", big)
		}
		names, pages := h.list(&davitv1.ListDomainsRequest{View: davitv1.DomainView_DOMAIN_VIEW_FULL, PageSize: 1000}, nil)
		if len(names) != 8 || pages < 3 {
			t.Errorf("%d domains in %d pages", len(names), pages)
		}
		for i := range 8 {
			h.define(fmt.Sprintf("long%d", i), "", "<title>"+strings.Repeat("x", 400<<10)+"</title>")
		}
		names, pages = h.list(&davitv1.ListDomainsRequest{PageSize: 1000}, nil)
		if len(names) != 16 || pages < 3 {
			t.Errorf("%d domains with long titles in %d pages", len(names), pages)
		}
	})
}

func TestReferences(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		h.boot("web")
		for _, ref := range []*davitv1.DomainRef{
			byName("web"),
			{Ref: &davitv1.DomainRef_Uuid{Uuid: uuidWeb}},
			{Ref: &davitv1.DomainRef_Id{Id: 1}},
			{Ref: &davitv1.DomainRef_Uuid{Uuid: strings.ToUpper(uuidWeb)}},
		} {
			if r, err := h.GetDomain(h.t.Context(), &davitv1.GetDomainRequest{Domain: ref}); err != nil || r.GetDomain().GetName() != "web" {
				t.Errorf("%v: %v, %v", ref, r, err)
			}
		}
		for want, ref := range map[string]*davitv1.DomainRef{
			`no domain with matching name "mail"`:                           byName("mail"),
			`no domain with matching uuid "nil"`:                            {Ref: &davitv1.DomainRef_Uuid{Uuid: "nil"}},
			`no domain with matching id "7"`:                                {Ref: &davitv1.DomainRef_Id{Id: 7}},
			`no domain with matching id "0"`:                                {Ref: &davitv1.DomainRef_Id{}},
			`request is invalid: domain: name a domain by uuid, name or id`: nil,
		} {
			if _, err := h.GetDomain(h.t.Context(), &davitv1.GetDomainRequest{Domain: ref}); err == nil || err.Error() != want {
				t.Errorf("%v: %v, want %s", ref, err, want)
			}
		}
	})
}

func TestWait(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		if r := h.wait("web"); r.GetGone() || r.GetDomain().GetName() != "web" {
			t.Errorf("wait for what is shut off: %v", r)
		}
		up := make(chan *davitv1.WaitDomainResponse, 1)
		go func() { up <- h.wait("web", davitv1.DomainState_DOMAIN_STATE_RUNNING) }()
		synctest.Wait()
		h.boot("web")
		if r := <-up; r.GetDomain().GetId() != 1 {
			t.Errorf("wait for a start: %v", r)
		}
		ctx, cancel := context.WithTimeout(h.t.Context(), time.Second)
		defer cancel()
		_, err := h.WaitDomain(ctx, &davitv1.WaitDomainRequest{Domain: byName("web")})
		var e *domain.Error
		if !errors.As(err, &e) || e.Code != codes.DeadlineExceeded {
			t.Errorf("wait too short: %v", err)
		}
		paused := davitv1.DomainState_DOMAIN_STATE_PAUSED
		go func() { up <- h.wait("web", paused) }()
		synctest.Wait()
		if err := h.host.Exit(uuidWeb, 0); err != nil {
			t.Fatal(err)
		}
		h.wait("web")
		if _, err := h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		if r := <-up; !r.GetGone() {
			t.Errorf("wait for a domain that went: %v", r)
		}
	})
}

// The position of an answer is one after which nothing is missed: what is told up to it is in the answer.
func TestPositionReflects(t *testing.T) {
	h := newHouse(t)
	h.start()
	defer h.stop()
	const many = 100
	h.define("web", uuidWeb, "<title>1</title>") // the event of number n tells of title n
	go func() {
		for i := 2; i <= many; i++ {
			h.define("web", uuidWeb, fmt.Sprintf("<title>%d</title>", i))
		}
	}()
	for seen := 0; seen < many; {
		list, err := h.ListDomains(t.Context(), &davitv1.ListDomainsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		one, err := h.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName("web")})
		if err != nil {
			t.Fatal(err)
		}
		for at, info := range map[*davitv1.EventPosition]*davitv1.DomainInfo{
			list.GetPosition(): list.GetDomains()[0], one.GetPosition(): one.GetDomain(),
		} {
			seen, err = strconv.Atoi(info.GetTitle())
			if err != nil || uint64(seen) < at.GetSequence() {
				t.Fatalf("an answer with title %q has position %d", info.GetTitle(), at.GetSequence())
			}
		}
	}
}

func TestEtags(t *testing.T) {
	bubble(t, func(h *house) {
		ctx := h.t.Context()
		first := h.define("web", uuidWeb)
		if again := h.define("web", uuidWeb); again.GetEtag() != first.GetEtag() || first.GetEtag() == "" {
			t.Errorf("the same definition has etags %q and %q", first.GetEtag(), again.GetEtag())
		}
		next := h.define("web", uuidWeb, "<title>next</title>")
		if next.GetEtag() == first.GetEtag() {
			t.Error("another definition has the same etag")
		}
		for name, stale := range map[string]func() error{
			"define": func() error {
				_, err := h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb), Etag: first.GetEtag()})
				return err
			},
			"undefine": func() error {
				_, err := h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: byName("web"), Etag: first.GetEtag()})
				return err
			},
			"update": func() error {
				_, err := h.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
					Domain: byName("web"), Etag: first.GetEtag(), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}},
				})
				return err
			},
			"define of none": func() error {
				_, err := h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("mail", ""), Etag: first.GetEtag()})
				return err
			},
		} {
			if err := stale(); reason(err) != davitv1.ErrorReason_ERROR_REASON_DEFINITION_CHANGED {
				t.Errorf("%s: %v, want DEFINITION_CHANGED", name, err)
			}
		}
		if _, err := h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: byName("web"), Etag: next.GetEtag()}); err != nil {
			t.Errorf("undefine: %v", err)
		}
	})
}

// Names and UUIDs are unique, in libvirt's words, and to ask whether a definition would do stores nothing.
func TestNamesAreUnique(t *testing.T) {
	bubble(t, func(h *house) {
		ctx := h.t.Context()
		h.define("web", uuidWeb)
		h.boot("web")
		for _, validate := range []bool{false, true} {
			for source, want := range map[*davitv1.DefinitionSource]string{
				xml("web", uuidMail): `domain "web" already exists with uuid ` + uuidWeb,
				xml("mail", uuidWeb): `domain "web" is already defined with uuid ` + uuidWeb,
				xml("web", ""):       `domain "web" already exists with uuid ` + uuidWeb,
			} {
				_, err := h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: source, ValidateOnly: validate})
				if !errors.Is(err, domain.ErrExists) || err.Error() != want {
					t.Errorf("define: %v, want %s", err, want)
				}
			}
		}
		if _, err := h.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: xml("web", uuidMail)}); !errors.Is(err, domain.ErrExists) {
			t.Errorf("create: %v", err)
		}
		r, err := h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("mail", uuidMail), ValidateOnly: true})
		if err != nil || r.GetDomain().GetUuid() != uuidMail || h.condition("mail") != "absent" {
			t.Errorf("validate: %v, %v; it is %s", r, err, h.condition("mail"))
		}
	})
}

func TestUpdate(t *testing.T) {
	const meta = "<a:x xmlns:a='urn:a'>1</a:x>"
	bubble(t, func(h *house) {
		ctx := h.t.Context()
		h.define("web", uuidWeb)
		update := func(q *davitv1.UpdateDomainRequest, paths ...string) error {
			q.Domain, q.UpdateMask = byName("web"), &fieldmaskpb.FieldMask{Paths: paths}
			_, err := h.UpdateDomain(ctx, q)
			return err
		}
		for _, q := range []struct {
			do    *davitv1.UpdateDomainRequest
			paths []string
		}{
			{&davitv1.UpdateDomainRequest{Title: "one"}, []string{"title"}},
			{&davitv1.UpdateDomainRequest{Title: "one"}, []string{"title"}}, // nothing changes, nothing is told
			{&davitv1.UpdateDomainRequest{Description: "two", Metadata: meta}, []string{"description", "metadata"}},
			{&davitv1.UpdateDomainRequest{Autostart: true}, []string{"autostart"}},
		} {
			if err := update(q.do, q.paths...); err != nil {
				t.Errorf("update %v: %v", q.paths, err)
			}
		}
		h.boot("web")
		if err := update(&davitv1.UpdateDomainRequest{Title: "live"}, "title"); err != nil {
			t.Errorf("update: %v", err)
		}
		if err := update(&davitv1.UpdateDomainRequest{Title: "both", Affect: davitv1.Affect_AFFECT_LIVE_AND_CONFIG}, "title"); err != nil {
			t.Errorf("update: %v", err)
		}
		if err := update(&davitv1.UpdateDomainRequest{Metadata: "", Affect: davitv1.Affect_AFFECT_CONFIG}, "metadata"); err != nil {
			t.Errorf("update: %v", err)
		}
		if live, stored := h.xml("web", false), h.xml("web", true); !strings.Contains(live, "urn:a") || strings.Contains(stored, "urn:a") ||
			!strings.Contains(live, "<title>both</title>") || !strings.Contains(stored, "<title>both</title>") {
			t.Errorf("live:\n%s\nstored:\n%s", live, stored)
		}
		want := []string{
			"web: METADATA_TYPE_TITLE ", "web: METADATA_TYPE_DESCRIPTION ", "web: METADATA_TYPE_ELEMENT urn:a",
			"web: METADATA_TYPE_AUTOSTART ", "web: Started Booted", "web: METADATA_TYPE_TITLE ", "web: METADATA_TYPE_TITLE ",
			"web: METADATA_TYPE_ELEMENT urn:a",
		}
		if diff := cmp.Diff(want, h.told()[1:]); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		h.kill()
		h.start()
		if info := h.get("web"); !info.GetAutostart() || info.GetTitle() != "both" || !strings.Contains(h.xml("web", false), "urn:a") {
			t.Errorf("after a restart: %v", info)
		}
	})
}

// What an update may not do is refused in libvirt's words.
func TestUpdateRefuses(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("off", "")
		h.CreateDomainOf("passing", "sleep infinity")
		for _, test := range []struct {
			name string
			q    *davitv1.UpdateDomainRequest
			mask string
			want string
		}{
			{"off", &davitv1.UpdateDomainRequest{Affect: davitv1.Affect_AFFECT_LIVE}, "title", "domain is not running"},
			{"passing", &davitv1.UpdateDomainRequest{Affect: davitv1.Affect_AFFECT_CONFIG}, "title", "transient domains do not have any persistent config"},
			{"passing", &davitv1.UpdateDomainRequest{Autostart: true}, "autostart", "cannot set autostart for transient domain"},
			{"off", &davitv1.UpdateDomainRequest{Title: "two\nlines"}, "title", "it must be one line"},
			{"off", &davitv1.UpdateDomainRequest{}, "*", `"*" cannot be changed`},
			{"off", &davitv1.UpdateDomainRequest{}, "name", `"name" cannot be changed`},
			{"off", &davitv1.UpdateDomainRequest{Affect: 77}, "title", "77 is not known"},
			{"off", &davitv1.UpdateDomainRequest{Metadata: "<unclosed"}, "metadata", "metadata"},
			{"off", &davitv1.UpdateDomainRequest{Metadata: "<a:b xmlns:a='" + strings.Repeat("x", 70000) + "'/>"}, "metadata", "limit"},
		} {
			test.q.Domain, test.q.UpdateMask = byName(test.name), &fieldmaskpb.FieldMask{Paths: []string{test.mask}}
			if _, err := h.UpdateDomain(h.t.Context(), test.q); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("update %s of %s: %v, want %s", test.mask, test.name, err, test.want)
			}
		}
		if _, err := h.UpdateDomain(h.t.Context(), &davitv1.UpdateDomainRequest{Domain: byName("off")}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("update nothing: %v", err)
		}
	})
}

// A watch names a bounded number of domains, whoever asks for it.
func TestWatchIsBounded(t *testing.T) {
	bubble(t, func(h *house) {
		many := make([]string, 1001)
		for i := range many {
			many[i] = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		}
		if _, err := h.WatchEvents(h.t.Context(), &davitv1.WatchEventsRequest{Uuids: many}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("watch %d domains: %v", len(many), err)
		}
		if _, err := h.WatchEvents(h.t.Context(), &davitv1.WatchEventsRequest{Uuids: many[1:]}); err != nil {
			t.Errorf("watch %d domains: %v", len(many)-1, err)
		}
	})
}

// Domains with autostart start once while the host is up; one that does not start is in nobody's way.
func TestAutostart(t *testing.T) {
	bubble(t, func(h *house) {
		for _, name := range []string{"a", "b", "c"} {
			h.define(name, "")
			if _, err := h.UpdateDomain(h.t.Context(), &davitv1.UpdateDomainRequest{
				Domain: byName(name), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"autostart"}}, Autostart: true,
			}); err != nil {
				t.Fatal(err)
			}
		}
		h.define("other", "")
		h.kill()
		h.start()
		h.host.FailNextStart(errors.New("not today"))
		if err := h.Autostart(h.t.Context()); err != nil {
			t.Fatal(err)
		}
		up, failed := 0, 0
		for _, name := range []string{"a", "b", "c"} {
			switch info := h.get(name); {
			case info.GetId() != 0:
				up++
			case strings.Contains(info.GetLastError(), "not today"):
				failed++
			}
		}
		if up != 2 || failed != 1 || h.condition("other") != "shut off (unknown)" {
			t.Errorf("%d run, %d failed", up, failed)
		}
		h.kill()
		h.start()
		if err := h.Autostart(h.t.Context()); err != nil || h.host.Running() != 2 {
			t.Errorf("the second autostart: %v, %d run", err, h.host.Running())
		}
	})
}

// 64 callers define, start, destroy and undefine the same name. Whatever the order, each event follows from the one
// before it, and nothing is left.
func TestManyCallersOneName(t *testing.T) {
	h := newHouse(t)
	h.start()
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			ctx := h.t.Context()
			for range 4 {
				uuid := uuidWeb
				if i%2 == 0 {
					uuid = "" // a new one each time
				}
				_, err := h.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: xml("web", uuid)})
				allowed(t, "define", err, codes.OK, codes.AlreadyExists)
				allowed(t, "start", startWeb(ctx, h), codes.OK, codes.FailedPrecondition, codes.NotFound)
				_, err = h.GetDomain(ctx, &davitv1.GetDomainRequest{Domain: byName("web")})
				allowed(t, "get", err, codes.OK, codes.NotFound)
				_, err = h.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: byName("web")})
				allowed(t, "destroy", err, codes.OK, codes.FailedPrecondition, codes.NotFound)
				_, err = h.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: byName("web")})
				allowed(t, "undefine", err, codes.OK, codes.FailedPrecondition, codes.NotFound)
			}
		})
	}
	group.Wait()
	_, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")})
	allowed(t, "destroy", err, codes.OK, codes.FailedPrecondition, codes.NotFound)
	_, err = h.UndefineDomain(h.t.Context(), &davitv1.UndefineDomainRequest{Domain: byName("web")})
	allowed(t, "undefine", err, codes.OK, codes.FailedPrecondition, codes.NotFound)
	follows(t, h.told())
	if h.condition("web") != "absent" || h.host.Made() != 0 {
		t.Errorf("it is %s, %d containers", h.condition("web"), h.host.Made())
	}
	h.stop()
}

func allowed(t *testing.T, what string, err error, want ...codes.Code) {
	t.Helper()
	code := codes.OK
	if e, ok := errors.AsType[*domain.Error](err); ok {
		code = e.Code
	} else if err != nil {
		code = codes.Unknown
	}
	if !slices.Contains(want, code) {
		t.Errorf("%s: %v", what, err)
	}
}

// follows checks a history of one name: defined, run and gone as a domain can be.
func follows(t *testing.T, told []string) {
	t.Helper()
	defined, active := false, false
	for i, ev := range told {
		ok := false
		switch strings.TrimPrefix(ev, "web: ") {
		case "Defined Added":
			ok, defined = !defined, true
		case "Defined Updated":
			ok = defined
		case "Undefined Removed":
			ok, defined = defined, false
		case "Started Booted":
			ok, active = defined && !active, true
		case "Stopped Destroyed":
			ok, active = active, false
		}
		if !ok {
			t.Fatalf("event %d cannot follow: %q", i, told[max(0, i-5):i+1])
		}
	}
}
