package monitor

import (
	"math"
	"os"
	"syscall"
	"time"

	"github.com/davitd/davit/driver/monitor/consolelog"
	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// maxTasks is the most hierarchies of version 1.
	maxTasks = 32
	// maxShared is the most namespaces that a container shares: one of each kind.
	maxShared = 3
)

// talk answers a caller's requests.
func (m *monitor) talk(conn *wire.Conn) error {
	for {
		stream, err := m.answer(conn)
		if err != nil {
			return err
		}
		if stream != nil && !stream() {
			return nil
		}
	}
}

// answer answers a request. Some turn the connection into a stream, which is then served in place of requests; it tells whether requests
// follow.
func (m *monitor) answer(conn *wire.Conn) (stream func() bool, err error) {
	request := new(monitorv1.MonitorRequest)
	files, err := conn.Receive(request)
	if err != nil {
		return nil, err
	}
	descriptors := wire.Name(request, files)
	defer descriptors.Close()
	if err := descriptors.Only(allowed(request)); err != nil {
		return nil, respond(conn, nil, refuse("use descriptors", monitorv1.ErrorKind_ERROR_KIND_INVALID, err.Error()))
	}
	switch r := request.GetRequest().(type) {
	case *monitorv1.MonitorRequest_Watch:
		return onlyStream(func() { m.serveWatch(conn, r.Watch) }), respond(conn, &monitorv1.MonitorResponse{}, nil)
	case *monitorv1.MonitorRequest_OpenConsole:
		return onlyStream(func() { m.serveConsole(conn, r.OpenConsole) }), nil
	case *monitorv1.MonitorRequest_Exec:
		return func() bool { return m.serveExec(conn, r.Exec) }, nil
	case *monitorv1.MonitorRequest_Furnish:
		return onlyStream(func() { m.serveFurnish(conn) }), respond(conn, &monitorv1.MonitorResponse{}, nil)
	case *monitorv1.MonitorRequest_Start:
		response, pidfd, failed := m.start(r.Start, descriptors)
		if failed == nil && r.Start.GetWatch() {
			stream = onlyStream(func() { m.serveWatch(conn, &monitorv1.Watch{}) })
		}
		return stream, respond(conn, response, failed, pidfd)
	case *monitorv1.MonitorRequest_GetState:
		state, pidfd, err := m.container.State()
		response := &monitorv1.MonitorResponse{Response: &monitorv1.MonitorResponse_State{State: state}}
		return nil, respond(conn, response, err, pidfd)
	case *monitorv1.MonitorRequest_GetPlan:
		plan, err := m.container.Plan()
		return nil, respond(conn, &monitorv1.MonitorResponse{Response: &monitorv1.MonitorResponse_Plan{Plan: plan}}, err)
	case *monitorv1.MonitorRequest_Quit:
		return nil, m.serveQuit(conn, r.Quit)
	case *monitorv1.MonitorRequest_Adopt:
		return nil, respond(conn, &monitorv1.MonitorResponse{}, m.adopt(r.Adopt, descriptors))
	case *monitorv1.MonitorRequest_Revise:
		held := descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_HELD)
		return nil, respond(conn, &monitorv1.MonitorResponse{}, m.container.Revise(r.Revise, held))
	}
	return nil, respond(conn, &monitorv1.MonitorResponse{}, m.do(conn, request))
}

// onlyStream is a stream that no request follows.
func onlyStream(serve func()) func() bool {
	return func() bool {
		serve()
		return false
	}
}

// allowed are the descriptors that may come with a request.
func allowed(request *monitorv1.MonitorRequest) map[monitorv1.DescriptorKind]int {
	if request.GetRevise() != nil {
		return map[monitorv1.DescriptorKind]int{monitorv1.DescriptorKind_DESCRIPTOR_KIND_HELD: wire.MaxDescriptors}
	}
	if request.GetStart() == nil && request.GetAdopt() == nil {
		return nil
	}
	return map[monitorv1.DescriptorKind]int{
		monitorv1.DescriptorKind_DESCRIPTOR_KIND_CGROUP2:        1,
		monitorv1.DescriptorKind_DESCRIPTOR_KIND_CGROUP1_TASKS:  maxTasks,
		monitorv1.DescriptorKind_DESCRIPTOR_KIND_LOGS:           1,
		monitorv1.DescriptorKind_DESCRIPTOR_KIND_NAMESPACE:      maxShared,
		monitorv1.DescriptorKind_DESCRIPTOR_KIND_HELD:           wire.MaxDescriptors,
		monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONSOLE_FOLDER: maxConsoles,
		monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD:          1,
		monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONNECTION:     1,
	}
}

