package cli

import "time"

// BePatient gives the daemon so long for what a command can do without, until the returned function is called. What a
// transcript shows must not depend on how busy the host is.
func BePatient(d time.Duration) (restore func()) {
	hint, explain := hintTime, explainPatience
	hintTime, explainPatience = d, d
	return func() { hintTime, explainPatience = hint, explain }
}
