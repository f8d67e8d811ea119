package host

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Places are the daemon's folders.
type Places struct {
	// Lib has definitions and events, Run sockets and the state of running domains, Log the logs of domains.
	Lib, Run, Log string
}

// Space that a folder needs to have: with less than the first nothing can be written soon, with less than the second it is
// time to look.
const (
	leastSpace = 16 << 20
	shortSpace = 256 << 20
	leastFiles = 1000
)

// How a thing is.
const (
	unknown = davitv1.Health_HEALTH_UNSPECIFIED
	good    = davitv1.Health_HEALTH_GOOD
	limited = davitv1.Health_HEALTH_LIMITED
	broken  = davitv1.Health_HEALTH_BROKEN
)

// leastDescriptors is how many the daemon needs for some hundred domains and their callers.
const leastDescriptors = 4096

// Diagnose tells what the daemon itself needs of the host, and what of that it has, in the same order each time.
func (h *Host) Diagnose(p Places) []*davitv1.Finding {
	return []*davitv1.Finding{
		space("space for definitions and events", p.Lib, broken, "to define domains and to keep events"),
		space("space for state", p.Run, broken, "to start domains"),
		space("space for logs", p.Log, limited, "logs of domains: what they say is lost"),
		descriptors(),
		h.clock(),
	}
}

// space looks at the file system of a folder.
func space(subject, dir string, worst davitv1.Health, disables string) *davitv1.Finding {
	f := &davitv1.Finding{Subject: subject}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		f.Health, f.Seen = worst, fmt.Sprintf("%s: %v", dir, err)
		f.Disables, f.Remedy = disables, "make the folder, or name another in the configuration"
		return f
	}
	free := st.Bavail * uint64(st.Bsize)
	f.Seen = fmt.Sprintf("%d MiB are free in %s", free>>20, dir)
	if st.Files > 0 {
		f.Seen = fmt.Sprintf("%d MiB and %d files are free in %s", free>>20, st.Ffree, dir)
	}
	f.Health, f.Disables = room(free, st.Files > 0 && st.Ffree < leastFiles, worst, disables)
	if f.Health != good {
		f.Remedy = "make room in the file system of " + dir
	}
	return f
}

// room tells how it is about the space that is left.
func room(free uint64, fewFiles bool, worst davitv1.Health, disables string) (health davitv1.Health, disabled string) {
	switch {
	case free < leastSpace:
		return worst, disables
	case free < shortSpace || fewFiles:
		return limited, "soon, " + disables
	}
	return good, ""
}

// descriptors looks at how many files the daemon may have open. Go has raised the soft limit to the hard one.
func descriptors() *davitv1.Finding {
	f := &davitv1.Finding{Subject: "open files", Health: good}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		f.Health, f.Seen = unknown, err.Error()
		return f
	}
	f.Seen = fmt.Sprintf("the daemon may have %d", limit.Cur)
	if limit.Cur < leastDescriptors {
		f.Health, f.Disables = limited, "hundreds of domains and connections at once"
		f.Remedy = "raise LimitNOFILE= of the daemon's unit"
	}
	return f
}

// slow are the sources of time that are read with a system call, and from a device.
var slow = []string{"acpi_pm", "hpet", "jiffies", "refined-jiffies", "pit"}

// clock looks at where the kernel has the time from: programs in domains ask for it often.
func (h *Host) clock() *davitv1.Finding {
	const name = "sys/devices/system/clocksource/clocksource0/current_clocksource"
	f := &davitv1.Finding{Subject: "clock source", Health: good}
	source, err := h.text(name)
	if err != nil {
		f.Health, f.Seen = unknown, "the kernel does not tell"
		return f
	}
	f.Seen = source
	if slices.Contains(slow, source) {
		f.Health, f.Disables = limited, "cheap reading of the time: it takes a microsecond instead of 20 ns"
		f.Remedy = "see the kernel's log for why the processor's own counter is not trusted (clocksource=, tsc=)"
	}
	return f
}
