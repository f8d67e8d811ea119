package launch_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/driver/launch"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// fullPlan has every operation that there is.
func fullPlan() *monitorv1.Plan {
	plan := withUserNamespace(newPlan("/srv/root", "pause", "a b", ""))
	plan = withOverlay(plan, "/srv/top", "/srv/base")
	plan.Operations[0].GetRootOverlay().SizeBytes = 1 << 20
	add(plan,
		&monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: "/srv/data", Target: "/data", ReadOnly: true}}},
		&monitorv1.Operation{Step: &monitorv1.Operation_InnerBind{InnerBind: &monitorv1.InnerBind{Source: "/data", Target: "/again"}}},
		&monitorv1.Operation{Step: &monitorv1.Operation_Overlay{Overlay: &monitorv1.Overlay{Lower: "/srv/l", Upper: "/srv/u", Target: "/o"}}},
		&monitorv1.Operation{Step: &monitorv1.Operation_KernelFilesystem{KernelFilesystem: &monitorv1.KernelFilesystem{
			Type: monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_CGROUP2, Target: "/sys/fs/cgroup",
		}}},
	)
	add(hold(plan, "disk 1"),
		bindOf(&monitorv1.Bind{Source: "/srv/home", Target: "/home", Mapped: true, Flags: []monitorv1.MountFlag{monitorv1.MountFlag_MOUNT_FLAG_NODEV}}),
		imageOf(&monitorv1.Image{Held: "disk 1", Type: "ext4", Target: "/disk", ReadOnly: true, Mapped: true}),
	)
	plan.Init.User, plan.Init.Group, plan.Init.NoNewPrivs = "web", "www", true
	plan.Init.Rlimits = []*monitorv1.Rlimit{{Resource: 7, Soft: 1024, Hard: 1<<64 - 1}}
	plan.Policy = &monitorv1.Policy{
		OnPoweroff: monitorv1.Action_ACTION_DESTROY, OnReboot: monitorv1.Action_ACTION_RESTART, OnCrash: monitorv1.Action_ACTION_DESTROY,
	}
	return plan
}

func TestDescribe(t *testing.T) {
	golden(t, "full.txt", launch.Describe(fullPlan()))
	plan := newPlan("/srv/root", "pause")
	plan.Operations[0].GetRootBind().ReadOnly = true
	golden(t, "plain.txt", launch.Describe(plan))
	hold(plan, "sda").Operations[0] = &monitorv1.Operation{Step: &monitorv1.Operation_RootImage{RootImage: &monitorv1.RootImage{
		Held: "sda", Type: "xfs", ReadOnly: true, Mapped: true,
	}}}
	if text := launch.Describe(plan); !strings.Contains(text, "\nhold sda\nroot image sda of type xfs read-only mapped\n") {
		t.Error(text)
	}
}

// A program that grows while it is written is copied, page by page of memory that nobody has touched yet, and that takes longer than
// what it does. The plan has more in it than one of a default domain.
func TestProgramOfAUsualPlanIsNotMoved(t *testing.T) {
	plan := fullPlan()
	for i := range 12 {
		add(plan, &monitorv1.Operation{Step: &monitorv1.Operation_Mask{Mask: &monitorv1.Mask{Path: fmt.Sprintf("/proc/masked%d", i)}}})
	}
	took, room := launch.Assembled(plan)
	t.Logf("%+v of %+v", took, room)
	if took.Instructions == 0 || took.Instructions > room.Instructions || took.Arguments > room.Arguments || took.Steps > room.Steps ||
		took.Labels > room.Labels || took.Slots > room.Slots || took.Chunks > room.Chunks {
		t.Errorf("%+v is more than %+v", took, room)
	}
}

// A plan that a newer davitd made, or a careless one, can be described and is refused.
func TestAnOperationThatIsNotKnownIsRefused(t *testing.T) {
	plan := add(newPlan("/srv/root", "pause"), &monitorv1.Operation{})
	if text := launch.Describe(plan); !strings.Contains(text, "unknown operation\n") {
		t.Errorf("%s", text)
	}
	if err := launch.Check(plan); err == nil {
		t.Error("it was not refused")
	}
}

