package escape_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/internal/testenv"
)

// hostFacts are what no attack may change for good.
type hostFacts struct {
	suite    *suite
	programs map[string][32]byte
}

// knobs are settings of the host's kernel that guests are fond of, and that nothing else changes meanwhile.
var knobs = []string{
	"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/proc/sys/kernel/poweroff_cmd",
	"/proc/sys/kernel/sysrq", "/proc/sys/kernel/panic", "/proc/sys/kernel/randomize_va_space", "/proc/sys/kernel/hostname",
	"/proc/sys/kernel/domainname", "/proc/sys/kernel/pid_max", "/proc/sys/vm/overcommit_memory", "/proc/sys/fs/suid_dumpable", "/sys/kernel/uevent_helper",
	"/sys/kernel/mm/transparent_hugepage/enabled", "/sys/power/state",
}

func newHostFacts(tb testing.TB, s *suite) *hostFacts {
	tb.Helper()
	h := &hostFacts{suite: s, programs: map[string][32]byte{}}
	for _, path := range []string{
		testenv.Binary(tb, "davitd"), testenv.Binary(tb, "davit-monitor"), testenv.Binary(tb, "davit"), s.guest, "/bin/sh", "/bin/cat",
	} {
		if sum, err := digest(path); err == nil {
			h.programs[path] = sum
		}
	}
	return h
}

func digest(path string) ([32]byte, error) {
	text, err := os.ReadFile(path)
	return sha256.Sum256(text), err
}

// checkPrograms sees to it that no program was written to.
func (h *hostFacts) checkPrograms(tb testing.TB) {
	tb.Helper()
	for path, before := range h.programs {
		if sum, err := digest(path); err != nil || sum != before {
			tb.Errorf("%s is not what it was: %v", path, err)
		}
	}
}

// look lists what there is, each thing in words that stay the same while it does.
func (h *hostFacts) look(tb testing.TB) map[string]bool {
	tb.Helper()
	found := map[string]bool{}
	for _, pid := range []string{"self", strconv.Itoa(h.suite.daemon.Process.Pid)} {
		table, err := os.ReadFile("/proc/" + pid + "/mountinfo")
		if err != nil {
			tb.Fatalf("the daemon is gone: %v", err)
		}
		for line := range strings.Lines(string(table)) {
			found["mount "+strings.TrimSpace(line)] = true
		}
	}
	for path := range h.programs {
		found["program "+fileState(path)] = true
	}
	for _, path := range knobs {
		if text, err := os.ReadFile(path); err == nil {
			found[fmt.Sprintf("setting %s %q", path, text)] = true
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && strings.Contains(path, partition) {
			found["cgroup "+path] = true
		}
		return nil
	})
	for path, state := range tree(tb, h.suite.canary) {
		found["canary "+path+" "+state] = true
	}
	h.descriptors(found)
	h.sockets(found)
	keys, _ := os.ReadFile("/proc/keys")
	for line := range strings.Lines(string(keys)) {
		if f := strings.Fields(line); strings.Contains(line, "davit-escape") {
			found["key "+f[0]+" "+strings.Join(f[5:], " ")] = true
		}
	}
	return found
}

// descriptors lists the files outside its own folder that the daemon has open.
func (h *hostFacts) descriptors(found map[string]bool) {
	dir := fmt.Sprintf("/proc/%d/fd", h.suite.daemon.Process.Pid)
	entries, _ := os.ReadDir(dir)
	counts := map[string]int{}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil && strings.HasPrefix(target, "/") && !strings.HasPrefix(target, h.suite.root) {
			counts[target]++
		}
	}
	for target, n := range counts {
		found[fmt.Sprintf("descriptor %s, %d times", target, n)] = true
	}
}

// sockets lists what listens in the daemon's folders or as a monitor does.
func (h *hostFacts) sockets(found map[string]bool) {
	text, _ := os.ReadFile("/proc/net/unix")
	const listening = "00010000" // SO_ACCEPTCON
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 8 || f[3] != listening {
			continue
		}
		if strings.HasPrefix(f[7], h.suite.root) || filepath.Base(f[7]) == "monitor.sock" && !strings.Contains(f[7], "spare") {
			found["socket "+f[7]] = true
		}
	}
}

// difference lists what came and what went.
func difference(before, after map[string]bool) []string {
	var all []string
	for item := range after {
		if !before[item] {
			all = append(all, "came: "+item)
		}
	}
	for item := range before {
		if !after[item] {
			all = append(all, "went: "+item)
		}
	}
	slices.Sort(all)
	return all
}

// fileState tells a file's identity, mode, owner, size and times, but not the time of its last reading.
func fileState(path string) string {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return path + " " + err.Error()
	}
	return fmt.Sprintf("%s %d:%d %#o %d:%d %d %d %d", path, stat.Dev, stat.Ino, stat.Mode, stat.Uid, stat.Gid, stat.Size, stat.Mtim.Nano(), stat.Ctim.Nano())
}

// tree lists all below a folder.
func tree(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			found[path] = fileState(path)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}
