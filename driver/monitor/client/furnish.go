package client

import (
	"context"
	"fmt"
	"os"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Furnish are the network namespaces of containers that are being made, one after the other, each of which waits until it is
// furnished.
type Furnish struct{ conn *wire.Conn }

// Furnish takes it on to furnish the containers of a monitor whose plan asks for it. A monitor has one who does: a second
// one ends the first.
func (m *Monitor) Furnish(ctx context.Context) (*Furnish, error) {
	request := &monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Furnish{Furnish: &monitorv1.Furnish{}}}
	conn, err := m.turn(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("furnish containers of monitor: %w", err)
	}
	return &Furnish{conn}, nil
}

// Next waits for a namespace that is to be furnished, which is the caller's to close; [Furnish.Done] answers it. It may
// have been given to somebody who went before he could answer. It returns io.EOF when the monitor is gone or another took over.
// Once ctx ended the stream is of no further use.
func (f *Furnish) Next(ctx context.Context) (netns *os.File, err error) {
	request := new(monitorv1.Furnishing)
	var files []*os.File
	err = during(ctx, f.conn, func() error {
		files, err = f.conn.Receive(request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return one(wire.Name(request, files), monitorv1.DescriptorKind_DESCRIPTOR_KIND_NAMESPACE)
}

// Done tells that the namespace is furnished, or why it is not.
func (f *Furnish) Done(err error) error {
	answer := &monitorv1.Furnished{}
	if err != nil {
		answer.Error = wire.ToProto(err)
	}
	return f.conn.Send(answer)
}

// Close lets go of it. What waits is given to the next one.
func (f *Furnish) Close() error { return f.conn.Close() }
