package client

import (
	"context"
	"fmt"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Watch is a monitor's events as they come. One goroutine may wait for the next while another acknowledges.
type Watch struct{ conn *wire.Conn }

// Watch sends the events after a sequence that are kept, then those that come. A monitor has one watch: a second one ends
// the first.
func (m *Monitor) Watch(ctx context.Context, after uint64) (*Watch, error) {
	request := &monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Watch{Watch: &monitorv1.Watch{After: after}}}
	conn, err := m.turn(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("watch monitor: %w", err)
	}
	return &Watch{conn}, nil
}

// turn opens a connection of its own that a request turns into a stream of frames.
func (m *Monitor) turn(ctx context.Context, request *monitorv1.MonitorRequest) (*wire.Conn, error) {
	conn, err := m.peer.dial(ctx)
	if err != nil {
		return nil, err
	}
	response := new(monitorv1.MonitorResponse)
	err = during(ctx, conn, func() error {
		if sent := conn.Send(request); sent != nil {
			return sent
		}
		files, received := conn.Receive(response)
		wire.CloseAll(files)
		return received
	})
	if err == nil {
		err = wire.FromProto(response.GetError())
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// Next waits for the next event. It returns io.EOF when the monitor is gone or another watch took over. Once ctx ended
// the watch is of no further use.
func (w *Watch) Next(ctx context.Context) (*monitorv1.MonitorEvent, error) {
	event := new(monitorv1.MonitorEvent)
	err := during(ctx, w.conn, func() error {
		_, err := w.conn.Receive(event)
		return err
	})
	if err != nil {
		return nil, err
	}
	return event, nil
}

// Acknowledge tells the monitor that the events up to a sequence are stored and need not be kept.
func (w *Watch) Acknowledge(sequence uint64) error {
	return w.conn.Send(&monitorv1.Ack{Sequence: sequence})
}

// Close ends the watch. Next then fails.
func (w *Watch) Close() error { return w.conn.Close() }
