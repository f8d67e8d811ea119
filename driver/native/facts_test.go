package native_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/native"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestFacts holds init of a domain with the defaults of its profile, and a command beside it, to what testdata/facts says of the
// profile, which docs/security.md shows: what the kernel itself tells, not what was asked of it.
func TestFacts(t *testing.T) {
	h := newHost(t, "fac75001")
	d := closing(t, h.open(t))
	for _, name := range []string{"application", "system", "privileged"} {
		t.Run(name, func(t *testing.T) {
			word := davitv1.ProfileName(davitv1.ProfileName_value["PROFILE_NAME_"+strings.ToUpper(name)])
			_, change := ownRoot(t)
			spec := h.spec(idle, change, func(def *davitv1.Domain) { def.Profile = &davitv1.Profile{Name: word} })
			i := start(t, d, spec)
			init, command := factsOf(t, i, spec.Definition, "1"), factsOf(t, i, spec.Definition, "self")
			kill(t, i)
			golden := filepath.Join("testdata", "facts", name+".txt")
			if native.UpdateGoldens() {
				if err := os.WriteFile(golden, []byte(init), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), init); diff != "" {
				t.Errorf("init (-golden +now):\n%s", diff)
			}
			if diff := cmp.Diff(string(want), command); diff != "" {
				t.Errorf("a command beside it (-golden +now):\n%s", diff)
			}
		})
	}
}

// factsOf are the facts of a process of a domain, a line each.
func factsOf(t *testing.T, i driver.Instance, def *davitv1.Domain, process string) string {
	t.Helper()
	var b strings.Builder
	status := map[string]string{}
	for line := range strings.Lines(output(t, i, "cat", "/proc/"+process+"/status")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		status[name] = strings.Join(strings.Fields(value), " ")
	}
	c := domain.Confine(def)
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		expected := c.Capabilities
		if set == "CapInh" || set == "CapAmb" {
			expected = nil
		}
		fmt.Fprintf(&b, "%s: %s\n", set, capabilityNames(t, status[set], expected))
	}
	for _, field := range []string{"NoNewPrivs", "Seccomp", "Seccomp_filters", "Uid", "Gid", "Groups"} {
		fmt.Fprintf(&b, "%s: %s\n", field, status[field])
	}
	for _, file := range []string{"uid_map", "gid_map"} {
		fmt.Fprintf(&b, "%s: %s\n", file, mapWords(t, output(t, i, "cat", "/proc/"+process+"/"+file)))
	}
	limits := output(t, i, "cat", "/proc/"+process+"/limits")
	for _, l := range c.Rlimits {
		fmt.Fprintln(&b, limitFact(t, limits, l))
	}
	mountFacts(t, &b, output(t, i, "cat", "/proc/"+process+"/mountinfo"), def)
	nodes := strings.Split(output(t, i, "find", "/dev/", "-mindepth", "1", "-maxdepth", "1", "-type", "c", "-printf", "/dev/%f: %M %U:%G\n"), "\n")
	slices.Sort(nodes)
	b.WriteString(strings.TrimPrefix(strings.Join(nodes, "\n"), "\n") + "\n")
	return b.String()
}

// capabilityNames are the names of a set, or of what is missing in it where that is less. What the test itself has not nobody can be
// given, and is taken for what is expected.
func capabilityNames(t *testing.T, hex string, expected []string) string {
	t.Helper()
	set, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		t.Errorf("set %q: %v", hex, err)
	}
	own, err := native.OwnCapabilities()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range expected {
		set |= 1 << native.CapabilityNumber(name) &^ own
	}
	var in, out []string
	for _, name := range domain.Capabilities() {
		if set&(1<<native.CapabilityNumber(name)) != 0 {
			in = append(in, name)
			set &^= 1 << native.CapabilityNumber(name)
		} else {
			out = append(out, name)
		}
	}
	if set != 0 {
		t.Errorf("set %q has capabilities that are not known", hex)
	}
	slices.Sort(in)
	slices.Sort(out)
	switch {
	case len(in) == 0:
		return "none"
	case len(out) < len(in):
		return "all but " + strings.Join(out, " ")
	}
	return strings.Join(in, " ")
}

// mapWords is a map without the host's ids, which are others for each domain.
func mapWords(t *testing.T, text string) string {
	t.Helper()
	var inside, outside, count uint64
	if n, err := fmt.Sscan(text, &inside, &outside, &count); n != 3 || err != nil || strings.Count(text, "\n") != 1 {
		t.Errorf("map %q is not one line of three numbers", text)
	}
	if outside == 0 {
		return fmt.Sprintf("%d is the host's 0", inside)
	}
	if outside < 100000 {
		t.Errorf("map %q gives ids of the host's own users", text)
	}
	return fmt.Sprintf("%d to ids of its own, %d of them", inside, count)
}

// limitFact is a limit of a profile if it is as the profile says, no higher than what the test itself may have.
func limitFact(t *testing.T, limits string, l *davitv1.ResourceLimit) string {
	t.Helper()
	name, resource := "Max open files", unix.RLIMIT_NOFILE
	switch l.GetName() {
	case davitv1.ResourceName_RESOURCE_NAME_CORE:
		name, resource = "Max core file size", unix.RLIMIT_CORE
	case davitv1.ResourceName_RESOURCE_NAME_MEMLOCK:
		name, resource = "Max locked memory", unix.RLIMIT_MEMLOCK
	default:
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(resource, &own); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d %d", min(l.GetSoft(), own.Max), min(l.GetHard(), own.Max))
	for line := range strings.Lines(limits) {
		rest, ok := strings.CutPrefix(line, name)
		words := strings.Fields(rest)
		if !ok || len(words) < 2 {
			continue
		}
		if got := words[0] + " " + words[1]; got != want {
			return name + ": " + got
		}
		return fmt.Sprintf("%s: %d, at most %d", name, l.GetSoft(), l.GetHard())
	}
	return name + ": unknown"
}

// mountFacts tells of the mounts that every domain has, and of the paths that are hidden or read-only, where the host has them.
func mountFacts(t *testing.T, b *strings.Builder, info string, def *davitv1.Domain) {
	t.Helper()
	c := domain.Confine(def)
	options := map[string]string{}
	for line := range strings.Lines(info) {
		fields := strings.Fields(line)
		at := slices.Index(fields, "-")
		if len(fields) < 7 || at < 0 || at+1 >= len(fields) {
			t.Errorf("mount %q", line)
			continue
		}
		options[fields[4]] = fields[at+1] + " " + strings.ReplaceAll(strings.ReplaceAll(fields[5], ",relatime", ""), ",idmapped", "")
	}
	for _, at := range []string{"/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"} {
		if at == "/sys/fs/cgroup" && !native.HasCgroup2(t) {
			options[at] = "cgroup2 " + map[bool]string{true: "rw", false: "ro"}[c.Delegated] + ",nosuid,nodev,noexec"
		}
		fmt.Fprintf(b, "%s: %s\n", at, options[at])
	}
	for word, paths := range map[string][]string{"masked": c.Masked, "read-only": c.ReadOnly} {
		for _, p := range paths {
			if _, err := os.Lstat(p); err != nil {
				continue // nobody has it
			}
			if o, ok := options[p]; !ok || !strings.Contains(o+",", " ro,") {
				t.Errorf("%s is not %s: mounted as %q", p, word, o)
			}
		}
	}
	fmt.Fprintf(b, "masked: %s\nread-only: %s\n", orNone(c.Masked), orNone(c.ReadOnly))
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, " ")
}