// What is shown says for each step what is done; numbers that another machine has differently are not in it.
func TestDescribeSyscalls(t *testing.T) {
	text := launch.DescribeSyscalls(fullPlan())
	if again := launch.DescribeSyscalls(plain.Clone(fullPlan())); again != text {
		t.Error("the same plan gave two texts")
	}
	for _, line := range []string{
		"clone3(NEWNS NEWPID NEWUSER NEWIPC NEWUTS NEWNET CLEAR_SIGHAND)", "mount proc /proc", "mask /proc/keys", `execve(&s[0-9]+, argv, env)`,
		`open_tree\(cwd, "/dev/13", 0x88001\) -> s[0-9]+`, `pivot_root\("\.", "\."\)`, `umount2\("\.", 2\)`,
		`openat2\(root, "proc/keys", \{DIRECTORY IN_ROOT NO_MAGICLINKS NO_SYMLINKS\}, 0x18\) -> s[0-9]+, else EAGAIN to [0-9]+, else ENOENT to [0-9]+`,
	} {
		pattern := strings.NewReplacer("clone3(", `clone3\(`, "SIGHAND)", `SIGHAND\)`, "execve(", `execve\(`, "env)", `env\)`).Replace(line)
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("there is no line %q in\n%s", line, text)
		}
	}
	if strings.Contains(text, "syscall ") {
		t.Error("a system call has no name")
	}
	before := ""
	for line := range strings.Lines(text) {
		// A rename anywhere on the host disturbs a walk that comes through "..": that is no failure, if it does not go on.
		at, call, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if strings.HasPrefix(call, "openat2(") && !strings.Contains(call, "else EAGAIN to "+before) {
			t.Errorf("%q is not tried again", call)
		}
		before = "?"
		if strings.HasPrefix(call, "try(") {
			before = at
		}
	}
	plan := fullPlan()
	plan.Operations = nil
	if text := launch.DescribeSyscalls(plan); text != "check plan: there is no root\n" {
		t.Errorf("%q", text)
	}
}

func TestCheckRefuses(t *testing.T) {
	for name, spoil := range map[string]func(p *monitorv1.Plan){
		"no root":         func(p *monitorv1.Plan) { p.Operations = p.Operations[1:] },
		"two roots":       func(p *monitorv1.Plan) { add(p, p.Operations[0]) },
		"no lower":        func(p *monitorv1.Plan) { withOverlay(p) },
		"no program":      func(p *monitorv1.Plan) { p.Init.Argv = nil },
		"NUL":             func(p *monitorv1.Plan) { p.Init.Env = []string{"A=\x00"} },
		"relative cwd":    func(p *monitorv1.Plan) { p.Init.Cwd = "bin" },
		"console":         func(p *monitorv1.Plan) { p.Init.Console = 3 },
		"no dev":          func(p *monitorv1.Plan) { p.Operations = append(p.Operations[:3:3], p.Operations[6:]...) },
		"console bind":    func(p *monitorv1.Plan) { p.Consoles = p.Consoles[:1] },
		"no UTS":          func(p *monitorv1.Plan) { p.Namespaces.Uts = false },
		"no network":      func(p *monitorv1.Plan) { p.Namespaces.Net = false },
		"map without 0":   func(p *monitorv1.Plan) { withUserNamespace(p).UidMap[0].Inside = 1 },
		"no map":          func(p *monitorv1.Plan) { withUserNamespace(p).GidMap = nil },
		"relative path":   func(p *monitorv1.Plan) { add(p, mask("proc/keys")) },
		"root as target":  func(p *monitorv1.Plan) { add(p, mask("/")) },
		"dots":            func(p *monitorv1.Plan) { add(p, mask("/proc/../etc")) },
		"path with NUL":   func(p *monitorv1.Plan) { add(p, mask("/proc\x00")) },
		"held twice":      func(p *monitorv1.Plan) { hold(p, "a", "a") },
		"held by no name": func(p *monitorv1.Plan) { hold(p, "") },
		"image of what is not held": func(p *monitorv1.Plan) {
			add(p, imageOf(&monitorv1.Image{Held: "a", Type: "ext4", Target: "/x"}))
		},
		"image of an unknown type": func(p *monitorv1.Plan) {
			add(hold(p, "a"), imageOf(&monitorv1.Image{Held: "a", Type: "fuse", Target: "/x"}))
		},
		"filesystem": func(p *monitorv1.Plan) {
			add(p, &monitorv1.Operation{Step: &monitorv1.Operation_KernelFilesystem{KernelFilesystem: &monitorv1.KernelFilesystem{Target: "/x"}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := newPlan("/srv/root", "pause")
			if err := launch.Check(plan); err != nil {
				t.Fatal(err)
			}
			spoil(plan)
			err := launch.Check(plan)
			e, ok := errors.AsType[*launch.Error](err)
			if !ok || e.Kind != monitorv1.ErrorKind_ERROR_KIND_INVALID || e.Message == "" {
				t.Errorf("%v", err)
			}
		})
	}
}

func mask(path string) *monitorv1.Operation {
	return &monitorv1.Operation{Step: &monitorv1.Operation_Mask{Mask: &monitorv1.Mask{Path: path}}}
}

func TestErrorTravels(t *testing.T) {
	e := &launch.Error{
		Step: 3, Operation: "mount proc", Object: "/proc", Errno: 1, Kind: monitorv1.ErrorKind_ERROR_KIND_INVALID, Message: "because",
	}
	if got, want := e.Error(), `mount proc "/proc": because: operation not permitted`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	want := &monitorv1.Error{
		Operation: "mount proc", Object: "/proc", Errno: 1, Message: "because", Step: 3, Kind: monitorv1.ErrorKind_ERROR_KIND_INVALID,
	}
	if diff := cmp.Diff(want, e.ToProto()); diff != "" {
		t.Errorf("it travels as (-want +got):\n%s", diff)
	}
}
