package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// glibc keeps the first two real-time signals of the kernel for itself, so its SIGRTMIN, which systemd counts from, is 34.
const rtmin = 34

// manners is how a kind of init is asked to end and to reboot.
type manners struct{ poweroff, reboot syscall.Signal }

var (
	// systemd(1), "Signals".
	systemdManners = manners{rtmin + 3, rtmin + 5}
	// busybox init: SIGUSR1 halts, SIGUSR2 powers off, SIGTERM reboots.
	busyboxManners = manners{unix.SIGUSR2, unix.SIGTERM}
	// What libvirt sends.
	plainManners = manners{unix.SIGTERM, unix.SIGHUP}
)

func (m manners) signal(reboot bool) syscall.Signal {
	if reboot {
		return m.reboot
	}
	return m.poweroff
}

// Shutdown asks init to end or to reboot. Before it is asked the monitor is told what for: an init that is about to reboot may take
// the signal and do nothing with it, and its end is then the end that was asked for.
func (i *instance) Shutdown(ctx context.Context, mode davitv1.ShutdownMode, reboot bool) error {
	i.asking.Lock()
	defer i.asking.Unlock()
	op, intent := "shut down domain", monitorv1.Intent_INTENT_POWEROFF
	if reboot {
		op, intent = "reboot domain", monitorv1.Intent_INTENT_REBOOT
	}
	state, err := i.withInit(ctx, op)
	if err != nil {
		return err
	}
	before := state.GetIntent()
	if reboot && before == monitorv1.Intent_INTENT_POWEROFF {
		return i.state(op, "its init was asked to end, and is not asked to reboot any more; reset starts the domain anew")
	}
	pid := int(state.GetPid())
	if err = i.d.step("tell intent", func() error { return i.intend(ctx, op, intent, pid) }); err != nil {
		return err
	}
	request := request{op: op, pid: pid, reboot: reboot, patience: deafTime}
	asked := before != monitorv1.Intent_INTENT_UNSPECIFIED
	if asked {
		request.patience = 0
	}
	err = i.d.step("ask init", func() error { return i.request(ctx, request, mode) })
	switch {
	case err == nil, asked && errors.Is(err, domain.ErrFailedPrecondition): // one that ends already need not hear it twice
		return nil
	case !reboot && i.hasEnded(ctx, pid):
		return nil // by itself, or rebooting, and the monitor knew that it is not to come back
	}
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangTime)
	defer cancel()
	return errors.Join(err, i.intend(back, op, before, pid))
}

// hasEnded tells whether an init has ended, and the container with it.
func (i *instance) hasEnded(ctx context.Context, pid int) bool {
	brief, cancel := context.WithTimeout(ctx, deafTime)
	defer cancel()
	for wait := newPatience(); ; {
		if _, err := readStatus(pid); err == nil {
			return false
		}
		state, err := i.observe(brief)
		if err != nil || state == nil || state.GetPhase() == monitorv1.Phase_PHASE_ENDED {
			return err == nil
		}
		if state.GetPhase() != monitorv1.Phase_PHASE_RUNNING || int(state.GetPid()) != pid || wait.next(brief) != nil {
			return false
		}
	}
}

// intend tells the monitor what init is about to be asked. One of an older davit does not know such requests.
func (i *instance) intend(ctx context.Context, op string, intent monitorv1.Intent, pid int) error {
	err := i.monitor.Intend(ctx, intent, pid)
	told, ok := errors.AsType[*client.Error](err)
	switch {
	case ok && told.Kind == monitorv1.ErrorKind_ERROR_KIND_INVALID:
		return nil
	case ok && told.Kind == monitorv1.ErrorKind_ERROR_KIND_STATE:
		return i.state(op, justEnded)
	}
	return i.refused(op, err)
}

// justEnded is why an init cannot be asked that was there a moment ago.
const justEnded = "its init has just ended"

// request is what init is asked.
type request struct {
	op       string
	pid      int
	reboot   bool
	patience time.Duration // how long an init that does not hear is looked at
	known    bool          // it is of a kind that hears once it has begun
}

