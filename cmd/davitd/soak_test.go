package main

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// load is what is measured of a davitd and of the host's kernel.
type load struct {
	at      time.Duration
	rss     int // KiB
	fds     int
	mounts  int
	cgroups int
	slab    int // KiB that cannot be reclaimed, of the whole host
}

// columns of a load that go up and down with what a daemon holds.
var columns = []struct {
	name string
	of   func(load) int
}{
	{"rss_kib", func(l load) int { return l.rss }},
	{"fds", func(l load) int { return l.fds }},
	{"mounts", func(l load) int { return l.mounts }},
	{"cgroups", func(l load) int { return l.cgroups }},
	{"slab_kib", func(l load) int { return l.slab }},
}

// measure looks at a daemon.
func (s *site) measure(tb testing.TB, d *daemon, begun time.Time) load {
	tb.Helper()
	proc := fmt.Sprintf("/proc/%d", d.cmd.Process.Pid)
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		tb.Fatal(err)
	}
	l := load{
		at: time.Since(begun), fds: len(fds),
		rss: keyed(tb, proc+"/status", "VmRSS:"), slab: keyed(tb, "/proc/meminfo", "SUnreclaim:"),
	}
	if s.driver == "fake" {
		return l // what mounts and cgroups there are, others have made
	}
	mounts, err := os.ReadFile(proc + "/mountinfo")
	if err != nil {
		tb.Fatal(err)
	}
	l.mounts = strings.Count(string(mounts), "\n")
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(path, s.partition+"/") {
			l.cgroups++
		}
		return nil
	})
	return l
}

// keyed is the number behind a word in a file of the kernel.
func keyed(tb testing.TB, path, key string) int {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), key)
	if !found {
		tb.Fatalf("%s has no %q", path, key)
	}
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// slope is how much a column of the second half of the measurements rises in an hour: least squares.
func slope(all []load, of func(load) int) float64 {
	half := all[len(all)/2:]
	var x, y, xx, xy float64
	for _, l := range half {
		x, y = x+l.at.Hours()/float64(len(half)), y+float64(of(l))/float64(len(half))
	}
	for _, l := range half {
		h := l.at.Hours() - x
		xx, xy = xx+h*h, xy+h*(float64(of(l))-y)
	}
	if xx == 0 {
		return 0
	}
	return xy / xx
}

// What a straight line rises by is what it is said to.
func TestSlope(t *testing.T) {
	var all []load
	for n := range 100 {
		all = append(all, load{at: time.Duration(n) * time.Minute, fds: 7, rss: 10*n + n%2})
	}
	if got := slope(all, columns[1].of); math.Abs(got) > 1e-6 {
		t.Errorf("a level line rises by %v", got)
	}
	if got := slope(all, columns[0].of); got < 595 || got > 605 {
		t.Errorf("600 an hour are told as %v", got)
	}
}

// maxRise is how much a daemon's memory may rise in an hour, in KiB, where the test is long enough to say so.
const maxRise = 1 << 10

// spare is how many descriptors more than before a daemon may hold at rest: those of pools that are filled by and by.
const spare = 8

// TestSoak has domains live, one life after the other, for DAVIT_TEST_SOAK, which make soak sets, or for some seconds: whatever a
// davitd holds meanwhile, at rest it holds what it held before. REL-26.
func TestSoak(t *testing.T) {
	duration, drivers := 3*time.Second, []string{"fake", "lxc"}
	if text := os.Getenv("DAVIT_TEST_SOAK"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("DAVIT_TEST_SOAK: %v", err)
		}
		drivers = drivers[:1]
		if testenv.Has(testenv.Root) {
			drivers = []string{"lxc"}
		}
	}
	for _, name := range drivers {
		t.Run(name, func(t *testing.T) { soak(t, newSite(t, name), duration) })
	}
}

func soak(t *testing.T, s *site, duration time.Duration) {
	t.Helper()
	d := s.launch(t)
	const workers = 4
	var clients [workers]*client.Client
	for n := range clients {
		clients[n] = s.client(t)
		s.live(t, clients[n], fmt.Sprintf("soak-%d", n)) // what is made once is made now
	}
	begun := time.Now()
	before := s.measure(t, d, begun)
	var lives atomic.Int64
	var living sync.WaitGroup
	over := make(chan struct{})
	for n, c := range clients {
		living.Go(func() {
			for round := 0; !t.Failed(); round++ {
				s.live(t, c, fmt.Sprintf("soak-%d-%d", n, round))
				lives.Add(1)
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	var all []load
	tick := time.NewTicker(max(duration/200, 100*time.Millisecond))
	defer tick.Stop()
	for end := time.After(duration); ; {
		select {
		case <-tick.C:
			all = append(all, s.measure(t, d, begun))
			continue
		case <-end:
		}
		break
	}
	close(over)
	living.Wait()
	after := s.rested(t, d, begun, before)
	t.Logf("%d lives in %v\n%s", lives.Load(), time.Since(begun).Round(time.Second), report(before, after, all))
	if rise := slope(all, columns[0].of); duration >= time.Hour && rise > maxRise {
		t.Errorf("the memory of davitd rises by %.0f KiB an hour, the limit is %d", rise, maxRise)
	}
	if lives.Load() == 0 {
		t.Error("no domain lived")
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}

// live is the life of one domain.
func (s *site) live(t *testing.T, c *client.Client, name string) {
	t.Helper()
	ref, ctx := client.ByName(name), t.Context()
	s.define(t, c, name)
	if err := startDomain(ctx, c, name); err != nil {
		t.Errorf("start %q: %v", name, err)
	}
	if s.driver == "lxc" {
		if got := hears(t, c, name, "/guest/guest", "echo", "here"); got != "here\n" {
			t.Errorf("command in %q says %q", name, got)
		}
	}
	for _, act := range []func() error{
		func() error { _, err := c.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: ref}); return err },
		func() error { _, err := c.ResumeDomain(ctx, &davitv1.ResumeDomainRequest{Domain: ref}); return err },
		func() error {
			_, err := c.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
				Domain: ref, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"current_memory_kib"}},
				Definition: &davitv1.Domain{CurrentMemoryKib: 32 << 10},
			})
			return err
		},
		func() error { _, err := c.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: ref}); return err },
		func() error { _, err := c.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: ref}); return err },
	} {
		if err := act(); err != nil {
			t.Errorf("life of %q: %v", name, err)
			return
		}
	}
}

// rested waits until the daemon holds what it held before, and gives what it holds.
func (s *site) rested(t *testing.T, d *daemon, begun time.Time, before load) load {
	t.Helper()
	for end := time.Now().Add(testenv.Scale(2 * time.Minute)); ; <-time.After(100 * time.Millisecond) {
		now := s.measure(t, d, begun)
		if now.fds <= before.fds+spare && now.mounts <= before.mounts && now.cgroups <= before.cgroups {
			return now
		}
		if time.Now().After(end) {
			t.Errorf("at rest davitd holds %+v, before it held %+v", now, before)
			return now
		}
	}
}

// report is a table of what was measured.
func report(before, after load, all []load) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "\tbefore\tafter\tleast\tmost\tan hour\t")
	for _, c := range columns {
		least, most := c.of(before), c.of(before)
		for _, l := range all {
			least, most = min(least, c.of(l)), max(most, c.of(l))
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%+.1f\t\n", c.name, c.of(before), c.of(after), least, most, math.Round(10*slope(all, c.of))/10+0)
	}
	_ = w.Flush()
	return b.String()
}
