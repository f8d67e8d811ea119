package native

import (
	"fmt"

	"github.com/davitd/davit/domain"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Range is a run of host ids.
type Range struct {
	// Start is the first.
	Start uint32 `json:"start"`
	// Count is how many.
	Count uint32 `json:"count"`
}

// overlaps tells whether two ranges share an id.
func (r Range) overlaps(o Range) bool {
	return uint64(r.Start) < uint64(o.Start)+uint64(o.Count) && uint64(o.Start) < uint64(r.Start)+uint64(r.Count)
}

// String is "1000000-1065535".
func (r Range) String() string {
	return fmt.Sprintf("%d-%d", r.Start, uint64(r.Start)+uint64(r.Count)-1)
}

// maps are the two maps of a user namespace; empty without one.
type maps struct{ uid, gid []*monitorv1.IdMapping }

// needsRange tells whether a definition needs a range of host ids and names none.
func needsRange(def *davitv1.Domain) bool {
	l, err := newLayout(def, Facts{})
	return err == nil && l.allotted
}

// isAllotted tells whether a domain has a user namespace whose ids davit chose: the definition has no map, and either its profile
// gives it one or its root is the host's.
func isAllotted(def *davitv1.Domain, hostRoot bool) bool {
	return len(def.GetIdmap().GetUid()) == 0 && (hostRoot || domain.Confine(def).OwnUsers)
}

// idMaps are the definition's own maps, as given, or the range that was allotted to it. A privileged domain with a root of its own has
// no user namespace. That the host's id 0 is in no map was seen to by domain.Validate.
func (l *layout) idMaps() maps {
	if ids := l.def.GetIdmap(); len(ids.GetUid()) > 0 {
		return maps{given(ids.GetUid()), given(ids.GetGid())}
	}
	if !l.allotted {
		return maps{}
	}
	m := []*monitorv1.IdMapping{{Outside: l.facts.Range.Start, Count: l.facts.Range.Count}}
	return maps{m, m}
}

// checkIDs warns of an <idmap> with ids that another domain has, also while it does not run.
func (d *Driver) checkIDs(def *davitv1.Domain) []*davitv1.Warning {
	if len(def.GetIdmap().GetUid()) == 0 {
		return nil
	}
	err := d.ids.taken(def)
	if err == nil {
		return nil
	}
	return []*davitv1.Warning{{XmlPath: "/domain/idmap", Field: "idmap", Message: err.Error() + "; the domain cannot be started before"}}
}

// given turns ranges of the definition into a map.
func given(ranges []*davitv1.IdRange) []*monitorv1.IdMapping {
	var out []*monitorv1.IdMapping
	for _, r := range ranges {
		out = append(out, &monitorv1.IdMapping{Inside: r.GetStart(), Outside: r.GetTarget(), Count: r.GetCount()})
	}
	return out
}

// ranges are the host ids of maps.
func (m maps) ranges() (uid, gid []Range) {
	for _, e := range m.uid {
		uid = append(uid, Range{e.GetOutside(), e.GetCount()})
	}
	for _, e := range m.gid {
		gid = append(gid, Range{e.GetOutside(), e.GetCount()})
	}
	return uid, gid
}
