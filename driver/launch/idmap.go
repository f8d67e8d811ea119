package launch

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// gidTTY is the group of terminals inside, by old custom.
const gidTTY = 5

// idMap is a map of a user namespace; nil is the identity.
type idMap []*monitorv1.IdMapping

// outside translates an id of the container into one of the host.
func (m idMap) outside(inside uint32) (int, bool) {
	if m == nil {
		return int(inside), true
	}
	for _, line := range m {
		if inside >= line.GetInside() && uint64(inside) < uint64(line.GetInside())+uint64(line.GetCount()) {
			return int(line.GetOutside() + (inside - line.GetInside())), true
		}
	}
	return 0, false
}

// String is the text of /proc/PID/uid_map.
func (m idMap) String() string {
	var b strings.Builder
	for _, line := range m {
		fmt.Fprintf(&b, "%d %d %d\n", line.GetInside(), line.GetOutside(), line.GetCount())
	}
	return b.String()
}

// write gives the user namespace of a process its map. The kernel takes it in one piece, once.
func (m idMap) write(pid int, file string) error {
	return writeProc(strconv.Itoa(pid), file, m.String())
}

// writeProc writes a file of a process in proc, in one piece. Such a file is not to be waited for, which the os package would find
// out by five calls.
func writeProc(process, file, text string) error {
	path := "/proc/" + process + "/" + file
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	n, err := unix.Write(fd, []byte(text))
	if err == nil && n != len(text) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// readProc reads the beginning of a file of a process in proc, as much as there is room for.
func readProc(process, file string, room []byte) ([]byte, error) {
	path := "/proc/" + process + "/" + file
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	n, err := unix.Read(fd, room)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return room[:n], nil
}

// owner is who owns what is made for a container, as ids of the host: its root, and its group of terminals.
type owner struct {
	uid, gid, tty int
}

// ownerOf finds the owner by the maps of a plan.
func ownerOf(plan *monitorv1.Plan) (owner, error) {
	var uids, gids idMap
	if plan.GetNamespaces().GetUser() {
		// Without lines they are maps that hold nothing, not no maps.
		uids, gids = append(idMap{}, plan.GetUidMap()...), append(idMap{}, plan.GetGidMap()...)
	}
	uid, ok1 := uids.outside(0)
	gid, ok2 := gids.outside(0)
	if !ok1 || !ok2 {
		return owner{}, invalid(step{operation: "map ids"}, "the maps do not hold user and group 0")
	}
	tty, ok := gids.outside(gidTTY)
	if !ok {
		tty = gid
	}
	return owner{uid: uid, gid: gid, tty: tty}, nil
}
