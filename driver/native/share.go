package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// netnsDir is where ip-netns(8) keeps network namespaces.
const netnsDir = "/run/netns"

// share is a namespace of somebody else that a domain joins in place of one of its own.
type share struct {
	// field of the definition's lxc_namespace, and the element's name.
	field string
	// file of /proc/PID/ns.
	file string
	flag int
	kind monitorv1.NamespaceKind
	*davitv1.LxcNamespaceShare
}

// sharesOf are those that a definition asks for.
func sharesOf(def *davitv1.Domain) []share {
	n := def.GetLxcNamespace()
	var list []share
	for _, s := range []share{
		{"sharenet", "net", unix.CLONE_NEWNET, monitorv1.NamespaceKind_NAMESPACE_KIND_NET, n.GetSharenet()},
		{"shareipc", "ipc", unix.CLONE_NEWIPC, monitorv1.NamespaceKind_NAMESPACE_KIND_IPC, n.GetShareipc()},
		{"shareuts", "uts", unix.CLONE_NEWUTS, monitorv1.NamespaceKind_NAMESPACE_KIND_UTS, n.GetShareuts()},
	} {
		if s.LxcNamespaceShare != nil {
			list = append(list, s)
		}
	}
	return list
}

// shared are the same, as a plan says them.
func shared(def *davitv1.Domain) []*monitorv1.SharedNamespace {
	var list []*monitorv1.SharedNamespace
	for _, s := range sharesOf(def) {
		list = append(list, &monitorv1.SharedNamespace{Kind: s.kind, Owner: s.owner()})
	}
	return list
}

// shares tells whether a definition shares a kind of namespace.
func shares(def *davitv1.Domain, kind monitorv1.NamespaceKind) bool {
	for _, s := range sharesOf(def) {
		if s.kind == kind {
			return true
		}
	}
	return false
}

// owner is whose it is, in words.
func (s share) owner() string {
	switch s.GetType() {
	case davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_PID:
		return "process " + s.GetValue()
	case davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NETNS:
		return fmt.Sprintf("netns %q", s.GetValue())
	default:
		return fmt.Sprintf("domain %q", s.GetValue())
	}
}

// place is where the definition asks for it.
func (s share) place() (field, xmlPath string) {
	return "lxc_namespace." + s.field + ".value", "/domain/lxc:namespace/lxc:" + s.field + "/@value"
}

// openShares opens the namespaces that a definition shares, in the order of its plan. They stay what they are as long as
// somebody holds them, whatever their owners do: a restart joins the same ones.
func (d *Driver) openShares(ctx context.Context, def *davitv1.Domain) ([]*os.File, error) {
	var files []*os.File
	for _, s := range sharesOf(def) {
		f, err := d.openShare(ctx, def, s)
		if err != nil {
			closeAll(files)
			field, path := s.place()
			return nil, hostLacks("start domain", def.GetName(), violation(field, path, "%v", err))
		}
		files = append(files, f)
	}
	return files, nil
}

// openShare opens a namespace by a descriptor, and makes sure that it is one and of the right kind.
func (d *Driver) openShare(ctx context.Context, def *davitv1.Domain, s share) (*os.File, error) {
	var f *os.File
	var err error
	switch s.GetType() {
	case davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_PID:
		var pid uint64
		if pid, err = strconv.ParseUint(s.GetValue(), 10, 31); err != nil || pid == 0 {
			return nil, fmt.Errorf("%q is no process id", s.GetValue())
		}
		f, err = openOfProcess(int(pid), s.file, nil)
	case davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NETNS:
		f, err = d.openNetns(s.GetValue())
	default:
		f, err = d.openOfDomain(ctx, def, s)
	}
	if err != nil {
		return nil, err
	}
	if err := checkNamespace(f, s.flag); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", s.owner(), err)
	}
	return f, nil
}

// openNetns opens a network namespace by the name that ip-netns(8) knows it by.
func (d *Driver) openNetns(name string) (*os.File, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("%q is no name of a network namespace", name)
	}
	dir := d.opts.NetnsDir
	if dir == "" {
		dir = netnsDir
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no network namespace %q in %s", name, dir)
	}
	return f, err
}

