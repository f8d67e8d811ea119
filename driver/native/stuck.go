package native

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
)

// Nothing ends a process that waits in the kernel for what does not come, such as the answer of a disk: it dies when that is over, whoever
// kills it. Whoever ends a domain is told so in good time, and by name, and does not wait for it.

// stuckTime is how long processes that were killed may take to die before it is asked what keeps them.
const stuckTime = 10 * time.Second

// lookTwice is the time between two looks at a process: what it does in both it does for some time.
const lookTwice = 100 * time.Millisecond

// killGroup kills what is in the cgroup of a domain, and returns when nothing is left. If processes of it cannot die, that is the error, and
// it can be asked again at any time.
func (d *Driver) killGroup(ctx context.Context, name string, group *cgroup.Group) error {
	patience := stuckTime
	if d.hooks.stuck > 0 {
		patience = d.hooks.stuck
	}
	for {
		brief, cancel := context.WithTimeout(ctx, patience)
		err := group.Kill(brief)
		late := brief.Err() != nil
		cancel()
		if err == nil || !late {
			return err
		}
		if s := findStuck(ctx, group); s != nil {
			return s.fault(name)
		}
		if ctx.Err() != nil {
			return err
		}
		// All die, and have so much to give back that it takes them longer.
	}
}

// stuck is a process that was killed and cannot die.
type stuck struct {
	pid            int
	command, state string
	place          string // the function of the kernel that it waits in; may be empty
	more           int    // how many others there are
}

// findStuck finds what keeps a group that was killed from its end; nil if that is nothing but time.
func findStuck(ctx context.Context, group *cgroup.Group) *stuck {
	pids, err := group.Procs()
	if err != nil {
		return nil
	}
	var found []*stuck
	for _, pid := range pids {
		if s := waiting(pid); s != nil {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil
	}
	select {
	case <-time.After(lookTwice):
	case <-ctx.Done(): // whoever waits has no more time, and one look is better than none
	}
	var first *stuck
	for _, before := range found {
		now := waiting(before.pid)
		switch {
		case now == nil || *now != *before:
		case first == nil:
			first = now
		default:
			first.more++
		}
	}
	return first
}

// waiting looks at a process: at its first thread that no signal ends, because it waits without an ear for them (D), or because another
// process that traces it holds it (t). It is nil if there is none.
func waiting(pid int) *stuck {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "task")
	threads, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, thread := range threads {
		text, err := os.ReadFile(filepath.Join(dir, thread.Name(), "stat"))
		if err != nil {
			continue
		}
		// The name, in brackets, may hold anything.
		from, to := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
		if from < 0 || to+2 >= len(text) {
			continue
		}
		if state := string(text[to+2]); state == "D" || state == "t" {
			return &stuck{pid: pid, command: string(text[from+1 : to]), state: state, place: place(filepath.Join(dir, thread.Name()))}
		}
	}
	return nil
}

// place is the function of the kernel that a thread waits in, as far as the kernel tells it.
func place(thread string) string {
	if text, err := os.ReadFile(filepath.Join(thread, "wchan")); err == nil && len(text) > 0 && string(text) != "0" {
		return string(text)
	}
	text, _ := os.ReadFile(filepath.Join(thread, "stack"))
	line, _, _ := strings.Cut(string(text), "\n")
	_, function, _ := strings.Cut(line, " ")
	function, _, _ = strings.Cut(function, "+")
	return function
}

// fault is the error of whoever wanted the process to end.
func (s *stuck) fault(name string) error {
	what := fmt.Sprintf("process %d (%q) was killed and cannot die: it waits in the kernel", s.pid, s.command)
	if s.state == "t" {
		what = fmt.Sprintf("process %d (%q) was killed and cannot die: another process, which traces it, holds it", s.pid, s.command)
	}
	if s.place != "" {
		what += " in " + s.place
	}
	if s.more > 0 {
		what += fmt.Sprintf(", and so do %d others", s.more)
	}
	return &domain.Error{
		Code: driver.ErrStuck.Code, Reason: driver.ErrStuck.Reason, Op: "destroy domain", Subject: name,
		Message: what + "; the domain ends by itself when it is let go",
		Detail: map[string]string{
			"pid": strconv.Itoa(s.pid), "command": s.command, "process_state": s.state, "waits_in": s.place,
		},
	}
}
