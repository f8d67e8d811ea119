package client

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// MonitorSocket is the name of a monitor's socket in its domain's state folder.
const MonitorSocket = "monitor.sock"

// Monitor is a domain's monitor. Its methods may be called from any goroutine; a request that waits does not hold up
// another.
type Monitor struct{ peer *peer }

// Dial connects to the monitor that listens in a state folder. If none does the error is ECONNREFUSED, or ENOENT when
// none ever did.
func Dial(ctx context.Context, folder *os.File) (*Monitor, error) {
	p, err := newPeer(ctx, folder, MonitorSocket)
	if err != nil {
		return nil, err
	}
	return &Monitor{p}, nil
}

// Hello is what the monitor said of itself.
func (m *Monitor) Hello() *monitorv1.Hello { return m.peer.hello() }

// Close lets go of the monitor, which runs on. Streams and watches are closed by themselves.
func (m *Monitor) Close() error { return m.peer.close() }

// Gone waits until the monitor is gone, or ctx ends.
func (m *Monitor) Gone(ctx context.Context) { m.peer.gone(ctx) }

// Cgroups are the descriptors of a domain's cgroups, of the namespaces that it shares and of what it holds, as the launch takes them.
type Cgroups struct {
	// Cgroup2 is the folder in the cgroup2 tree, or nil.
	Cgroup2 *os.File
	// Tasks are the tasks files of the version 1 hierarchies, open for writing.
	Tasks []*os.File
	// Namespaces are those that the plan shares, in its order.
	Namespaces []*os.File
	// Held are what the plan has held open, in the order of its names.
	Held []*os.File
}

// Logs are where the consoles' output goes.
type Logs struct {
	// Folder of the domain's logs; nil for none.
	Folder *os.File
	// MaxBytes is the most that a file holds, MaxFiles how many there are; 0 are the monitor's defaults.
	MaxBytes uint64
	MaxFiles uint32
	// Files are what consoles are written to beside that, in the order of the consoles; one without a folder is none.
	Files []ConsoleFile
}

// MaxDescriptors is the most descriptors that a start takes.
const MaxDescriptors = wire.MaxDescriptors

// ConsoleFile is a file that gets what a console says as it is.
type ConsoleFile struct {
	// Folder of the file; it stays the caller's.
	Folder *os.File
	// Name in the folder.
	Name string
}

// Started is an init that runs.
type Started struct {
	// PID on the host.
	PID int
	// Duration from the request to init's exec.
	Duration time.Duration
	// Pidfd of it.
	Pidfd *os.File
}

// Start makes the container and returns once init's exec succeeded. It can be asked for once.
func (m *Monitor) Start(ctx context.Context, plan *monitorv1.Plan, cgroups Cgroups, logs Logs) (*Started, error) {
	start := &monitorv1.Start{Plan: plan}
	request := &monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Start{Start: start}}
	files := describe(start, request, cgroups, logs)
	response, descriptors, err := m.call(ctx, request, files...)
	if err != nil {
		return nil, err
	}
	return startedOf(response, descriptors)
}

// startedOf is the answer to a start.
func startedOf(response *monitorv1.MonitorResponse, descriptors *wire.Descriptors) (*Started, error) {
	pidfd, err := one(descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD)
	if err != nil {
		return nil, fmt.Errorf("start container: %w", err)
	}
	started := response.GetStarted()
	return &Started{
		PID: int(started.GetPid()), Duration: time.Duration(started.GetDurationNs()), Pidfd: pidfd,
	}, nil
}

// describe names the descriptors of a start in its request, and gives them.
func describe(start *monitorv1.Start, request *monitorv1.MonitorRequest, cgroups Cgroups, logs Logs) (files []*os.File) {
	start.Log = &monitorv1.LogPolicy{MaxBytes: logs.MaxBytes, MaxFiles: logs.MaxFiles}
	if cgroups.Cgroup2 != nil {
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_CGROUP2)
		files = append(files, cgroups.Cgroup2)
	}
	for _, tasks := range cgroups.Tasks {
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_CGROUP1_TASKS)
		files = append(files, tasks)
	}
	for _, namespace := range cgroups.Namespaces {
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_NAMESPACE)
		files = append(files, namespace)
	}
	for _, held := range cgroups.Held {
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_HELD)
		files = append(files, held)
	}
	if logs.Folder != nil {
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_LOGS)
		files = append(files, logs.Folder)
	}
	for _, f := range logs.Files {
		if f.Folder == nil {
			start.Files = append(start.Files, "")
			continue
		}
		start.Files = append(start.Files, f.Name)
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONSOLE_FOLDER)
		files = append(files, f.Folder)
	}
	return files
}

// State asks what the container does. The pidfd of init is nil while there is none.
func (m *Monitor) State(ctx context.Context) (state *monitorv1.State, pidfd *os.File, err error) {
	request := &monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_GetState{GetState: &monitorv1.GetState{}}}
	response, descriptors, err := m.call(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	defer descriptors.Close()
	if taken := descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD); len(taken) > 0 {
		pidfd = taken[0]
		wire.CloseAll(taken[1:])
	}
	return response.GetState(), pidfd, nil
}

