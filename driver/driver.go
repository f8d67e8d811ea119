// Package driver is the contract between the engine, which knows what state a domain is in, and the drivers, which
// know how a container is made.
//
// A driver holds no policy and no definitions: the engine decides, stores and tells; the driver makes, watches and
// ends. One [Instance] is one run of a domain, named by a [Ref]: the domain's UUID and a generation that the engine
// makes up for each start, before anything is done. Whatever a driver makes on the host it can find again by the Ref,
// so that an engine that was killed at any instant asks [Driver.Recover] and learns the truth.
//
// Abilities that not every driver has are small interfaces of their own ([Planner], [FilesystemLister], [DeviceReporter]), found by
// assertion and told by [Capabilities].
//
// Errors are *domain.Error where a caller can act on them; all others count as internal. Package drivertest is this
// contract as a test suite.
package driver

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ErrStuck is the error, for errors.Is, of ending a container a process of which was killed and cannot die, because the kernel waits for
// something on its behalf.
var ErrStuck = &domain.Error{Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_PROCESS_STUCK}

// Driver makes containers.
type Driver interface {
	// Capabilities tells what the driver is and what the host lets it do.
	Capabilities(ctx context.Context) (Capabilities, error)
	// Check tells whether a definition could be started here as far as that can be seen without doing it; the
	// warnings name what this host would not honour, beyond what domain.NotHonoured tells of every host.
	Check(ctx context.Context, def *davitv1.Domain) ([]*davitv1.Warning, error)
	// Start makes the container and returns once its init runs. If it fails, or ctx ends first, nothing is left. A domain
	// has one run at a time: while an earlier one was not released it fails with code FAILED_PRECONDITION.
	Start(ctx context.Context, spec Spec) (Instance, error)
	// Recover finds the instance of an earlier start, whatever state it is in. If there is none, or it was not
	// complete, everything of it is removed and the error has code NOT_FOUND. Another run of the domain is not touched.
	Recover(ctx context.Context, spec Spec) (Instance, error)
	// Sweep removes everything that the driver made under its instance id and that belongs to none of keep. A ref without a
	// generation is a domain that does not run: nothing of a run is kept for it, but what is reserved for it. It is called once,
	// before the first Start.
	Sweep(ctx context.Context, keep []Ref) error
	// Forget removes what is kept for a domain between its runs (overlays with upper='keep').
	Forget(ctx context.Context, uuid string) error
	// Close lets go of everything, ends events and streams, and leaves the containers running.
	Close() error
}

// Planner is a driver that can tell what a start would do.
type Planner interface {
	// Plan is the start as text, one operation a line; verbose adds the system calls. Nothing is touched, and the same
	// definition on the same host gives the same text.
	Plan(ctx context.Context, def *davitv1.Domain, verbose bool) (string, error)
}

// Reserver is a driver that has things of the host reserved for domains also while they do not run: host ids, those that a definition
// names from its define on, others from the first start on.
type Reserver interface {
	// Reserve tells what is defined: each definition that is stored, when it is, under whatever name, and all that are there when the
	// daemon has started. It replaces what was told of the domain before; what a run of it has stays that run's.
	Reserve(ctx context.Context, definitions []*davitv1.Domain) error
	// Unreserve gives back what is reserved for a domain that is there no more; what it has stored is Forget's. While a run of it
	// was not released yet, that is done when it is.
	Unreserve(ctx context.Context, uuid string) error
}

// Diagnoser is a driver that can tell what it needs of the host, and what of that it has.
type Diagnoser interface {
	// Diagnose looks at the host, in the same order each time, and changes nothing.
	Diagnose(ctx context.Context) ([]*davitv1.Finding, error)
}

// FilesystemLister is an instance that can tell what is mounted in its container.
type FilesystemLister interface {
	// Filesystems lists mounts as init sees them, in the order in which they were made; see ListFilesystemsResponse for
	// how many. What the container was given is told by its alias in the live definition.
	Filesystems(ctx context.Context) ([]*davitv1.MountedFilesystem, error)
}

// DeviceReporter is an instance that can tell what its devices do.
type DeviceReporter interface {
	// Interfaces tells the network interfaces, those of the definition first and in its order, then those that the guest has beside
	// them, but for its loopback.
	Interfaces(ctx context.Context) ([]*davitv1.InterfaceStatus, error)
	// BlockDevices tells the disks, in the order of the definition.
	BlockDevices(ctx context.Context) ([]*davitv1.BlockDeviceStatus, error)
}

