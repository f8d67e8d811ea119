// Command bench measures what SPECIFICATION.md promises: make bench.
//
// It starts a davitd of its own, with its state in temporary folders, and asks it over gRPC as every client does. What it measures is
// called a line; each has a name, by which it can be chosen. Beside starts and lives of containers stands, by turns and in the same run,
// the floor: a program of the same system calls and nothing else, which is in the folder floor and is compiled for the benchmark. Beside
// lives stand the other programs of the field that are installed, crun first. As all of them have the same host, the ratios are worth
// more than the times.
//
// It prints a table, writes all figures as a list to -json, and draws them to -chart. It needs root. At the end nothing of it is left.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the arguments.
type options struct {
	bin              string
	lines            []string
	n                int
	gap              time.Duration
	running, defined int
	subscribers      int
	rate             int
	seconds          time.Duration
	rest             time.Duration // how long all is left alone before memory is measured
	json, chart      string
	page             string
	short, beside    bool
}

func main() {
	o, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parse reads the arguments. What is short is so unless it is given.
func parse(args []string) (options, error) {
	var o options
	var chosen string
	var list, peers bool
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.StringVar(&o.bin, "bin", "bin", "folder with davitd and davit-monitor")
	set.StringVar(&chosen, "lines", "", "names of the lines to measure, separated by commas; all when empty")
	set.BoolVar(&list, "list", false, "list the lines and end")
	set.BoolVar(&peers, "peers", false, "tell which other programs are installed, how to install them on Debian, and end")
	set.IntVar(&o.n, "n", 50, "how often what is told as a median is measured")
	set.DurationVar(&o.gap, "gap", 300*time.Millisecond, "pause before each start with pools filled")
	set.IntVar(&o.running, "running", 1000, "domains that run in the line running")
	set.IntVar(&o.defined, "defined", 10_000, "domains that are defined in the line defined")
	set.IntVar(&o.subscribers, "subscribers", 100, "subscribers in the line events")
	set.IntVar(&o.rate, "rate", 1000, "events a second in the line events")
	set.DurationVar(&o.seconds, "time", 10*time.Second, "how long rates are measured")
	set.DurationVar(&o.rest, "rest", 5*time.Second, "how long all is left alone before memory is measured")
	set.StringVar(&o.json, "json", "build/bench.json", "file for all figures")
	set.StringVar(&o.chart, "chart", "build/bench.svg", "file for the chart; drawn only of a whole run, unless it is in the folder of -json")
	set.StringVar(&o.page, "page", "", "page whose table of figures is written anew, of a whole run only")
	set.BoolVar(&o.beside, "beside", false, "do not wait for tests that run on this host")
	set.BoolVar(&o.short, "short", false, "a minute instead of ten: fewer of everything that is not given")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("read arguments: %q is not one", set.Arg(0))
	}
	switch {
	case list:
		listLines()
		return o, flag.ErrHelp
	case peers:
		listPeers()
		return o, flag.ErrHelp
	}
	if chosen != "" {
		o.lines = strings.Split(chosen, ",")
	}
	if o.short {
		o.shorten(set)
	}
	return o, o.check()
}

func (o *options) shorten(set *flag.FlagSet) {
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range map[string]string{"n": "10", "running": "50", "defined": "500", "time": "3s"} {
		if !given[name] {
			_ = set.Set(name, value)
		}
	}
}

// check refuses what cannot be, before anything is begun.
func (o *options) check() error {
	for name, n := range map[string]int{
		"n": o.n, "running": o.running, "defined": o.defined, "subscribers": o.subscribers, "rate": o.rate,
	} {
		if n < 1 {
			return fmt.Errorf("read arguments: -%s is %d and must be at least 1", name, n)
		}
	}
	for _, name := range o.lines {
		if lineOf(name) == nil {
			return fmt.Errorf("read arguments: there is no line %q; -list tells them", name)
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("containers need root")
	}
	var err error
	o.bin, err = filepath.Abs(o.bin)
	return err
}

// whole tells whether everything is measured in the full size.
func (o *options) whole() bool { return len(o.lines) == 0 && !o.short }

// run measures the lines that are chosen, and reports what came of them, also when one failed.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	if !o.beside {
		held, locked := lock(ctx, out)
		if locked != nil {
			return locked
		}
		defer func() { _ = held.Close() }()
	}
	begun := time.Now()
	b, err := newBench(ctx, o, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	b.introduce()
	var faults []error
	for _, l := range allLines() {
		if !b.chosen(l.name) {
			continue
		}
		b.say("\n%s: %s", l.name, l.help)
		if err := l.measure(ctx, b); err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			faults = append(faults, fmt.Errorf("%s: %w", l.name, err))
			b.say("  not measured: %v", err)
		}
	}
	b.table()
	b.say("\nIt took %s.", time.Since(begun).Round(time.Second))
	return errors.Join(append(faults, b.write())...)
}