// do does what has no answer but that it was done.
func (m *monitor) do(conn *wire.Conn, request *monitorv1.MonitorRequest) error {
	switch r := request.GetRequest().(type) {
	case *monitorv1.MonitorRequest_Signal:
		return m.container.Signal(syscall.Signal(r.Signal.GetSignal()))
	case *monitorv1.MonitorRequest_Initctl:
		return m.container.Initctl(r.Initctl.GetRunlevel())
	case *monitorv1.MonitorRequest_Disarm:
		m.container.Disarm()
		return nil
	case *monitorv1.MonitorRequest_SetPolicy:
		return m.container.SetPolicy(r.SetPolicy.GetPolicy(), r.SetPolicy.GetLimits())
	case *monitorv1.MonitorRequest_Intend:
		return m.container.Intend(r.Intend.GetIntent(), int(r.Intend.GetPid()))
	}
	return conn.Strange()
}

// start makes the container.
func (m *monitor) start(
	start *monitorv1.Start, descriptors *wire.Descriptors,
) (*monitorv1.MonitorResponse, *os.File, error) {
	cgroups, output, err := m.furnishings(start, descriptors)
	if err != nil {
		return nil, nil, err
	}
	cgroups.Namespaces = descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_NAMESPACE)
	cgroups.Held = descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_HELD)
	for _, connection := range descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONNECTION) {
		if err = m.attendFurnish(connection); err != nil {
			cgroups.closeFiles()
			cgroups.close()
			output.Close()
			return nil, nil, err
		}
	}
	started, pidfd, err := m.container.Start(start.GetPlan(), cgroups, output)
	if err != nil {
		return nil, nil, err
	}
	return &monitorv1.MonitorResponse{Response: &monitorv1.MonitorResponse_Started{Started: started}}, pidfd, nil
}

// furnishings are what davitd opens for a container, whoever makes it.
func (m *monitor) furnishings(start *monitorv1.Start, descriptors *wire.Descriptors) (cgroups Cgroups, output *consolelog.Log, err error) {
	if cgroups.Files, err = m.openFiles(start, descriptors); err != nil {
		return cgroups, nil, err
	}
	cgroups.Tasks = descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_CGROUP1_TASKS)
	for _, folder := range descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_CGROUP2) {
		cgroups.Cgroup2 = folder
	}
	return cgroups, m.openLog(start.GetLog(), descriptors), nil
}

// openLog opens the log of the consoles; nil if there is to be none.
func (m *monitor) openLog(p *monitorv1.LogPolicy, descriptors *wire.Descriptors) *consolelog.Log {
	folders := descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_LOGS)
	if len(folders) == 0 {
		return nil
	}
	return m.openIn(folders[0], "", p)
}

// openIn opens the log of the consoles in a folder or, if it has a name, the file of a console.
func (m *monitor) openIn(folder *os.File, name string, p *monitorv1.LogPolicy) *consolelog.Log {
	return consolelog.Open(consolelog.Options{
		Folder: folder, Name: name, Raw: name != "",
		MaxBytes: int64(min(p.GetMaxBytes(), math.MaxInt64)), MaxFiles: int(min(p.GetMaxFiles(), math.MaxInt32)),
		Fault: func(err error) { m.log.Write(logline.Warn, "console log cannot be written", logline.Err(err)) },
	})
}

// serveQuit ends the monitor, once its container has ended.
func (m *monitor) serveQuit(conn *wire.Conn, quit *monitorv1.Quit) error {
	if !m.container.Idle() {
		if !quit.GetKill() {
			return respond(conn, nil, refuse("quit", monitorv1.ErrorKind_ERROR_KIND_STATE, "the container runs"))
		}
		m.container.Kill()
		<-m.container.Ended()
	}
	err := respond(conn, &monitorv1.MonitorResponse{}, nil)
	m.leave()
	return err
}

// respond sends a response, or the error in its place, and a pidfd if there is one.
func respond(conn *wire.Conn, response *monitorv1.MonitorResponse, err error, pidfd ...*os.File) error {
	defer wire.CloseAll(pidfd)
	files := make([]*os.File, 0, 1)
	switch {
	case err != nil:
		response = &monitorv1.MonitorResponse{Error: wire.ToProto(err)}
	case response.GetResponse() == nil:
		response.Response = &monitorv1.MonitorResponse_Done{Done: &monitorv1.Done{}}
	case len(pidfd) > 0 && pidfd[0] != nil:
		files = append(files, pidfd[0])
		response.Descriptors = []monitorv1.DescriptorKind{monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD}
	}
	if err := conn.SetWriteDeadline(time.Now().Add(wire.FrameTimeout)); err != nil {
		return err
	}
	if err := conn.Send(response, files...); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}
