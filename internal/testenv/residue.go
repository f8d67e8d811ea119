package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// marker is the environment variable by which the processes that a test starts are known.
const marker = "DAVIT_TEST_MARK"

// patience is how long leftovers may take to vanish: the kernel takes network namespaces and cgroups down in its own time.
const patience = 2 * time.Minute

// held counts the tests of this process that hold the host's lock: a test and its subtests share it.
var held struct {
	sync.Mutex
	count int
	file  *os.File
}

// Residue checks, when the test is over, that the host is as it was: mounts, cgroups, network links, processes, listening
// sockets, and this process's own descriptors and children. Tests that call it run one at a time on a host, also those of
// different packages, so that none sees what belongs to another; they must not be parallel.
func Residue(tb testing.TB) {
	tb.Helper()
	lockHost(tb)
	tb.Setenv(marker, strconv.Itoa(os.Getpid()))
	before := look(tb)
	tb.Cleanup(func() {
		var left []string
		for end := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
			left = before.missingIn(look(tb))
			if len(left) == 0 || time.Now().After(end) {
				break
			}
		}
		for _, item := range left {
			tb.Errorf("left behind: %s", item)
		}
	})
}

// lockHost waits until no other test process on this host holds the lock.
func lockHost(tb testing.TB) {
	tb.Helper()
	held.Lock()
	defer held.Unlock()
	if held.count == 0 {
		file, err := openLock(filepath.Join(os.TempDir(), "davit-test.lock"))
		if err != nil {
			tb.Fatal(err)
		}
		asked := time.Now()
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
			tb.Fatal(err)
		}
		// What a test takes is not what it waited for.
		if waited := time.Since(asked); waited > time.Second {
			tb.Logf("waited %s for the tests of other processes", waited.Round(time.Second))
		}
		held.file = file
	}
	held.count++
	tb.Cleanup(func() {
		held.Lock()
		defer held.Unlock()
		if held.count--; held.count == 0 {
			_ = held.file.Close()
			held.file = nil
		}
	})
}

// openLock opens the file of the lock, which tests of every user share: it is enough to read it. Whoever comes first makes it.
// (The kernel lets nobody but its owner open it with O_CREAT in a folder like /tmp: fs.protected_regular.)
func openLock(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
		file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY|unix.O_NOFOLLOW, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
	}
}

// snapshot is what there is, each thing in words that stay the same while it exists.
type snapshot map[string]bool

// missingIn lists what after has and s has not.
func (s snapshot) missingIn(after snapshot) []string {
	var more []string
	for item := range after {
		if !s[item] {
			more = append(more, item)
		}
	}
	slices.Sort(more)
	return more
}

// look takes a snapshot.
func look(tb testing.TB) snapshot {
	tb.Helper()
	s := snapshot{}
	s.mounts(tb)
	s.cgroups()
	s.links(tb)
	s.processes(tb)
	s.sockets(tb)
	s.descriptors(tb)
	return s
}

func (s snapshot) mounts(tb testing.TB) {
	tb.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		s["mount "+strings.TrimSpace(line)] = true
	}
}

func (s snapshot) cgroups() {
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && ownGroup(path) {
			s["cgroup "+path] = true
		}
		return nil
	})
}

// ownGroup tells whether davit or one of its tests may have made a cgroup: all have davit's name in their path, or lie in the
// partition of a domain that names none. The cgroups of whatever else runs on the host come and go as they like.
func ownGroup(path string) bool {
	return strings.Contains(path, "davit") || strings.Contains(path+"/", "/machine/")
}

func (s snapshot) links(tb testing.TB) {
	tb.Helper()
	links, err := net.Interfaces()
	if err != nil {
		tb.Fatal(err)
	}
	for _, link := range links {
		s["link "+link.Name] = true
	}
}

// processes finds our children, by the mark whatever they started and, by their name, monitors and keepers: these start
// with an environment of their own. Other daemons may belong to a test that runs beside this one and needs no root.
func (s snapshot) processes(tb testing.TB) {
	tb.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		tb.Fatal(err)
	}
	mark := fmt.Appendf(nil, "%s=%d", marker, os.Getpid())
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		comm, after, ok := bytes.Cut(stat, []byte(") "))
		fields := strings.Fields(string(after))
		if !ok || len(fields) < 2 {
			continue
		}
		ours := fields[1] == strconv.Itoa(os.Getpid())
		if !ours {
			environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			ours = slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(v []byte) bool { return bytes.Equal(v, mark) })
		}
		if !ours {
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			program, _, _ := strings.Cut(string(cmdline), "\x00")
			ours = filepath.Base(program) == "davit-monitor"
		}
		if ours {
			s[fmt.Sprintf("process %s)", comm)] = true
		}
	}
}

// ourSockets are those that only a test with containers makes. They are bound through a descriptor, so the table shows
// their names alone.
var ourSockets = map[string]bool{"keeper.sock": true, "monitor.sock": true}

func (s snapshot) sockets(tb testing.TB) {
	tb.Helper()
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		tb.Fatal(err)
	}
	const listening = "00010000" // SO_ACCEPTCON among the flags
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) >= 8 && f[3] == listening && ourSockets[filepath.Base(f[7])] {
			s["socket "+f[6]+" "+f[7]] = true
		}
	}
}

// descriptors lists our own, less the ones that the Go runtime and testing keep for themselves.
func (s snapshot) descriptors(tb testing.TB) {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		switch {
		case err != nil, strings.HasPrefix(target, "/proc/"):
		case target == "anon_inode:[eventpoll]", target == "anon_inode:[eventfd]", strings.HasSuffix(target, "davit-test.lock"):
		case strings.Contains(target, "/go-build"), strings.HasSuffix(target, ".out"):
		default:
			s["descriptor "+entry.Name()+" "+target] = true
		}
	}
}
