package native

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var _ driver.FilesystemLister = (*instance)(nil)

// A guest may mount as much as it likes: how many mounts, and how much text of them, is told.
const (
	maxMounts     = 10000
	maxMountBytes = 1 << 20
	maxMountLine  = 64 << 10
)

// Filesystems reads what init sees. No filesystem is asked: one that hangs is nobody's concern.
func (i *instance) Filesystems(ctx context.Context) ([]*davitv1.MountedFilesystem, error) {
	const op = "list filesystems"
	state, err := i.withInit(ctx, op)
	if err != nil {
		return nil, err
	}
	file, err := i.openProc(int(state.GetPid()), "mountinfo")
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || gone(err) {
		return nil, i.state(op, "its init is about to end")
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	list, err := readMounts(file)
	if err != nil {
		return nil, fmt.Errorf("read mounts of process %d: %w", state.GetPid(), err)
	}
	nameMounts(list, i.definition())
	return list, nil
}

// openProc opens a file that proc(5) has of init. That init is alive afterwards, by its descriptor, tells that the number
// was not a stranger's.
func (i *instance) openProc(pid int, name string) (*os.File, error) {
	file, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), name))
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	err = os.ErrClosed
	if i.pidfd != nil {
		err = unix.PidfdSendSignal(int(i.pidfd.Fd()), 0, nil, 0)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("look at init: %w", err)
	}
	return file, nil
}

// readMounts reads proc_pid_mountinfo(5), up to the bounds.
func readMounts(from io.Reader) ([]*davitv1.MountedFilesystem, error) {
	var list []*davitv1.MountedFilesystem
	size := 0
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxMountLine)
	for lines.Scan() {
		m, err := parseMount(lines.Text())
		if err != nil {
			return nil, err
		}
		size += len(m.GetMountpoint()) + len(m.GetType()) + len(m.GetSource())
		if len(list) == maxMounts || size > maxMountBytes {
			return list, nil
		}
		list = append(list, m)
	}
	return list, lines.Err()
}

// parseMount reads a line: "36 35 98:0 /sub /mnt rw,noatime master:1 - ext4 /dev/root rw,errors=continue".
func parseMount(line string) (*davitv1.MountedFilesystem, error) {
	before, after, ok := strings.Cut(line, " - ")
	head, tail := strings.Split(before, " "), strings.Split(after, " ")
	if !ok || len(head) < 6 || len(tail) < 3 {
		return nil, fmt.Errorf("line %.200q is too short", line)
	}
	readOnly := func(options string) bool { return slices.Contains(strings.Split(options, ","), "ro") }
	return &davitv1.MountedFilesystem{
		Mountpoint: plainText(head[4]), Type: plainText(tail[0]), Source: plainText(tail[1]),
		ReadOnly: readOnly(head[5]) || readOnly(tail[2]),
	}, nil
}

// plainText undoes the kernel's \040 and the like, and makes UTF-8 of what is left.
func plainText(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if s[0] == '\\' && len(s) > 3 {
			if n, err := strconv.ParseUint(s[1:4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				s = s[4:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return strings.ToValidUTF8(b.String(), "\ufffd")
}

// nameMounts gives the mounts of the definition's filesystems their aliases: the first at each place, as what is above it
// is the guest's.
func nameMounts(list []*davitv1.MountedFilesystem, def *davitv1.Domain) {
	for _, f := range def.GetDevices().GetFilesystem() {
		target := path.Clean(f.GetTargetDir())
		at := slices.IndexFunc(list, func(m *davitv1.MountedFilesystem) bool { return m.GetMountpoint() == target })
		if at >= 0 && list[at].GetAlias() == "" {
			list[at].Alias = f.GetAlias()
		}
	}
}
