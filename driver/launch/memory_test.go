package launch_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/davitd/davit/driver/launch"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// numaMaps tells the policy of a process's memory; it skips the test where the kernel knows one node only.
func numaMaps(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/numa_maps", pid))
	if os.IsNotExist(err) {
		t.Skip("needs a kernel with memory nodes")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The policy of init's memory is that of the plan, and that of a command its own.
func TestMemoryPolicy(t *testing.T) {
	inBoth(t, func(w world) {
		for word, mode := range map[string]monitorv1.MemoryPolicyMode{
			"prefer":     monitorv1.MemoryPolicyMode_MEMORY_POLICY_MODE_PREFERRED,
			"interleave": monitorv1.MemoryPolicyMode_MEMORY_POLICY_MODE_INTERLEAVE,
		} {
			plan := w.plan("pause")
			plan.Init.MemoryPolicy = &monitorv1.MemoryPolicy{Mode: mode, Nodes: []uint32{0}}
			guest := start(w, plan)
			if maps := numaMaps(w.T, guest.PID); !strings.Contains(maps, " "+word) || strings.Contains(maps, " default ") {
				w.Errorf("init's memory is not %s:\n%s", word, maps)
			}
			p := command("pause")
			p.MemoryPolicy = plan.GetInit().GetMemoryPolicy()
			process, err := launch.Join(guest.Target(launch.Descriptors{}), p, nullFiles(w))
			if err != nil {
				w.Fatal(err)
			}
			if maps := numaMaps(w.T, process.PID); !strings.Contains(maps, " "+word) {
				w.Errorf("a command's memory is not %s:\n%s", word, maps)
			}
			_ = process.Signal(9)
			_, _ = process.Wait()
			_ = process.Close()
			end(guest)
		}
	})
}

func TestMemoryPolicyRefused(t *testing.T) {
	preferred := monitorv1.MemoryPolicyMode_MEMORY_POLICY_MODE_PREFERRED
	for want, p := range map[string]*monitorv1.MemoryPolicy{
		"memory policy 0 is not known":   {Nodes: []uint32{0}},
		"the memory policy has no nodes": {Mode: preferred},
		"memory node 1024 is above 1023": {Mode: preferred, Nodes: []uint32{0, 1024}},
	} {
		plan := newPlan("/nonexistent", "pause")
		plan.Init.MemoryPolicy = p
		if err := launch.Check(plan); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
