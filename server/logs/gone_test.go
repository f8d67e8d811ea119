package logs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	domainroom "github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/logs"
)

const (
	defined   = davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_DEFINED
	undefined = davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_UNDEFINED
	started   = davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STARTED
	stopped   = davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED
)

// list is a line a log.
func (s *site) list() []string {
	s.t.Helper()
	all, err := s.ListLogs(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, l := range all {
		lines = append(lines, fmt.Sprintf("%.4s %q gone=%v %d", l.GetUuid(), l.GetName(), l.GetGone(), l.GetSizeBytes()))
	}
	return lines
}

func (s *site) wantList(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.list()); diff != "" {
		s.t.Errorf("list (-want +got):\n%s", diff)
	}
}

// The log of a domain that is gone is found by the name that it had last; of two that had it, that of the last.
func TestGoneByName(t *testing.T) {
	s := newSite(t)
	s.run()
	s.set(web, "web", true)
	s.write(web, "console.log", line(1, "console0", "F", "first"))
	s.tell(web, "web", started)
	s.wantList(`1111 "web" gone=false ` + fmt.Sprint(len(line(1, "console0", "F", "first"))))
	s.set(web, "shop", true) // renamed
	s.tell(web, "shop", defined)
	s.set(web, "", false)
	s.tell(web, "shop", stopped)
	if got := s.read(&davitv1.ReadLogRequest{Domain: "shop"}); !cmp.Equal(got, []string{"1 console0 F first"}) {
		t.Errorf("lines are %q", got)
	}
	// A name of its own, and one that was another's.
	s.set(mail, "shop", true)
	s.write(mail, "console.log", line(2, "console0", "F", "second"))
	s.tell(mail, "shop", started)
	s.set(mail, "", false)
	s.tell(mail, "shop", undefined)
	s.wantList(`1111 "shop" gone=true 48`, `2222 "shop" gone=true 49`)
	if err := os.Chtimes(s.path(web, "gone"), time.Now(), time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := s.read(&davitv1.ReadLogRequest{Domain: "shop"}); !cmp.Equal(got, []string{"2 console0 F second"}) {
		t.Errorf("lines are %q", got)
	}
	if got := s.read(&davitv1.ReadLogRequest{Domain: web}); !cmp.Equal(got, []string{"1 console0 F first"}) {
		t.Errorf("lines are %q", got)
	}
	// It comes back.
	s.set(web, "web", false)
	s.tell(web, "web", defined)
	s.wantList(`2222 "shop" gone=true 49`, `1111 "web" gone=false 48`)
	if _, err := os.Lstat(s.path(web, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still marked: %v", err)
	}
}

// What happened while nobody followed the journal is found out when somebody does, the name of a domain that came and went
// included.
func TestGoneMeanwhile(t *testing.T) {
	s := newSite(t)
	s.set(web, "web", true)
	s.write(web, "console.log", line(1, "console0", "F", "x"))
	s.write(mail, "console.log", line(1, "console0", "F", "x"))
	s.tell(web, "web", started)
	s.tell(mail, "mail", started)
	s.tell(mail, "mail", stopped)
	stop := s.run()
	s.wantList(`2222 "mail" gone=true 44`, `1111 "web" gone=false 44`)
	stop()
	s.set(web, "", false)
	s.run()
	if got := s.read(&davitv1.ReadLogRequest{Domain: "web"}); len(got) != 1 {
		t.Errorf("lines are %q", got)
	}
}

func TestRemoveLog(t *testing.T) {
	s := newSite(t)
	s.run()
	s.set(web, "web", true)
	s.write(web, "console.log", line(1, "console0", "F", "x"))
	s.tell(web, "web", started)
	if err := s.RemoveLog(t.Context(), "web"); !errors.Is(err, domainroom.ErrFailedPrecondition) {
		t.Errorf("of an active domain: %v", err)
	}
	if got := s.read(&davitv1.ReadLogRequest{Domain: "web"}); len(got) != 1 {
		t.Errorf("lines are %q", got)
	}
	s.set(web, "web", false)
	if err := s.RemoveLog(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	s.wantList()
	for _, ref := range []string{"web", "nobody"} {
		if err := s.RemoveLog(t.Context(), ref); !errors.Is(err, domainroom.ErrNotFound) {
			t.Errorf("of %q, which has none: %v", ref, err)
		}
	}
	if left, _ := os.ReadDir(logs.Dir(s.dir)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Logs of domains that are gone are kept for a time, and up to a number.
func TestSweep(t *testing.T) {
	s := newSite(t, func(o *logs.Options) { o.Keep, o.MaxGone = 10*time.Hour, 2 })
	age := func(n int) string { return fmt.Sprintf("%08d-1111-4111-8111-111111111111", n) }
	for _, hours := range []int{0, 1, 2, 3, 20} {
		s.write(age(hours), "console.log", line(1, "console0", "F", "x"))
		s.write(age(hours), "name", fmt.Sprintf("h%d", hours))
		s.write(age(hours), "gone", "")
		then := time.Now().Add(-time.Duration(hours) * time.Hour)
		if err := os.Chtimes(s.path(age(hours), "gone"), then, then); err != nil {
			t.Fatal(err)
		}
	}
	s.set(age(20), "back", false) // it is back
	s.write(".removed-"+web, "console.log", "x")
	s.write("something", "else", "x")
	s.run()
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(5 * time.Millisecond) {
		entries, err := os.ReadDir(logs.Dir(s.dir))
		if err == nil && len(entries) == 4 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("folder has %v, %v", entries, err)
		}
	}
	s.wantList(`0000 "back" gone=false 44`, `0000 "h0" gone=true 44`, `0000 "h1" gone=true 44`)
	if _, err := os.Stat(filepath.Join(logs.Dir(s.dir), "something", "else")); err != nil {
		t.Errorf("what is no log was touched: %v", err)
	}
}
