package cli

import (
	"strconv"
	"time"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// printPhases shows where the time of a start went, and when init ran.
func (a *app) printPhases(phases []*davitv1.StartPhase) {
	if len(phases) == 0 {
		a.extra("The daemon does not tell where the time went\n")
		return
	}
	t := newTable("Phase", "Begun (ms)", "Took (ms)")
	var running, last time.Duration
	for _, p := range phases {
		begun, took := p.GetBegun().AsDuration(), p.GetTook().AsDuration()
		t.add(p.GetName(), inMilliseconds(begun), inMilliseconds(took))
		last = max(last, begun+took)
		if p.GetRunning() {
			running = begun + took
		}
	}
	a.extra("\n")
	a.printTable(t)
	a.extra("\n")
	a.print("Init ran after %s ms, the answer came after %s ms\n", inMilliseconds(running), inMilliseconds(last))
}

func inMilliseconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds()*1000, 'f', 3, 64)
}
