package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// check sees to it that each member runs once, by the init that it was started with, and that nobody else does.
func (c *crowd) check(t *testing.T) {
	t.Helper()
	seen := map[string]*davitv1.DomainInfo{}
	for info, err := range c.calls.Domains(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[info.GetUuid()] != nil {
			t.Errorf("%s is listed twice", info.GetName())
		}
		seen[info.GetUuid()] = info
	}
	if len(seen) != len(c.members) {
		t.Errorf("%d domains are listed, want %d", len(seen), len(c.members))
	}
	monitors, inits := c.processes(t)
	for _, m := range c.members {
		info := seen[m.uuid]
		if info.GetState() != running || int(info.GetInitPid()) != m.init.pid {
			t.Errorf("%s is %v with init %d, it was started with %d", m.name, info.GetState(), info.GetInitPid(), m.init.pid)
		}
		if !m.init.lives() {
			t.Errorf("init of %s, %+v, is dead", m.name, m.init)
		}
		if len(monitors[m.uuid]) != 1 {
			t.Errorf("monitors of %s are %v, want one", m.name, monitors[m.uuid])
		}
		if !slices.Equal(inits[m.uuid], []int{m.init.pid}) {
			t.Errorf("inits of %s are %v, want %d", m.name, inits[m.uuid], m.init.pid)
		}
	}
}

// processes finds the monitors and the inits of the members, by UUID, among the processes of the host.
func (c *crowd) processes(tb testing.TB) (monitors, inits map[string][]int) {
	tb.Helper()
	ours := map[string]bool{}
	for _, m := range c.members {
		ours[m.uuid] = true
	}
	monitors, inits = map[string][]int{}, map[string][]int{}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		tb.Fatal(err)
	}
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		words := bytes.SplitN(line, []byte{0}, 3)
		if len(words) == 3 && string(words[0]) == "davit-monitor" && ours[string(words[1])] {
			monitors[string(words[1])] = append(monitors[string(words[1])], pid)
			continue
		}
		if comm, _ := os.ReadFile(filepath.Join(dir, "comm")); string(comm) != "obedient\n" {
			continue
		}
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		for uuid := range ours {
			if bytes.Contains(groups, []byte(uuid)) {
				inits[uuid] = append(inits[uuid], pid)
				break
			}
		}
	}
	return monitors, inits
}

// listen talks to some members on their consoles.
func (c *crowd) listen(t *testing.T) {
	t.Helper()
	const sample = 20
	for i := 0; i < len(c.members); i += (len(c.members) + sample - 1) / sample {
		m := c.members[i]
		k, err := c.calls.Console(t.Context(), client.ByUUID(m.uuid), client.ConsoleOptions{Scrollback: true})
		if err != nil {
			t.Fatalf("console of %s: %v", m.name, err)
		}
		readLine(t, k, "I am "+m.name+"\r\n")
		said := typeUntilHeard(k, "anybody there")
		readLine(t, k, "heard anybody there\r\n")
		said()
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}

// figures are measurements of one thing.
type figures struct {
	name, unit string
	all        []float64
}

func (f *figures) add(v float64) { f.all = append(f.all, v) }

// String is the median and the most.
func (f *figures) String() string {
	slices.Sort(f.all)
	return fmt.Sprintf("%s: median %.2f %s, most %.2f, of %d", f.name, f.all[len(f.all)/2], f.unit, f.all[len(f.all)-1], len(f.all))
}

// measure kills the daemon and starts it again some times, tells what that takes and what is held afterwards, and sees to it that all
// are there each time.
func (c *crowd) measure(t *testing.T, d *daemon, restarts int) *daemon {
	t.Helper()
	answer, adoption := &figures{name: "first list", unit: "s"}, &figures{name: "all adopted", unit: "s"}
	computed := &figures{name: "processor until then", unit: "s"}
	resident, peak := &figures{name: "RSS of davitd then", unit: "MiB"}, &figures{name: "most RSS until then", unit: "MiB"}
	files, threads := &figures{name: "descriptors", unit: ""}, &figures{name: "threads", unit: ""}
	for range restarts {
		d.kill()
		d = c.site.command(t)
		begun := time.Now()
		if err := d.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.kill)
		n, err := c.firstList(t)
		answer.add(time.Since(begun).Seconds())
		if err != nil || n != len(c.members) {
			t.Errorf("at first %d are told to run, want %d, %v", n, len(c.members), err)
		}
		c.site.awaitAdoption(t)
		adoption.add(time.Since(begun).Seconds())
		proc := fmt.Sprintf("/proc/%d", d.cmd.Process.Pid)
		resident.add(float64(keyed(t, proc+"/status", "VmRSS:")) / 1024)
		peak.add(float64(keyed(t, proc+"/status", "VmHWM:")) / 1024)
		threads.add(float64(keyed(t, proc+"/status", "Threads:")))
		fds, err := os.ReadDir(proc + "/fd")
		if err != nil {
			t.Fatal(err)
		}
		files.add(float64(len(fds)))
		computed.add(processor(t, d.cmd.Process.Pid).Seconds())
		c.check(t)
	}
	monitors, _ := c.processes(t)
	pss := &figures{name: "PSS of a monitor", unit: "MiB"}
	for _, pids := range monitors {
		for _, pid := range pids {
			pss.add(float64(keyed(t, fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")) / 1024)
		}
	}
	for _, f := range []*figures{answer, adoption, computed, resident, peak, files, threads, pss} {
		t.Log(f)
	}
	return d
}

// firstList asks a daemon that was just started for all domains that are active until it answers, and counts those that run.
func (c *crowd) firstList(tb testing.TB) (n int, err error) {
	tb.Helper()
	asks := c.site.client(tb)
	for end := time.Now().Add(testenv.Scale(2 * time.Minute)); ; time.Sleep(2 * time.Millisecond) {
		n = 0
		for info, listed := range asks.Domains(tb.Context(), &davitv1.DomainFilter{Active: new(true)}) {
			if err = listed; err == nil && info.GetState() == running {
				n++
			}
		}
		if !away(err) || time.Now().After(end) {
			return n, err
		}
	}
}

// processor is the time that a process has computed.
func processor(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // a tick is a hundredth of a second to user space
}
