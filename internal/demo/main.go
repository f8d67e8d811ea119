// Command demo shows a domain's whole life: make demo.
//
// It starts a davitd with all its state in a temporary folder, defines the domain of docs/examples/demo.xml, starts it,
// looks at it from outside and inside, shuts it down and removes it, with the events as they come. At the end, also when
// something fails or the user interrupts, it stops the daemon and checks that nothing is left: no process, mount, cgroup,
// network link or file. Everything shown is what the programs in -bin really say.
//
// As root the containers are real. Without root it says so and shows the same on the fake driver.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	bin := flag.String("bin", "bin", "folder with davitd, davit-monitor and davit")
	definition := flag.String("definition", "docs/examples/demo.xml", "the domain, whose name is demo")
	fake := flag.Bool("fake", os.Geteuid() != 0, "play the containers; always so without root")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *bin, *definition, *fake || os.Geteuid() != 0); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run shows everything and cleans up whatever happens.
func run(ctx context.Context, bin, definition string, fake bool) (err error) {
	programs, err := findPrograms(bin)
	if err != nil {
		return err
	}
	if err = adoptOrphans(); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "davit-demo-")
	if err != nil {
		return err
	}
	before, err := survey()
	if err != nil {
		return errors.Join(err, os.RemoveAll(folder))
	}
	s := &stage{programs: programs, folder: folder, fake: fake}
	defer func() { //nolint:contextcheck // cleaning up goes on when the user interrupts
		s.clear()
		err = errors.Join(err, s.checkDaemon(), s.removeFolder(), s.checkHost(before))
	}()
	if err := s.play(ctx, definition); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	return nil
}

// programs are the paths of what is shown.
type programs struct{ davitd, davit string }

func findPrograms(bin string) (programs, error) {
	dir, err := filepath.Abs(bin)
	if err != nil {
		return programs{}, err
	}
	p := programs{filepath.Join(dir, "davitd"), filepath.Join(dir, "davit")}
	for _, path := range []string{p.davitd, p.davit, filepath.Join(dir, "davit-monitor")} {
		if _, err := os.Stat(path); err != nil {
			return programs{}, fmt.Errorf("find program: %w (make build makes it)", err)
		}
	}
	return p, nil
}
