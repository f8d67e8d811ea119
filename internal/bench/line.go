package main

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// line is a part of the benchmark that can be chosen.
type line struct {
	name, help string
	measure    func(context.Context, *bench) error
}

// allLines are the lines, in the order in which they are measured.
func allLines() []line {
	return []line{
		{"filled", "start of a defined domain at intervals, pools filled, by turns with the floor", measureFilled},
		{"empty", "start of defined domains one after the other without pause, pools empty, and the floor likewise", measureEmpty},
		{"define", "define and start, from nothing", measureDefine},
		{"life", "a container that ends at once, by turns with the floor and with what else is installed", measureLife},
		{"destroy", "destroy of a domain whose init ignores SIGTERM, until nothing of it is left", measureDestroy},
		{"exec", "exec of a static true, from the request to its exit code", measureExec},
		{"rate", "starts and destroys a second, sustained", measureRate},
		{"events", "init exits until each subscriber has the event", measureEvents},
		{"running", "memory with many domains running, and a restart of davitd beneath them", measureRunning},
		{"defined", "memory, list and start of davitd with many domains defined", measureDefined},
	}
}

func lineOf(name string) *line {
	all := allLines()
	if i := slices.IndexFunc(all, func(l line) bool { return l.name == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

func listLines() {
	for _, l := range allLines() {
		_, _ = fmt.Fprintf(os.Stdout, "%-8s  %s\n", l.name, l.help)
	}
}