// Completer is an instance that chooses names which the definition leaves open. They are its own affair: the definitions that it is given,
// at Start, Recover and Update, hold none of them, and an instance that was recovered knows them still. It is asked after each start and
// restart of init, after each Recover and each Update.
type Completer interface {
	// Complete writes into a copy of the definition that runs what was chosen: the names of host ends.
	Complete(def *davitv1.Domain)
}

// Ref names one run of a domain.
type Ref struct {
	// UUID of the domain.
	UUID string
	// Generation of the start, unique for all time: a UUID.
	Generation string
}

// Spec says what to start.
type Spec struct {
	Ref
	// Definition is the live definition: canonical, validated, never changed by the driver.
	Definition *davitv1.Domain
	// Paused asks for a container that is frozen when Start returns; init may have run a few instructions.
	Paused bool
}

// Capabilities is what a driver is and can do.
type Capabilities struct {
	// Name of the driver: "lxc" or "fake".
	Name string
	// Features by name, as HostService.GetVersion tells them.
	Features []string
	// Cgroup is the layout of the host's cgroups: v1, hybrid or v2.
	Cgroup string
	// Controllers that limits can use.
	Controllers []string
	// Instance is the id that marks everything of this driver on the host.
	Instance string
}

// Instance is one run of a domain. Its methods may be called from any goroutine. Once it has stopped, those that need a
// running container fail with code FAILED_PRECONDITION.
type Instance interface {
	// Ref names it.
	Ref() Ref
	// Status asks the host what it does now.
	Status(ctx context.Context) (Status, error)
	// Events sends, in order, what happened after the given sequence and was not acknowledged, then what happens. The
	// channel is closed after [Stopped], or when ctx ends. An instance has one such reader: a second one ends the first.
	Events(ctx context.Context, after uint64) (<-chan Event, error)
	// Acknowledge tells that events up to a sequence are stored; they will not be sent again, but for a daemon that was
	// killed before the word arrived.
	Acknowledge(ctx context.Context, sequence uint64) error
	// Shutdown asks the guest to end, or to reboot, and returns at once. A request that the guest cannot hear, as its
	// init has no handler for the signal, or just now none runs, fails with code FAILED_PRECONDITION. After a request to end, a
	// reboot of that init counts as a power-off to the policy, whoever began it and when; an init that was asked to reboot before
	// need not hear it. After a request to reboot, an exit or a power-off of that init counts as a reboot. A request to reboot
	// that follows one to end fails with code FAILED_PRECONDITION.
	Shutdown(ctx context.Context, mode davitv1.ShutdownMode, reboot bool) error
	// Signal sends a signal to a process by its id in the domain.
	Signal(ctx context.Context, guestPID uint32, signal int) error
	// Suspend freezes all processes; it returns when they are.
	Suspend(ctx context.Context) error
	// Resume lets them run on.
	Resume(ctx context.Context) error
	// Update makes the limits of the container, what follows the end of its init, and its devices those of a definition that
	// differs from the live one in nothing else: all of it or, with an error, nothing. Devices are told apart by their aliases; one
	// whose definition is another now is changed, or refused. It may be told what holds already, also by a daemon that
	// does not know how far the one before it came: devices are then made what the definition says. A device that is in use
	// and was to go is an error with reason DEVICE_BUSY.
	Update(ctx context.Context, def *davitv1.Domain) error
	// Stats measures.
	Stats(ctx context.Context) (*davitv1.DomainStats, error)
	// Processes lists.
	Processes(ctx context.Context) ([]*davitv1.Process, error)
	// OpenConsole connects to a console. The context bounds opening only.
	OpenConsole(ctx context.Context, open ConsoleOptions) (Stream, error)
	// Exec runs a command, or attaches to one, which one caller can at a time. A caller misses no output, and a command that wrote more
	// than some 64 KiB that its caller has not read waits; without a caller the last 64 KiB are kept. The context bounds opening only.
	Exec(ctx context.Context, exec ExecOptions) (Stream, error)
	// Kill ends the container by force and returns when no process of it is left; no restart follows. The
	// Exited and Stopped events come as ever. If a process of it cannot die it fails with [ErrStuck] in good time; the container ends, and
	// the events come, when that process does.
	Kill(ctx context.Context) error
	// Release gives back everything that the host holds for the stopped instance; while it runs it fails with code
	// FAILED_PRECONDITION. Events that were not acknowledged are lost. It may be called again.
	Release(ctx context.Context) error
}

// Status is what an instance does now.
type Status struct {
	// Running is false once init has ended and nothing follows.
	Running bool
	// Paused tells that its processes are frozen.
	Paused bool
	// InitPID is the process id of init on the host, 0 while there is none.
	InitPID uint32
	// Restarts counts the guest's restarts.
	Restarts uint32
	// OOMKills counts the processes that the OOM killer killed.
	OOMKills uint64
}

