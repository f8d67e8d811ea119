//go:build linux

package cli_test

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/client/cli"
	"github.com/davitd/davit/internal/testenv"
)

func TestSchemaPathsAreCompleted(t *testing.T) {
	const none, goesOn = ":4", ":6"
	tests := []struct {
		typed     string
		want      []string
		directive string
	}{
		{"dom", []string{"domain\tDomain is the definition of a container."}, goesOn},
		{"cput", []string{"cputune\tShare and bandwidth of processor time."}, goesOn},
		{"domain.cput", []string{"domain.cputune\tShare and bandwidth of processor time."}, goesOn},
		{"domain.cputune.sh", []string{"domain.cputune.shares\tWeight against other domains, 2 to 262144; the kernel's default is 1024."}, none},
		{"devices.filesystem.overlay_upper.d", []string{
			"devices.filesystem.overlay_upper.discard\tChanges are held in memory and dropped when the domain stops.",
		}, none},
		{"/domain/cput", []string{"/domain/cputune\tShare and bandwidth of processor time."}, goesOn},
		{"/domain/cputune/sh", []string{"/domain/cputune/shares\tWeight against other domains, 2 to 262144; the kernel's default is 1024."}, none},
		{"nothing.of", nil, none},
		{"\x1b[2J", nil, none},
	}
	for _, c := range tests {
		got, directive := completions(t, "/nonexistent.sock", "explain", c.typed)
		if diff := cmp.Diff(c.want, got); diff != "" && len(c.want)+len(got) > 0 {
			t.Errorf("%s (-want +got):\n%s", c.typed, diff)
		}
		if directive != c.directive {
			t.Errorf("%s: directive %s, want %s", c.typed, directive, c.directive)
		}
	}
}

// What is explained does not wait for a daemon that does not answer.
func TestExplainDoesNotWait(t *testing.T) {
	impatient()
	defer func() { _ = cli.BePatient(time.Minute) }()
	socket := filepath.Join(t.TempDir(), "silent.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	began := time.Now()
	r := run(t, socket, "", "explain", "idmap")
	if took := time.Since(began); took > testenv.Scale(10*time.Second) {
		t.Errorf("it took %v", took)
	}
	if r.code != 0 || r.stderr != "" || r.stdout == "" {
		t.Errorf("it ended with %d, %q", r.code, r.stderr)
	}
}
