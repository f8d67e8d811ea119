package wire_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A command has what init has but for what it has of its own, and init stays as it was.
func TestBeside(t *testing.T) {
	init := func() *monitorv1.Process {
		return &monitorv1.Process{
			Argv: []string{"/sbin/init"}, Cwd: "/srv", User: "web", Group: "www", Console: 1, NoNewPrivs: true,
			Env: []string{"PATH=/bin", "TERM=linux"},
		}
	}
	from := init()
	for name, row := range map[string]struct{ own, want *monitorv1.Process }{
		"nothing but a program": {
			&monitorv1.Process{Argv: []string{"true"}},
			&monitorv1.Process{Argv: []string{"true"}, User: "web", Group: "www", NoNewPrivs: true, Env: []string{"PATH=/bin", "TERM=linux"}},
		},
		"all": {
			&monitorv1.Process{Argv: []string{"sh"}, Cwd: "/tmp", User: "root", Env: []string{"TERM=xterm", "A=b=c", "EMPTY"}},
			&monitorv1.Process{
				Argv: []string{"sh"}, Cwd: "/tmp", User: "root", NoNewPrivs: true,
				Env: []string{"PATH=/bin", "TERM=xterm", "A=b=c", "EMPTY="},
			},
		},
	} {
		if diff := cmp.Diff(row.want, wire.Beside(from, row.own)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(init(), from); diff != "" {
		t.Errorf("init was changed:\n%s", diff)
	}
}
