package native

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/monitor/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// checkDescriptors refuses a start that hands a monitor more than it takes: each image and block device, each namespace of somebody else
// and each file of a console is a descriptor, beside those of the cgroups and the logs.
func (d *Driver) checkDescriptors(op string, def *davitv1.Domain) error {
	room := client.MaxDescriptors - 1 // the folder of the logs
	for range d.cgroups.Trees {
		room-- // the folder of the cgroup, or its tasks file
	}
	files := 0
	for _, t := range terminals(def) {
		if t.file != "" {
			files++
		}
	}
	held, shares := len(heldNames(def)), len(shared(def))
	if n := held + shares + files; n > room {
		return hostLacks(op, def.GetName(), violation("devices", "/domain/devices",
			"%d images and block devices, %d namespaces of others and %d files of consoles are %d together, over the limit of %d of one start; "+
				"attach more of them when the domain runs", held, shares, files, n, room))
	}
	return nil
}

// startDescriptors is how many descriptors davitd needs for a start, and to undo one, beside those of images, block devices, namespaces and
// log files. Most of them are the room in which a new process puts its own in their places.
const startDescriptors = 128

// checkRoom refuses a start for which davitd has not descriptors enough, before anything is looked at or made: what cannot be opened would
// else be taken for what is not there, and what was made could not be undone.
func (d *Driver) checkRoom(op string, def *davitv1.Domain) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil // the start tells
	}
	need := startDescriptors + len(heldNames(def)) + len(shared(def)) + 2*len(terminals(def))
	var taken []*os.File
	defer func() { closeAll(taken) }()
	for range need {
		fd, err := unix.FcntlInt(d.run.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return &domain.Error{
				Code: codes.ResourceExhausted, Reason: davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED, Op: op, Subject: def.GetName(), Err: err,
				Message: fmt.Sprintf("davitd may have %d files open, and needs %d more; raise LimitNOFILE of its unit, or end domains and streams",
					limit.Cur, need-len(taken)),
				Detail: map[string]string{"errno": unix.ErrnoName(unix.EMFILE)},
			}
		}
		taken = append(taken, os.NewFile(uintptr(fd), "room"))
		// Numbers are given from the lowest. Where one is far below the limit there is no want of them.
		if uint64(fd)+uint64(16*need) < limit.Cur/2 {
			return nil
		}
	}
	return nil
}
