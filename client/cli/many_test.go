//go:build linux

package cli_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// crowd is a daemon with very many domains, every other of which runs.
type crowd struct {
	davitv1.UnimplementedDomainServiceServer
	davitv1.UnimplementedEventServiceServer

	domains []*davitv1.DomainInfo
	calls   atomic.Int64
	largest atomic.Int64 // page that was asked for
	happen  chan struct{}
}

const many = 10_000

func newCrowd() *crowd {
	c := &crowd{happen: make(chan struct{})}
	for i := range many {
		d := &davitv1.DomainInfo{
			Name: fmt.Sprintf("web-%05d", i), Uuid: fmt.Sprintf("6b3e9c1c-5f0e-4c0e-9a53-%012d", i),
			State: davitv1.DomainState_DOMAIN_STATE_SHUTOFF,
		}
		if i%2 == 0 {
			d.State, d.Id = davitv1.DomainState_DOMAIN_STATE_RUNNING, uint32(many-i)
		}
		c.domains = append(c.domains, d)
	}
	return c
}

// ListDomains gives the page that was asked for. Its tokens are numbers.
func (c *crowd) ListDomains(_ context.Context, q *davitv1.ListDomainsRequest) (*davitv1.ListDomainsResponse, error) {
	c.calls.Add(1)
	c.largest.Store(max(c.largest.Load(), int64(q.GetPageSize())))
	from, _ := strconv.Atoi(q.GetPageToken()) // "" is 0
	to := min(from+int(q.GetPageSize()), len(c.domains))
	r := &davitv1.ListDomainsResponse{Domains: c.domains[from:to]}
	if to < len(c.domains) {
		r.NextPageToken = strconv.Itoa(to)
	}
	return r, nil
}

func (*crowd) GetEventPosition(context.Context, *davitv1.GetEventPositionRequest) (*davitv1.GetEventPositionResponse, error) {
	return &davitv1.GetEventPositionResponse{Newest: &davitv1.EventPosition{Epoch: "e", Sequence: 1}}, nil
}

// WatchEvents tells of an event whenever one is to happen.
func (c *crowd) WatchEvents(_ *davitv1.WatchEventsRequest, out grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
	for sequence := uint64(1); ; sequence++ {
		at := &davitv1.EventPosition{Epoch: "e", Sequence: sequence}
		r := &davitv1.WatchEventsResponse{Item: &davitv1.WatchEventsResponse_Position{Position: at}}
		if sequence > 1 {
			r.Item = &davitv1.WatchEventsResponse_Event{Event: &davitv1.Event{Position: at, Name: "web-00000"}}
		}
		if err := out.Send(r); err != nil {
			return err
		}
		select {
		case <-out.Context().Done():
			return out.Context().Err()
		case <-c.happen:
		}
	}
}

func (c *crowd) serve(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "davit.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	davitv1.RegisterDomainServiceServer(server, c)
	davitv1.RegisterEventServiceServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return socket
}

// TestListOfMany comes in pages, whole and in order, in little time and memory.
func TestListOfMany(t *testing.T) {
	c := newCrowd()
	socket, program := c.serve(t), testenv.Binary(t, "davit")
	ctx, stop := context.WithTimeout(t.Context(), testenv.Scale(time.Minute))
	defer stop()
	cmd := exec.CommandContext(ctx, program, "-c", socket, "list", "--all")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// More than a pipe holds: once something comes it has the whole list in its hands, and waits.
	first := make([]byte, 1)
	if _, err = io.ReadFull(pipe, first); err != nil {
		t.Fatal(err)
	}
	peak := peakKiB(t, cmd.Process.Pid)
	rest, err := io.ReadAll(pipe)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	out := slices.Concat(first, rest)
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != many+2 {
		t.Fatalf("%d lines, want %d", len(lines), many+2)
	}
	for i, want := range map[int]string{
		2: " 2       web-09998   running", many/2 + 1: fmt.Sprintf(" %d   web-00000   running", many),
		many/2 + 2: " -       web-00001   shut off", many + 1: " -       web-09999   shut off",
	} {
		if lines[i] != want {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
	if calls, largest := c.calls.Load(), c.largest.Load(); largest > 1000 || calls != (many+largest-1)/largest {
		t.Errorf("%d calls for pages of up to %d", calls, largest)
	}
	if limit := 96 << 10; peak > limit {
		t.Errorf("it took %d KiB, want at most %d", peak, limit)
	}
}

// peakKiB is the most memory that a process has had.
func peakKiB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(after + " none")[0])
	if err != nil {
		t.Fatalf("no peak in\n%s", status)
	}
	return kib
}

// TestListOfManyIntoHead ends in silence when who reads has seen enough.
func TestListOfManyIntoHead(t *testing.T) {
	socket, program := newCrowd().serve(t), testenv.Binary(t, "davit")
	for _, args := range [][]string{{"list", "--all"}, {"list", "--all", "-o", "json"}, {"list", "--all", "--watch"}, {"list --all; list"}} {
		ctx, stop := context.WithTimeout(t.Context(), testenv.Scale(time.Minute))
		cmd := exec.CommandContext(ctx, program, append([]string{"-c", socket}, args...)...)
		var complaints lockedBuffer
		cmd.Stderr = &complaints
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReaderSize(out, 16).ReadString('\n'); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		_ = out.Close()
		_ = cmd.Wait() // its exit code is looked at
		if code := cmd.ProcessState.ExitCode(); code != 1 || complaints.text.Len() > 0 {
			t.Errorf("%q: exit code %d, %q; want 1 in silence", args, code, complaints.text.String())
		}
		stop()
	}
}

// TestWatchedListOfMany draws what the terminal has room for, and no more often than a person can see while much happens.
func TestWatchedListOfMany(t *testing.T) {
	c := newCrowd()
	s := sitDown(t, []string{"DAVIT_DEFAULT_URI=" + c.serve(t)}, "list", "--all", "--watch")
	s.shows(fmt.Sprintf("… %d more", many+3-24))
	before, began := c.calls.Load(), time.Now()
	for time.Since(began) < 1500*time.Millisecond {
		select {
		case c.happen <- struct{}{}:
		case <-time.After(testenv.Scale(time.Minute)):
			t.Fatal("the events are not read")
		}
	}
	lists := func() int64 { return (c.calls.Load() - before) * c.largest.Load() / many }
	asked, took := lists(), time.Since(began) // in this order: what is asked after the count is not counted
	if most := int64(took/(200*time.Millisecond)) + 2; asked > most {
		t.Errorf("the list was asked for %d times in %v, want at most %d", asked, took, most)
	}
	s.until("listed again", func() bool { return lists() > 0 })
	if peak, limit := peakKiB(t, s.cmd.Process.Pid), 128<<10; peak > limit {
		t.Errorf("it took %d KiB, want at most %d", peak, limit)
	}
	s.types(ctrlC)
	s.leaves(0)
}
