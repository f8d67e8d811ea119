package native

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func mountWords(list []*davitv1.MountedFilesystem) (out []string) {
	for _, m := range list {
		out = append(out, fmt.Sprintf("%q %q %q %t %s", m.GetMountpoint(), m.GetType(), m.GetSource(), m.GetReadOnly(), m.GetAlias()))
	}
	return out
}

func TestReadMounts(t *testing.T) {
	list, err := readMounts(strings.NewReader(`36 35 98:0 / / rw,noatime master:1 - overlay host rw,lowerdir=/a
37 36 0:5 /sub /data\040of\134mine ro,relatime - ext4 /dev/sda1 rw
38 36 0:6 / /proc rw shared:2 master:3 - proc none ro
39 37 0:7 / /data\040of\134mine rw - tmpfs \377 rw
40 36 0:8 / /srv rw - fuse.sshfs host:/srv rw
41 36 0:9 / /srv/x rw - tmpfs  rw
`))
	if err != nil {
		t.Fatal(err)
	}
	nameMounts(list, &davitv1.Domain{Devices: &davitv1.Devices{Filesystem: []*davitv1.Filesystem{
		{TargetDir: "/", Alias: "fs0"},
		{TargetDir: `/data of\mine/`, Alias: "fs1"},
		{TargetDir: "/gone", Alias: "fs2"},
		{TargetDir: "/srv", Alias: "fs3"},
	}}})
	want := []string{
		`"/" "overlay" "host" false fs0`, `"/data of\\mine" "ext4" "/dev/sda1" true fs1`, `"/proc" "proc" "none" true `,
		`"/data of\\mine" "tmpfs" "�" false `, `"/srv" "fuse.sshfs" "host:/srv" false fs3`, `"/srv/x" "tmpfs" "" false `,
	}
	if diff := cmp.Diff(want, mountWords(list)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestReadMountsRefuses(t *testing.T) {
	for _, text := range []string{
		"36 35 98:0 / /\n", "36 35 98:0 / / rw - ext4\n", "x\n", "36 35 98:0 / / rw ext4 /dev/root rw\n",
		strings.Repeat("x", 2*maxMountLine),
	} {
		if list, err := readMounts(strings.NewReader(text)); err == nil {
			t.Errorf("%.40q: %v", text, list)
		}
	}
}

// However much a guest mounts, a bounded part of it is told.
func TestReadMountsIsBounded(t *testing.T) {
	short := strings.Repeat("36 35 98:0 / /a rw - tmpfs none rw\n", maxMounts+5)
	if list, err := readMounts(strings.NewReader(short)); err != nil || len(list) != maxMounts {
		t.Errorf("%d mounts, %v", len(list), err)
	}
	long := strings.Repeat("36 35 98:0 / /"+strings.Repeat("a", 4000)+" rw - tmpfs none rw\n", 1000)
	list, err := readMounts(strings.NewReader(long))
	size := 0
	for _, m := range list {
		size += len(m.GetMountpoint())
	}
	if err != nil || size > maxMountBytes || size < maxMountBytes/2 {
		t.Errorf("%d bytes, %v", size, err)
	}
}
