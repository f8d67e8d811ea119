package logs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
	"github.com/davitd/davit/server/logs"
)

const (
	web  = "11111111-1111-4111-8111-111111111111"
	mail = "22222222-2222-4222-8222-222222222222"
)

// site is a folder of logs with the domains and the journal that they need.
type site struct {
	*logs.Logs
	t       *testing.T
	dir     string
	journal *events.Journal

	mu      sync.Mutex
	domains map[string]domain
}

type domain struct {
	name   string
	active bool
}

func newSite(t *testing.T, change ...func(*logs.Options)) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), domains: map[string]domain{}}
	var err error
	if s.journal, err = events.Open(t.TempDir(), events.Options{MaxEvents: events.MinEvents}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.journal.Close() })
	o := logs.Options{
		Dir: s.dir, Domains: s, Journal: s.journal, Keep: time.Hour, MaxGone: 10,
		Logger: zaptest.NewLogger(t),
	}
	for _, f := range change {
		f(&o)
	}
	if s.Logs, err = logs.Open(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// run lets the logs follow the journal until the test ends.
func (s *site) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("run: %v", err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

func (s *site) Lookup(uuid string) (string, bool, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.domains[uuid]
	return d.name, d.active, ok
}

func (s *site) LookupName(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uuid, d := range s.domains {
		if d.name == name {
			return uuid, true
		}
	}
	return "", false
}

// set makes a domain what it is; without a name it is gone.
func (s *site) set(uuid, name string, active bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.domains, uuid)
	if name != "" {
		s.domains[uuid] = domain{name, active}
	}
}

// tell journals that something happened to a domain.
func (s *site) tell(uuid, name string, kind davitv1.LifecycleEventType) {
	s.t.Helper()
	_, err := s.journal.Append(&davitv1.Event{
		Time: timestamppb.Now(), Uuid: uuid, Name: name,
		Kind: &davitv1.Event_Lifecycle{Lifecycle: &davitv1.LifecycleEvent{Type: kind}},
	}, events.Origin{})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) path(uuid, file string) string { return filepath.Join(logs.Dir(s.dir), uuid, file) }

// write puts text at the end of a file of a log.
func (s *site) write(uuid, file, text string) {
	s.t.Helper()
	if err := os.MkdirAll(s.path(uuid, ""), 0o700); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.OpenFile(s.path(uuid, file), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// rotate makes room for a new file.
func (s *site) rotate(uuid string, most int) {
	s.t.Helper()
	for n := most - 1; n >= 0; n-- {
		from := "console.log"
		if n > 0 {
			from = fmt.Sprintf("console.log.%d", n)
		}
		err := os.Rename(s.path(uuid, from), s.path(uuid, fmt.Sprintf("console.log.%d", n+1)))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.t.Fatal(err)
		}
	}
}

// at is the time of line n.
func at(n int) time.Time {
	return time.Date(2020, 5, 17, 12, 0, 0, 7, time.UTC).Add(time.Duration(n) * time.Second)
}

// line is line n of a log.
func line(n int, origin, mark, text string) string {
	return fmt.Sprintf("%s %s %s %s\n", at(n).Format("2006-01-02T15:04:05.000000000Z"), origin, mark, text)
}

// read gives the lines of a request, each as "SECOND ORIGIN F|P TEXT".
func (s *site) read(q *davitv1.ReadLogRequest) []string {
	s.t.Helper()
	var got []string
	err := s.ReadLog(s.t.Context(), q, func(lines []*davitv1.LogLine) error {
		got = append(got, words(lines)...)
		return nil
	})
	if err != nil {
		s.t.Fatalf("read %v: %v", q, err)
	}
	return got
}

func words(lines []*davitv1.LogLine) []string {
	list := make([]string, len(lines))
	for i, l := range lines {
		mark := "F"
		if l.GetPartial() {
			mark = "P"
		}
		list[i] = fmt.Sprintf("%d %s %s %s", int(l.GetTime().AsTime().Sub(at(0)).Seconds()), l.GetOrigin(), mark, l.GetText())
	}
	return list
}

func stamp(n int) *timestamppb.Timestamp { return timestamppb.New(at(n)) }

// three is a log in three files, with what must not be in one.
func three(s *site) {
	s.set(web, "web", true)
	s.write(web, "console.log.2", "garbage\n"+line(1, "console0", "F", "one")+line(2, "init", "F", "started"))
	s.write(web, "console.log.1", line(3, "console1", "P", "thr")+"\n \n2016 x\n"+line(4, "console1", "F", "ee"))
	s.write(web, "console.log", line(5, "console0", "F", "")+line(6, "davit", "F", "3 lines were left out")+
		line(7, "console0", "F", "a\x1b[31m \xff")+"2020-05-17T12:00:09.000000007Z console0 F torn")
	s.write(web, "console.log.old", line(8, "console0", "F", "not of it"))
	if err := os.Symlink("/etc/passwd", s.path(web, "console.log.3")); err != nil {
		s.t.Fatal(err)
	}
}

var all = []string{
	"1 console0 F one", "2 init F started", "3 console1 P thr", "4 console1 F ee", "5 console0 F ",
	"6 davit F 3 lines were left out", "7 console0 F a\x1b[31m \xff",
}

func TestReadLog(t *testing.T) {
	testCases := map[string]struct {
		q    *davitv1.ReadLogRequest
		want []string
	}{
		"all":              {&davitv1.ReadLogRequest{}, all},
		"by uuid":          {&davitv1.ReadLogRequest{Domain: web}, all},
		"since":            {&davitv1.ReadLogRequest{Since: stamp(5)}, all[4:]},
		"until":            {&davitv1.ReadLogRequest{Until: stamp(5)}, all[:4]},
		"since and until":  {&davitv1.ReadLogRequest{Since: stamp(2), Until: stamp(4)}, all[1:3]},
		"nothing is so":    {&davitv1.ReadLogRequest{Since: stamp(8)}, nil},
		"origin":           {&davitv1.ReadLogRequest{Origin: "console1"}, all[2:4]},
		"no such origin":   {&davitv1.ReadLogRequest{Origin: "console7"}, nil},
		"tail 0":           {&davitv1.ReadLogRequest{Tail: new(uint32)}, nil},
		"tail 1":           {&davitv1.ReadLogRequest{Tail: new(uint32(1))}, all[6:]},
		"tail over files":  {&davitv1.ReadLogRequest{Tail: new(uint32(4))}, all[2:]},
		"tail of more":     {&davitv1.ReadLogRequest{Tail: new(uint32(5))}, all[1:]},
		"tail of all":      {&davitv1.ReadLogRequest{Tail: new(uint32(6))}, all},
		"tail of too many": {&davitv1.ReadLogRequest{Tail: new(uint32(4_000_000_000))}, all},
		"tail of origin":   {&davitv1.ReadLogRequest{Tail: new(uint32(2)), Origin: "console0"}, []string{all[4], all[6]}},
		"tail before":      {&davitv1.ReadLogRequest{Tail: new(uint32(1)), Until: stamp(5)}, all[2:4]},
	}
	s := newSite(t)
	three(s)
	for name, c := range testCases {
		t.Run(name, func(t *testing.T) {
			if c.q.Domain == "" {
				c.q.Domain = "web"
			}
			if diff := cmp.Diff(c.want, s.read(c.q)); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

// Files that were written before what is asked for are not even read.
func TestSincePassesOldFilesOver(t *testing.T) {
	s := newSite(t)
	s.set(web, "web", true)
	for n := range 3 {
		file := fmt.Sprintf("console.log.%d", 3-n)
		s.write(web, file, line(n+100, "console0", "F", file)) // younger than what is asked for, if they were looked into
		if err := os.Chtimes(s.path(web, file), at(n), at(n)); err != nil {
			t.Fatal(err)
		}
	}
	got := s.read(&davitv1.ReadLogRequest{Domain: "web", Since: stamp(2)})
	if want := []string{"101 console0 F console.log.2", "102 console0 F console.log.1"}; !cmp.Equal(got, want) {
		t.Errorf("lines are %q, want %q: that of the second before is kept for the grain of the clock", got, want)
	}
}

// A domain that never ran has an empty log, one that never was has none.
func TestReadWithoutLog(t *testing.T) {
	s := newSite(t)
	s.set(web, "web", false)
	if got := s.read(&davitv1.ReadLogRequest{Domain: "web", Tail: new(uint32(5))}); len(got) > 0 {
		t.Errorf("lines are %q", got)
	}
	s.run()
	for _, c := range []struct {
		q    *davitv1.ReadLogRequest
		want string
	}{
		{&davitv1.ReadLogRequest{}, "name a domain by uuid or name"},
		{&davitv1.ReadLogRequest{Domain: "nobody"}, `no domain with matching name or uuid "nobody"`},
		{&davitv1.ReadLogRequest{Domain: mail}, "no domain with matching"},
		{&davitv1.ReadLogRequest{Domain: "../../etc"}, "no domain with matching"},
		{&davitv1.ReadLogRequest{Domain: "web", Since: stamp(2), Until: stamp(1)}, "until: 2020-05-17T12:00:01.000000007Z is before since"},
		{&davitv1.ReadLogRequest{Domain: "web", Since: &timestamppb.Timestamp{Nanos: -1}}, "since: it is no time"},
		{&davitv1.ReadLogRequest{Domain: "web", Origin: "a b"}, `origin: "a b" is no alias`},
	} {
		err := s.ReadLog(t.Context(), c.q, func([]*davitv1.LogLine) error { return nil })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error is %v, want %q", c.q, err, c.want)
		}
	}
}

// A line of any length is given whole, in pieces that fit.
func TestLongLine(t *testing.T) {
	s := newSite(t)
	s.set(web, "web", true)
	long := strings.Repeat("0123456789abcdef", 20_000)
	s.write(web, "console.log", strings.Repeat("no record ", 30_000)+"\n"+line(1, "console0", "F", long)+line(2, "init", "F", "end"))
	for _, tail := range []*uint32{nil, new(uint32(2))} {
		var text strings.Builder
		var pieces []bool
		last := ""
		err := s.ReadLog(t.Context(), &davitv1.ReadLogRequest{Domain: "web", Tail: tail}, func(lines []*davitv1.LogLine) error {
			for _, l := range lines {
				if last = l.GetOrigin(); last == "console0" {
					text.Write(l.GetText())
					pieces = append(pieces, l.GetPartial())
				}
			}
			return nil
		})
		if err != nil || text.String() != long || last != "init" {
			t.Errorf("%d bytes of %d, then %q, %v", text.Len(), len(long), last, err)
		}
		if n := len(pieces); n < 5 || pieces[n-1] || !pieces[n-2] {
			t.Errorf("pieces go on: %v", pieces)
		}
	}
	if got := s.read(&davitv1.ReadLogRequest{Domain: "web", Tail: new(uint32(1))}); !cmp.Equal(got, []string{"2 init F end"}) {
		t.Errorf("last line is %q", got)
	}
}

// A line that was written in parts counts once; what others said between them makes lines of them.
func TestTailCountsWholeLines(t *testing.T) {
	s := newSite(t)
	s.set(web, "web", true)
	s.write(web, "console.log.1", line(1, "console0", "F", "one")+line(2, "console0", "P", "t")+line(3, "console0", "P", "w"))
	s.write(web, "console.log", line(4, "console0", "P", "o")+line(5, "console0", "F", "")+
		line(6, "console0", "P", "thr")+line(7, "init", "F", "said")+line(8, "console0", "F", "ee")+
		line(9, "console0", "P", "no e")+line(10, "console0", "P", "nd"))
	every := s.read(&davitv1.ReadLogRequest{Domain: "web"})
	for n, from := range []int{10, 8, 7, 6, 5, 1, 0, 0} {
		got := s.read(&davitv1.ReadLogRequest{Domain: "web", Tail: new(uint32(n))})
		if diff := cmp.Diff(strings.Join(every[from:], "\n"), strings.Join(got, "\n")); diff != "" {
			t.Errorf("last %d (-want +got):\n%s", n, diff)
		}
	}
	got := s.read(&davitv1.ReadLogRequest{Domain: "web", Origin: "console0", Tail: new(uint32(2))})
	if diff := cmp.Diff([]string{every[5], every[7], every[8], every[9]}, got); diff != "" {
		t.Errorf("last 2 of console0 (-want +got):\n%s", diff)
	}
}

// The last lines of a log with many are those that counting all of them finds, whatever stands across the borders of what
// is read at once.
func TestTailAgreesWithReadingAll(t *testing.T) {
	s := newSite(t)
	s.set(web, "web", true)
	for n, file := range []string{"console.log.2", "console.log.1", "console.log"} {
		var b strings.Builder
		for i := range 2000 {
			b.WriteString(line(2000*n+i, []string{"console0", "init"}[i%2], "F", strings.Repeat("x", (i*37)%199)))
			if i%50 == 0 {
				b.WriteString(strings.Repeat("?", i) + "\n")
			}
		}
		s.write(web, file, b.String())
	}
	for _, origin := range []string{"", "init"} {
		every := s.read(&davitv1.ReadLogRequest{Domain: "web", Origin: origin})
		for _, n := range []int{1, 2, 500, 999, 1000, 1001, 1500, 2001, 2999, 3000} {
			got := s.read(&davitv1.ReadLogRequest{Domain: "web", Origin: origin, Tail: new(uint32(n))})
			if diff := cmp.Diff(every[len(every)-n:], got); diff != "" {
				t.Fatalf("last %d of %q differ: %d lines", n, origin, len(got))
			}
		}
	}
}

// follower reads in the background.
type follower struct {
	lines chan string
	done  chan error
	end   context.CancelFunc
}

func (s *site) follow(q *davitv1.ReadLogRequest) *follower {
	q.Follow = true
	ctx, cancel := context.WithCancel(s.t.Context())
	f := &follower{lines: make(chan string, 100_000), done: make(chan error, 1), end: cancel}
	go func() {
		f.done <- s.ReadLog(ctx, q, func(lines []*davitv1.LogLine) error {
			for _, w := range words(lines) {
				f.lines <- w
			}
			return nil
		})
		close(f.lines)
	}()
	s.t.Cleanup(cancel)
	return f
}

// expect waits for a line.
func (f *follower) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got, ok := <-f.lines:
		if !ok || got != want {
			t.Fatalf("line is %q, want %q", got, want)
		}
	case <-time.After(testenv.Scale(time.Minute)):
		t.Fatalf("no line, want %q", want)
	}
}

// Who follows gets every line once, over rotations, also when the reader is slow, and until the last of a domain that is
// gone.
func TestFollow(t *testing.T) {
	s := newSite(t)
	s.set(web, "web", true)
	f := s.follow(&davitv1.ReadLogRequest{Domain: "web"}) // there is no log yet
	const lines = 3000
	for n := range lines {
		text := line(n, "console0", "F", "x")
		s.write(web, "console.log", text[:len(text)/2]) // a reader may see half of it
		s.write(web, "console.log", text[len(text)/2:])
		if n%500 == 499 {
			for k := n - 499; k <= n; k++ {
				f.expect(t, fmt.Sprintf("%d console0 F x", k))
			}
		}
		if n%250 == 249 {
			s.rotate(web, 4)
		}
	}
	s.write(web, "console.log", line(lines, "init", "F", "exit code 0"))
	s.set(web, "", false)
	f.expect(t, fmt.Sprintf("%d init F exit code 0", lines))
	if err := <-f.done; err != nil {
		t.Error(err)
	}
	if got, ok := <-f.lines; ok {
		t.Errorf("line after the last: %q", got)
	}
}

func TestFollowBegins(t *testing.T) {
	s := newSite(t)
	three(s)
	f := s.follow(&davitv1.ReadLogRequest{Domain: "web", Tail: new(uint32(1)), Origin: "console0"})
	f.expect(t, all[6])
	s.write(web, "console.log", "\n"+line(10, "init", "F", "x")+line(11, "console0", "F", "eleven"))
	f.expect(t, "9 console0 F torn")
	f.expect(t, "11 console0 F eleven")
	f.end()
	if err := <-f.done; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	f = s.follow(&davitv1.ReadLogRequest{Domain: "web", Tail: new(uint32), Until: timestamppb.New(time.Now())})
	if err := <-f.done; err != nil { // nothing can come any more
		t.Error(err)
	}
}

// A log that is removed and begun anew is followed on.
func TestFollowOverRemoval(t *testing.T) {
	s := newSite(t)
	s.set(web, "web", false)
	s.write(web, "console.log", line(1, "console0", "F", "old"))
	f := s.follow(&davitv1.ReadLogRequest{Domain: "web"})
	f.expect(t, "1 console0 F old")
	if err := s.RemoveLog(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	s.write(web, "console.log", line(2, "console0", "F", "new"))
	f.expect(t, "2 console0 F new")
}
