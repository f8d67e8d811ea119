// davit-monitor is the process beside each running domain, and, with --keeper, the one above them all. davitd starts the
// keeper, and the keeper the monitors; neither is meant to be started by hand.
//
//	davit-monitor UUID GENERATION    with its descriptors: 3 to report that it is ready, 4 the domain's state folder,
//	                                 5 the folder where the keeper listens, and where there is one, 6 a connection
//	                                 that is served before all others
//	                                 a spare, which has words in their place, is told its domain by way of 4
//	davit-monitor --keeper           with its descriptors: 3 to report that it is ready, 4 the folder where it listens
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/davitd/davit/driver/monitor"
	"github.com/davitd/davit/driver/monitor/keeper"
	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/program"
	"github.com/davitd/davit/driver/monitor/slack"
)

func main() {
	log := logline.New(os.Stderr)
	if err := slack.Widen(0); err != nil { // it only costs time
		log.Write(logline.Warn, "runtime watches as ever", logline.Err(err))
	}
	if err := run(os.Args[1:], log); err != nil {
		log.Write(logline.Error, "it ended by a fault", logline.Err(err))
		os.Exit(1)
	}
}

// run is the keeper or a monitor.
func run(args []string, log *logline.Log) error {
	switch {
	case len(args) == 1 && args[0] == "--keeper":
		return runKeeper(log)
	case keeper.Spare(args):
		return runSpare(log)
	case len(args) == 2:
		return runMonitor(args[0], args[1], log)
	}
	return fmt.Errorf("use davit-monitor: %d arguments, not --keeper or UUID GENERATION; davitd starts it", len(args))
}

func runKeeper(log *logline.Log) error {
	files, report, err := program.Inherited("folder")
	if err != nil {
		return err
	}
	if err = program.Harden("davit-keeper"); err == nil {
		err = keeper.Run(keeper.Options{Folder: files[0], Log: log, Ready: report.Ready})
	}
	return tell(report, err)
}

func runMonitor(uuid, generation string, log *logline.Log) error {
	files, report, err := program.Inherited("folder", "keeper")
	if err != nil {
		return err
	}
	connection := program.Connection(len(files))
	if err = program.Harden("davit-monitor"); err == nil {
		err = watch(monitor.Assignment{
			UUID: uuid, Generation: generation, Folder: files[0], Connection: connection,
		}, files[1], new(monitor.Native), log, report)
	}
	return tell(report, err)
}

func runSpare(log *logline.Log) error {
	files, report, err := program.Inherited("channel", "keeper")
	if err != nil {
		return err
	}
	if err = program.Harden("davit-monitor"); err != nil {
		return tell(report, err)
	}
	native := new(monitor.Native)
	a, err := monitor.Await(files[0], func() {
		if fault := native.MakeAhead(); fault != nil { // the launch makes its own, or says why it cannot
			log.Write(logline.Info, "no namespaces are there ahead", logline.Err(fault))
		}
	})
	if err == nil && a != nil {
		err = watch(*a, files[1], native, log, report)
	}
	return tell(report, err)
}

// watch is a monitor with a domain.
func watch(a monitor.Assignment, run *os.File, native *monitor.Native, log *logline.Log, report *program.Report) error {
	return monitor.Run(monitor.Options{
		UUID: a.UUID, Generation: a.Generation, Folder: a.Folder, Connection: a.Connection, Keeper: run, Launcher: native, Log: log,
		Ready: report.Ready,
	})
}

// tell tells whoever waits why the program did not get ready. Once it was ready nobody waits.
func tell(report *program.Report, err error) error {
	if err == nil {
		return nil
	}
	if reportErr := report.Fault(err); !errors.Is(reportErr, os.ErrClosed) {
		return errors.Join(err, reportErr)
	}
	return err
}
