//go:build linux

package client_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func TestExec(t *testing.T) {
	_, c, ref := running(t, echoing)
	tests := []struct {
		name        string
		options     client.ExecOptions
		in          io.Reader
		out, errOut string
		code        uint32
	}{
		{
			name:    "both outputs and the code",
			options: client.ExecOptions{Argv: []string{"sh", "-c", "echo out; echo err >&2; exit 42"}},
			out:     "out\n", errOut: "err\n", code: 42,
		},
		{
			name:    "input",
			options: client.ExecOptions{Argv: []string{"cat"}, Stdin: true},
			in:      strings.NewReader(strings.Repeat("line\n", 10000)), out: strings.Repeat("line\n", 10000),
		},
		{name: "no input", options: client.ExecOptions{Argv: []string{"cat"}}},
		{
			name:    "environment and folder",
			options: client.ExecOptions{Argv: []string{"sh", "-c", "echo $A; pwd"}, Env: []string{"A=1"}, Cwd: "/srv"},
			out:     "1\n/srv\n",
		},
		{name: "a terminal", options: client.ExecOptions{Argv: []string{"sh", "-c", "tty; echo x >&2"}, TTY: true}, out: "/dev/pts/0\r\nx\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := c.Exec(t.Context(), ref, tt.options)
			if err != nil {
				t.Fatal(err)
			}
			if s.ID() == "" || s.PID() == 0 {
				t.Errorf("session %q with pid %d", s.ID(), s.PID())
			}
			var out, errOut bytes.Buffer
			exit, err := s.Copy(tt.in, &out, &errOut)
			if err != nil || exit.GetCode() != tt.code || out.String() != tt.out || errOut.String() != tt.errOut {
				t.Errorf("exit %v, %v, output of %d bytes, %q; want code %d, %d bytes, %q",
					exit, err, out.Len(), errOut.String(), tt.code, len(tt.out), tt.errOut)
			}
		})
	}
}

func TestExecRefused(t *testing.T) {
	_, c, ref := running(t, echoing)
	if _, err := c.Exec(t.Context(), ref, client.ExecOptions{Argv: []string{"/nonexistent/x"}}); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("a program that does not exist: %v, want NOT_FOUND", err)
	}
	if _, err := c.Exec(t.Context(), ref, client.ExecOptions{}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("no command: %v, want INVALID_ARGUMENT", err)
	}
	if _, err := c.Attach(t.Context(), ref, "none"); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("an unknown session: %v, want NOT_FOUND", err)
	}
	if _, err := c.Exec(t.Context(), client.ByName("none"), client.ExecOptions{Argv: []string{"true"}}); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("an unknown domain: %v, want NOT_FOUND", err)
	}
}

// TestAttach leaves a command alone and finds it again with all that it wrote.
func TestAttach(t *testing.T) {
	_, c, ref := running(t, echoing)
	s, err := c.Exec(t.Context(), ref, client.ExecOptions{
		Argv: []string{"sh", "-c", "echo before; trap 'echo after; exit 7' USR1; sleep infinity"}, Detach: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if o, wrong := s.Receive(); wrong != nil || string(o.Stdout) != "before\n" {
		t.Fatalf("Receive: %q, %v", o.Stdout, wrong)
	}
	if err = s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := c.Attach(t.Context(), ref, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err = again.Signal("USR1"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	exit, err := again.Copy(nil, &out, io.Discard)
	if err != nil || exit.GetCode() != 7 || out.String() != "before\nafter\n" {
		t.Errorf("attached: exit %v, %v, output %q", exit, err, out.String())
	}
}

// TestExecCutOff tells a command that ended from a connection that did.
func TestExecCutOff(t *testing.T) {
	started := &davitv1.ExecResponse{Event: &davitv1.ExecResponse_Started{Started: &davitv1.ExecStarted{ExecId: "x", Pid: 1}}}
	exit := &davitv1.ExecResponse{Event: &davitv1.ExecResponse_Exit{Exit: &davitv1.Exit{How: &davitv1.Exit_Signal{Signal: 9}}}}
	tests := []struct {
		name   string
		events []*davitv1.ExecResponse
		want   error
	}{
		{"no exit", []*davitv1.ExecResponse{started}, client.ErrNoExit},
		{"nothing at all", nil, io.ErrUnexpectedEOF},
		{"exit without close", []*davitv1.ExecResponse{started, exit}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &stub{exec: func(out grpc.BidiStreamingServer[davitv1.ExecRequest, davitv1.ExecResponse]) error {
				for _, e := range tt.events {
					if err := out.Send(e); err != nil {
						return err
					}
				}
				return nil
			}}
			session, err := s.connect(t).Exec(t.Context(), client.ByName("web"), client.ExecOptions{Argv: []string{"x"}})
			var how *davitv1.Exit
			if err == nil {
				how, err = session.Copy(nil, io.Discard, io.Discard)
			}
			if !errors.Is(err, tt.want) || tt.want == nil && how.GetSignal() != 9 {
				t.Errorf("exit %v, error %v, want error %v", how, err, tt.want)
			}
		})
	}
}
