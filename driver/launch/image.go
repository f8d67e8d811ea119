package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// rootImage mounts the filesystem of a device that is to be the root. No device node in it can be opened. Its
// set-user-id bits count: they are the container's own, as in any other root.
func (t *tree) rootImage(r *monitorv1.RootImage) (*os.File, error) {
	return t.mountImage(r.GetHeld(), r.GetMapped(), fs.ImageOptions{
		Type: r.GetType(), ReadOnly: r.GetReadOnly(), Attributes: unix.MOUNT_ATTR_NODEV,
	})
}

// image mounts the filesystem of a device. No device node in it can be opened, and no set-user-id bit counts, whatever the flags
// are: what is in it was made by nobody knows whom.
func (t *tree) image(m *monitorv1.Image) (*os.File, error) {
	attributes := unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | int(attributesOf(m.GetFlags(), false))
	return t.mountImage(m.GetHeld(), m.GetMapped(), fs.ImageOptions{
		Type: m.GetType(), ReadOnly: m.GetReadOnly(), Attributes: attributes,
	})
}

func (t *tree) mountImage(name string, mapped bool, o fs.ImageOptions) (*os.File, error) {
	if o.Device = t.heldFile(name); o.Device == nil {
		return nil, fmt.Errorf("%q is not held", name)
	}
	mount, err := fs.Image(o)
	if err != nil || !mapped {
		return mount, err
	}
	return t.mapped(mount)
}

// heldFile is what is held by a name.
func (t *tree) heldFile(name string) *os.File {
	if i := slices.Index(t.plan.GetHeld(), name); i >= 0 && i < len(t.held) {
		return t.held[i]
	}
	return nil
}

// mapped maps the ids of a mount, and of those below it, as the container's user namespace does. Without one they are the
// container's already. With an error the mount is closed.
func (t *tree) mapped(mount *os.File) (*os.File, error) {
	if !t.plan.GetNamespaces().GetUser() {
		return mount, nil
	}
	if err := t.haveUserns(); err != nil {
		_ = mount.Close()
		return nil, err
	}
	err := fs.MapIDs(mount, t.userns)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("ids cannot be mapped on %s, or not on what is mounted below it: %w; they can on ext4, xfs, btrfs and tmpfs",
			filesystemOf(mount), err)
	}
	if err != nil {
		_ = mount.Close()
		return nil, err
	}
	return mount, nil
}

// filesystemOf is what a mount is of, in the kernel's word for those that are known not to map ids.
func filesystemOf(mount *os.File) string {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(mount.Fd()), &stat); err != nil {
		return "its filesystem"
	}
	known := map[int64]string{
		unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs", unix.FUSE_SUPER_MAGIC: "fuse",
		unix.PROC_SUPER_MAGIC: "proc", unix.SYSFS_MAGIC: "sysfs", unix.V9FS_MAGIC: "9p", unix.CIFS_SUPER_MAGIC: "cifs",
		unix.TMPFS_MAGIC: "tmpfs", unix.SQUASHFS_MAGIC: "squashfs",
	}
	if name := known[stat.Type]; name != "" {
		return name
	}
	return fmt.Sprintf("its filesystem (type %#x)", stat.Type)
}

// haveUserns makes a user namespace with the maps of the container, which there is none of yet.
func (t *tree) haveUserns() (err error) {
	if t.userns == nil {
		t.userns, t.ending, err = makeUserns(t.plan)
	}
	return err
}

// checkHeld refuses names of what is held that are no names, and images of what is not held or of no known type.
func checkHeld(plan *monitorv1.Plan) error {
	for i, name := range plan.GetHeld() {
		if name == "" || slices.Contains(plan.GetHeld()[:i], name) {
			return invalid(step{operation: "check plan"}, "%q is not the only name of what is held", name)
		}
	}
	return nil
}

// checkImage refuses an image of what is not held, or of no known type.
func checkImage(plan *monitorv1.Plan, op *monitorv1.Operation, s step) error {
	var name, kind string
	switch o := op.GetStep().(type) {
	case *monitorv1.Operation_Image:
		name, kind = o.Image.GetHeld(), o.Image.GetType()
	case *monitorv1.Operation_RootImage:
		name, kind = o.RootImage.GetHeld(), o.RootImage.GetType()
	default:
		return nil
	}
	if !slices.Contains(plan.GetHeld(), name) {
		return invalid(s, "%q is not held", name)
	}
	if !slices.Contains(fs.ImageTypes(), kind) {
		return invalid(s, "filesystem type %q is none of %q", kind, fs.ImageTypes())
	}
	return nil
}

// checkHeldFiles tells whether there is a descriptor of all that is held.
func checkHeldFiles(plan *monitorv1.Plan, files []*os.File) error {
	if want := len(plan.GetHeld()); len(files) != want {
		return invalid(step{operation: "hold descriptors"}, "there are %d descriptors of %d names", len(files), want)
	}
	return nil
}
