package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Targets of what there is much of.
const (
	monitorTarget = 1.2 // MiB
	runningTarget = 64  // MiB
	definedTarget = 120 // MiB
	listTarget    = 50  // ms
	loadTarget    = 1000
	answerTarget  = 200
	adoptTarget   = 3000
)

// measureRunning has many domains run, measures memory, and kills and restarts the daemon beneath them.
func measureRunning(ctx context.Context, b *bench) (err error) {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer closing(s, &err)
	begun := time.Now()
	uuids, err := s.defineMany(ctx, b.running, argvPause)
	if err != nil {
		return err
	}
	if err := many(ctx, uuids, func(ctx context.Context, uuid string) error { _, err := s.start(ctx, uuid); return err }); err != nil {
		return err
	}
	b.say("  %d domains run after %s", b.running, time.Since(begun).Round(100*time.Millisecond))
	if err := pause(ctx, b.rest); err != nil {
		return err
	}
	if err := s.reportMemory(); err != nil {
		return err
	}
	return s.measureRestart(ctx, uuids)
}

// reportMemory tells what the monitors and the daemon have.
func (s *site) reportMemory() error {
	monitors, err := s.monitors()
	if err != nil {
		return err
	}
	n := s.b.running
	if len(monitors) < n {
		return fmt.Errorf("there are %d monitors for %d domains", len(monitors), n)
	}
	slices.Sort(monitors)
	s.b.add(figure{
		Name: "monitor/pss", Title: fmt.Sprintf("monitor, PSS, idle, %d running, p50", n), Value: monitors[len(monitors)/2] / 1024, Unit: mebibytes,
		Samples: len(monitors), Target: monitorTarget,
	})
	return s.reportRSS("davitd/rss-running", fmt.Sprintf("davitd, RSS, %d running", n), runningTarget)
}

// reportRSS tells the resident memory of the daemon.
func (s *site) reportRSS(name, title string, target float64) error {
	kib, err := field(fmt.Sprintf("/proc/%d/status", s.daemon.Process.Pid), "VmRSS:")
	if err != nil {
		return err
	}
	s.b.add(figure{Name: name, Title: title, Value: kib / 1024, Unit: mebibytes, Samples: 1, Target: target})
	return nil
}

// monitors is the memory of each monitor of the daemon in KiB: proportional set size, in which what several share is divided among them.
// They are known by the folder that they have open, which is below the daemon's own.
func (s *site) monitors() ([]float64, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []float64
	for _, e := range entries {
		dir := filepath.Join("/proc", e.Name())
		if _, err := strconv.Atoi(e.Name()); err != nil || !s.supervises(dir) {
			continue
		}
		kib, err := field(filepath.Join(dir, "smaps_rollup"), "Pss:")
		if err != nil {
			return nil, err
		}
		list = append(list, kib)
	}
	return list, nil
}

// supervises tells whether a process is a monitor of this site.
func (s *site) supervises(dir string) bool {
	line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	words := strings.Split(string(line), "\x00")
	if filepath.Base(words[0]) != "davit-monitor" || slices.Contains(words, "--keeper") {
		return false
	}
	files, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
	for _, f := range files {
		if target, err := os.Readlink(f); err == nil && strings.HasPrefix(target, s.run+"/d/") {
			return true
		}
	}
	return false
}

// field is a number in a file of proc(5).
func field(path, name string) (float64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == name {
			return strconv.ParseFloat(words[1], 64)
		}
	}
	return 0, fmt.Errorf("read %q: it has no %q", path, name)
}

// measureRestart kills the daemon and starts it again, several times.
func (s *site) measureRestart(ctx context.Context, uuids []string) error {
	var answers, adoptions times
	for range max(s.b.n/10, 3) {
		if err := s.halt(syscall.SIGKILL); err != nil {
			return err
		}
		begun := time.Now()
		answered, err := s.launch(ctx)
		if err != nil {
			return err
		}
		if err := s.awaitAdoption(ctx); err != nil {
			return err
		}
		answers, adoptions = append(answers, answered), append(adoptions, time.Since(begun))
		if err := s.checkAdoption(ctx, uuids); err != nil {
			return err
		}
	}
	n := s.b.running
	title := fmt.Sprintf("restart of davitd with %d running", n)
	s.b.addTimes(figure{Name: "restart/answer", Title: title + ": first answer", Target: answerTarget}, answers)
	s.b.addTimes(figure{Name: "restart/adopted", Title: title + ": all adopted", Target: adoptTarget}, adoptions)
	return s.reportRSS("davitd/rss-restarted", fmt.Sprintf("davitd, RSS, %d running, after a restart", n), 0)
}

// awaitAdoption waits until all domains that ran are told to run.
func (s *site) awaitAdoption(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		n := 0
		for d, err := range s.c.Domains(ctx, &davitv1.DomainFilter{Active: new(true)}) {
			if err != nil {
				return err
			}
			if d.GetState() == davitv1.DomainState_DOMAIN_STATE_RUNNING && d.GetInitPid() > 0 {
				n++
			}
		}
		if n >= s.b.running {
			return nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d domains were adopted: %w", n, s.b.running, err)
		}
	}
}

// checkAdoption asks each domain for something that only its run can tell.
func (s *site) checkAdoption(ctx context.Context, uuids []string) error {
	return many(ctx, uuids, func(ctx context.Context, uuid string) error {
		_, err := s.c.ListProcesses(ctx, &davitv1.ListProcessesRequest{Domain: client.ByUUID(uuid)})
		return err
	})
}

// measureDefined has many domains defined, lists them, and restarts the daemon.
func measureDefined(ctx context.Context, b *bench) (err error) {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer closing(s, &err)
	begun := time.Now()
	if _, err := s.defineMany(ctx, b.defined, argvPause); err != nil {
		return err
	}
	took := time.Since(begun)
	b.add(figure{
		Name: "define/rate", Title: fmt.Sprintf("defines a second, %d at once", atOnce), Value: float64(b.defined) / took.Seconds(), Unit: perSecond,
		Samples: b.defined,
	})
	if err := pause(ctx, b.rest); err != nil {
		return err
	}
	title := fmt.Sprintf("%d defined", b.defined)
	if err := s.reportRSS("davitd/rss-defined", "davitd, RSS, "+title, definedTarget); err != nil {
		return err
	}
	if err := s.measureList(ctx, title); err != nil {
		return err
	}
	var loads times
	for range max(b.n/10, 3) {
		if err := s.halt(syscall.SIGTERM); err != nil {
			return err
		}
		load, err := s.launch(ctx)
		if err != nil {
			return err
		}
		loads = append(loads, load)
	}
	b.addTimes(figure{Name: "load", Title: "start of davitd with " + title, Target: loadTarget}, loads)
	return s.reportRSS("davitd/rss-loaded", "davitd, RSS, "+title+", after its start", definedTarget)
}

// measureList lists all domains, page by page.
func (s *site) measureList(ctx context.Context, title string) error {
	var l times
	for range s.b.n {
		n := 0
		took, err := clock(func() error {
			for _, err := range s.c.Domains(ctx, nil) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n != s.b.defined {
			return fmt.Errorf("%d domains were listed of %d", n, s.b.defined)
		}
		l = append(l, took)
	}
	s.b.addTimes(figure{Name: "list", Title: "list of all, " + title, Target: listTarget}, l)
	return nil
}