// request asks init in the way of a mode.
func (i *instance) request(ctx context.Context, q request, mode davitv1.ShutdownMode) error {
	switch mode {
	case davitv1.ShutdownMode_SHUTDOWN_MODE_INITCTL:
		return i.initctl(ctx, q.op, q.reboot)
	case davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL:
		return i.ask(ctx, q, plainManners.signal(q.reboot))
	default:
	}
	m, known := mannersOf(q.pid)
	switch {
	case known:
		q.known, q.patience = true, 10*q.patience
		return i.ask(ctx, q, m.signal(q.reboot))
	case i.initctl(ctx, q.op, q.reboot) == nil:
		return nil
	}
	return i.ask(ctx, q, m.signal(q.reboot))
}

// initctl writes a record to init's fifo.
func (i *instance) initctl(ctx context.Context, op string, reboot bool) error {
	runlevel := 0
	if reboot {
		runlevel = 6
	}
	err := i.monitor.Initctl(ctx, runlevel)
	var told *client.Error
	if errors.As(err, &told) && told.Kind == monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND {
		return i.state(op, "its init has no fifo for such requests, or does not read it; use another mode")
	}
	return i.refused(op, err)
}

// deafTime is how long an init is looked at before it counts as one that does not hear a signal: it may have just begun, or
// be between two waits for signals.
const deafTime = 200 * time.Millisecond

// ask sends init a signal, unless the kernel would drop it: process 1 of a namespace has no default actions.
func (i *instance) ask(ctx context.Context, q request, signal syscall.Signal) error {
	brief, cancel := context.WithTimeout(ctx, q.patience)
	defer cancel()
	for wait := newPatience(); ; {
		heard, comm, err := hears(q.pid, signal)
		switch {
		case gone(err) || errors.Is(err, unix.ESRCH):
			return i.state(q.op, justEnded)
		case err != nil:
			return fmt.Errorf("%s: look at init: %w", q.op, err)
		case heard, q.known && waits(q.pid):
			return i.signalInit(q.op, signal)
		}
		if wait.next(brief) == nil {
			continue
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case q.known:
			return i.signalInit(q.op, signal)
		default:
			instead := "destroy ends the domain"
			if q.reboot {
				instead = "reset starts the domain anew"
			}
			return i.state(q.op, fmt.Sprintf("its init, %q, has no handler for %s, and the kernel drops what the first process of a container "+
				"does not handle; %s", comm, unix.SignalName(signal), instead))
		}
	}
}

// signalInit signals the newest init that is known.
func (i *instance) signalInit(op string, signal syscall.Signal) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pidfd == nil {
		return i.state(op, justEnded)
	}
	err := unix.PidfdSendSignal(int(i.pidfd.Fd()), signal, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return i.state(op, justEnded)
	}
	if err != nil {
		return fmt.Errorf("%s: signal init: %w", op, err)
	}
	return nil
}

// mannersOf looks at what runs as init.
func mannersOf(pid int) (m manners, known bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
	exe, _ := os.Readlink(filepath.Join(dir, "exe"))
	switch program := filepath.Base(strings.TrimSuffix(exe, " (deleted)")); {
	case program == "systemd" || strings.TrimSpace(string(comm)) == "systemd":
		return systemdManners, true
	case strings.HasPrefix(program, "busybox") && strings.TrimSpace(string(comm)) == "init":
		return busyboxManners, true
	}
	return plainManners, false
}

// hears tells whether a signal does anything: whether init handles it, or blocks it, as those do that read signals from a
// descriptor.
func hears(pid int, signal syscall.Signal) (heard bool, comm string, err error) {
	st, err := readStatus(pid)
	if err != nil {
		return false, "", err
	}
	bit := uint64(1) << (uint(signal) - 1)
	for _, field := range []string{"SigCgt", "SigBlk"} {
		set, err := strconv.ParseUint(st[field], 16, 64)
		if err != nil {
			return false, "", fmt.Errorf("read %s of process %d: %w", field, pid, err)
		}
		heard = heard || set&bit != 0
	}
	return heard, st["Name"], nil
}

// waits tells whether a process is in sigtimedwait(2), as busybox's init is: there the kernel shows none of the signals that it
// waits for, which are blocked, as such.
func waits(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "syscall"))
	number, _, _ := strings.Cut(string(text), " ")
	return err == nil && number == strconv.Itoa(unix.SYS_RT_SIGTIMEDWAIT)
}
