package client

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// KeeperSocket is the name of the keeper's socket in the run folder.
const KeeperSocket = "keeper.sock"

// Keeper is the keeper of an instance. Its methods may be called from any goroutine; a request that waits does not hold
// up another.
type Keeper struct{ peer *peer }

// DialKeeper connects to the keeper that listens in a run folder. If none does the error is ECONNREFUSED, or ENOENT when
// none ever did.
func DialKeeper(ctx context.Context, folder *os.File) (*Keeper, error) {
	p, err := newPeer(ctx, folder, KeeperSocket)
	if err != nil {
		return nil, err
	}
	return &Keeper{p}, nil
}

// Hello is what the keeper said of itself.
func (k *Keeper) Hello() *monitorv1.Hello { return k.peer.hello() }

// Close lets go of the keeper, which runs on.
func (k *Keeper) Close() error { return k.peer.close() }

// Gone waits until the keeper is gone, or ctx ends.
func (k *Keeper) Gone(ctx context.Context) { k.peer.gone(ctx) }

// Lost is Gone for who makes requests now and then, which go over the same connection. A request that fails must be the last.
func (k *Keeper) Lost(ctx context.Context) error { return k.peer.lost(ctx) }

// Spawn says which monitor to start.
type Spawn struct {
	// UUID of the domain, and generation of its start.
	UUID, Generation string
	// Program to run, of [SealedProgram].
	Program *os.File
	// Folder of the domain's state, where the monitor listens.
	Folder *os.File
	// Log of the monitor, open for appending.
	Log *os.File
}

// Spawned is a monitor that runs and listens.
type Spawned struct {
	// PID on the host.
	PID int
	// Pidfd of it.
	Pidfd *os.File
}

// Spawn starts a monitor and returns when it listens. A domain has one: a second is refused with kind BUSY.
func (k *Keeper) Spawn(ctx context.Context, spawn Spawn) (*Spawned, error) {
	response, descriptors, err := k.call(ctx, spawn.request(), spawn.Program, spawn.Folder, spawn.Log)
	if err != nil {
		return nil, err
	}
	return spawnedOf(response, descriptors)
}

// request asks for the monitor; the program, the folder and the log travel with it.
func (s Spawn) request() *monitorv1.KeeperRequest {
	return &monitorv1.KeeperRequest{
		Request: &monitorv1.KeeperRequest_Spawn{Spawn: &monitorv1.Spawn{Uuid: s.UUID, Generation: s.Generation}},
		Descriptors: []monitorv1.DescriptorKind{
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_PROGRAM,
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_FOLDER,
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_LOG,
		},
	}
}

// spawnedOf is the answer to it.
func spawnedOf(response *monitorv1.KeeperResponse, descriptors *wire.Descriptors) (*Spawned, error) {
	pidfd, err := one(descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD)
	if err != nil {
		return nil, fmt.Errorf("start monitor: %w", err)
	}
	return &Spawned{PID: int(response.GetSpawned().GetPid()), Pidfd: pidfd}, nil
}

// Deposit is what is kept for a domain, so that it outlives the domain's monitor.
type Deposit struct {
	// UUID of the domain, and generation of its start.
	UUID, Generation string
	// InitPID is the process id of init.
	InitPID int
	// Pidfd of init.
	Pidfd *os.File
	// Consoles are the masters of its consoles, in order.
	Consoles []*os.File
	// Exit is how it ended, nil while it runs.
	Exit *monitorv1.Exit
	// Restarts before that init, and what it was asked to do.
	Restarts uint32
	Intent   monitorv1.Intent
	// Events that were not acknowledged, and the sequence before them.
	Acknowledged uint64
	Events       []*monitorv1.MonitorEvent
}

// Close closes the files.
func (d *Deposit) Close() { wire.CloseAll(append(d.Consoles, d.Pidfd)) }

// Deposit keeps descriptors in place of those kept before. The monitor does it.
func (k *Keeper) Deposit(ctx context.Context, deposit Deposit) error {
	request := &monitorv1.KeeperRequest{
		Request: &monitorv1.KeeperRequest_Deposit{Deposit: &monitorv1.Deposit{
			Uuid: deposit.UUID, Generation: deposit.Generation, InitPid: uint32(deposit.InitPID),
			Exit: deposit.Exit, Restarts: deposit.Restarts, Intent: deposit.Intent, Acknowledged: deposit.Acknowledged,
			Events: deposit.Events,
		}},
		Descriptors: []monitorv1.DescriptorKind{monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD},
	}
	for range deposit.Consoles {
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONSOLE)
	}
	return k.do(ctx, request, append([]*os.File{deposit.Pidfd}, deposit.Consoles...)...)
}

// Hold keeps what a domain holds and the namespaces that it shares, in place of what was kept of that before. The monitor does it. A
// keeper of a davit that does not know it refuses with kind INVALID.
func (k *Keeper) Hold(ctx context.Context, uuid string, held, namespaces []*os.File) error {
	request := &monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_Hold{Hold: &monitorv1.Hold{Uuid: uuid}}}
	for range held {
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_HELD)
	}
	for range namespaces {
		request.Descriptors = append(request.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_NAMESPACE)
	}
	return k.do(ctx, request, slices.Concat(held, namespaces)...)
}

