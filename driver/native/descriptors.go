package native

import (
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
