//go:build linux

package cli_test

import (
	"strings"
	"time"

	"github.com/davitd/davit/internal/testenv"
)

// asks types Tab until something is so: a daemon that is slow to answer is not waited for, and whoever types asks again.
func (d *desk) asks(what string, so func() bool) {
	d.t.Helper()
	asked := time.Time{}
	d.until(what, func() bool {
		if so() {
			return true
		}
		if time.Since(asked) > testenv.Scale(2*time.Second) {
			asked = time.Now()
			d.types(tab)
		}
		return false
	})
}

// offers asks for completion until the screen shows a text.
func (d *desk) offers(text string) {
	d.t.Helper()
	d.asks("screen shows "+text, func() bool { return strings.Contains(d.screen.text(), text) })
}

// completes asks for completion until the line of the cursor is this one.
func (d *desk) completes(line string) {
	d.t.Helper()
	d.asks("line "+line, func() bool { return d.screen.cursorLine() == line })
}
