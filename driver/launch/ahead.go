package launch

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Ahead are namespaces that were made before anybody knew the container that will have them: those that take the kernel long to
// make. Nobody is in them, and nothing but these descriptors keeps them, so they go with the process that has them, however that
// goes. One container can have them, and only one that wants a user namespace of its own, for that owns the others.
//
// A container cannot tell them from namespaces that were made for it (docs/decisions/0007-ahead.md): the maps are written at its start,
// by descriptors that were opened while somebody was in the namespace; and a network namespace, which begins with a copy of some of
// the host's settings, is not used if any of those was written to since.
type Ahead struct {
	user, net, ipc *os.File
	// uidMap and gidMap take the maps of user, once.
	uidMap, gidMap *os.File
	settings       *settings
}

// aheadFlags are the namespaces of an [Ahead]. The others are made within microseconds, or begin as what they are made from is at
// the time, as a host name does.
const aheadFlags = unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWIPC

// MakeAhead makes namespaces ahead of a launch.
func MakeAhead() (*Ahead, error) {
	// What makes them dies with the thread that it was cloned by.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	made := new(Ahead)
	var err error
	// Before the namespaces are made, so that nothing is missed.
	if made.settings, err = watchSettings(); err != nil {
		return nil, fmt.Errorf("make namespaces ahead: %w", err)
	}
	h, err := startHelper(aheadFlags, nil)
	if err != nil {
		made.Close()
		return nil, fmt.Errorf("make namespaces ahead: %w", err)
	}
	defer h.end()
	for _, f := range []struct {
		file  **os.File
		name  string
		flags int
	}{
		{&made.user, "ns/user", unix.O_RDONLY},
		{&made.net, "ns/net", unix.O_RDONLY},
		{&made.ipc, "ns/ipc", unix.O_RDONLY},
		{&made.uidMap, "uid_map", unix.O_WRONLY},
		{&made.gidMap, "gid_map", unix.O_WRONLY},
	} {
		if *f.file, err = openPlainly("/proc/"+strconv.Itoa(h.pid)+"/"+f.name, f.flags); err != nil {
			made.Close()
			return nil, fmt.Errorf("make namespaces ahead: %w", err)
		}
	}
	return made, nil
}

// openPlainly opens a file that is not waited for.
func openPlainly(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Network is the network namespace, which nobody is in before the launch. The file stays ours: who needs it for longer makes a copy.
func (a *Ahead) Network() *os.File { return a.net }

// Close lets go of the namespaces. Those that a container has by now stay.
func (a *Ahead) Close() {
	if a == nil {
		return
	}
	closeAll([]*os.File{a.user, a.net, a.ipc, a.uidMap, a.gidMap})
	a.settings.closeSoon()
}

// suit tells whether the container of a plan can have the namespaces.
func (a *Ahead) suit(plan *monitorv1.Plan) bool {
	ns := plan.GetNamespaces()
	return a != nil && ns.GetUser() && (!ns.GetNet() || !a.settings.changed())
}

// becomes gives the namespaces to the container of a plan, if it can have them, and tells whether it does.
func (a *Ahead) becomes(plan *monitorv1.Plan) bool {
	if !a.suit(plan) {
		return false
	}
	// Where this is refused, a namespace that is made for the container will tell why.
	_, err := a.uidMap.WriteString(idMap(plan.GetUidMap()).String())
	if err == nil {
		_, err = a.gidMap.WriteString(idMap(plan.GetGidMap()).String())
	}
	return err == nil
}

// flags are the namespaces that a container takes from here.
func (a *Ahead) flags(ns *monitorv1.Namespaces) uint64 {
	if a == nil {
		return 0
	}
	return namespaceFlags(ns) & aheadFlags
}

// entries are the namespaces of some flags, in the order in which they can be entered: the user namespace gives the right to the
// others.
func (a *Ahead) entries(flags uint64) (entries [3]entry) {
	n := 0
	for _, e := range []struct {
		flag uint64
		file *os.File
	}{{unix.CLONE_NEWUSER, a.user}, {unix.CLONE_NEWNET, a.net}, {unix.CLONE_NEWIPC, a.ipc}} {
		if flags&e.flag != 0 {
			entries[n] = entry{namespace: e.file.Fd(), flag: uintptr(e.flag)}
			n++
		}
	}
	return entries
}

// settings watch those of the host's network that a new network namespace begins with a copy of: some of tcp(7), and for IPv4,
// or both as devconf_inherit_init_net says, those of all interfaces and of new ones.
type settings struct {
	// events is an inotify(7) descriptor.
	events *os.File
	// folders are held so that the kernel does not forget them, and with them that they are watched.
	folders []*os.File
}

// settingFolders are where these settings are.
var settingFolders = []string{"core", "ipv4", "ipv4/conf/all", "ipv4/conf/default", "ipv6/conf/all", "ipv6/conf/default"}

// watchSettings begins to watch.
func watchSettings() (*settings, error) {
	events, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch settings of the network: %w", err)
	}
	s := &settings{events: os.NewFile(uintptr(events), "inotify")}
	for _, name := range settingFolders {
		folder, err := openPlainly("/proc/sys/net/"+name, unix.O_PATH|unix.O_DIRECTORY)
		if errors.Is(err, unix.ENOENT) {
			continue // a kernel without IPv6
		}
		if err == nil {
			s.folders = append(s.folders, folder)
			_, err = unix.InotifyAddWatch(events, folder.Name(), unix.IN_MODIFY)
		}
		if err != nil {
			s.close()
			return nil, fmt.Errorf("watch settings of the network: %w", err)
		}
	}
	return s, nil
}

// changed tells whether any was written to since, or that nobody can tell.
func (s *settings) changed() bool {
	fds := []unix.PollFd{{Fd: int32(s.events.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err != unix.EINTR {
			return err != nil || n > 0
		}
	}
}

func (s *settings) close() {
	closeAll(s.folders)
	_ = s.events.Close()
}

// closingDelay is longer than what follows a launch until its caller has the answer.
const closingDelay = 100 * time.Millisecond

// closeSoon ends the watch a while later: the kernel waits there until all processors have seen it, which took 0.1 to 7 ms, and a
// launch is awaited.
func (s *settings) closeSoon() {
	if s != nil {
		time.AfterFunc(closingDelay, s.close)
	}
}
