package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/devices/loop"
	"github.com/davitd/davit/domain"
	davitfs "github.com/davitd/davit/fs"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// held is what is opened for the devices of a definition: facts, and the descriptors that the monitor keeps.
type held struct {
	sources map[string]Source
	// names and files of what is held, in the order of the definition; only what was opened now.
	names []string
	files []*os.File
}

// close lets go of the descriptors: the monitor has its own by then.
func (h *held) close() {
	closeAll(h.files)
	h.names, h.files = nil, nil
}

// busyTime is how long something that somebody has is waited for: a domain that has just ended may have it a moment longer, until
// the kernel has taken down its mounts.
const busyTime = 5 * time.Second

// hold opens what the devices of a definition need, but for what is known already. On an error nothing is open.
func (d *Driver) hold(ctx context.Context, op string, def *davitv1.Domain, known map[string]Source) (*held, error) {
	h := &held{sources: make(map[string]Source)}
	for _, n := range needs(def) {
		if s, ok := known[n.key]; ok {
			h.sources[n.key] = s
			continue
		}
		s, file, err := d.openSource(ctx, def, n)
		if err != nil {
			h.close()
			return nil, sourceFailed(op, def.GetName(), n, err)
		}
		h.sources[n.key] = n.completed(s)
		if file != nil {
			h.names, h.files = append(h.names, n.key), append(h.files, file)
		}
	}
	return h, nil
}

// openSource opens what a device is made of; file is nil for what is no more than a node.
func (d *Driver) openSource(ctx context.Context, def *davitv1.Domain, n need) (Source, *os.File, error) {
	if n.kind == usbSource {
		s := findUSB(d.usbFolder(), n.usb)
		if s.Missing != "" {
			return Source{}, nil, errors.New(s.Missing)
		}
		return s, nil, nil
	}
	at, s, err := resolve(n)
	if err != nil {
		return Source{}, nil, err
	}
	defer func() { _ = at.Close() }()
	if !n.isHeld() {
		return s, nil, nil
	}
	content, err := reopen(at, n.openMode(at))
	if err != nil {
		return Source{}, nil, err
	}
	if n.mounted {
		if s.Filesystem, err = n.probe(content); err != nil {
			return Source{}, nil, errors.Join(err, content.Close())
		}
	}
	if err = d.claim(ctx, def, n, s, content); err != nil {
		return Source{}, nil, errors.Join(err, content.Close())
	}
	if n.kind == blockSource {
		return s, content, nil
	}
	device, err := d.makeLoop(n, content)
	if err = errors.Join(err, content.Close()); err != nil {
		return Source{}, nil, err
	}
	s.Minor = uint32(device.Number)
	return s, device.File, nil
}

// openMode is how a source is opened: what holds a filesystem that nobody can write to is not opened for writing either.
func (n need) openMode(at *os.File) int {
	if n.readOnly {
		return os.O_RDONLY
	}
	if n.mounted {
		if f, err := reopen(at, os.O_RDONLY); err == nil {
			kind, _ := davitfs.Probe(f)
			_ = f.Close()
			if isReadOnlyType(kind) {
				return os.O_RDONLY
			}
		}
	}
	return os.O_RDWR
}

// isReadOnlyType tells filesystems that are made once.
func isReadOnlyType(filesystem string) bool { return filesystem == "erofs" || filesystem == "squashfs" }