// Withdraw gives a copy of what is kept for a domain. If there is none the error is of kind NOT_FOUND. Of a deposit that was made
// under an older davit the process id is 0 and all else unknown that is no descriptor.
func (k *Keeper) Withdraw(ctx context.Context, uuid string) (*Deposit, error) {
	response, descriptors, err := k.withdraw(ctx, uuid, false)
	if err != nil {
		return nil, err
	}
	kept := response.GetDeposit()
	d := &Deposit{
		UUID: uuid, InitPID: int(kept.GetInitPid()), Exit: kept.GetExit(), Restarts: kept.GetRestarts(), Intent: kept.GetIntent(),
		Acknowledged: kept.GetAcknowledged(), Events: kept.GetEvents(),
		Consoles: descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONSOLE),
	}
	if d.Pidfd, err = one(descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD); err != nil {
		wire.CloseAll(d.Consoles)
		return nil, fmt.Errorf("withdraw descriptors: %w", err)
	}
	return d, nil
}

// Held gives copies of what a domain holds and of the namespaces that it shares, as far as they are kept.
func (k *Keeper) Held(ctx context.Context, uuid string) (held, namespaces []*os.File, err error) {
	_, descriptors, err := k.withdraw(ctx, uuid, true)
	if err != nil {
		return nil, nil, err
	}
	defer descriptors.Close()
	return descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_HELD),
		descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_NAMESPACE), nil
}

func (k *Keeper) withdraw(ctx context.Context, uuid string, held bool) (*monitorv1.KeeperResponse, *wire.Descriptors, error) {
	return k.call(ctx, &monitorv1.KeeperRequest{
		Request: &monitorv1.KeeperRequest_Withdraw{Withdraw: &monitorv1.Withdraw{Uuid: uuid, Held: held}},
	})
}

// Forget drops what is kept for a domain. It may be called again.
func (k *Keeper) Forget(ctx context.Context, uuid string) error {
	return k.do(ctx, &monitorv1.KeeperRequest{
		Request: &monitorv1.KeeperRequest_Forget{Forget: &monitorv1.Forget{Uuid: uuid}},
	})
}

// WaitOrphan tells how an init ended whose monitor is gone, and waits until it has. If nothing is kept for that init the
// error is of kind NOT_FOUND. Only where the monitor was killed between that it saw the end and that it told the keeper, which are
// microseconds, or where the keeper is another than the one that the init was born under, the exit is what the kernel remembers:
// unknown before 6.15, and SIGKILL for reboot(2).
func (k *Keeper) WaitOrphan(ctx context.Context, uuid string, pid int) (*monitorv1.Exit, error) {
	return k.waitOrphan(ctx, &monitorv1.WaitOrphan{Uuid: uuid, Pid: uint32(pid)})
}

// WaitAdopted is WaitOrphan for the monitor that has adopted the init.
func (k *Keeper) WaitAdopted(ctx context.Context, uuid string, pid int) (*monitorv1.Exit, error) {
	return k.waitOrphan(ctx, &monitorv1.WaitOrphan{Uuid: uuid, Pid: uint32(pid), Adopted: true})
}

func (k *Keeper) waitOrphan(ctx context.Context, wait *monitorv1.WaitOrphan) (*monitorv1.Exit, error) {
	request := &monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_WaitOrphan{WaitOrphan: wait}}
	response, descriptors, err := k.call(ctx, request)
	if err != nil {
		return nil, err
	}
	descriptors.Close()
	return response.GetExit(), nil
}

// Monitors lists the monitors that are the keeper's children.
func (k *Keeper) Monitors(ctx context.Context) ([]*monitorv1.MonitorEntry, error) {
	request := &monitorv1.KeeperRequest{
		Request: &monitorv1.KeeperRequest_ListMonitors{ListMonitors: &monitorv1.ListMonitors{}},
	}
	response, descriptors, err := k.call(ctx, request)
	if err != nil {
		return nil, err
	}
	descriptors.Close()
	return response.GetMonitors().GetMonitors(), nil
}

// Quit ends the keeper. While it has monitors, or inits whose monitor is gone, it is refused with kind STATE.
func (k *Keeper) Quit(ctx context.Context) error {
	return k.do(ctx, &monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_Quit{Quit: &monitorv1.Quit{}}})
}

// do makes a request that is answered by nothing but that it was done.
func (k *Keeper) do(ctx context.Context, request *monitorv1.KeeperRequest, files ...*os.File) error {
	_, descriptors, err := k.call(ctx, request, files...)
	if err == nil {
		descriptors.Close()
	}
	return err
}

// call makes a request.
func (k *Keeper) call(
	ctx context.Context, request *monitorv1.KeeperRequest, files ...*os.File,
) (*monitorv1.KeeperResponse, *wire.Descriptors, error) {
	response := new(monitorv1.KeeperResponse)
	answered, err := k.peer.call(ctx, request, response, files)
	if err != nil {
		return nil, nil, fmt.Errorf("ask keeper: %w", err)
	}
	return answerOf(response, answered)
}

// answerOf is an answer of the keeper's, or the error in its place.
func answerOf(response *monitorv1.KeeperResponse, answered []*os.File) (*monitorv1.KeeperResponse, *wire.Descriptors, error) {
	descriptors := wire.Name(response, answered)
	if response.GetError() != nil {
		descriptors.Close()
		return nil, nil, wire.FromProto(response.GetError())
	}
	return response, descriptors, nil
}
