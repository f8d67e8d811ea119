package fs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MountID tells one mount from all others.
type MountID struct {
	// ID is the one that the mount has in a [MountTable]. When the mount is gone another may get it.
	ID uint64
	// Unique is never another's. It is 0 before Linux 6.8.
	Unique uint64
}

// The word of statx(2) for the unique id, which package unix does not have.
const statxUnique = 0x4000

// IdentifyMount tells which mount an open file is on, and whether it is the root of it.
func IdentifyMount(f *os.File) (id MountID, root bool, err error) {
	var stat unix.Statx_t
	if err = unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &stat); err != nil {
		return id, false, fmt.Errorf("identify mount of %q: %w", f.Name(), err)
	}
	if stat.Mask&unix.STATX_MNT_ID == 0 {
		return id, false, fmt.Errorf("identify mount of %q: %w", f.Name(), unix.ENOSYS)
	}
	id.ID, root = stat.Mnt_id, stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	if err = unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, statxUnique, &stat); err != nil {
		return id, false, fmt.Errorf("identify mount of %q: %w", f.Name(), err)
	}
	if stat.Mask&statxUnique != 0 {
		id.Unique = stat.Mnt_id
	}
	return id, root, nil
}

// TableEntry is a mount of a mount namespace.
type TableEntry struct {
	// ID of the mount, and of the one that it is attached to ([MountID.ID]).
	ID, Parent uint64
	// Point is where it is attached, an absolute path without symbolic links.
	Point string
	// Type of its filesystem.
	Type string
}

// MountTable is what is mounted in a mount namespace. What something is attached to comes before it, unless it was moved.
type MountTable []TableEntry

// maxMountTable is the longest table that is read: 100000 mounts, the most that the kernel lets a namespace have by itself, at
// places of usual names. Whoever owns the namespace chooses the names.
const maxMountTable = 16 << 20

// ReadMountTable parses /proc/PID/mountinfo (proc(5)). Lines that it does not understand are left out. One of more than 16 MiB is
// [ErrTooLarge].
//
// The kernel does not give it in one piece: with an owner who mounts and unmounts meanwhile it is what there never was, and holds one
// ID twice, or mounts that are attached to each other.
func ReadMountTable(r io.Reader) (MountTable, error) {
	var table MountTable
	bounded := &io.LimitedReader{R: r, N: maxMountTable + 1}
	lines := bufio.NewScanner(bounded)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if entry, ok := parseMount(lines.Text()); ok {
			table = append(table, entry)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	if bounded.N == 0 {
		return nil, fmt.Errorf("read mount table: %w: more than %d bytes", ErrTooLarge, maxMountTable)
	}
	return table, nil
}

func parseMount(line string) (entry TableEntry, ok bool) {
	fields := strings.Fields(line)
	_, after, found := strings.Cut(line, " - ")
	if len(fields) < 5 || !found {
		return entry, false
	}
	var err1, err2 error
	entry.ID, err1 = strconv.ParseUint(fields[0], 10, 64)
	entry.Parent, err2 = strconv.ParseUint(fields[1], 10, 64)
	entry.Point = unescape(fields[4])
	entry.Type, _, _ = strings.Cut(after, " ")
	return entry, err1 == nil && err2 == nil && strings.HasPrefix(entry.Point, "/")
}

// unescape undoes what the kernel does to blanks: \040.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Find gives the mount of an ID.
func (t MountTable) Find(id uint64) (TableEntry, bool) {
	for _, entry := range t {
		if entry.ID == id {
			return entry, true
		}
	}
	return TableEntry{}, false
}

// Below gives the mounts that are attached to one, and to those, each before the one that it is attached to. Each ID is given once.
func (t MountTable) Below(id uint64) MountTable {
	attached := make(map[uint64]MountTable)
	for _, entry := range t {
		attached[entry.Parent] = append(attached[entry.Parent], entry)
	}
	seen := map[uint64]bool{id: true}
	var below MountTable
	for next := []uint64{id}; len(next) > 0; next = next[1:] {
		for _, entry := range attached[next[0]] {
			if !seen[entry.ID] {
				seen[entry.ID] = true
				below, next = append(below, entry), append(next, entry.ID)
			}
		}
	}
	slices.Reverse(below)
	return below
}
