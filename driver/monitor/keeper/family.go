package keeper

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/policy"
	"github.com/davitd/davit/driver/monitor/program"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// monitor is a child that runs.
type monitor struct {
	uuid, generation string
	pid              int
}

// deposit is what is kept of a run of an init.
type deposit struct {
	pid      int
	pidfd    *os.File
	consoles []*os.File
	exit     *monitorv1.Exit
	kept     *monitorv1.Deposit // as it was given
	changed  chan struct{}      // closed when exit is there, or the deposit is dropped
}

// family are the keeper's children and what it keeps for them, by the UUIDs of their domains. It may be used from any
// goroutine.
type family struct {
	log *logline.Log

	mu       sync.Mutex
	monitors map[string]*monitor
	deposits map[string]*deposit
	holds    map[string]answer // what domains hold open, as it is given back
	nursery  nursery
}

func newFamily(folder *os.File, log *logline.Log) *family {
	return &family{
		log: log, monitors: map[string]*monitor{}, deposits: map[string]*deposit{}, holds: map[string]answer{},
		nursery: nursery{folder: folder},
	}
}

// spawn says which monitor is wanted.
type spawn struct {
	uuid, generation     string
	program, folder, log *os.File
	// connection is what the monitor serves first, or nil.
	connection *os.File
}

// bear starts a monitor, or takes a spare and says so. It is in the table before anybody can reap it.
func (f *family) bear(s spawn) (process *program.Process, spare bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.monitors[s.uuid] != nil {
		f.harvest() // it may be dead, and the word of it on its way
	}
	if m := f.monitors[s.uuid]; m != nil {
		return nil, false, refuse("start monitor", s.uuid, monitorv1.ErrorKind_ERROR_KIND_BUSY,
			fmt.Sprintf("process %d is its monitor", m.pid))
	}
	if s.connection != nil && wire.HungUp(s.connection) {
		// Nobody would know of the monitor, and what was asked of it already would be done: who asked was killed.
		return nil, false, refuse("start monitor", s.uuid, monitorv1.ErrorKind_ERROR_KIND_STATE, "who wants it has gone")
	}
	process = f.assign(s)
	spare = process != nil
	if !spare {
		files := []*os.File{s.folder, f.nursery.folder}
		if s.connection != nil {
			files = append(files, s.connection)
		}
		process, err = program.Start(program.Options{
			Program: s.program, Argv: []string{"davit-monitor", s.uuid, s.generation}, Files: files, Log: s.log,
		})
	}
	if err != nil {
		return nil, false, err
	}
	f.monitors[s.uuid] = &monitor{uuid: s.uuid, generation: s.generation, pid: process.PID}
	return process, spare, nil
}

// disown ends a monitor that did not get ready, so that another can take its place.
func (f *family) disown(uuid string, process *program.Process) error {
	if err := process.Kill(); err != nil {
		return err
	}
	for !dead(process.Pidfd) {
		<-time.After(time.Millisecond)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.monitors[uuid]; m != nil && m.pid == process.PID {
		delete(f.monitors, uuid)
	}
	return process.Pidfd.Close()
}

// reap reaps all children that are dead, and remembers how the inits among them ended.
func (f *family) reap() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.harvest()
}

func (f *family) harvest() {
	for {
		// Who is dead is asked before it is reaped: an init must be reaped by its pidfd, for its number alone could be
		// another's by now.
		info, err := waitid(unix.P_ALL, 0, unix.WNOWAIT)
		if err != nil || info.pid == 0 {
			return
		}
		if f.reapInit(int(info.pid)) {
			continue
		}
		if _, err := waitid(unix.P_PID, int(info.pid), 0); err == nil {
			f.buried(info)
		}
	}
}

// reapInit reaps a dead child if it is an init that something is kept for.
func (f *family) reapInit(pid int) bool {
	for uuid, d := range f.deposits {
		if d.pid != pid || d.exit != nil {
			continue
		}
		if info, err := waitPidfd(d.pidfd, 0); err == nil && info.pid != 0 {
			f.conclude(uuid, d, info.exit())
			return true
		}
	}
	return false
}

// conclude keeps an exit.
func (f *family) conclude(uuid string, d *deposit, exit *monitorv1.Exit) {
	d.exit = exit
	close(d.changed)
	f.log.Write(logline.Info, "exit kept", logline.String("uuid", uuid), logline.Int("pid", d.pid),
		logline.String("exit", policy.ExitWords(exit)))
}

// buried notes the death of a child that was no init.
func (f *family) buried(info childInfo) {
	if f.lost(int(info.pid)) {
		return
	}
	for uuid, m := range f.monitors {
		if m.pid != int(info.pid) {
			continue
		}
		delete(f.monitors, uuid)
		f.log.Write(logline.Info, "monitor ended", logline.String("uuid", uuid), logline.Int("pid", m.pid),
			logline.String("exit", policy.ExitWords(info.exit())))
		// Its init is ours now. If the monitor had seen it end, only the kernel can tell how.
		if d := f.deposits[uuid]; d != nil && d.exit == nil && dead(d.pidfd) && !isChild(d.pidfd) {
			exit, _ := remembered(d.pidfd)
			f.conclude(uuid, d, exit)
		}
		return
	}
}

