package native_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Every thing that is looked at is told, also what is well; what is not well says what that disables. To look again finds
// the same, for nothing is changed.
func TestDiagnose(t *testing.T) {
	d := newHost(t, "diagnose").open(t)
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	first, err := d.Diagnose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	subjects := map[string]bool{}
	for _, f := range first {
		t.Log(f)
		subjects[f.GetSubject()] = true
		well := f.GetHealth() == davitv1.Health_HEALTH_GOOD
		if f.GetSeen() == "" || well != (f.GetDisables() == "") || well && f.GetRemedy() != "" {
			t.Errorf("finding is %v", f)
		}
		if f.GetSubject() != strings.ToLower(f.GetSubject()) {
			t.Errorf("subject %q is not in lower case", f.GetSubject())
		}
		if f.GetHealth() == davitv1.Health_HEALTH_BROKEN {
			t.Errorf("no domain can run here, and this test is where they do: %v", f)
		}
	}
	for _, subject := range []string{
		"rights of the daemon", "kernel", "mounts", "overlay", "user namespaces", "cgroups", "freezer", "swap accounting",
		"system call filters", "security modules", "programs in sealed memory", "monitor", "host ids",
	} {
		if !subjects[subject] {
			t.Errorf("nothing is said of %s", subject)
		}
	}
	second, err := d.Diagnose(t.Context())
	if diff := cmp.Diff(first, second, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("another time (-first +second): %v\n%s", err, diff)
	}
}
