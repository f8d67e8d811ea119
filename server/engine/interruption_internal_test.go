package engine

import (
	"context"
	"testing"
)

// A destroy answers for a start only if it ended that: one that succeeded first leaves a domain that may have ended since, which is told.
func TestStartOutrunsItsEnd(t *testing.T) {
	for _, test := range []struct {
		name string
		acts func(n *entry, over func())
		want bool
	}{
		{"ended", func(n *entry, over func()) { n.interrupt(); over() }, true},
		{"ended as it succeeded", func(n *entry, over func()) { n.interrupt(); n.outran(); over() }, false},
		{"after it succeeded", func(n *entry, over func()) { n.outran(); n.interrupt(); over() }, false},
		{"after it was over", func(n *entry, over func()) { over(); n.interrupt() }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := new(entry)
			ctx, over := n.interruptible(context.Background())
			test.acts(n, over)
			if got := n.interrupted(); got != test.want {
				t.Errorf("the destroy is told that it ended the start: %t, want %t", got, test.want)
			}
			if n.interrupted() {
				t.Error("the next destroy is told so, too")
			}
			if ctx.Err() == nil {
				t.Error("the start's context goes on")
			}
		})
	}
}
