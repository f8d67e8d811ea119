package launch_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// What is hidden and protected stays so for a root that may mount, by whatever way.
func TestRootOfContainerCannotLiftMasks(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	words := strings.Fields("mkdir /tmp/x -- umount /proc/keys -- umount /proc/sys -- remount /proc/sys -- mount proc /tmp/x -- mount sysfs /tmp/x -- mount tmpfs /tmp/x")
	root := newOwnedRoot(t)
	plan := func(capabilities uint64) *monitorv1.Plan {
		p := withIDs(newPlan(root, words...), idBase)
		p.Operations[0].GetRootBind().Mapped, p.Init.Capabilities = true, capabilities
		return p
	}
	out, _ := run(t, plan(allCapabilities))
	out.compare(t, "mounted", "/tmp/x") // the tmpfs: it may mount
	if lifted := append(out.with("unmounted"), out.with("remounted")...); len(lifted) > 0 {
		t.Errorf("it lifts %q", lifted)
	}
	if refused := out.with("error:"); len(refused) != 5 {
		t.Errorf("refused: %q", refused)
	}
	out, _ = run(t, plan(allCapabilities&^(1<<unix.CAP_SYS_ADMIN)))
	if done := slices.Concat(out.with("mounted"), out.with("unmounted"), out.with("remounted")); len(done) > 0 {
		t.Errorf("without the right to mount it does %q", done)
	}
}