// openOfDomain opens a namespace of another domain of this davitd, which must run.
func (d *Driver) openOfDomain(ctx context.Context, def *davitv1.Domain, s share) (*os.File, error) {
	if s.GetValue() == def.GetName() {
		return nil, errors.New("a domain cannot share with itself")
	}
	other := d.named(s.GetValue())
	if other == nil {
		return nil, fmt.Errorf("domain %q does not run", s.GetValue())
	}
	state, err := other.withInit(ctx, "share namespace")
	if err != nil {
		return nil, fmt.Errorf("domain %q does not run: %w", s.GetValue(), err)
	}
	return openOfProcess(int(state.GetPid()), s.file, other.group.Contains)
}

// named finds a domain that runs, or did a moment ago, by its name.
func (d *Driver) named(name string) *instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.lives {
		if i.spec.Definition.GetName() == name && !i.isEnded() {
			return i
		}
	}
	return nil
}

// openOfProcess opens a namespace of a process. It is held by a descriptor meanwhile, so that a number that was given to
// another process between is noticed; is, if given, tells whether it is the one that was meant.
func openOfProcess(pid int, file string, is func(pid int) (bool, error)) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("there is no process %d", pid)
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if is != nil {
		if ok, failed := is(pid); failed != nil || !ok {
			return nil, errors.Join(fmt.Errorf("process %d has ended", pid), failed)
		}
	}
	f, err := os.OpenFile(filepath.Join("/proc", strconv.Itoa(pid), "ns", file), os.O_RDONLY, 0)
	if err == nil {
		if err = unix.PidfdSendSignal(fd, 0, nil, 0); err == nil {
			return f, nil
		}
		_ = f.Close()
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("process %d has ended", pid)
	}
	return nil, err
}

// getNamespaceType is NS_GET_NSTYPE of ioctl_ns(2).
const getNamespaceType = 0xb703

// checkNamespace refuses a file that is no namespace of a kind.
func checkNamespace(f *os.File, flag int) error {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil || stat.Type != unix.NSFS_MAGIC {
		return errors.New("it is no namespace")
	}
	if kind, err := unix.IoctlRetInt(int(f.Fd()), getNamespaceType); err != nil || kind != flag {
		return errors.New("it is a namespace of another kind")
	}
	return nil
}

// isOwn tells whether a namespace is davitd's, which as a rule is the host's first.
func isOwn(f *os.File, file string) bool {
	var theirs, own unix.Stat_t
	return unix.Fstat(int(f.Fd()), &theirs) == nil && unix.Stat("/proc/self/ns/"+file, &own) == nil &&
		theirs.Dev == own.Dev && theirs.Ino == own.Ino
}

// checkShares tells what a start would find: owners that are not there may come, and a guest that is in the host's own
// namespace is not alone there.
func (d *Driver) checkShares(ctx context.Context, def *davitv1.Domain) []*davitv1.Warning {
	var warnings []*davitv1.Warning
	for _, s := range sharesOf(def) {
		field, path := s.place()
		f, err := d.openShare(ctx, def, s)
		switch {
		case err != nil:
			warnings = append(warnings, &davitv1.Warning{
				XmlPath: path, Field: field, Message: err.Error() + "; the domain cannot be started before",
			})
			continue
		case isOwn(f, s.file):
			warnings = append(warnings, &davitv1.Warning{XmlPath: path, Field: field, Message: ownWarnings[s.field]})
		}
		_ = f.Close()
	}
	return warnings
}

// ownWarnings say what a guest has that is in a namespace of the host itself.
var ownWarnings = map[string]string{
	"sharenet": "that is the host's own network: the guest uses the host's interfaces and reaches what listens on its loopback",
	"shareipc": "that is the host's own IPC: the guest sees the shared memory and the message queues of the host",
	"shareuts": "that is the host's own: a guest with the right to set its host name sets the host's",
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
