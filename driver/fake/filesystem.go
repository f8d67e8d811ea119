package fake

import (
	"context"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Filesystems are those of the definition, below a root that is always there.
func (i *instance) Filesystems(context.Context) ([]*davitv1.MountedFilesystem, error) {
	i.lock()
	defer i.unlock()
	if err := i.running("list filesystems"); err != nil {
		return nil, err
	}
	root := &davitv1.MountedFilesystem{Mountpoint: "/", Type: "fake", Source: "fake"}
	list := []*davitv1.MountedFilesystem{root}
	for _, f := range i.c.def.GetDevices().GetFilesystem() {
		m := &davitv1.MountedFilesystem{
			Mountpoint: f.GetTargetDir(), Type: "fake", Source: f.GetSourceDir(), ReadOnly: f.GetReadonly(), Alias: f.GetAlias(),
		}
		if f.GetType() == davitv1.FilesystemType_FILESYSTEM_TYPE_RAM {
			m.Type, m.Source = "tmpfs", "tmpfs"
		}
		if m.GetMountpoint() == "/" {
			list[0] = m
			continue
		}
		list = append(list, m)
	}
	return list, nil
}