// Event is something that happened to an instance: [Started], [Exited], [Restarted], [OOM] or [Stopped].
type Event struct {
	// Sequence orders the events of an instance, rising from 1; 0 for [OOM] and [Stopped], which are told anew by
	// whoever recovers the instance.
	Sequence uint64
	// Time is when it happened.
	Time time.Time
	// Kind is what happened.
	Kind EventKind
}

// EventKind is one of the types that follow.
type EventKind interface{ eventKind() }

// Started tells that init runs for the first time.
type Started struct {
	// InitPID on the host.
	InitPID uint32
	// Duration of the start.
	Duration time.Duration
}

// Cause is why init ended.
type Cause int

// The causes.
const (
	// CausePoweroff is an exit, or a guest that powered itself off.
	CausePoweroff Cause = iota + 1
	// CauseReboot is a guest that asked for a reboot.
	CauseReboot
	// CauseCrash is an init that a signal killed.
	CauseCrash
	// CauseLost is an instance whose supervisor was killed.
	CauseLost
)

// Exited tells that init ended. [Restarted] or [Stopped] follows.
type Exited struct {
	// Exit is how.
	Exit *davitv1.Exit
	// Cause is why.
	Cause Cause
	// Restart tells that init is started again, after Backoff.
	Restart bool
	// Backoff is how long that is held back.
	Backoff time.Duration
}

// Restarted tells that init runs again.
type Restarted struct {
	// InitPID on the host.
	InitPID uint32
	// Count of restarts so far.
	Count uint32
	// Backoff is how long it was held back.
	Backoff time.Duration
	// Cause is why the init before it ended.
	Cause Cause
}

// OOM tells that the OOM killer acted.
type OOM struct {
	// Count of processes that it killed since the start.
	Count uint64
}

// Stopped tells that nothing of the container runs or will run. It is the last event.
type Stopped struct {
	// Err is why, when a restart failed or the supervisor was lost; nil otherwise.
	Err error
}

func (Started) eventKind()   {}
func (Exited) eventKind()    {}
func (Restarted) eventKind() {}
func (OOM) eventKind()       {}
func (Stopped) eventKind()   {}

// ConsoleOptions says which console and from where.
type ConsoleOptions struct {
	// Alias of the console, "console0"; the first when empty.
	Alias string
	// Force takes it from who writes to it.
	Force bool
	// ReadOnly only reads.
	ReadOnly bool
	// Scrollback begins with the oldest byte that is kept.
	Scrollback bool
	// Offset, if not nil, begins there or with the oldest byte that is kept.
	Offset *uint64
	// Follow stays connected over restarts.
	Follow bool
}

// ExecOptions says what to run.
type ExecOptions struct {
	// ID names the session.
	ID string
	// Attach connects to the session of that ID; the rest is then unused.
	Attach bool
	// Argv is the command and its arguments.
	Argv []string
	// Env is NAME=VALUE beside the container's own variables.
	Env []string
	// Cwd is the working directory; the user's home when empty.
	Cwd string
	// User is USER[:GROUP]; init's when empty.
	User string
	// TTY gives it a terminal of the given size.
	TTY           bool
	Rows, Columns uint16
	// Detach keeps it when the stream is closed.
	Detach bool
	// Stdin gives it standard input.
	Stdin bool
}

// Stream is a connection to a console or command. Receive and the others may be called from two goroutines. A command whose
// stream is closed is ended, unless it was to be kept.
type Stream interface {
	// Opened tells what was opened.
	Opened() StreamOpened
	// Receive waits for output. After the last it returns [io.EOF].
	Receive() (StreamOutput, error)
	// Send writes to the terminal or standard input; it waits while the command does not read.
	Send(p []byte) error
	// CloseSend ends standard input.
	CloseSend() error
	// Resize sets the size of the terminal.
	Resize(rows, columns uint16) error
	// Signal sends a signal to the command.
	Signal(signal int) error
	// Close lets go.
	io.Closer
}

// StreamOpened is what a stream is connected to.
type StreamOpened struct {
	// Name is the alias of the console or the id of the session.
	Name string
	// PID of the command on the host.
	PID uint32
	// Offset of the next byte.
	Offset uint64
}

// StreamOutput is one of output, standard error, the exit of the command and, last, a note that the console was taken.
type StreamOutput struct {
	// Data was written to the terminal or standard output, from Offset on.
	Data   []byte
	Offset uint64
	// Stderr was written to standard error.
	Stderr []byte
	// Exit is how the command ended.
	Exit *davitv1.Exit
	// Taken tells that another caller took the console.
	Taken bool
}
