package client

import (
	"context"
	"os"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Adopt has a monitor take over the container of one that was killed, in place of a start: what the keeper has of it the monitor asks of
// the keeper. Where that has nothing, known is what is known otherwise, its pidfd that of an init that runs. What is held and shared is
// not to be given: it is kept, or lost. A monitor of a davit that does not know it refuses with kind INVALID.
func (m *Monitor) Adopt(ctx context.Context, plan *monitorv1.Plan, cgroups Cgroups, logs Logs, known *Deposit) error {
	start := &monitorv1.Start{Plan: plan}
	adopt := &monitorv1.Adopt{Start: start}
	request := &monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Adopt{Adopt: adopt}}
	files := describe(start, request, Cgroups{Cgroup2: cgroups.Cgroup2, Tasks: cgroups.Tasks}, logs)
	if known != nil {
		adopt.Known = &monitorv1.Deposit{
			InitPid: uint32(known.InitPID), Restarts: known.Restarts, Acknowledged: known.Acknowledged,
		}
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD)
		files = append(files, known.Pidfd)
	}
	return m.do(ctx, request, files...)
}

// Expect is a monitor of a state folder that nobody is connected to yet, as there is none.
func Expect(folder *os.File) (*Monitor, error) {
	own, err := wire.Duplicate(folder)
	if err != nil {
		return nil, err
	}
	return &Monitor{&peer{folder: own, socket: MonitorSocket}}, nil
}

// Renew connects to the monitor that listens now, in the place of the one before it. Connections to that are let go of.
func (m *Monitor) Renew(ctx context.Context, folder *os.File) error {
	next, err := newPeer(ctx, folder, MonitorSocket)
	if err != nil {
		return err
	}
	return m.peer.become(next)
}
