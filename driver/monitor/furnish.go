package monitor

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// furniture is where a launch that waits for its network namespace to be furnished meets whoever does that. The launch asks itself,
// without another goroutine: it has the processor, and whoever furnishes has the longer way.
type furniture struct {
	mu sync.Mutex
	// caller is who furnishes, nil if nobody does; asked is what he has yet to answer, in order.
	caller *wire.Conn
	asked  []*unfurnished
	// waiting is what is to be furnished, nil if nothing is.
	waiting *unfurnished
}

// unfurnished is a network namespace that waits.
type unfurnished struct {
	netns *os.File // nil for a container without one of its own
	done  chan error
}

// furnish asks for a namespace to be furnished, and gives what waits until it is. A caller that goes meanwhile is followed by the next:
// davitd may be restarted, and the container with it.
func (f *furniture) furnish(ctx context.Context, netns *os.File, calledOff <-chan struct{}) func() error {
	u := &unfurnished{netns: netns, done: make(chan error, 1)}
	f.mu.Lock()
	f.waiting = u
	f.ask()
	f.mu.Unlock()
	return func() error {
		defer f.forget(u)
		select {
		case err := <-u.done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-calledOff:
			return errCalledOff()
		}
	}
}

// ask asks the caller for what waits, if there are both. The lock mu is held.
func (f *furniture) ask() {
	u := f.waiting
	if u == nil || f.caller == nil {
		return
	}
	request, files := &monitorv1.Furnishing{}, []*os.File(nil)
	if u.netns != nil {
		request.Descriptors = []monitorv1.DescriptorKind{monitorv1.DescriptorKind_DESCRIPTOR_KIND_NAMESPACE}
		files = []*os.File{u.netns}
	}
	f.asked = append(f.asked, u)
	if f.caller.Send(request, files...) != nil {
		_ = f.caller.Close() // whoever receives from it ends it
	}
}

// forget ends the wait for one. Its file is not used afterwards.
func (f *furniture) forget(u *unfurnished) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting == u {
		f.waiting = nil
	}
}

// take makes a connection that of the caller, in the place of another.
func (f *furniture) take(conn *wire.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.caller != nil {
		_ = f.caller.Close() // it may be closed already
	}
	f.caller, f.asked = conn, nil
	f.ask()
}

// leave ends a connection. What it did not answer is asked of the next.
func (f *furniture) leave(conn *wire.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = conn.Close()
	if f.caller == conn {
		f.caller, f.asked = nil, nil
	}
}

// answer is what a caller has to say of what it was asked; false tells that it was asked nothing.
func (f *furniture) answer(conn *wire.Conn, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.caller != conn || len(f.asked) == 0 {
		return false
	}
	u := f.asked[0]
	f.asked = f.asked[1:]
	u.done <- err
	if f.waiting == u {
		f.waiting = nil
	}
	return true
}

func errCalledOff() error {
	return refuse("furnish network namespace", monitorv1.ErrorKind_ERROR_KIND_STATE, "the start was called off")
}

// attendFurnish serves a caller who came with the start.
func (m *monitor) attendFurnish(connection *os.File) error {
	conn, err := wire.Take(connection)
	if err != nil {
		return errors.Join(err, connection.Close())
	}
	m.container.furniture.take(conn)
	go m.hearFurnish(conn)
	return nil
}

// serveFurnish hands namespaces to a caller, until it goes or another takes over.
func (m *monitor) serveFurnish(conn *wire.Conn) {
	m.container.furniture.take(conn)
	m.hearFurnish(conn)
}

// hearFurnish takes the answers of a caller.
func (m *monitor) hearFurnish(conn *wire.Conn) {
	f := &m.container.furniture
	defer f.leave(conn)
	for {
		told := new(monitorv1.Furnished)
		if _, err := conn.Receive(told); err != nil || !f.answer(conn, wire.FromProto(told.GetError())) {
			return
		}
	}
}
