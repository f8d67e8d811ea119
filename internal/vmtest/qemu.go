package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// diskSize is that of the guest's /tmp; the file is sparse.
const diskSize = 4 << 30

// tools are what must be installed, with the Debian package of each.
var tools = map[string]string{
	"qemu-system-x86_64": "qemu-system-x86", "depmod": "kmod", "mkfs.ext4": "e2fsprogs", "apt-get": "apt", "dpkg-deb": "dpkg",
}

// findTools tells at once all that is missing.
func findTools() error {
	var missing []string
	for tool, pkg := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing programs: apt-get install --no-install-recommends %s", strings.Join(missing, " "))
	}
	_, err := virtiofsd()
	return err
}

// virtiofsd is the server of the host's files: a part of QEMU's packages, or later a package of its own.
func virtiofsd() (string, error) {
	for _, path := range []string{"/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("missing virtiofsd: apt-get install virtiofsd, or qemu-system-common before Debian 13")
}

// boot starts file server and guest, streams, and gives the guest's status.
func boot(ctx context.Context, o options, k kernel, g *guestConfig, work string) (int, error) {
	g.Modules = k.modules()
	g.Version = k.version
	if err := writeInitramfs(filepath.Join(work, "initrd"), k, g); err != nil {
		return statusWrong, fmt.Errorf("make initramfs: %w", err)
	}
	if err := makeDisk(ctx, filepath.Join(work, "tmp.img")); err != nil {
		return statusWrong, err
	}
	limited, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	waitServer, err := serve(limited, work, g.Shares)
	if err != nil {
		return statusWrong, err
	}
	defer func() {
		cancel()
		_ = waitServer()
	}()
	status, err := start(limited, o, k, work)
	log, _ := os.ReadFile(filepath.Join(work, "log"))
	switch {
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		return statusTimeout, fmt.Errorf("the guest ran over its time limit of %v\n%s", o.timeout, tail(log, 20))
	case ctx.Err() != nil:
		return statusDied, ctx.Err()
	case status == "":
		return statusDied, fmt.Errorf("the guest ended without running its command (%w)\n%s", err, tail(log, 30))
	case o.verbose:
		_, _ = os.Stderr.Write(log)
	}
	return strconv.Atoi(status)
}

// makeDisk makes the file system that is the guest's /tmp.
func makeDisk(ctx context.Context, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600)
	if err == nil {
		err = errors.Join(file.Truncate(diskSize), file.Close())
	}
	if err != nil {
		return err
	}
	return command(ctx, ".", "mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1", path)
}

// serve starts the file server in a jail and waits for its socket. The server ends with ctx, and wait waits for that.
func serve(ctx context.Context, work string, shares []string) (wait func() error, err error) {
	path, err := virtiofsd()
	if err != nil {
		return nil, err
	}
	root := filepath.Join(work, "root")
	if err = os.Mkdir(root, 0o755); err != nil {
		return nil, err
	}
	socket := filepath.Join(work, "fs.sock")
	log, err := os.OpenFile(filepath.Join(work, "fs.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = append([]string{jailName, root}, shares...)
	cmd.Args = append(cmd.Args, "--", path, "--socket-path="+socket, "-o", "source="+root, "-o", "cache=always", "-o", "xattr", "--rlimit-nofile=0")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err = cmd.Start(); err != nil {
		return nil, fmt.Errorf("start file server: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err = awaitFile(ctx, socket, ended); err == nil {
		return func() error { return <-ended }, nil
	}
	_ = cmd.Process.Kill()
	text, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("start file server: %w\n%s", err, text)
}

// awaitFile waits until a file is there, or until the process that is to make it has ended.
func awaitFile(ctx context.Context, path string, ended <-chan error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-ended:
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// start runs QEMU to its end. Each channel to the guest is a pipe that QEMU opens by a descriptor of ours.
func start(ctx context.Context, o options, k kernel, work string) (string, error) {
	var status bytes.Buffer
	channels := []struct {
		name string
		to   io.Writer
	}{{portOut, os.Stdout}, {portErr, os.Stderr}, {portStatus, &status}}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", qemuArgs(o, k, work)...)
	var copies sync.WaitGroup
	var writers []*os.File
	for i, c := range channels {
		r, w, err := os.Pipe()
		if err != nil {
			return "", err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, w)
		cmd.Args = append(cmd.Args, "-chardev", fmt.Sprintf("file,id=%s,path=/proc/self/fd/%d", c.name, i+3),
			"-device", fmt.Sprintf("virtserialport,chardev=%s,name=%s", c.name, c.name))
		writers = append(writers, w)
		copies.Go(func() {
			_, _ = io.Copy(c.to, r)
			_ = r.Close()
		})
	}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	for _, w := range writers {
		_ = w.Close()
	}
	if err == nil {
		err = cmd.Wait()
	}
	copies.Wait()
	return strings.TrimSpace(status.String()), err
}

// qemuArgs is the machine. KVM is taken only with real hardware support: some hosts offer a /dev/kvm that cannot run a stock
// kernel.
func qemuArgs(o options, k kernel, work string) []string {
	accel, cpu := "tcg,thread=multi", "max"
	for _, module := range []string{"kvm_intel", "kvm_amd"} {
		if _, err := os.Stat("/sys/module/" + module); err == nil {
			if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
				_ = f.Close()
				accel, cpu = "kvm", "host"
			}
		}
	}
	memory := strconv.Itoa(o.memory) + "M"
	return []string{
		"-M", "pc", "-accel", accel, "-cpu", cpu, "-smp", strconv.Itoa(o.cpus), "-m", memory,
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-serial", "file:" + filepath.Join(work, "log"),
		"-kernel", k.image(), "-initrd", filepath.Join(work, "initrd"),
		"-append", "console=ttyS0 panic=-1 random.trust_cpu=1 quiet",
		"-object", "memory-backend-memfd,id=mem,size=" + memory + ",share=on", "-numa", "node,memdev=mem",
		"-chardev", "socket,id=fs,path=" + filepath.Join(work, "fs.sock"), "-device", "vhost-user-fs-pci,chardev=fs,tag=" + fsTag,
		"-drive", "file=" + filepath.Join(work, "tmp.img") + ",format=raw,if=virtio,cache=unsafe",
		"-device", "virtio-serial-pci",
	}
}

// tail is the last lines of a log.
func tail(log []byte, lines int) string {
	all := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
