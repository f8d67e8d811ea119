package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/seccomp"
)

// The floor's program, see there.
var (
	//go:embed floor/floor.c
	floorSource string
	//go:embed floor/child.h
	floorChild string
	//go:embed floor/host.h
	floorHost string
)

// floorIDs is the first of the host ids of the floor's containers.
const floorIDs = 2_100_000_000

// floorProgram makes floors.
type floorProgram struct {
	b               *bench
	program, filter string
}

// cgroupFolder is where the floor makes cgroups in a hierarchy.
type cgroupFolder struct{ controllers, path string }

// compileFloor compiles the floor, and writes the filter of system calls that davit gives a domain, for the floor to load.
func (b *bench) compileFloor(ctx context.Context) (*floorProgram, error) {
	if runtime.GOARCH != "amd64" {
		b.remark("there is no floor: it is written for amd64")
		return nil, nil
	}
	f := &floorProgram{b: b, program: filepath.Join(b.place.disk, "floor"), filter: filepath.Join(b.place.disk, "filter")}
	sources := map[string]string{"floor.c": floorSource, "child.h": floorChild, "host.h": floorHost}
	if err := b.compile(ctx, f.program, sources, "floor.c"); err != nil {
		return nil, err
	}
	profile, err := seccomp.Default(seccomp.Application)
	if err != nil {
		return nil, err
	}
	filter, err := profile.Compile(runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	return f, os.WriteFile(f.filter, filter.Bytes(), 0o600)
}

// floorRun is a floor that obeys; nil where there is none, which is never asked.
type floorRun struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	groups []cgroupFolder
}

// open starts the floor on the same root as davit's domains.
func (f *floorProgram) open(ctx context.Context, program string) (*floorRun, error) {
	if f == nil {
		return nil, nil
	}
	r := &floorRun{}
	var err error
	if r.groups, err = makeGroups(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	args := []string{f.b.root, program, strconv.Itoa(floorIDs), f.filter, "floor"}
	for _, g := range r.groups {
		args = append(args, g.controllers+"="+g.path)
	}
	r.cmd = exec.CommandContext(ctx, f.program, args...)
	r.cmd.Stderr = os.Stderr
	r.cmd.Cancel = func() error { return r.in.Close() } // it ends its containers before it ends itself
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.out = bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		r.cmd = nil
		return nil, errors.Join(fmt.Errorf("start floor: %w", err), r.Close())
	}
	if _, err := r.answer(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// do has the floor do something and tells how long that took.
func (r *floorRun) do(order string) (time.Duration, error) {
	if _, err := io.WriteString(r.in, order+"\n"); err != nil {
		return 0, fmt.Errorf("tell floor to %s: %w", order, err)
	}
	n, err := r.answer()
	if err != nil {
		return 0, fmt.Errorf("floor: %s: %w", order, err)
	}
	return time.Duration(n), nil
}

func (r *floorRun) answer() (int64, error) {
	line, err := r.out.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("the floor does not answer: %w", err)
	}
	line = strings.TrimSpace(line)
	if fault, ok := strings.CutPrefix(line, "error "); ok {
		at := strings.LastIndexByte(fault, ' ')
		number, _ := strconv.Atoi(fault[at+1:])
		return 0, fmt.Errorf("%s: %w", fault[:max(at, 0)], unix.Errno(number))
	}
	return strconv.ParseInt(line, 10, 64)
}

// Close ends the floor and removes its cgroups.
func (r *floorRun) Close() error {
	if r == nil {
		return nil
	}
	var errs []error
	if r.cmd != nil {
		_ = r.in.Close()
		errs = append(errs, r.cmd.Wait())
	}
	for _, g := range r.groups {
		errs = append(errs, os.Remove(g.path))
	}
	return errors.Join(errs...)
}
