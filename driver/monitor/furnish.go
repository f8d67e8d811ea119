package monitor

import (
	"context"
	"os"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// furniture is where a launch that waits for its network namespace to be furnished meets whoever does that.
type furniture chan *unfurnished

// unfurnished is a network namespace that waits. Whoever receives it owns the file, and answers once.
type unfurnished struct {
	netns *os.File
	done  chan answer
}

// answer is what became of it: err, or nobody could be asked.
type answer struct {
	err  error
	gone bool
}

// wait waits until the namespace is furnished. A caller that goes meanwhile is followed by the next: davitd may be
// restarted, and the container with it.
func (f furniture) wait(ctx context.Context, netns *os.File, calledOff <-chan struct{}) error {
	for {
		own, err := duplicate(netns)
		if err != nil {
			return err
		}
		u := &unfurnished{own, make(chan answer, 1)}
		select {
		case f <- u:
		case <-ctx.Done():
			wire.CloseAll([]*os.File{own})
			return ctx.Err()
		case <-calledOff:
			wire.CloseAll([]*os.File{own})
			return errCalledOff()
		}
		select {
		case a := <-u.done:
			if !a.gone {
				return a.err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-calledOff:
			return errCalledOff()
		}
	}
}

// duplicate is a second descriptor, nil for none.
func duplicate(f *os.File) (*os.File, error) {
	if f == nil {
		return nil, nil
	}
	return wire.Duplicate(f)
}

func errCalledOff() error {
	return refuse("furnish network namespace", monitorv1.ErrorKind_ERROR_KIND_STATE, "the start was called off")
}

// serveFurnish hands namespaces to a caller, until it goes or another takes over.
func (m *monitor) serveFurnish(conn *wire.Conn) {
	m.replace(&m.furnish, conn)
	defer func() { _ = conn.Close() }()
	answers, gone := make(chan *monitorv1.Furnished), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			f := new(monitorv1.Furnished)
			if _, err := conn.Receive(f); err != nil {
				return
			}
			answers <- f
		}
	}()
	for {
		select {
		case u := <-m.container.furniture:
			if !handOver(conn, u, answers, gone) {
				_ = conn.Close()
				drainAnswers(answers, gone)
				return
			}
		case <-answers:
			// An answer to no question.
			_ = conn.Close()
			drainAnswers(answers, gone)
			return
		case <-gone:
			return
		}
	}
}

// drainAnswers lets the reader of a connection that is closed come to its end.
func drainAnswers(answers <-chan *monitorv1.Furnished, gone <-chan struct{}) {
	for {
		select {
		case <-answers:
		case <-gone:
			return
		}
	}
}

// handOver has a namespace furnished; false tells that the caller is of no further use.
func handOver(conn *wire.Conn, u *unfurnished, answers <-chan *monitorv1.Furnished, gone <-chan struct{}) bool {
	request, files := &monitorv1.Furnishing{}, []*os.File(nil)
	if u.netns != nil {
		request.Descriptors = []monitorv1.DescriptorKind{monitorv1.DescriptorKind_DESCRIPTOR_KIND_NAMESPACE}
		files = []*os.File{u.netns}
	}
	err := conn.Send(request, files...)
	wire.CloseAll(files)
	if err != nil {
		u.done <- answer{gone: true}
		return false
	}
	select {
	case f := <-answers:
		u.done <- answer{err: wire.FromProto(f.GetError())}
		return true
	case <-gone:
		u.done <- answer{gone: true}
		return false
	}
}
