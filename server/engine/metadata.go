package engine

import (
	"encoding/xml"
	"maps"
	"slices"
	"strings"
)

// changedElements names, by namespace and in order, the elements of application metadata that differ. Applications own
// one element a namespace each; nothing of what is in them means anything to davit.
func changedElements(old, now string) []string {
	if old == now {
		return nil
	}
	before, after := elements(old), elements(now)
	var changed []string
	for uri := range maps.Keys(after) {
		if before[uri] != after[uri] {
			changed = append(changed, uri)
		}
	}
	for uri := range maps.Keys(before) {
		if _, kept := after[uri]; !kept {
			changed = append(changed, uri)
		}
	}
	slices.Sort(changed)
	return changed
}

// elements are the outermost elements of a metadata text by their namespace. The text was validated before.
func elements(text string) map[string]string {
	found := map[string]string{}
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		begin := d.InputOffset()
		token, err := d.Token()
		if err != nil {
			return found
		}
		if start, ok := token.(xml.StartElement); ok {
			if d.Skip() != nil {
				return found
			}
			found[start.Name.Space] += strings.TrimSpace(text[begin:d.InputOffset()])
		}
	}
}
