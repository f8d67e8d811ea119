package launch_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// compared are the lines of /proc/PID/status that say what a process may.
var compared = strings.Fields("Umask Uid Gid Groups SigBlk SigIgn CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters " +
	"Speculation_Store_Bypass SpeculationIndirectBranch CoreDumping THP_enabled Cpus_allowed Mems_allowed")

// standing is all that the kernel says of what a process is and may, but for what it does.
func standing(t *testing.T, pid int) map[string]string {
	t.Helper()
	proc, found := filepath.Join("/proc", strconv.Itoa(pid)), map[string]string{}
	for _, name := range []string{"limits", "cgroup", "oom_score_adj", "uid_map", "gid_map", "setgroups", "attr/current", "attr/exec", "timens_offsets", "loginuid"} {
		data, err := os.ReadFile(filepath.Join(proc, name))
		if found[name] = string(data); err != nil {
			found[name] = strings.TrimPrefix(err.Error(), "open "+proc)
			found[name] = strings.ReplaceAll(found[name], proc, "")
		}
	}
	entries, err := os.ReadDir(filepath.Join(proc, "ns"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if found["ns/"+entry.Name()], err = os.Readlink(filepath.Join(proc, "ns", entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if found["root"], err = os.Readlink(filepath.Join(proc, "root")); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(line, ":"); slices.Contains(compared, name) {
			found[name] = value
		}
	}
	return found
}

// readLine waits for a line.
func readLine(t *testing.T, lines *bufio.Reader) string {
	t.Helper()
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// endCommand ends a command. It is done before its container is ended, which waits until we have reaped it.
func endCommand(t *testing.T, process *launch.Process) {
	t.Helper()
	if err := process.Signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if _, err := process.Wait(); err != nil {
		t.Error(err)
	}
	_ = process.Close()
}

// What joins a container is in all of it, may what init may, and nothing else.
func TestCommandHasTheStandingOfInit(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		for _, user := range []string{"", "+1000"} {
			for _, noNewPrivs := range []bool{false, true} {
				t.Run(fmt.Sprintf("user %q, nnp %v", user, noNewPrivs), func(t *testing.T) {
					as := func(p *monitorv1.Process) *monitorv1.Process {
						filtered(p, user, noNewPrivs, defaultCapabilities)
						p.Seccomp = denying(unix.SYS_MKDIRAT)
						p.Rlimits = []*monitorv1.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 100, Hard: 200}, {Resource: unix.RLIMIT_CORE}}
						return p
					}
					words := []string{"keyring", "--", "echo", "ready", "--", "pause"}
					p := plan(words...)
					as(p.GetInit())
					guest := start(t, p)
					console := bufio.NewReader(guest.Consoles[0])
					keyrings := []string{readLine(t, console)}
					readLine(t, console)
					out, in, err := os.Pipe()
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = out.Close() }()
					files := nullFiles(t)
					files.Stdout = in
					process, err := launch.Join(guest.Target(launch.Descriptors{}), as(command(words...)), files)
					_ = in.Close()
					if err != nil {
						t.Fatal(err)
					}
					said := bufio.NewReader(out)
					keyrings = append(keyrings, readLine(t, said))
					readLine(t, said)
					of := standing(t, guest.PID)
					if diff := cmp.Diff(of, standing(t, process.PID)); diff != "" {
						t.Errorf("init and the command differ:\n%s", diff)
					}
					compareStanding(t, of, keyrings)
					endCommand(t, process)
					end(guest)
				})
			}
		}
	})
}

// compareStanding compares what a container has of its own with what we have.
func compareStanding(t *testing.T, of map[string]string, keyrings []string) {
	t.Helper()
	ours := standing(t, os.Getpid())
	own, err1 := strconv.Atoi(strings.TrimSpace(ours["oom_score_adj"]))
	score, err2 := strconv.Atoi(strings.TrimSpace(of["oom_score_adj"]))
	if err1 != nil || err2 != nil || score != min(max(own, 0)+100, 1000) {
		t.Errorf("score %q, ours is %q", of["oom_score_adj"], ours["oom_score_adj"])
	}
	if id, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); err == nil {
		keyrings = append(keyrings, fmt.Sprintf("keyring %d", id))
	}
	for i, keyring := range keyrings {
		if !strings.HasPrefix(keyring, "keyring ") || slices.Contains(keyrings[:i], keyring) {
			t.Errorf("keyrings %q", keyrings)
		}
	}
	if of["attr/exec"] != ours["attr/exec"] {
		t.Errorf("a label for execve is left: %q", of["attr/exec"])
	}
}
