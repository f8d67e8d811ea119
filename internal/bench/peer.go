package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// peer is another program that makes containers.
type peer struct {
	name    string
	program string
	// pkg is Debian's package.
	pkg string
	// apart tells that it has to see version 1 cgroups only: it refuses a hybrid host.
	apart bool
	args  func(p *peers, container string) []string
}

// allPeers are those that the benchmark can drive.
func allPeers() []peer {
	return []peer{
		{"crun", "crun", "crun", true, func(p *peers, name string) []string {
			return []string{"--root", p.state("crun"), "--cgroup-manager", "cgroupfs", "run", "--bundle", p.dir, name}
		}},
		{"runc", "runc", "runc", true, func(p *peers, name string) []string {
			return []string{"--root", p.state("runc"), "run", "--bundle", p.dir, name}
		}},
		{"bwrap", "bwrap", "bubblewrap", false, func(p *peers, _ string) []string {
			return []string{
				"--unshare-all", "--die-with-parent", "--uid", "0", "--gid", "0", "--bind", p.b.root, "/", "--proc", "/proc", "--dev", "/dev",
				argvTrue[0], argvTrue[1], argvTrue[2],
			}
		}},
		{"lxc-start", "lxc-start", "lxc", false, func(p *peers, name string) []string {
			return []string{"-F", "-n", name, "-P", p.state("lxc"), "-f", filepath.Join(p.dir, "lxc.conf")}
		}},
		{"systemd-nspawn", "systemd-nspawn", "systemd-container", false, func(p *peers, name string) []string {
			return []string{"-q", "--register=no", "--keep-unit", "-M", name, "-D", p.b.root, argvTrue[0]}
		}},
	}
}

// listPeers tells what is installed and how to install what is not.
func listPeers() {
	var missing []string
	for _, p := range allPeers() {
		path, err := exec.LookPath(p.program)
		if err != nil {
			path = "not installed"
			missing = append(missing, p.pkg)
		}
		_, _ = fmt.Fprintf(os.Stdout, "%-15s %s\n", p.name, path)
	}
	if len(missing) > 0 {
		_, _ = fmt.Fprintf(os.Stdout, "\nOn Debian:\n\n    apt-get install --no-install-recommends %s\n", strings.Join(missing, " "))
	}
	_, _ = fmt.Fprint(os.Stdout, `
crun 1.8 refuses a host with hybrid cgroups. make bench gives it and runc a mount namespace of their own,
in which /sys/fs/cgroup shows the version 1 hierarchies and no cgroup2; the host's own mounts stay as they are.
libvirt's LXC driver is not driven: it needs a libvirtd of its own beside the host's.
`)
}

// peers are the ones that are installed, ready to run.
type peers struct {
	b        *bench
	dir      string
	list     []peer
	commands chan *exec.Cmd
	results  chan peerResult
	serial   int
}

type peerResult struct {
	out  []byte
	took time.Duration
	err  error
}

// openPeers prepares those that are installed.
func (b *bench) openPeers(context.Context) (*peers, error) {
	p := &peers{b: b, commands: make(chan *exec.Cmd), results: make(chan peerResult)}
	for _, one := range allPeers() {
		if _, err := exec.LookPath(one.program); err == nil {
			p.list = append(p.list, one)
		}
	}
	if !slices.ContainsFunc(p.list, func(one peer) bool { return one.name == "crun" }) {
		b.remark("crun is not installed: make bench-peers says how")
	}
	var err error
	if p.dir, err = os.MkdirTemp(b.place.disk, "peers-"); err != nil {
		return nil, err
	}
	lxc := fmt.Sprintf("lxc.rootfs.path = dir:%s\nlxc.init.cmd = %s\nlxc.net.0.type = empty\nlxc.mount.auto = proc:mixed sys:ro\nlxc.autodev = 1\n",
		b.root, strings.Join(argvTrue, " "))
	for name, text := range map[string]string{"config.json": fmt.Sprintf(bundleConfig, b.root), "lxc.conf": lxc} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	go onOtherThread(p.serve)
	return p, nil
}

// state is the folder in which one of them keeps its state: in memory, as on a host.
func (p *peers) state(name string) string {
	dir := filepath.Join(p.b.place.memory, name)
	_ = os.MkdirAll(dir, 0o700) // what is missing is told by who needs it
	return dir
}

func (p *peers) runners(ctx context.Context) []*runner {
	var list []*runner
	for _, one := range p.list {
		list = append(list, &runner{name: one.name, once: func() (time.Duration, error) { return p.once(ctx, one) }})
	}
	return list
}

// once runs a container.
func (p *peers) once(ctx context.Context, one peer) (time.Duration, error) {
	p.serial++
	cmd := exec.CommandContext(ctx, one.program, one.args(p, fmt.Sprintf("%s-%d-%d", partition, os.Getpid(), p.serial))...)
	var r peerResult
	if one.apart {
		p.commands <- cmd
		r = <-p.results
	} else {
		r = timed(cmd)
	}
	if r.err != nil {
		return 0, fmt.Errorf("%w: %s", r.err, strings.TrimSpace(string(r.out)))
	}
	return r.took, nil
}

func timed(cmd *exec.Cmd) peerResult {
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	return peerResult{out, time.Since(begun), err}
}

// serve runs commands on a thread whose mount namespace shows version 1 cgroups only.
func (p *peers) serve() {
	err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil && layout() == "hybrid" {
		err = unix.Unmount(filepath.Join(cgroupRoot, "unified"), unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			err = nil
		}
	}
	for cmd := range p.commands {
		if err != nil {
			p.results <- peerResult{err: fmt.Errorf("make mount namespace: %w", err)}
			continue
		}
		p.results <- timed(cmd)
	}
}

// onOtherThread runs f on a thread that is not the process's first, whose namespaces /proc/self shows, and that ends with f.
func onOtherThread(f func()) {
	runtime.LockOSThread() // never unlocked for f: nothing else runs on its thread, which ends with it
	if unix.Gettid() != os.Getpid() {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		onOtherThread(f)
	}()
	<-done
	runtime.UnlockOSThread()
}

// Close ends the thread, and removes the folders in which the others made their cgroups, which they leave.
func (p *peers) Close() error {
	close(p.commands)
	list, err := hierarchies()
	for _, g := range list {
		if failed := os.Remove(filepath.Join(g.path, partition+"-peer")); failed != nil && !errors.Is(failed, os.ErrNotExist) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// bundleConfig is about the container that davit makes, but for what makes davit's dearer: no user namespace, no filter of system calls.
const bundleConfig = `{
  "ociVersion": "1.0.2",
  "process": {
    "user": {"uid": 0, "gid": 0}, "args": ["/bin/true", "exit", "0"], "env": ["PATH=/bin"], "cwd": "/", "noNewPrivileges": true,
    "capabilities": {
      "bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE"],
      "effective": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE"],
      "permitted": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE"]
    },
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}]
  },
  "root": {"path": %q}, "hostname": "bench",
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}
  ],
  "linux": {
    "cgroupsPath": "/` + partition + `-peer/container",
    "resources": {"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": 67108864}, "pids": {"limit": 4096}},
    "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
    "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
  }
}
`
