package main_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// maxSize is the most bytes that the stripped program may have: it is what each monitor maps.
const maxSize = 3_400_000

func TestSize(t *testing.T) {
	info, err := os.Stat(testenv.Binary(t, "davit-monitor"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("davit-monitor has %d bytes", info.Size())
	if info.Size() > maxSize {
		t.Errorf("davit-monitor has %d bytes, over the limit of %d", info.Size(), maxSize)
	}
}

// The packages that a monitor links are listed in deps.txt, for its memory is multiplied by the number of domains. What is
// new there was a decision: no XML, no model, no gRPC, no net, no cgroup library.
func TestDependencies(t *testing.T) {
	command := exec.Command("go", "list", "-deps", ".")
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for path := range strings.FieldsSeq(string(out)) {
		standard := !strings.Contains(strings.Split(path, "/")[0], ".")
		if !standard || !strings.Contains(path, "internal") {
			got = append(got, path)
		}
	}
	slices.Sort(got)
	list, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields(string(list)), got); diff != "" {
		t.Errorf("packages that the monitor links (-deps.txt +now):\n%s", diff)
	}
}

// Started by hand it says who starts it.
func TestByHand(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"a", "b", "c"}} {
		out, err := exec.Command(testenv.Binary(t, "davit-monitor"), args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "davitd starts it") {
			t.Errorf("%q: %v, %q", args, err, out)
		}
	}
}
