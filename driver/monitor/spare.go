package monitor

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/driver/monitor/program"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Assignment is the domain that a spare monitor was given.
type Assignment struct {
	// UUID of the domain, and generation of its start.
	UUID, Generation string
	// Folder of the domain's state.
	Folder *os.File
	// Connection is what it serves first; nil if there is none.
	Connection *os.File
}

// Await waits in a spare monitor, one that was started ahead of any domain, until the keeper assigns it one, and makes the
// process look as if it had been started for that: its arguments, and its standard output and error, which become the
// domain's log. It gives nil when the keeper went away or wants no spare any more. Before it waits, if it has to, it calls ahead, which
// may be nil.
func Await(channel *os.File, ahead func()) (*Assignment, error) {
	launch.GetReady()
	conn, err := wire.Take(channel)
	if err != nil {
		return nil, errors.Join(err, channel.Close())
	}
	defer func() { _ = conn.Close() }()
	if ahead != nil && !conn.Waiting() {
		ahead()
	}
	message := new(monitorv1.Assign)
	files, err := conn.Receive(message)
	if errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // no domain is no error
	}
	if err != nil {
		return nil, fmt.Errorf("wait for domain: %w", err)
	}
	descriptors := wire.Name(message, files)
	defer descriptors.Close()
	folder := descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_FOLDER)
	log := descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_LOG)
	defer wire.CloseAll(log)
	if len(folder) != 1 || len(log) != 1 {
		wire.CloseAll(folder)
		return nil, errors.New("wait for domain: it came without its folder or log")
	}
	for _, standard := range []int{unix.Stdout, unix.Stderr} {
		if err := unix.Dup3(int(log[0].Fd()), standard, 0); err != nil {
			return nil, fmt.Errorf("use log: %w", err)
		}
	}
	if err := program.Retitle(os.Args[0], message.GetUuid(), message.GetGeneration()); err != nil {
		return nil, err
	}
	a := &Assignment{UUID: message.GetUuid(), Generation: message.GetGeneration(), Folder: folder[0]}
	for _, connection := range descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONNECTION) {
		a.Connection = connection
	}
	return a, nil
}
