package engine

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// DiffDomain tells how a definition differs from a domain's own.
func (e *Engine) DiffDomain(ctx context.Context, q *davitv1.DiffDomainRequest) (*davitv1.DiffDomainResponse, error) {
	sight, err := sightOf(ctx, q.GetIncludeSecrets())
	if err != nil {
		return nil, err
	}
	_, s, err := e.table.find(q.GetDomain())
	if err != nil {
		return nil, err
	}
	against, err := s.against(q.GetAgainst())
	if err != nil {
		return nil, err
	}
	from, err := against.open()
	if err != nil {
		return nil, err
	}
	host, nameless := e.host, false
	host.NewUUID = func() string {
		nameless = true
		return s.uuid
	}
	host.NewMAC = func() string { return "" } // one that is made up for the answer would be no answer
	to, warnings, err := e.admitOn(ctx, q.GetSource(), domain.ReadOptions{Strict: q.GetStrict(), Host: host})
	if err != nil {
		return nil, err
	}
	if nameless {
		warnings = append(warnings, &davitv1.Warning{
			XmlPath: "/domain/uuid", Field: "uuid",
			Message: "it names no uuid; a define makes one up, and so takes it for another domain of the same name",
		})
	}
	if sight == domain.SightLook { // nor does it tell whether a guess is right
		domain.Withhold(from, sight)
		domain.Withhold(to, sight)
	} else {
		_ = domain.Restore(to, from) // what cannot be put back is a change
	}
	changes := e.changes(ctx, from, to, domain.DiffOptions{
		Unchanged: q.GetUnchanged(), Passwords: sight == domain.SightFull,
	})
	madeUp(changes)
	return &davitv1.DiffDomainResponse{Domain: e.told(ctx, s), Changes: changes, Warnings: warnings}, nil
}

// madeUp tells of hardware addresses that a definition does not name.
func madeUp(changes []*davitv1.FieldChange) {
	for _, c := range changes {
		if c.GetNew() == "" && c.GetReason() == "" && strings.HasPrefix(c.GetField(), "devices.interface[") && strings.HasSuffix(c.GetField(), ".mac") {
			c.Reason = "it names none; a define makes one up"
		}
	}
}

// against is the definition that a new one is compared with.
func (s *snapshot) against(affect davitv1.Affect) (*definition, error) {
	switch affect {
	case davitv1.Affect_AFFECT_UNSPECIFIED, davitv1.Affect_AFFECT_CURRENT:
		return s.effective(), nil
	case davitv1.Affect_AFFECT_LIVE:
		if !s.active() {
			return nil, wrongState(s, "diff", "domain is not running")
		}
		return s.run.live, nil
	case davitv1.Affect_AFFECT_CONFIG:
		if !s.persistent() {
			return nil, wrongState(s, "diff", "transient domains do not have any persistent config")
		}
		return s.stored, nil
	case davitv1.Affect_AFFECT_LIVE_AND_CONFIG:
		return nil, invalid("against", "a definition is compared with one other, the live or the stored one")
	}
	return nil, invalid("against", "%d is not known", affect)
}

// changes are the differences between two definitions, with what this host makes of them.
func (e *Engine) changes(ctx context.Context, from, to *davitv1.Domain, o domain.DiffOptions) []*davitv1.FieldChange {
	changes := domain.Diff(from, to, o)
	warnings, refusal := e.driver.Check(ctx, to)
	judge(changes, obstacles(warnings, refusal))
	return changes
}

// obstacles are what the host does not do of a definition, each with its place: what the driver warns of, and what it
// refuses.
func obstacles(warnings []*davitv1.Warning, refusal error) []*davitv1.Warning {
	list := slices.Clone(warnings)
	if refused, ok := errors.AsType[*domain.Error](refusal); ok {
		for _, v := range refused.Violations {
			list = append(list, &davitv1.Warning{XmlPath: v.XMLPath, Field: v.Field, Message: v.Message})
		}
	}
	return list
}

// judge tells of changes that the host cannot do. What is gone from a definition is in nobody's way, and what nothing acts
// on stays so.
func judge(changes []*davitv1.FieldChange, obstacles []*davitv1.Warning) {
	for _, c := range changes {
		switch c.GetEffect() {
		case davitv1.ChangeEffect_CHANGE_EFFECT_LIVE, davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT:
		default:
			continue
		}
		if c.GetNew() == "" {
			continue
		}
		for _, o := range obstacles {
			if touches(c.GetXmlPath(), o.GetXmlPath(), "/") || touches(c.GetField(), o.GetField(), ".") {
				c.Effect, c.Reason = davitv1.ChangeEffect_CHANGE_EFFECT_IMPOSSIBLE, o.GetMessage()
				break
			}
		}
	}
}

// touches tells whether one of two places is within the other.
func touches(a, b, step string) bool {
	return b != "/domain" && (a == b && a != "" || within(a, b, step) || within(b, a, step))
}

// within tells whether a place is inside another.
func within(inner, outer, step string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && outer != "" && strings.HasPrefix(rest, step)
}
