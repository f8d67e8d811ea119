//go:build linux

package cli_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/pty"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// playedExec is a daemon with one domain whose commands the test plays.
type playedExec struct {
	davitv1.UnimplementedDomainServiceServer
	davitv1.UnimplementedConsoleServiceServer
	play func(*davitv1.ExecRequest, grpc.BidiStreamingServer[davitv1.ExecRequest, davitv1.ExecResponse]) error
}

func (p *playedExec) GetDomain(context.Context, *davitv1.GetDomainRequest) (*davitv1.GetDomainResponse, error) {
	return &davitv1.GetDomainResponse{Domain: &davitv1.DomainInfo{Name: "web", Uuid: "6b3e9c1c-5f0e-4c0e-9a53-0b0b54a0a001", Id: 1}}, nil
}

func (p *playedExec) Exec(s grpc.BidiStreamingServer[davitv1.ExecRequest, davitv1.ExecResponse]) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	return p.play(first, s)
}

func (p *playedExec) serve(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "davit.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	davitv1.RegisterDomainServiceServer(server, p)
	davitv1.RegisterConsoleServiceServer(server, p)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return socket
}

func started() *davitv1.ExecResponse {
	return &davitv1.ExecResponse{Event: &davitv1.ExecResponse_Started{Started: &davitv1.ExecStarted{ExecId: "x", Pid: 7}}}
}

func says(text string) *davitv1.ExecResponse {
	return &davitv1.ExecResponse{Event: &davitv1.ExecResponse_Stdout{Stdout: []byte(text)}}
}

func exits(exit *davitv1.Exit) *davitv1.ExecResponse {
	return &davitv1.ExecResponse{Event: &davitv1.ExecResponse_Exit{Exit: exit}}
}

// TestExecCodes exits as the command did, or says why it did not run.
func TestExecCodes(t *testing.T) {
	refused := func(code codes.Code, reason davitv1.ErrorReason) error {
		return domain.ToStatus(&domain.Error{Code: code, Reason: reason, Message: "no"}).Err()
	}
	noObject := davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND
	tests := []struct {
		name string
		exit *davitv1.Exit
		err  error
		want int
	}{
		{name: "zero", exit: &davitv1.Exit{How: &davitv1.Exit_Code{}}, want: 0},
		{name: "code", exit: &davitv1.Exit{How: &davitv1.Exit_Code{Code: 42}}, want: 42},
		{name: "largest code", exit: &davitv1.Exit{How: &davitv1.Exit_Code{Code: 255}}, want: 255},
		{name: "signal", exit: &davitv1.Exit{How: &davitv1.Exit_Signal{Signal: 15}}, want: 143},
		{name: "unknown", exit: &davitv1.Exit{How: &davitv1.Exit_Unknown{Unknown: true}}, want: 125},
		{name: "not found", err: refused(codes.NotFound, noObject), want: 127},
		{name: "not executable", err: refused(codes.FailedPrecondition, noObject), want: 126},
		{name: "no such user", err: refused(codes.InvalidArgument, davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID), want: 125},
		{name: "no right", err: refused(codes.PermissionDenied, davitv1.ErrorReason_ERROR_REASON_ACCESS_DENIED), want: 125},
		{name: "domain gone", err: refused(codes.NotFound, davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND), want: 125},
		{name: "cut off", want: 125},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &playedExec{play: func(_ *davitv1.ExecRequest, s grpc.BidiStreamingServer[davitv1.ExecRequest, davitv1.ExecResponse]) error {
				if tt.err != nil {
					return tt.err
				}
				if err := s.Send(started()); err != nil || tt.exit == nil {
					return err
				}
				return s.Send(exits(tt.exit))
			}}
			if r := run(t, p.serve(t), "", "exec", "web", "x"); r.code != tt.want {
				t.Errorf("exit code %d, want %d; it said %q", r.code, tt.want, r.stderr)
			}
		})
	}
}

// TestExecMisuse exits with a code that is not the command's when its own arguments are wrong.
func TestExecMisuse(t *testing.T) {
	for _, args := range [][]string{{"exec"}, {"exec", "web"}, {"exec", "--bogus", "web", "x"}, {"exec", "--env"}, {"exec", "--attach", "x", "--detach", "web"}} {
		if r := run(t, "/nowhere", "", args...); r.code != 125 || r.stderr == "" {
			t.Errorf("%q: exit code %d, want 125; it said %q", args, r.code, r.stderr)
		}
	}
}

