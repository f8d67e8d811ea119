package testenv

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A check that cannot fail proves nothing: each kind of leftover that can be made without harm must be seen.
func TestLookSeesWhatIsLeft(t *testing.T) {
	lockHost(t) // what another package's test makes meanwhile would be seen too
	t.Setenv(marker, strconv.Itoa(os.Getpid()))
	before := look(t)

	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	left := strings.Join(before.missingIn(look(t)), "\n")
	for _, want := range []string{"descriptor", "/dev/null", "process", "(sleep)"} {
		if !strings.Contains(left, want) {
			t.Errorf("the check does not see %q; it sees:\n%s", want, left)
		}
	}

	_ = file.Close()
	_ = child.Process.Kill()
	_ = child.Wait()
	if left := before.missingIn(look(t)); len(left) > 0 {
		t.Errorf("seen though it is gone: %q", left)
	}
}

func TestMissingNamesTheThing(t *testing.T) {
	if why := missing("a wooden leg"); why == "" {
		t.Error("an unknown need counts as met")
	}
	if os.Geteuid() != 0 && missing(Root) == "" {
		t.Error("root counts as met without root")
	}
}

// What others do on the host is nobody's leftover.
func TestOwnGroup(t *testing.T) {
	for path, want := range map[string]bool{
		"/sys/fs/cgroup/test-davit": true, "/sys/fs/cgroup/pids/davit.test-7/testkill": true, "/sys/fs/cgroup/cpu/machine": true,
		"/sys/fs/cgroup/machine/davit-1-2/init": true, "/sys/fs/cgroup/system.slice/cron.service": false, "/sys/fs/cgroup/machine.slice": false,
	} {
		if got := ownGroup(path); got != want {
			t.Errorf("%s is ours: %t, want %t", path, got, want)
		}
	}
}
