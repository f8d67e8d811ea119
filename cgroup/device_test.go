package cgroup_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/davitd/davit/cgroup"
)

// A device that stays allowed can be used at each moment of a change, and one that is not allowed at none.
func TestDevicesWhileTheyChange(t *testing.T) {
	h := host(t)
	rule := func(minor int64, access string) cgroup.DeviceRule {
		return cgroup.DeviceRule{Type: cgroup.CharDevice, Major: 1, Minor: minor, Access: access}
	}
	for version := 1; version <= 2; version++ {
		only := cgroup.Only(h, version)
		if only == nil || !only.Has("devices") && version == 1 {
			continue
		}
		g := create(t, only, cgroup.Limits{Devices: []cgroup.DeviceRule{rule(3, "rw")}})
		stop := filepath.Join(t.TempDir(), "stop")
		cmd := start(t, g, "while [ ! -e "+stop+" ]; do : </dev/null || exit 1; (: </dev/zero) 2>&- && exit 9; done; exit 0", nil)
		for range 300 {
			for _, more := range [][]cgroup.DeviceRule{
				{rule(3, "rw"), rule(8, "r")}, {rule(8, "rw"), rule(3, "rw")}, {rule(3, "r"), rule(9, "rwm")}, {rule(3, "rwm")},
			} {
				if err := g.SetLimits(cgroup.Limits{Devices: more}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.WriteFile(stop, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("version %d: a device was closed, or open, for a moment: %v", version, err)
		}
	}
}
