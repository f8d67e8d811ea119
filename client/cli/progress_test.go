//go:build linux

package cli_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestProgress tells what is waited for, and takes it away.
func TestProgress(t *testing.T) {
	d, c := echoDomain(t)
	if _, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName("echo")}); err != nil {
		t.Fatal(err)
	}
	s := sit(t)
	code := s.run(d.Socket, "wait", "echo")
	first := s.waited()
	if second := s.waited(); first < 1 || second <= first {
		t.Errorf("it waits for %d seconds, then for %d", first, second)
	}
	if _, err := c.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: client.ByName("echo")}); err != nil {
		t.Fatal(err)
	}
	s.expect("\r\x1b[Kshut off\r\n")
	s.leaves(code, 0)
}

// waited expects to be told how many seconds a wait for domain echo takes already. On a busy host one may be left out.
func (s *seat) waited() (seconds int) {
	s.t.Helper()
	s.expect("\rwaiting for domain 'echo' (")
	seconds, err := strconv.Atoi(s.expectIn(time.Minute, "s)\x1b[K"))
	if err != nil {
		s.t.Fatal(err)
	}
	return seconds
}

// TestProgressIsForTerminals writes nothing into a pipe.
func TestProgressIsForTerminals(t *testing.T) {
	d, _ := echoDomain(t)
	r := run(t, d.Socket, "", "wait", "echo", "--for", "paused", "--timeout", "2")
	if want := "error: Timed out while waiting for domain 'echo'\n"; r.stderr != want || strings.Contains(r.stdout, "waiting") {
		t.Errorf("%+v, want %q", r, want)
	}
}
