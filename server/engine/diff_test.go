package engine_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// changes are differences as lines.
func changes(list []*davitv1.FieldChange) []string {
	var lines []string
	for _, c := range list {
		lines = append(lines, fmt.Sprintf("%s %q %q %s %s", c.GetField(), c.GetOld(), c.GetNew(), c.GetEffect(), c.GetReason()))
	}
	return lines
}

// A definition is compared with the live or the stored one, as is asked for.
func TestDiffAgainst(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb, "<title>one</title>")
		h.boot("web")
		h.define("web", uuidWeb, "<title>two</title>")
		if _, err := h.CreateDomain(h.t.Context(), &davitv1.CreateDomainRequest{Source: xml("job", "")}); err != nil {
			h.t.Fatal(err)
		}
		h.define("mail", uuidMail)
		const none = davitv1.Affect_AFFECT_UNSPECIFIED
		fails := func(name string, against davitv1.Affect, want error) {
			h.t.Helper()
			_, err := h.DiffDomain(h.t.Context(), &davitv1.DiffDomainRequest{Domain: byName(name), Source: xml(name, ""), Against: against})
			if !errors.Is(err, want) {
				h.t.Errorf("diff of %s against %s: %v, want %v", name, against, err, want)
			}
		}
		for against, old := range map[davitv1.Affect]string{
			none: "one", davitv1.Affect_AFFECT_CURRENT: "one", davitv1.Affect_AFFECT_LIVE: "one", davitv1.Affect_AFFECT_CONFIG: "two",
		} {
			r, err := h.DiffDomain(h.t.Context(), &davitv1.DiffDomainRequest{
				Domain: byName("web"), Source: xml("web", uuidWeb, "<title>three</title>"), Against: against,
			})
			if err != nil {
				h.t.Fatal(err)
			}
			want := []string{fmt.Sprintf("title %q %q CHANGE_EFFECT_LIVE ", old, "three")}
			if diff := cmp.Diff(want, changes(r.GetChanges())); diff != "" || r.GetDomain().GetUuid() != uuidWeb || len(r.GetWarnings()) > 0 {
				h.t.Errorf("against %s: %s (-want +got):\n%s", against, r, diff)
			}
		}
		fails("mail", davitv1.Affect_AFFECT_LIVE, domain.ErrFailedPrecondition)
		fails("job", davitv1.Affect_AFFECT_CONFIG, domain.ErrFailedPrecondition)
		fails("web", davitv1.Affect_AFFECT_LIVE_AND_CONFIG, domain.ErrInvalid)
		fails("web", 77, domain.ErrInvalid)
		fails("nobody", none, domain.ErrNotFound)
		if _, err := h.DiffDomain(h.t.Context(), &davitv1.DiffDomainRequest{Domain: byName("web")}); !errors.Is(err, domain.ErrInvalid) {
			h.t.Errorf("diff with nothing: %v", err)
		}
		if got := h.condition("mail"); got != "shut off (unknown)" || h.get("web").GetTitle() != "one" {
			h.t.Errorf("a diff changed something: mail is %s, web %s", got, h.get("web"))
		}
	})
}

// What the host cannot do is told as such, where it would be; what the document leaves out is not made up for the answer.
func TestDiffOfTheImpossible(t *testing.T) {
	const mount = "<devices><filesystem><source dir='%s'/><target dir='/data'/></filesystem>" +
		"<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface></devices>"
	bubble(t, func(h *house) {
		h.define("web", uuidWeb, fmt.Sprintf(mount, "/srv"))
		r, err := h.DiffDomain(h.t.Context(), &davitv1.DiffDomainRequest{
			Domain: byName("web"), Source: &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: "<domain type='lxc'><name>shop</name><memory>65536</memory>" +
				"<os><type>exe</type><init>/nonexistent/init</init></os><devices><filesystem><source dir='/nonexistent/a'/><target dir='/'/></filesystem>" +
				"<filesystem><source dir='/nonexistent/b'/><target dir='/data'/></filesystem>" +
				"<interface type='bridge'><source bridge='br0'/></interface></devices></domain>"}},
		})
		if err != nil {
			h.t.Fatal(err)
		}
		effect, why := domain.EffectOf("devices.interface.mac")
		if why == "" {
			why = "it names none; a define makes one up"
		}
		want := []string{
			`name "web" "shop" CHANGE_EFFECT_REDEFINE domrename gives a domain another name while it is shut off`,
			`os.init "/sbin/init" "/nonexistent/init" CHANGE_EFFECT_IMPOSSIBLE "/nonexistent/init" does not exist`,
			`devices.filesystem[0] "" "{\"type\":\"mount\",\"accessmode\":\"passthrough\",\"source_dir\":\"/nonexistent/a\",\"target_dir\":\"/\"}" ` +
				`CHANGE_EFFECT_IMPOSSIBLE "/nonexistent/a" does not exist; it must when the domain is started`,
			`devices.filesystem[1].source_dir "/srv" "/nonexistent/b" CHANGE_EFFECT_IMPOSSIBLE "/nonexistent/b" does not exist; it must when the domain is started`,
			fmt.Sprintf(`devices.interface[0].mac "52:54:00:00:00:01" "" %s %s`, effect, why),
		}
		if diff := cmp.Diff(want, changes(r.GetChanges())); diff != "" {
			h.t.Errorf("changes (-want +got):\n%s", diff)
		}
		if last := r.GetWarnings()[len(r.GetWarnings())-1]; last.GetField() != "uuid" {
			h.t.Errorf("nothing is said of the uuid that is missing: %s", r.GetWarnings())
		}
	})
}

// To ask whether a definition would do tells what it would change, or that it would be new.
func TestValidateTellsChanges(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		r, err := h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{Source: xml("web", uuidWeb, "<davit:pids xmlns:davit='https://github.com/davitd/davit/schemas/domain/1.0' limit='7'/>"), ValidateOnly: true})
		if err != nil {
			h.t.Fatal(err)
		}
		if diff := cmp.Diff([]string{`pids_limit "" "7" CHANGE_EFFECT_LIVE `}, changes(r.GetChanges())); diff != "" || r.GetWouldCreate() {
			h.t.Errorf("would be new: %t; changes (-want +got):\n%s", r.GetWouldCreate(), diff)
		}
		r, err = h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{Source: xml("mail", uuidMail), ValidateOnly: true})
		if err != nil || !r.GetWouldCreate() || len(r.GetChanges()) > 0 || h.get("mail") != nil {
			h.t.Errorf("a new one: %s, %v", r, err)
		}
		if r = h.defined(xml("mail", uuidMail)); r.GetWouldCreate() || len(r.GetChanges()) > 0 {
			h.t.Errorf("a define tells changes: %s", r)
		}
	})
}

func (h *house) defined(source *davitv1.DefinitionSource) *davitv1.DefineDomainResponse {
	h.t.Helper()
	r, err := h.DefineDomain(h.t.Context(), &davitv1.DefineDomainRequest{Source: source})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}