// Signal sends a signal to init.
func (m *Monitor) Signal(ctx context.Context, signal syscall.Signal) error {
	return m.do(ctx, &monitorv1.MonitorRequest{
		Request: &monitorv1.MonitorRequest_Signal{Signal: &monitorv1.Signal{Signal: uint32(signal)}},
	})
}

// Initctl writes a record for a runlevel to init's fifo: 0 halts, 6 reboots. If there is no such fifo, or nobody reads it,
// the error is of kind NOT_FOUND.
func (m *Monitor) Initctl(ctx context.Context, runlevel int) error {
	return m.do(ctx, &monitorv1.MonitorRequest{
		Request: &monitorv1.MonitorRequest_Initctl{Initctl: &monitorv1.Initctl{Runlevel: uint32(runlevel)}},
	})
}

// Disarm takes the restarts out of the policy: when init ends, or has ended and waits to be started again, nothing
// follows.
func (m *Monitor) Disarm(ctx context.Context) error {
	return m.do(ctx, &monitorv1.MonitorRequest{
		Request: &monitorv1.MonitorRequest_Disarm{Disarm: &monitorv1.Disarm{}},
	})
}

// SetPolicy says what follows the ends of init from now on; a restart that is held back comes all the same, within the limits, if
// they are given. A monitor of a davit that does not know it refuses with kind INVALID.
func (m *Monitor) SetPolicy(ctx context.Context, policy *monitorv1.Policy, limits *monitorv1.Limits) error {
	return m.do(ctx, &monitorv1.MonitorRequest{
		Request: &monitorv1.MonitorRequest_SetPolicy{SetPolicy: &monitorv1.SetPolicy{Policy: policy, Limits: limits}},
	})
}

// Intend tells what the init of a process id is about to be asked; if that is not init any more it is refused with kind STATE. A
// monitor of a davit that does not know it refuses with kind INVALID.
func (m *Monitor) Intend(ctx context.Context, intent monitorv1.Intent, pid int) error {
	return m.do(ctx, &monitorv1.MonitorRequest{
		Request: &monitorv1.MonitorRequest_Intend{Intend: &monitorv1.Intend{Intent: intent, Pid: uint32(pid)}},
	})
}

// Revise changes the devices of the container: all of it is done or, with an error, nothing. The files are those that
// revise.hold names, in its order, and stay the caller's. An error of kind STATE tells that the container has ended, also in the
// middle of it: nothing changed then. When ctx ends, or the connection fails, it may have been done or not. A monitor of a davit
// that does not know it refuses with kind INVALID.
func (m *Monitor) Revise(ctx context.Context, revise *monitorv1.Revise, held ...*os.File) error {
	request := &monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Revise{Revise: revise}}
	for range held {
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_HELD)
	}
	return m.do(ctx, request, held...)
}

// Quit ends the monitor. While init runs it is refused with kind STATE, unless kill is set. Events that were not
// acknowledged are lost.
func (m *Monitor) Quit(ctx context.Context, kill bool) error {
	return m.do(ctx, &monitorv1.MonitorRequest{
		Request: &monitorv1.MonitorRequest_Quit{Quit: &monitorv1.Quit{Kill: kill}},
	})
}

// do makes a request that is answered by nothing but that it was done.
func (m *Monitor) do(ctx context.Context, request *monitorv1.MonitorRequest, files ...*os.File) error {
	_, descriptors, err := m.call(ctx, request, files...)
	if err == nil {
		descriptors.Close()
	}
	return err
}

// call makes a request.
func (m *Monitor) call(
	ctx context.Context, request *monitorv1.MonitorRequest, files ...*os.File,
) (*monitorv1.MonitorResponse, *wire.Descriptors, error) {
	response := new(monitorv1.MonitorResponse)
	answered, err := m.peer.call(ctx, request, response, files)
	if err != nil {
		return nil, nil, fmt.Errorf("ask monitor: %w", err)
	}
	return repliedOf(response, answered)
}

// repliedOf is an answer of the monitor's, or the error in its place.
func repliedOf(response *monitorv1.MonitorResponse, answered []*os.File) (*monitorv1.MonitorResponse, *wire.Descriptors, error) {
	descriptors := wire.Name(response, answered)
	if response.GetError() != nil {
		descriptors.Close()
		return nil, nil, wire.FromProto(response.GetError())
	}
	return response, descriptors, nil
}

// one takes the one file of a kind that a response must carry, and closes all others.
func one(descriptors *wire.Descriptors, kind monitorv1.DescriptorKind) (*os.File, error) {
	defer descriptors.Close()
	taken := descriptors.Take(kind)
	if len(taken) != 1 {
		wire.CloseAll(taken)
		return nil, fmt.Errorf("answer carries %d descriptors of kind %d, not 1", len(taken), kind)
	}
	return taken[0], nil
}