// keep keeps a deposit in place of the one before it, with how its init ended, if its monitor knows or we do.
func (f *family) keep(uuid string, d *deposit, exit *monitorv1.Exit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.deposits[uuid]
	f.forget(uuid)
	d.changed = make(chan struct{})
	f.deposits[uuid] = d
	switch {
	case before != nil && before.pid == d.pid && before.exit != nil:
		d.exit = before.exit
		close(d.changed)
	case exit != nil:
		f.conclude(uuid, d, exit)
	}
}

// hold keeps what a domain holds open in place of what was kept of that before.
func (f *family) hold(uuid string, held answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wire.CloseAll(f.holds[uuid].files)
	delete(f.holds, uuid)
	if len(held.files) > 0 {
		f.holds[uuid] = held
	}
}

// drop forgets a domain.
func (f *family) drop(uuid string) {
	f.hold(uuid, answer{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(uuid)
}

func (f *family) forget(uuid string) {
	d := f.deposits[uuid]
	if d == nil {
		return
	}
	delete(f.deposits, uuid)
	wire.CloseAll(append(d.consoles, d.pidfd))
	if d.exit == nil {
		close(d.changed)
	}
}

// copies gives what is kept for a domain, or what it holds, by descriptors of the caller's.
func (f *family) copies(uuid string, held bool) (a answer, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.deposits[uuid]
	if d == nil {
		return a, refuse("withdraw descriptors", uuid, monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND, "nothing is kept for it")
	}
	kept := f.holds[uuid]
	if !held {
		kept.response = &monitorv1.KeeperResponse{Response: &monitorv1.KeeperResponse_Deposit{Deposit: &monitorv1.Deposit{
			InitPid: uint32(d.pid), Exit: d.exit, Restarts: d.kept.GetRestarts(), Intent: d.kept.GetIntent(),
			Acknowledged: d.kept.GetAcknowledged(), Events: d.kept.GetEvents(),
		}}}
		kept.response.Descriptors = append(kept.response.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_PIDFD)
		for range d.consoles {
			kept.response.Descriptors = append(kept.response.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONSOLE)
		}
		kept.files = append([]*os.File{d.pidfd}, d.consoles...)
	}
	a.response = kept.response
	for _, file := range kept.files {
		own, err := wire.Duplicate(file)
		if err != nil {
			wire.CloseAll(a.files)
			return answer{}, err
		}
		a.files = append(a.files, own)
	}
	return a, nil
}

// orphan looks at an init that something is kept for: how it ended, or else a channel that is closed when that is known.
// An init that is no child of ours, because another keeper's monitor made it, has a death that nobody tells us; then its
// pidfd, which is the caller's, is given too. A monitor that is there tells it, if it has not adopted the init itself.
func (f *family) orphan(uuid string, pid int, adopted bool) (exit *monitorv1.Exit, changed <-chan struct{}, pidfd *os.File, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.deposits[uuid]
	if d == nil || d.pid != pid {
		return nil, nil, nil, refuse("wait for init", uuid, monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND,
			fmt.Sprintf("nothing is kept for process %d", pid))
	}
	if d.exit == nil && (adopted || f.monitors[uuid] == nil) && !isChild(d.pidfd) {
		pidfd, err = wire.Duplicate(d.pidfd)
	}
	return d.exit, d.changed, pidfd, err
}

// judge keeps how an init ended that was no child of the keeper's.
func (f *family) judge(uuid string, pid int, exit *monitorv1.Exit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.deposits[uuid]; d != nil && d.pid == pid && d.exit == nil {
		f.conclude(uuid, d, exit)
	}
}

// list lists the monitors.
func (f *family) list() []*monitorv1.MonitorEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	entries := make([]*monitorv1.MonitorEntry, 0, len(f.monitors))
	for _, m := range f.monitors {
		entries = append(entries, &monitorv1.MonitorEntry{Uuid: m.uuid, Generation: m.generation, Pid: uint32(m.pid)})
	}
	return entries
}

// needed tells why the keeper cannot go, or nothing.
func (f *family) needed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.harvest() // who asks may have seen the last monitor die before we were told
	if n := len(f.monitors); n > 0 {
		return fmt.Sprintf("there are %d monitors", n)
	}
	for uuid, d := range f.deposits {
		if d.exit == nil && !dead(d.pidfd) {
			return fmt.Sprintf("the init of domain %q runs without a monitor", uuid)
		}
	}
	return ""
}

// refuse is an error that is the keeper's own.
func refuse(operation, object string, kind monitorv1.ErrorKind, message string) error {
	return &wire.Error{Operation: operation, Object: object, Message: message, Kind: kind}
}
