package launch_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// TestMain makes the test process what a monitor is: not to be looked into.
func TestMain(m *testing.M) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		panic(err)
	}
	testenv.Main(m)
}

// sorted compares lists whatever their order.
func sorted(less func(a, b string) bool) cmp.Option {
	return cmp.Transformer("sorted", func(in []string) []string {
		out := slices.Clone(in)
		slices.SortFunc(out, func(a, b string) int {
			if less(a, b) {
				return -1
			}
			return 1
		})
		return out
	})
}

// idBase is where the ids of containers with a user namespace begin on the host.
const idBase = 1_000_000

// newRoot makes a root folder that holds the guest program and nothing else that matters.
func newRoot(tb testing.TB) string {
	tb.Helper()
	root := filepath.Join(tb.TempDir(), "root")
	for _, dir := range []string{"", "bin", "etc", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	guest := testenv.Build(tb, "./internal/guest")
	if err := os.Link(guest, filepath.Join(root, "bin/guest")); err != nil {
		copyFile(tb, guest, filepath.Join(root, "bin/guest"))
	}
	return root
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		tb.Fatal(err)
	}
}

// allCapabilities are those that a process can have.
const allCapabilities = 1<<41 - 1

// newPlan is a plan with all that an ordinary container has, whose init is the guest.
func newPlan(root string, words ...string) *monitorv1.Plan {
	return &monitorv1.Plan{
		Uuid: "5f9c6d2e-9d6c-4a6b-8f1e-0c1d2e3f4a5b", Name: "test",
		Namespaces: &monitorv1.Namespaces{Ipc: true, Uts: true, Net: true, Cgroup: true},
		Operations: append([]*monitorv1.Operation{
			{Step: &monitorv1.Operation_RootBind{RootBind: &monitorv1.RootBind{Source: root}}},
		}, layout()...),
		Consoles: []*monitorv1.Console{{Alias: "console0"}, {Alias: "console1"}},
		Init: &monitorv1.Process{
			Argv: append([]string{"/bin/guest"}, words...), Env: []string{"PATH=/bin", "container=davit"},
			Capabilities: allCapabilities, Console: 1,
		},
	}
}

// layout is what goes into a root.
func layout() []*monitorv1.Operation {
	return []*monitorv1.Operation{
		{Step: &monitorv1.Operation_KernelFilesystem{KernelFilesystem: &monitorv1.KernelFilesystem{
			Type: monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_PROC, Target: "/proc",
		}}},
		{Step: &monitorv1.Operation_KernelFilesystem{KernelFilesystem: &monitorv1.KernelFilesystem{
			Type: monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_SYSFS, Target: "/sys", ReadOnly: true,
		}}},
		{Step: &monitorv1.Operation_Dev{Dev: testDev()}},
		{Step: &monitorv1.Operation_ConsoleBind{ConsoleBind: &monitorv1.ConsoleBind{Console: 0, Name: "console"}}},
		{Step: &monitorv1.Operation_ConsoleBind{ConsoleBind: &monitorv1.ConsoleBind{Console: 1, Name: "tty1"}}},
		{Step: &monitorv1.Operation_Tmpfs{Tmpfs: &monitorv1.Tmpfs{
			Target: "/run", SizeBytes: 1 << 20, Mode: 0o755,
			Flags: []monitorv1.MountFlag{monitorv1.MountFlag_MOUNT_FLAG_NOSUID, monitorv1.MountFlag_MOUNT_FLAG_NODEV},
		}}},
		{Step: &monitorv1.Operation_ReadOnly{ReadOnly: &monitorv1.ReadOnly{Path: "/proc/sys"}}},
		{Step: &monitorv1.Operation_Mask{Mask: &monitorv1.Mask{Path: "/proc/keys"}}},
		{Step: &monitorv1.Operation_Mask{Mask: &monitorv1.Mask{Path: "/proc/fs"}}},
		{Step: &monitorv1.Operation_Mask{Mask: &monitorv1.Mask{Path: "/proc/no-such-thing"}}},
		{Step: &monitorv1.Operation_Hostname{Hostname: &monitorv1.Hostname{Name: "guest-host"}}},
		{Step: &monitorv1.Operation_LoopbackUp{LoopbackUp: &monitorv1.LoopbackUp{}}},
	}
}

func testDev() *monitorv1.Dev {
	return &monitorv1.Dev{
		Nodes: []*monitorv1.DeviceNode{
			{Name: "null", Major: 1, Minor: 3, Mode: 0o666},
			{Name: "zero", Major: 1, Minor: 5, Mode: 0o666},
			{Name: "tty", Major: 5, Minor: 0, Mode: 0o666},
		},
		Links: []*monitorv1.Symlink{
			{Name: "ptmx", Target: "pts/ptmx"}, {Name: "fd", Target: "/proc/self/fd"}, {Name: "stdin", Target: "/proc/self/fd/0"},
		},
		MaxPtys: 16, ShmSizeBytes: 1 << 20, Mqueue: true,
	}
}

// withUserNamespace gives a plan a user namespace.
func withUserNamespace(plan *monitorv1.Plan) *monitorv1.Plan {
	plan.Namespaces.User = true
	plan.UidMap = []*monitorv1.IdMapping{{Inside: 0, Outside: idBase, Count: 65536}}
	plan.GidMap = []*monitorv1.IdMapping{{Inside: 0, Outside: idBase, Count: 65536}}
	return plan
}

// chownTree gives a root folder to the ids of a user namespace.
func chownTree(tb testing.TB, root string) {
	tb.Helper()
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, idBase, idBase)
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// output is what a guest wrote to its console, line by line.
type output []string

// run launches a plan and gives the output of its first console and how init ended.
func run(tb testing.TB, plan *monitorv1.Plan) (output, launch.Exit) {
	tb.Helper()
	return runHolding(tb, plan)
}

// runHolding is run for a plan that holds something.
func runHolding(tb testing.TB, plan *monitorv1.Plan, held ...*os.File) (output, launch.Exit) {
	tb.Helper()
	guest, err := launch.Launch(plan, launch.Descriptors{Held: held})
	if err != nil {
		tb.Fatalf("launch: %v", err)
	}
	defer func() { _ = guest.Close() }()
	lines := make(chan output, 1)
	go func() { lines <- readConsole(guest.Consoles[0]) }()
	exit, err := guest.Wait()
	if err != nil {
		tb.Fatal(err)
	}
	return <-lines, exit
}

// readConsole reads until the other side is closed.
func readConsole(console io.Reader) output {
	data, err := io.ReadAll(console)
	if err != nil && !errors.Is(err, unix.EIO) {
		return output{"error: read console: " + err.Error()}
	}
	return strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"), "\n")
}

// with are the lines that begin with a word.
func (o output) with(word string) []string {
	var lines []string
	for _, line := range o {
		if rest, ok := strings.CutPrefix(line, word+" "); ok {
			lines = append(lines, rest)
		}
	}
	return lines
}
