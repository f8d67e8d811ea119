package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/devices/link"
)

// An interface of the host that a guest is lent comes back from the guest's network namespace under its own name. Hardware comes back
// by itself when that namespace ends, under whatever name the guest has given it; interfaces that are made by software end with it.
// So davitd holds the namespace of a guest that it has lent something, and takes the loan back from there.

// lentTo is the network namespace of the boot that something was lent to, nil if nothing was.
func (i *instance) lentTo() *os.File {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lent
}

// holdLent holds the namespace of a boot.
func (i *instance) holdLent(netns *os.File) error {
	fd, err := unix.FcntlInt(netns.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("hold network namespace: %w", err)
	}
	i.letLent()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lent = os.NewFile(uintptr(fd), netns.Name())
	return nil
}

// letLent lets go of the namespace: nothing is lent to it any more.
func (i *instance) letLent() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.lent != nil {
		_ = i.lent.Close()
		i.lent = nil
	}
}

// findLent holds the namespace of an init that was lent something by an earlier davitd.
func (i *instance) findLent(pid int) {
	if pid == 0 || i.lentTo() != nil || !hasLoan(i.ports()) {
		return
	}
	netns, err := openNetns(pid)
	if err == nil {
		err = i.holdLent(netns)
		_ = netns.Close()
	}
	if err != nil {
		i.d.log.Warn("the network of a domain that was lent an interface is not found", zap.String("uuid", i.spec.UUID), zap.Error(err))
	}
}

// initPID is the process id of the init that the monitor told of last; 0 if it has ended.
func (i *instance) initPID() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pidfd == nil {
		return 0
	}
	pid, err := pidOf(i.pidfd)
	if err != nil {
		return 0
	}
	return pid
}

// pidOf is the process id of a pidfd (pidfd_open(2), /proc/self/fdinfo).
func pidOf(pidfd *os.File) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd.Fd()))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(parseStatus(string(text))["Pid"])
	return max(n, 0), err
}

func openNetns(pid int) (*os.File, error) { return os.Open(fmt.Sprintf("/proc/%d/ns/net", pid)) }

// loanNetwork is the network namespace of a domain that something was lent to, nil if nothing was or the domain has ended. The file
// is the caller's.
func (d *Driver) loanNetwork(uuid string, folder *os.File, group *cgroup.Group) *os.File {
	if folder == nil {
		return nil
	}
	if r, err := readRecord(folder); err != nil || !hasLoan(r.Interfaces) {
		return nil
	}
	d.mu.Lock()
	live := d.lives[uuid]
	d.mu.Unlock()
	if live != nil {
		if held := live.lentTo(); held != nil {
			if fd, err := unix.FcntlInt(held.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
				return os.NewFile(uintptr(fd), held.Name())
			}
		}
	}
	if group == nil {
		return nil
	}
	pids, _ := group.Procs() // a cgroup that is gone has none
	for _, pid := range pids {
		if guest, err := guestPID(pid); err == nil && guest == 1 {
			if netns, err := openNetns(pid); err == nil {
				return netns
			}
		}
	}
	return nil
}

// homeTime is how long hardware is waited for that the kernel brings home.
const homeTime = 5 * time.Second

// takeBack takes back what was lent to a domain that has ended. What the guest has hidden, or what has gone, is told in the log: the
// domain ends all the same.
func (d *Driver) takeBack(ctx context.Context, host *link.Host, uuid string, loan link.Loan, guest *os.File) error {
	err := host.GiveBack(guest, loan)
	ctx, cancel := context.WithTimeout(ctx, homeTime)
	defer cancel()
	for wait := newPatience(); errors.Is(err, fs.ErrNotExist) && loan.IsHardware() && wait.next(ctx) == nil; {
		err = host.GiveBack(guest, loan)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		d.logLoan(uuid, err)
		return nil
	}
	return err
}

func (d *Driver) logLoan(uuid string, err error) {
	d.log.Warn("an interface that was lent to a domain does not come home as it was", zap.String("uuid", uuid), zap.Error(err))
}

// borrower is the name of the domain that an interface of the host is lent to, empty if there is none.
func (d *Driver) borrower(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.lives {
		for _, p := range i.ports() {
			if p.Loan != nil && p.Loan.Name == name && p.isMade() {
				return i.spec.Definition.GetName()
			}
		}
	}
	return ""
}
