package logs

import (
	"cmp"
	"slices"
	"time"
)

// gone is the log of a domain that is no more.
type gone struct {
	uuid  string
	since time.Time
}

// expired chooses the logs that are not kept: those from before a time, and beyond a number the oldest.
func expired(logs []gone, before time.Time, most int) []gone {
	logs = slices.SortedFunc(slices.Values(logs), func(a, b gone) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.uuid, b.uuid))
	})
	n, _ := slices.BinarySearchFunc(logs, before, func(g gone, t time.Time) int { return g.since.Compare(t) })
	return logs[:max(n, len(logs)-most)]
}
