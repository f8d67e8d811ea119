package native

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/driver/seccomp"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var update = flag.Bool("update", false, "write what is now to testdata")

// facts are a host for goldens: each capability up to the newest that is known, a hybrid layout, four processors, two memory
// nodes, and a real time clock.
var facts = Facts{
	Capabilities: 1<<(unix.CAP_LAST_CAP+1) - 1, Cgroup2: true, UpperDir: "/var/lib/davit/upper",
	Range: Range{Start: 1000000, Count: 65536}, Filter: filter(), Modules: []string{"capability", "apparmor"}, CPUs: set("0-3"), Nodes: set("0-1"),
	Clocks: map[string]*monitorv1.DeviceNode{"rtc0": {Name: "rtc0", Major: 252, Minor: 0, Mode: 0o600}},
	Sources: map[string]Source{
		"disk sda":             {Block: true, Major: 7, Minor: 3, Held: true, Access: "rw", Nodes: []string{"sda", "disk/by-id/scsi-A_1_2"}},
		"disk sdb":             {Block: true, Major: 7, Minor: 8, Held: true, Access: "rw", Nodes: []string{"sdb", "disk/by-id/scsi-A_1_2"}},
		"disk vdb":             {Block: true, Major: 253, Minor: 1, Held: true, Access: "r", Nodes: []string{"vdb", "disk/by-id/virtio-B"}},
		"disk sdc":             {Block: true, Major: 7, Minor: 5, Held: true, Access: "rw", Nodes: []string{"sdc"}},
		"filesystem /data":     {Block: true, Major: 7, Minor: 4, Held: true, Filesystem: "ext4"},
		"filesystem /once":     {Block: true, Major: 7, Minor: 6, Held: true, Filesystem: "squashfs"},
		"filesystem /old":      {Block: true, Major: 253, Minor: 2, Held: true, Filesystem: "xfs"},
		"filesystem /":         {Block: true, Major: 7, Minor: 5, Held: true, Filesystem: "erofs"},
		"hostdev /dev/net/tun": {Major: 10, Minor: 200, Access: "rw", Nodes: []string{"net/tun"}},
		"hostdev /dev/null":    {Major: 1, Minor: 3, Access: "rw", Nodes: []string{"null"}},
		"hostdev /srv/x":       {Major: 1, Minor: 3, Access: "rw", Nodes: []string{"/srv/x"}},
		"hostdev /dev/sdc":     {Block: true, Major: 8, Minor: 32, Access: "rw", Nodes: []string{"sdc"}},
		"hostdev 046d:c52b":    {Major: 189, Minor: 7, Access: "rw", Nodes: []string{"bus/usb/001/008"}},
	},
}

// filter is one that stays the same when the built-in ones change.
func filter() seccomp.Program {
	p, err := seccomp.Profile{
		Name: "golden", Default: seccomp.Errno(1), Unknown: seccomp.Errno(38), Foreign: seccomp.KillProcess,
		Rules: []seccomp.Rule{{Names: []string{"read"}, Action: seccomp.Allow}},
	}.Compile("amd64")
	if err != nil {
		panic(err)
	}
	return p
}

func set(text string) *domain.Cpuset {
	s, err := domain.ParseCpuset(text)
	if err != nil {
		panic(err)
	}
	return s
}

// Each golden has a domain in XML and, after it, the plan or the error. The first line of its comment may change the
// host: "usr" for a /usr of its own, "v1" for one without cgroup2.
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			kind, got := plan(t, ar)
			if *update {
				ar.Files = []txtar.File{ar.Files[0], {Name: kind, Data: []byte(got)}}
				if err := os.WriteFile(name, txtar.Format(ar), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(ar.Files) < 2 || ar.Files[1].Name != kind {
				t.Fatalf("the golden has no %s:\n%s", kind, got)
			}
			if diff := cmp.Diff(string(ar.Files[1].Data), got); diff != "" {
				t.Errorf("-golden +now\n%s", diff)
			}
		})
	}
}

// plan makes what the second file of a golden holds.
func plan(t *testing.T, ar *txtar.Archive) (kind, text string) {
	t.Helper()
	src := &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: string(ar.Files[0].Data)}}
	def, _, err := domain.Read(src, domain.ReadOptions{Host: domain.HostDefaults{
		Arch: "x86_64", NewUUID: func() string { return "0f6f7a4e-6a53-4d6e-9f2e-3a54d8f0c001" },
	}})
	if err != nil {
		t.Fatal(err)
	}
	host := facts
	first, _, _ := strings.Cut(string(ar.Comment), "\n")
	host.OwnUsr = first == "usr"
	host.Cgroup2 = first != "v1"
	before := proto.CloneOf(def)
	p, err := Plan(def, host)
	if !proto.Equal(before, def) {
		t.Error("planning changed the definition")
	}
	if err != nil {
		return "error", err.Error() + "\n"
	}
	if err := launch.Check(p); err != nil {
		t.Errorf("the launcher refuses the plan: %v", err)
	}
	return "plan", launch.Describe(p)
}

func TestBounding(t *testing.T) {
	all := uint64(1<<(unix.CAP_LAST_CAP+1) - 1)
	for want, names := range map[uint64][]string{
		0:                                       nil,
		1<<unix.CAP_NET_RAW | 1<<unix.CAP_CHOWN: {"net_raw", "chown"},
		all:                                     domain.Capabilities(),
	} {
		if got := bounding(domain.Confinement{Capabilities: names}, all); got != want {
			t.Errorf("%v: %#x, want %#x", names, got, want)
		}
	}
	// What the host has not, no domain has.
	if got := bounding(domain.Confinement{Capabilities: domain.Capabilities()}, all&^(1<<unix.CAP_SYS_RESOURCE)); got&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		t.Errorf("%#x has what the host has not", got)
	}
}

// Every capability of the schema has a number, and every number a field.
func TestCapabilityNumbersAreComplete(t *testing.T) {
	fields := (&davitv1.Capabilities{}).ProtoReflect().Descriptor().Fields()
	seen := map[uint]bool{}
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Name() == "policy" {
			continue
		}
		n, ok := capabilityNumbers[f.Name()]
		if !ok {
			t.Errorf("capability %s has no number", f.Name())
		}
		seen[n] = true
	}
	for n := range uint(unix.CAP_LAST_CAP + 1) {
		if !seen[n] {
			t.Errorf("capability %d has no field", n)
		}
	}
}

func TestHostname(t *testing.T) {
	for name, want := range map[string]string{
		"web-1.example":          "web-1.example",
		"my web (old)":           "mywebold",
		"ünï":                    "n",
		"日本":                     "the-uuid",
		strings.Repeat("a", 100): strings.Repeat("a", 64),
	} {
		if got := hostname(&davitv1.Domain{Name: name, Uuid: "the-uuid"}); got != want {
			t.Errorf("host name of %q is %q, want %q", name, got, want)
		}
	}
}
