package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The names by which host and guest know their channels.
const (
	portOut    = "out"
	portErr    = "err"
	portStatus = "status"
	fsTag      = "host"
)

// guestConfig tells the guest what to do.
type guestConfig struct {
	// Cgroup is the layout.
	Cgroup string
	// Env is the environment of all steps.
	Env []string
	// Shares are the folders that may be written, and Modules that of the kernel's modules, all by their host's names.
	Shares  []string
	Modules string
	// Version of the kernel.
	Version string
	// Tests says that the steps are test binaries, of which a summary is wanted.
	Tests bool
	// Steps are run one after the other.
	Steps []step
}

// step is one command.
type step struct {
	Name string
	Dir  string
	Argv []string
	Env  []string
}

// guestMain is init of the guest. It does not return.
func guestMain() {
	status, err := guest()
	if err != nil {
		// The kernel's console goes to the log that the host shows.
		console, _ := os.OpenFile("/dev/console", os.O_WRONLY, 0)
		_, _ = fmt.Fprintln(console, "vmtest: guest:", err)
		status = nil
	}
	if status != nil {
		if port, err := openPort(portStatus); err == nil {
			_, _ = fmt.Fprintln(port, *status)
			_ = port.Close()
		}
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	os.Exit(statusDied)
}

// guest sets the guest up and runs the steps.
func guest() (*int, error) {
	if err := mountKernelFolders(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile("/" + configFile)
	if err != nil {
		return nil, err
	}
	var g guestConfig
	if err = json.Unmarshal(text, &g); err != nil {
		return nil, err
	}
	if err = loadModules(); err != nil {
		return nil, err
	}
	if err = enterRoot(g); err != nil {
		return nil, err
	}
	if err = setUp(); err != nil {
		return nil, err
	}
	if err = mountCgroups(g.Cgroup); err != nil {
		return nil, err
	}
	status, err := runSteps(g)
	return &status, err
}

// runSteps runs the commands with their output on the ports. A port can be opened once only, so pipes stand between.
func runSteps(g guestConfig) (int, error) {
	var copies sync.WaitGroup
	var files []*os.File
	var out io.Writer
	for _, name := range []string{portOut, portErr} {
		port, err := openPort(name)
		if err != nil {
			return 0, err
		}
		r, w, err := os.Pipe()
		if err != nil {
			return 0, err
		}
		copies.Go(func() { _, _ = io.Copy(port, r) })
		files = append(files, w)
	}
	out = files[0]
	status := 0
	var summary []string
	for _, s := range g.Steps {
		begin := time.Now()
		if g.Tests {
			_, _ = fmt.Fprintf(out, "=== PACKAGE %s\n", s.Name)
		}
		code, err := runStep(s, g.Env, files)
		if err != nil {
			_, _ = fmt.Fprintf(files[1], "vmtest: start %q: %v\n", s.Argv, err)
			code = 127
		}
		if !g.Tests {
			status = code
			continue
		}
		word := "ok"
		if code != 0 {
			word, status = fmt.Sprintf("FAIL (status %d)", code), 1
		}
		summary = append(summary, fmt.Sprintf("%s\t%s\t%.1fs", word, s.Name, time.Since(begin).Seconds()))
	}
	if len(summary) > 0 {
		_, _ = fmt.Fprintf(out, "=== SUMMARY of kernel %s, cgroup %s\n%s\n", g.Version, g.Cgroup, strings.Join(summary, "\n"))
	}
	for _, f := range files {
		_ = f.Close()
	}
	waitFor(&copies, 2*time.Second)
	return status, nil
}

// waitFor waits for the last output; a process that was left behind may hold a pipe for ever.
func waitFor(copies *sync.WaitGroup, limit time.Duration) {
	done := make(chan struct{})
	go func() { copies.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// runStep runs one command as a child of init, which reaps all others that end meanwhile.
func runStep(s step, env []string, files []*os.File) (int, error) {
	path, err := findProgram(s.Argv[0], env)
	if err != nil {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { _ = null.Close() }()
	process, err := os.StartProcess(path, s.Argv, &os.ProcAttr{
		Dir: s.Dir, Env: append(append([]string{}, env...), s.Env...), Files: []*os.File{null, files[0], files[1]},
	})
	if err != nil {
		return 0, err
	}
	child := process.Pid
	// It is reaped by its id below, and not by the runtime.
	_ = process.Release()
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case pid == child && ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case pid == child:
			return ws.ExitStatus(), nil
		}
	}
}

// findProgram looks a program up as a shell does.
func findProgram(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, e := range env {
		list, ok := strings.CutPrefix(e, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(dir, name)
			if unix.Access(path, unix.X_OK) == nil {
				return path, nil
			}
		}
	}
	return "", errors.New("no such program")
}

// openPort opens a channel to the host by its name.
func openPort(name string) (*os.File, error) {
	found, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(text)) == name {
			// A descriptor that Go's poller does not have: a port reports odd events there.
			fd, err := unix.Open("/dev/"+filepath.Base(filepath.Dir(file)), unix.O_WRONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, fmt.Errorf("open port %s: %w", name, err)
			}
			return os.NewFile(uintptr(fd), name), nil
		}
	}
	return nil, errors.New("open port " + strconv.Quote(name) + ": there is none")
}