// TestExecPassesSignalsAndSizes hands SIGUSR1, SIGTERM and changes of the terminal's size on to the command.
func TestExecPassesSignalsAndSizes(t *testing.T) {
	p := &playedExec{play: func(first *davitv1.ExecRequest, s grpc.BidiStreamingServer[davitv1.ExecRequest, davitv1.ExecResponse]) error {
		size := first.GetStart().GetSize()
		if err := s.Send(started()); err != nil {
			return err
		}
		if err := s.Send(says("began " + sizeText(size) + "\n")); err != nil {
			return err
		}
		for {
			req, err := s.Recv()
			if err != nil {
				return err
			}
			switch {
			case req.GetSignal() == "TERM":
				return s.Send(exits(&davitv1.Exit{How: &davitv1.Exit_Signal{Signal: 15}}))
			case req.GetSignal() != "":
				err = s.Send(says("signal " + req.GetSignal() + "\n"))
			case req.GetResize() != nil:
				err = s.Send(says("size " + sizeText(req.GetResize()) + "\n"))
			}
			if err != nil {
				return err
			}
		}
	}}
	s := sit(t)
	code := s.run(p.serve(t), "exec", "-t", "web", "top")
	s.expect("began 24x80\n")
	s.expect("size 24x80\n")
	if err := pty.Resize(s.user, 50, 132); err != nil {
		t.Fatal(err)
	}
	kill(t, unix.SIGWINCH) // the terminal is not our controlling one, so the kernel tells nobody
	s.expect("size 50x132\n")
	kill(t, unix.SIGUSR1)
	s.expect("signal USR1\n")
	kill(t, unix.SIGTERM)
	s.leaves(code, 143)
}

// TestExecKeepsSignals hands a signal on that comes while the command is started.
func TestExecKeepsSignals(t *testing.T) {
	p := &playedExec{play: func(_ *davitv1.ExecRequest, s grpc.BidiStreamingServer[davitv1.ExecRequest, davitv1.ExecResponse]) error {
		if err := unix.Kill(os.Getpid(), unix.SIGTERM); err != nil {
			return err
		}
		if err := s.Send(started()); err != nil {
			return err
		}
		for {
			req, err := s.Recv()
			if err != nil {
				return err
			}
			if req.GetSignal() == "TERM" {
				return s.Send(exits(&davitv1.Exit{How: &davitv1.Exit_Signal{Signal: 15}}))
			}
		}
	}}
	if r := run(t, p.serve(t), "", "exec", "web", "top"); r.code != 143 {
		t.Errorf("exit code %d, want 143; it said %q", r.code, r.stderr)
	}
}

// TestExecIsAbandoned ends at the second signal when the daemon does not start the command.
func TestExecIsAbandoned(t *testing.T) {
	// The program may have let go of the signal when the last of ours comes: that must not end the tests.
	spare := make(chan os.Signal, 1)
	signal.Notify(spare, unix.SIGINT)
	defer signal.Stop(spare)
	asked, ended := make(chan struct{}), make(chan struct{})
	p := &playedExec{play: func(_ *davitv1.ExecRequest, s grpc.BidiStreamingServer[davitv1.ExecRequest, davitv1.ExecResponse]) error {
		close(asked)
		<-s.Context().Done()
		close(ended)
		return s.Context().Err()
	}}
	for _, command := range [][]string{{"exec", "web", "top"}, {"lxc-enter-namespace", "web", "--", "top"}} {
		asked, ended = make(chan struct{}), make(chan struct{})
		out, errOut, code := background(p.serve(t), command...)
		<-asked
		for {
			kill(t, unix.SIGINT)
			select {
			case <-ended:
			case <-time.After(10 * time.Millisecond):
				continue
			}
			break
		}
		want := 1
		if command[0] == "exec" {
			want = 125
		}
		ends(t, code, want)
		if !strings.Contains(errOut.text.String(), "interrupted") {
			t.Errorf("%q said %q and %q", command, out.text.String(), errOut.text.String())
		}
	}
}

func sizeText(size *davitv1.TerminalSize) string {
	return fmt.Sprintf("%dx%d", size.GetRows(), size.GetColumns())
}

func kill(t *testing.T, signal unix.Signal) {
	t.Helper()
	if err := unix.Kill(os.Getpid(), signal); err != nil {
		t.Fatal(err)
	}
}