// makeLoop makes the loop device of an image.
func (d *Driver) makeLoop(n need, image *os.File) (*loop.Device, error) {
	flags, err := unix.FcntlInt(image.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	device, err := loop.Make(image, loop.Options{ReadOnly: flags&unix.O_ACCMODE == unix.O_RDONLY, Direct: n.direct})
	if err != nil {
		return nil, err
	}
	if n.direct && !device.Direct {
		d.log.Warn("the filesystem of an image cannot be read past the host's cache", zap.String("image", n.path))
	}
	return device, nil
}

// The bytes of an image or device that are locked while a domain uses it: all those that QEMU locks, too, so that no virtual machine
// uses it at the same time.
const lockStart, lockLength = 100, 200

// claim makes sure that nobody uses a source who must not: a lock of the open file, which goes with the last descriptor of it,
// so with the domain, whoever is killed. One that is only read, or may be shared, is locked against those who want it alone.
// Who has a block device without asking for a lock, the host's own mounts above all, is found by claiming it as they do.
func (d *Driver) claim(ctx context.Context, def *davitv1.Domain, n need, s Source, content *os.File) error {
	flags, err := unix.FcntlInt(content.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	lock := unix.Flock_t{Type: unix.F_RDLCK, Start: lockStart, Len: lockLength}
	if n.isAlone() && flags&unix.O_ACCMODE != unix.O_RDONLY {
		lock.Type = unix.F_WRLCK
	}
	ctx, cancel := context.WithTimeout(ctx, busyTime)
	defer cancel()
	for wait := newPatience(); ; {
		err := unix.FcntlFlock(content.Fd(), unix.F_OFD_SETLK, &lock)
		if err == nil && lock.Type == unix.F_WRLCK && n.kind == blockSource {
			err = tryAlone(content)
		}
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("lock %q: %w", n.path, err)
		}
		owner := d.userOf(s, def.GetUuid())
		if owner != "" || wait.next(ctx) != nil {
			return &busyError{path: n.path, owner: owner}
		}
	}
}

// tryAlone claims a block device for a moment, as a mount does: EBUSY tells that somebody has it so.
func tryAlone(device *os.File) error {
	f, err := reopen(device, os.O_RDONLY|unix.O_EXCL)
	if err != nil {
		return errnoOr(err)
	}
	return f.Close()
}

// errnoOr is the kernel's error number of an error, or the error.
func errnoOr(err error) error {
	if errno := errnoOf(err); errno != 0 {
		return errno
	}
	return err
}

// busyError tells that somebody else uses a source.
type busyError struct{ path, owner string }

func (e *busyError) Error() string {
	if e.owner == "" {
		return fmt.Sprintf("%q is in use: a mount of the host, a virtual machine or another davit has it", e.path)
	}
	return fmt.Sprintf("%q is in use by %s; <shareable/> in both lets them share it", e.path, e.owner)
}

// userOf is the domain that uses a source, in words; empty if it is none of ours.
func (d *Driver) userOf(s Source, uuid string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.lives {
		i.mu.Lock()
		uses := !i.ended && !i.released && s.Content != "" && i.uses(s)
		i.mu.Unlock()
		if uses && i.spec.UUID == uuid {
			return "this domain itself"
		}
		if uses {
			return fmt.Sprintf("domain %q", i.spec.Definition.GetName())
		}
	}
	return ""
}

// uses tells whether a device of a run is made of a source.
func (i *instance) uses(s Source) bool {
	for _, own := range i.record.Sources {
		if own.Content == s.Content {
			return true
		}
	}
	return false
}

// sourceFailed is the error of a source that cannot be used.
func sourceFailed(op, name string, n need, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s %q: open %q: %w", op, name, n.path, err)
	}
	e := &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED,
		Op: op, Subject: name, Message: "the host has not what it asks for",
		Violations: []domain.Violation{violation(n.field, n.xmlPath, "%v", err)},
		Detail:     map[string]string{"feature": n.field, "device": n.alias, "object": n.path},
	}
	if isAbsent(err) {
		return notThere(e)
	}
	if busy, ok := errors.AsType[*busyError](err); ok {
		e.Reason, e.Message, e.Detail["owner"] = davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY, busy.Error(), busy.owner
		e.Violations = nil
		return e
	}
	if errno := errnoOf(err); errno != 0 {
		e.Detail["errno"] = unix.ErrnoName(errno)
	}
	if errors.Is(err, loop.ErrFull) {
		e.Code, e.Reason = codes.ResourceExhausted, davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED
		e.Message = "loop devices have run out"
	}
	return e
}
