package lxctools

import (
	"cmp"
	"math"
	"slices"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func idmapKeys() []Key {
	return []Key{{
		Name: "lxc.idmap", Old: "lxc.id_map", List: true,
		Becomes: "idmap. LXC's order is container, host, count; libvirt takes container and host the other way round, and so are maps " +
			"read that make no sense in LXC's order: none of whose ranges begins at 0 in the container, and one does on the host",
		read: (*reading).idmap,
	}}
}

// mapLine is one setting of a map.
type mapLine struct {
	setting
	first, second, count uint32
}

func (r *reading) idmap(list []setting) {
	var users, groups []mapLine
	for _, s := range list {
		line, ok := r.mapLine(s)
		if !ok {
			continue
		}
		switch s.value[0] {
		case 'u':
			users = append(users, line)
		case 'g':
			groups = append(groups, line)
		case 'b':
			users, groups = append(users, line), append(groups, line)
		}
	}
	r.def.Idmap = &davitv1.IdMap{Uid: r.ranges("idmap.uid", users), Gid: r.ranges("idmap.gid", groups)}
	r.from("idmap", list[0])
}

// mapLine reads "u 0 100000 65536".
func (r *reading) mapLine(s setting) (mapLine, bool) {
	words := strings.Fields(s.value)
	if len(words) != 4 || !slices.Contains([]string{"u", "g", "b"}, words[0]) {
		r.fault(s, s.value, `is not a range of ids: u, g or b, the first id in the container, the first on the host, and a count: "u 0 100000 65536"`)
		return mapLine{}, false
	}
	line := mapLine{setting: s}
	for i, to := range []*uint32{&line.first, &line.second, &line.count} {
		n, ok := r.number(s, words[i+1], math.MaxUint32-1)
		if !ok {
			return line, false
		}
		*to = uint32(n)
	}
	return line, true
}

// ranges are the lines of one map, in the order that [domain.Normalize] gives them.
func (r *reading) ranges(field string, lines []mapLine) []*davitv1.IdRange {
	if isSwapped(lines) {
		r.warn(lines[0].setting, "the map is read in libvirt's order, host before container: in LXC's, container before host, the container would have no root")
		for i := range lines {
			l := &lines[i]
			l.first, l.second = l.second, l.first
		}
	}
	slices.SortStableFunc(lines, func(a, b mapLine) int { return cmp.Compare(a.first, b.first) })
	list := make([]*davitv1.IdRange, 0, len(lines))
	for i, l := range lines {
		list = append(list, &davitv1.IdRange{Start: &l.first, Target: &l.second, Count: &l.count})
		r.from(entry(field, i), l.setting)
	}
	return list
}

// isSwapped tells whether a map makes sense only when host comes before container.
func isSwapped(lines []mapLine) bool {
	return !slices.ContainsFunc(lines, func(l mapLine) bool { return l.first == 0 }) &&
		slices.ContainsFunc(lines, func(l mapLine) bool { return l.second == 0 })
}
