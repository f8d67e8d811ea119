package domain

import (
	"fmt"
	"slices"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// maxIDRanges is how many lines the kernel takes for a map (user_namespaces(7)).
const maxIDRanges = 340

func (v *validator) idmap(m *davitv1.IdMap) {
	if (len(m.GetUid()) == 0) != (len(m.GetGid()) == 0) {
		v.fault("idmap", "users and groups are mapped both or neither")
	}
	v.idRanges("idmap.uid", m.GetUid())
	v.idRanges("idmap.gid", m.GetGid())
}

// idRanges checks one map: ranges within the ids that there are, 0 mapped first, no id twice on either side, and the
// host's root not at all.
func (v *validator) idRanges(list string, ranges []*davitv1.IdRange) {
	if len(ranges) > maxIDRanges {
		v.fault(list, "%d ranges are above %d", len(ranges), maxIDRanges)
		return
	}
	complete := true
	for i, r := range ranges {
		complete = v.idRange(list, i, r) && complete
	}
	if !complete || len(ranges) == 0 {
		return
	}
	if !slices.ContainsFunc(ranges, func(r *davitv1.IdRange) bool { return r.GetStart() == 0 }) {
		v.fault(v.entry(list, 0, "start"), "the root of the domain must be mapped: no range starts at 0")
	}
	v.overlap(list, "start", ranges, (*davitv1.IdRange).GetStart)
	v.overlap(list, "target", ranges, (*davitv1.IdRange).GetTarget)
}

func (v *validator) idRange(list string, i int, r *davitv1.IdRange) (ok bool) {
	before := len(v.list) + v.more
	switch {
	case r.Start == nil:
		v.fault(v.entry(list, i, "start"), "a range needs a start")
	case r.Target == nil:
		v.fault(v.entry(list, i, "target"), "a range needs a target")
	case r.GetCount() == 0:
		v.fault(v.entry(list, i, "count"), "a range needs a count, at least 1")
	case r.GetTarget() == 0:
		v.fault(v.entry(list, i, "target"), "the range maps the root of the host, id 0")
	default:
		for _, side := range []struct {
			name  string
			first uint32
		}{{"start", r.GetStart()}, {"target", r.GetTarget()}} {
			if last := uint64(side.first) + uint64(r.GetCount()) - 1; last > maxID {
				v.fault(v.entry(list, i, side.name), "the range ends at %d, above %d", last, uint32(maxID))
			}
		}
	}
	return before == len(v.list)+v.more
}

// overlap refuses ranges that share an id on one side.
func (v *validator) overlap(list, side string, ranges []*davitv1.IdRange, first func(*davitv1.IdRange) uint32) {
	order := make([]int, len(ranges))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(int64(first(ranges[a])) - int64(first(ranges[b]))) })
	for k := 1; k < len(order); k++ {
		a, b := ranges[order[k-1]], ranges[order[k]]
		if uint64(first(a))+uint64(a.GetCount()) > uint64(first(b)) {
			v.fault(v.entry(list, order[k], side), "range %s overlaps range %s", idSpan(first(b), b), idSpan(first(a), a))
		}
	}
}

func idSpan(first uint32, r *davitv1.IdRange) string {
	return fmt.Sprintf("%d-%d", first, uint64(first)+uint64(r.GetCount())-1)
}
