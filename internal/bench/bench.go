package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bench is a run of the benchmark.
type bench struct {
	options
	place   *place
	root    string // folder that containers have as their root
	floor   *floorProgram
	figures []figure
	remarks []string
	out     io.Writer
}

// newBench makes the folders and the programs that are measured with.
func newBench(ctx context.Context, o options, out io.Writer) (*bench, error) {
	p, err := newPlace()
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, place: p, out: out}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) error {
	for _, name := range []string{"davitd", "davit-monitor"} {
		if _, err := os.Stat(filepath.Join(b.bin, name)); err != nil {
			return fmt.Errorf("find program: %w (make build makes it)", err)
		}
	}
	var err error
	if b.root, err = b.makeRoot(ctx); err != nil {
		return err
	}
	b.floor, err = b.compileFloor(ctx)
	if errors.Is(err, errNoCompiler) {
		b.remark("there is no C compiler: no floor, and containers run a program of the Go runtime, which takes longer to exec")
		return nil
	}
	return err
}

// close removes what was made.
func (b *bench) close() error { return b.place.remove() }

func (b *bench) chosen(name string) bool { return len(b.lines) == 0 || slices.Contains(b.lines, name) }

// say tells something at once.
func (b *bench) say(format string, args ...any) { _, _ = fmt.Fprintf(b.out, format+"\n", args...) }

// remark tells something that belongs to the figures, at once and below the table.
func (b *bench) remark(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.remarks = append(b.remarks, text)
	b.say("  note: %s", text)
}

// host says on what the figures are measured.
func (b *bench) host() string {
	var uts unix.Utsname
	_ = unix.Uname(&uts)
	return fmt.Sprintf("Linux %s, %d processors, cgroups %s, state on %s, run folder on %s", unix.ByteSliceToString(uts.Release[:]),
		runtime.NumCPU(), layout(), filesystem(b.place.disk), filesystem(b.place.memory))
}

// introduce says on what the figures are measured, and whether anything else runs there.
func (b *bench) introduce() {
	load, _ := os.ReadFile("/proc/loadavg")
	b.say("%s; load %s", b.host(), strings.Join(strings.Fields(string(load))[:3], " "))
	if !strings.HasPrefix(string(load), "0.") {
		b.remark("the host was not quiet when it began (load %.4s): only the ratios are worth something", load)
	}
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// clock tells how long something took.
func clock(do func() error) (time.Duration, error) {
	begun := time.Now()
	err := do()
	return time.Since(begun), err
}
