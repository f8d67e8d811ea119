package keeper

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/program"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// spawnTimeout is how long a monitor may take until it listens.
	spawnTimeout = 10 * time.Second
	// maxConsoles is the most consoles of a domain.
	maxConsoles = wire.MaxDescriptors - 1
)

// answer is what a request is answered with.
type answer struct {
	response *monitorv1.KeeperResponse
	files    []*os.File // closed once they are sent
}

// talk answers a caller's requests.
func (k *keeper) talk(conn *wire.Conn) error {
	for {
		request := new(monitorv1.KeeperRequest)
		files, err := conn.Receive(request)
		if err != nil {
			return err
		}
		descriptors := wire.Name(request, files)
		a, refusal := k.do(conn, request, descriptors)
		descriptors.Close()
		if err = respond(conn, a, refusal); err != nil {
			return err
		}
		if request.GetQuit() != nil && refusal == nil {
			k.leave()
		}
	}
}

// respond sends an answer, or the error in its place.
func respond(conn *wire.Conn, a answer, err error) error {
	defer wire.CloseAll(a.files)
	switch {
	case err != nil:
		a = answer{response: &monitorv1.KeeperResponse{Error: wire.ToProto(err)}}
	case a.response == nil:
		a.response = &monitorv1.KeeperResponse{Response: &monitorv1.KeeperResponse_Done{Done: &monitorv1.Done{}}}
	}
	if err := conn.SetWriteDeadline(time.Now().Add(wire.FrameTimeout)); err != nil {
		return err
	}
	if err := conn.Send(a.response, a.files...); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}

// do does what was asked.
func (k *keeper) do(conn *wire.Conn, request *monitorv1.KeeperRequest, descriptors *wire.Descriptors) (answer, error) {
	if err := descriptors.Only(allowed(request)); err != nil {
		return answer{}, refuse("use descriptors", "", monitorv1.ErrorKind_ERROR_KIND_INVALID, err.Error())
	}
	switch r := request.GetRequest().(type) {
	case *monitorv1.KeeperRequest_Spawn:
		return k.spawn(r.Spawn, descriptors)
	case *monitorv1.KeeperRequest_Deposit:
		return answer{}, k.deposit(r.Deposit, descriptors)
	case *monitorv1.KeeperRequest_Hold:
		held := answer{response: &monitorv1.KeeperResponse{
			Response: &monitorv1.KeeperResponse_Done{Done: &monitorv1.Done{}}, Descriptors: request.GetDescriptors(),
		}, files: descriptors.All()}
		k.family.hold(r.Hold.GetUuid(), held)
		return answer{}, nil
	case *monitorv1.KeeperRequest_Withdraw:
		return k.family.copies(r.Withdraw.GetUuid(), r.Withdraw.GetHeld())
	case *monitorv1.KeeperRequest_Forget:
		k.family.drop(r.Forget.GetUuid())
		return answer{}, nil
	case *monitorv1.KeeperRequest_WaitOrphan:
		return k.waitOrphan(conn, r.WaitOrphan)
	case *monitorv1.KeeperRequest_ListMonitors:
		list := &monitorv1.MonitorList{Monitors: k.family.list()}
		return answer{response: &monitorv1.KeeperResponse{
			Response: &monitorv1.KeeperResponse_Monitors{Monitors: list},
		}}, nil
	case *monitorv1.KeeperRequest_Quit:
		if why := k.family.needed(); why != "" {
			return answer{}, refuse("quit", "", monitorv1.ErrorKind_ERROR_KIND_STATE, why)
		}
		return answer{}, nil
	}
	return answer{}, conn.Strange()
}

// allowed are the descriptors that may come with a request.
func allowed(request *monitorv1.KeeperRequest) map[monitorv1.DescriptorKind]int {
	switch {
	case request.GetSpawn() != nil:
		return map[monitorv1.DescriptorKind]int{
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_PROGRAM:    1,
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_FOLDER:     1,
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_LOG:        1,
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONNECTION: 1,
		}
	case request.GetDeposit() != nil:
		return map[monitorv1.DescriptorKind]int{
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD:   1,
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONSOLE: maxConsoles,
		}
	case request.GetHold() != nil:
		return map[monitorv1.DescriptorKind]int{
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_HELD:      wire.MaxDescriptors,
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_NAMESPACE: wire.MaxDescriptors,
		}
	}
	return nil
}

// spawn starts a monitor and waits until it listens.
func (k *keeper) spawn(request *monitorv1.Spawn, descriptors *wire.Descriptors) (answer, error) {
	var files []*os.File
	for _, kind := range []monitorv1.DescriptorKind{
		monitorv1.DescriptorKind_DESCRIPTOR_KIND_PROGRAM, monitorv1.DescriptorKind_DESCRIPTOR_KIND_FOLDER,
		monitorv1.DescriptorKind_DESCRIPTOR_KIND_LOG,
	} {
		files = append(files, descriptors.Take(kind)...)
	}
	defer wire.CloseAll(files)
	if request.GetUuid() == "" || request.GetGeneration() == "" || len(files) != 3 {
		return answer{}, refuse("start monitor", request.GetUuid(), monitorv1.ErrorKind_ERROR_KIND_INVALID,
			"it needs a uuid, a generation, a program, a folder and a log")
	}
	wanted := spawn{
		uuid: request.GetUuid(), generation: request.GetGeneration(), program: files[0], folder: files[1], log: files[2],
	}
	if connection := descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONNECTION); len(connection) > 0 {
		wanted.connection = connection[0]
		defer wire.CloseAll(connection)
	}
	process, err := k.bear(wanted)
	if err != nil {
		return answer{}, err
	}
	return answer{
		response: &monitorv1.KeeperResponse{
			Response:    &monitorv1.KeeperResponse_Spawned{Spawned: &monitorv1.Spawned{Pid: uint32(process.PID)}},
			Descriptors: []monitorv1.DescriptorKind{monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD},
		},
		files: []*os.File{process.Pidfd},
	}, nil
}

// bear gets a monitor that listens. A spare that was lost on the way is no reason to fail: the next, or a new one, takes
// its place.
func (k *keeper) bear(s spawn) (*program.Process, error) {
	ctx, cancel := context.WithTimeout(context.Background(), spawnTimeout)
	defer cancel()
	for {
		process, spare, err := k.family.bear(s)
		if err != nil {
			return nil, err
		}
		if err = process.Ready(ctx); err == nil {
			return process, nil
		}
		k.log.Write(logline.Error, "starting monitor failed", logline.String("uuid", s.uuid), logline.Err(err))
		if err = errors.Join(err, k.family.disown(s.uuid, process)); !spare || ctx.Err() != nil {
			return nil, err
		}
	}
}

// deposit keeps descriptors.
func (k *keeper) deposit(d *monitorv1.Deposit, descriptors *wire.Descriptors) error {
	pidfd := descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD)
	if d.GetUuid() == "" || d.GetInitPid() == 0 || len(pidfd) != 1 {
		wire.CloseAll(pidfd)
		return refuse("keep descriptors", d.GetUuid(), monitorv1.ErrorKind_ERROR_KIND_INVALID,
			"it needs a uuid, a process id and a pidfd")
	}
	k.family.keep(d.GetUuid(), &deposit{
		pid: int(d.GetInitPid()), pidfd: pidfd[0], kept: d,
		consoles: descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONSOLE),
	}, d.GetExit())
	return nil
}
