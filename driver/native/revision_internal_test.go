package native

import (
	gomaps "maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/proto/plain"
)

// A change of a definition is told as what goes and what comes; what is neither stays, and so does all else of the plan.
func TestRevise(t *testing.T) {
	disk := func(target string) *davitv1.Disk {
		return &davitv1.Disk{Type: davitv1.DiskType_DISK_TYPE_FILE, SourceFile: "/img/" + target, TargetDev: target}
	}
	ram := func(target string) *davitv1.Filesystem {
		return &davitv1.Filesystem{Type: davitv1.FilesystemType_FILESYSTEM_TYPE_RAM, TargetDir: target, SourceUsageKib: 1}
	}
	def := &davitv1.Domain{Name: "try", MemoryKib: 1, Os: &davitv1.Os{Init: "/bin/sh"}, Devices: &davitv1.Devices{
		Console: []*davitv1.Console{{}}, Disk: []*davitv1.Disk{disk("sda"), disk("sdc")},
		Filesystem: []*davitv1.Filesystem{ram("/a"), ram("/b"), ram("/c")},
	}}
	facts := facts
	facts.Sources = gomaps.Clone(facts.Sources)
	facts.Sources["disk sdb"] = Source{Block: true, Major: 7, Minor: 8, Held: true, Access: "rw", Nodes: []string{"sdb"}}
	now, err := Plan(def, facts)
	if err != nil {
		t.Fatal(err)
	}
	same, err := revise(now, def, facts)
	if err != nil || !changesNothing(same, now) || len(same.GetAddMounts())+len(same.GetRemoveMounts())+len(same.GetHold()) > 0 {
		t.Errorf("the same devices: %v, %v", same, err)
	}
	next := proto.CloneOf(def)
	next.Devices.Disk = []*davitv1.Disk{disk("sdb"), disk("sdc")}
	next.Devices.Filesystem = []*davitv1.Filesystem{ram("/b"), ram("/d")}
	r, err := revise(now, next, facts)
	if err != nil {
		t.Fatal(err)
	}
	var added []string
	for _, n := range r.GetAddNodes() {
		added = append(added, n.GetName())
	}
	for _, m := range r.GetAddMounts() {
		added = append(added, targetOf(m))
	}
	if diff := cmp.Diff([]string{"sdb", "/d"}, added); diff != "" {
		t.Errorf("added: %s", diff)
	}
	if diff := cmp.Diff([]string{"sda", "disk/by-id/scsi-A_1_2"}, r.GetRemoveNodes()); diff != "" {
		t.Errorf("removed nodes: %s", diff)
	}
	if diff := cmp.Diff([]string{"/c", "/a"}, r.GetRemoveMounts()); diff != "" {
		t.Errorf("removed mounts: %s", diff)
	}
	if diff := cmp.Diff([]string{"disk sdb"}, r.GetHold()); diff != "" {
		t.Errorf("held: %s", diff)
	}
	fresh, err := Plan(next, facts)
	if err != nil || !plain.Equal(fresh, r.GetPlan()) {
		t.Errorf("the plan that follows is not that of a start: %v", err)
	}
	other := proto.CloneOf(def)
	other.Devices.Filesystem = append(other.Devices.Filesystem, &davitv1.Filesystem{SourceDir: "/srv", TargetDir: "/"})
	if _, err := revise(now, other, facts); err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("another root: %v", err)
	}
	changed := proto.CloneOf(def)
	changed.Devices.Disk[0].Readonly = true
	if err := checkChanged(def, changed); err == nil || !strings.Contains(err.Error(), "disk[1]") {
		t.Errorf("a disk that is another: %v", err)
	}
	if err := checkChanged(def, next); err != nil {
		t.Errorf("disks that come and go: %v", err)
	}
}
