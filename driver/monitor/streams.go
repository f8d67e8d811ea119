package monitor

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/davitd/davit/driver/monitor/console"
	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/session"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// consoleFrame is the most console output in one frame.
	consoleFrame = 16 << 10
	// lookAfter is how long input waits for a command before it is asked whether the caller is still there.
	lookAfter = time.Second
)

// serveWatch sends events, and takes acknowledgements, until the caller goes or another takes over.
func (m *monitor) serveWatch(conn *wire.Conn, watch *monitorv1.Watch) {
	m.watching(conn)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer func() { _ = conn.Close() }()
		m.acknowledge(conn)
	}()
	after := watch.GetAfter()
	for {
		event, changed, err := m.container.Journal().Next(after)
		if err != nil {
			m.log.Write(logline.Error, "reading events failed", logline.Err(err))
			break
		}
		if event != nil {
			if conn.Send(event) != nil {
				break
			}
			after = event.GetSequence()
			continue
		}
		select {
		case <-changed:
			continue
		case <-gone:
		}
		break
	}
	_ = conn.Close()
	<-gone
}

// acknowledge takes acknowledgements until the caller goes.
func (m *monitor) acknowledge(conn *wire.Conn) {
	for {
		ack := new(monitorv1.Ack)
		if _, err := conn.Receive(ack); err != nil {
			return
		}
		if err := m.container.Journal().Acknowledge(ack.GetSequence()); err != nil {
			m.log.Write(logline.Warn, "acknowledgement refused", logline.Err(err))
			return
		}
	}
}

// serveConsole connects a caller to a console.
func (m *monitor) serveConsole(conn *wire.Conn, open *monitorv1.OpenConsole) {
	found, err := m.container.Console(open.GetAlias())
	if err != nil {
		sendError(conn, err)
		return
	}
	a, err := found.Open(console.Options{
		ReadOnly: open.GetReadOnly(), Force: open.GetForce(), Follow: open.GetFollow(), Start: open.GetStart(),
		Offset: open.GetOffset(),
	})
	if err != nil {
		sendError(conn, err)
		return
	}
	defer a.Close()
	opened := &monitorv1.StreamOpened{Offset: a.Offset(), Name: found.Alias()}
	if conn.Send(&monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Opened{Opened: opened}}) != nil {
		return
	}
	f := &flow{conn: conn}
	f.both(a.Close, func(input *monitorv1.StreamInput) error { return typeIn(a, input) }, func() error {
		defer m.outlets.open()()
		return sendConsole(conn, a)
	})
}

// typeIn does what the caller of a console sent.
func typeIn(a *console.Attachment, input *monitorv1.StreamInput) error {
	switch in := input.GetInput().(type) {
	case *monitorv1.StreamInput_Data:
		return a.Write(in.Data)
	case *monitorv1.StreamInput_Size:
		size := in.Size
		if size.GetRows() <= 65535 && size.GetColumns() <= 65535 {
			return a.Resize(uint16(size.GetRows()), uint16(size.GetColumns()))
		}
	case *monitorv1.StreamInput_End:
		return nil // a console has no end
	}
	return refuse("write to console", monitorv1.ErrorKind_ERROR_KIND_INVALID, "the input makes no sense for a console")
}

// sendConsole sends what a console says, to its end.
func sendConsole(conn *wire.Conn, a *console.Attachment) error {
	buffer := make([]byte, consoleFrame)
	for {
		n, offset, err := a.Read(buffer)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, console.ErrTaken):
			closed := &monitorv1.StreamClosed{Taken: errors.Is(err, console.ErrTaken)}
			return conn.Send(&monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Closed{Closed: closed}})
		case err != nil:
			return err
		}
		data := &monitorv1.StreamData{Offset: offset, Data: buffer[:n]}
		if err := conn.Send(&monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Data{Data: data}}); err != nil {
			return err
		}
	}
}

// serveExec connects a caller to a command, and tells whether the caller has said that requests follow.
func (m *monitor) serveExec(conn *wire.Conn, exec *monitorv1.Exec) (again bool) {
	a, err := m.container.Exec(exec)
	if err != nil {
		sendError(conn, err)
		return false
	}
	defer a.Close()
	opened := &monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Opened{Opened: a.Opened()}}
	if conn.Send(opened) != nil {
		return false
	}
	f := &flow{conn: conn}
	return f.both(a.Close, a.Handle, func() error {
		defer m.outlets.open()()
		return f.sendAll(a)
	})
}

// sendAll sends what a command says, to its end.
func (f *flow) sendAll(a *session.Attachment) error {
	for {
		outputs, last, err := a.ReceiveAll()
		if err != nil {
			return err
		}
		if last {
			// Another may attach as soon as the caller knows of the end.
			f.end()
			a.Close()
		}
		if err = wire.SendAll(f.conn, outputs); err != nil || last {
			return err
		}
	}
}

// A flow is a stream in both directions. Once it has ended, what the caller still sends until it has heard that is nobody's, and no error:
// an answer to it would be taken for one to the next request.
type flow struct {
	conn  *wire.Conn
	mu    sync.Mutex
	ended bool
}

// end tells that nothing is sent but what tells the end.
func (f *flow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
}

// refuse ends a flow with an error, unless it has ended.
func (f *flow) refuse(err error) (refused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		sendError(f.conn, err)
	}
	return !f.ended
}

// both runs the two directions until either ends, and tells whether the caller has said that requests follow. leave is called when the
// caller is gone, also while handle waits.
func (f *flow) both(leave func(), handle func(*monitorv1.StreamInput) error, send func() error) (again bool) {
	received := make(chan bool, 1)
	go func() {
		done := f.take(leave, handle)
		leave()
		received <- done
	}()
	err := send()
	f.mu.Lock()
	over := err == nil && f.ended
	f.mu.Unlock()
	if !over {
		// Whether the caller went away or hears no more, the other direction learns it by the closed connection.
		_ = f.conn.Close()
	}
	return <-received && over
}

// take does what the caller sends until it goes, or has said that it is done.
func (f *flow) take(leave func(), handle func(*monitorv1.StreamInput) error) (done bool) {
	for {
		input := new(monitorv1.StreamInput)
		if _, err := f.conn.Receive(input); err != nil {
			return false
		}
		if input.GetDone() {
			return true
		}
		handled := lookForCaller(f.conn, leave)
		err := handle(input)
		handled()
		if err != nil && f.refuse(err) {
			return false
		}
	}
}

// lookForCaller looks again and again whether the caller is still there, while nobody receives from it.
func lookForCaller(conn *wire.Conn, leave func()) (done func()) {
	stopped := make(chan struct{})
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() { // it begins when timer is set
		select {
		case <-stopped:
			return
		default:
		}
		if conn.HungUp() {
			leave()
			return
		}
		timer.Reset(lookAfter)
	})
	timer.Reset(lookAfter)
	return func() {
		close(stopped)
		timer.Stop()
	}
}

// sendError ends a stream with an error. The caller may be gone.
func sendError(conn *wire.Conn, err error) {
	_ = conn.Send(&monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Error{Error: wire.ToProto(err)}})
}
