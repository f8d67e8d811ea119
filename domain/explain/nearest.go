package explain

import (
	"maps"
	"slices"
	"strings"

	"github.com/davitd/davit/domain"
)

// mostNearest is how many paths are told that may have been meant.
const mostNearest = 3

// nearest are the paths that may have been meant by one that leads nowhere: those that end in the same step, or in one like
// it below the same place; else those that are like it as a whole, or end like it. They are of the XML if that was asked for.
func (r *Reference) nearest(path string) []string {
	inXML := strings.HasPrefix(path, "/")
	path = strings.TrimPrefix(path, r.name+".")
	var all, same []string
	byName := map[string][]string{}
	for e := range r.All() {
		known := strings.TrimPrefix(e.Path, r.name+".")
		if inXML {
			known = e.XML
		}
		all = append(all, known)
		byName[lastStep(known)] = append(byName[lastStep(known)], known)
		if last := lastStep(path); last != "" && (last == lastStep(e.Path) || last == lastStep(e.XML)) {
			same = append(same, known)
		}
	}
	near := append(same, r.nearestBelow(path)...)
	if len(near) == 0 {
		near = domain.Nearest(path, all)
	}
	if len(near) == 0 {
		for _, name := range domain.Nearest(lastStep(path), slices.Sorted(maps.Keys(byName))) {
			near = append(near, byName[name]...)
		}
	}
	var told []string
	for _, known := range near {
		if !inXML && !strings.HasPrefix(known, r.name+".") {
			known = r.name + "." + known
		}
		if len(told) < mostNearest && !slices.Contains(told, known) {
			told = append(told, known)
		}
	}
	return told
}

// nearestBelow are the places below the last one of a path that there is, whose names are like the next step.
func (r *Reference) nearestBelow(path string) []string {
	inXML := strings.HasPrefix(path, "/")
	var e *Entry
	name := path
	switch cut := strings.LastIndexAny(path, "./"); {
	case cut > 0:
		e, name = r.look(path[:cut]), path[cut+1:]
	case cut < 0:
		e = r.document()
	}
	if e == nil {
		return nil
	}
	paths := map[string]string{} // by their last names
	for _, c := range e.Children {
		if inXML {
			paths[lastStep(c.XML)] = c.XML
		} else {
			paths[lastStep(c.Path)] = c.Path
		}
	}
	for _, v := range e.Values {
		paths[v.Word] = e.Path + "." + v.Word
	}
	var near []string
	for _, n := range domain.Nearest(lastStep(name), slices.Sorted(maps.Keys(paths))) {
		near = append(near, paths[n])
	}
	return near
}

// lastStep is the last name of a path of either kind.
func lastStep(path string) string {
	path = path[strings.LastIndexAny(path, "./@")+1:]
	return path[strings.IndexByte(path, ':')+1:]
}
