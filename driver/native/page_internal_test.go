package native

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// The part of docs/security.md that says what the profiles are is between these lines.
const (
	page      = "../../docs/security.md"
	pageBegin = "<!-- profiles: begin, written by go test ./driver/native -run Page -update -->\n"
	pageEnd   = "<!-- profiles: end -->\n"
)

// TestPage holds docs/security.md to the profiles as they are.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), pageBegin)
	have, after, ok2 := strings.Cut(rest, pageEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the profiles", page)
	}
	want := "\n" + profilesTable() + factsText(t)
	if *update {
		if err := os.WriteFile(page, []byte(before+pageBegin+want+pageEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(have, want); diff != "" {
		t.Errorf("%s (-page +code; go test ./driver/native -run Page -update writes it):\n%s", page, diff)
	}
}

var profileNames = []davitv1.ProfileName{
	davitv1.ProfileName_PROFILE_NAME_APPLICATION, davitv1.ProfileName_PROFILE_NAME_SYSTEM, davitv1.ProfileName_PROFILE_NAME_PRIVILEGED,
}

// profilesTable is a table with a column for each profile.
func profilesTable() string {
	var b strings.Builder
	b.WriteString("| | `application` | `system` | `privileged` |\n| --- | --- | --- | --- |\n")
	for _, row := range []struct {
		name string
		cell func(def *davitv1.Domain, c domain.Confinement) string
	}{
		{"namespaces", func(def *davitv1.Domain, _ domain.Confinement) string {
			words := "mount, pid, ipc, uts, network, cgroup"
			if isAllotted(def, false) {
				return words + ", user with " + strconv.Itoa(int(Pool{}.withDefaults().Size)) + " ids of its own"
			}
			return words + "; user with `<idmap>` only"
		}},
		{"capabilities", func(_ *davitv1.Domain, c domain.Confinement) string { return capabilityWords(c.Capabilities) }},
		{"no new privileges", func(_ *davitv1.Domain, c domain.Confinement) string { return yesNo(c.NoNewPrivs) }},
		{"filter of system calls", func(_ *davitv1.Domain, c domain.Confinement) string { return "`" + c.Seccomp + "`" }},
		{"masked", func(_ *davitv1.Domain, c domain.Confinement) string { return paths(c.Masked) }},
		{"read-only", func(_ *davitv1.Domain, c domain.Confinement) string { return paths(c.ReadOnly) }},
		{"writable below those, with a network of its own", func(def *davitv1.Domain, _ domain.Confinement) string {
			var all []string
			for _, op := range (&layout{def: def, rootAt: -1, hostRoot: true}).operations() {
				all = append(all, op.GetReadOnly().GetExcept()...)
			}
			return paths(all)
		}},
		{"`/sys`", func(_ *davitv1.Domain, c domain.Confinement) string {
			if c.Name == davitv1.ProfileName_PROFILE_NAME_PRIVILEGED {
				return "writable"
			}
			return "read-only"
		}},
		{"cgroups", func(_ *davitv1.Domain, c domain.Confinement) string {
			if c.Delegated {
				return "its own, with cgroups below them that it makes (cgroup2); limits and their files are the host's"
			}
			return "its own, read-only"
		}},
		{"devices", func(*davitv1.Domain, domain.Confinement) string {
			var names []string
			for _, n := range nodes {
				names = append(names, "/dev/"+n.name)
			}
			return paths(names) + ", its terminals, and those of the definition"
		}},
		{"limits of a process", func(_ *davitv1.Domain, c domain.Confinement) string { return limitWords(c.Rlimits) }},
		{"processes", func(_ *davitv1.Domain, c domain.Confinement) string {
			if c.Pids == 0 {
				return "no limit"
			}
			return strconv.FormatUint(c.Pids, 10)
		}},
		{"session keyring", func(*davitv1.Domain, domain.Confinement) string { return "new" }},
	} {
		fmt.Fprintf(&b, "| %s |", row.name)
		for _, name := range profileNames {
			def := &davitv1.Domain{Profile: &davitv1.Profile{Name: name}}
			fmt.Fprintf(&b, " %s |", row.cell(def, domain.Confine(def)))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func paths(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return "`" + strings.Join(list, "` `") + "`"
}

func capabilityWords(kept []string) string {
	kept = slices.Sorted(slices.Values(kept))
	var dropped []string
	for _, name := range domain.Capabilities() {
		if !slices.Contains(kept, name) {
			dropped = append(dropped, name)
		}
	}
	slices.Sort(dropped)
	if len(dropped) < len(kept) {
		return "all but " + paths(dropped)
	}
	return paths(kept)
}

func limitWords(list []*davitv1.ResourceLimit) string {
	var words []string
	for _, l := range list {
		name := strings.ToLower(strings.TrimPrefix(l.GetName().String(), "RESOURCE_NAME_"))
		words = append(words, fmt.Sprintf("%s %d to %d", name, l.GetSoft(), l.GetHard()))
	}
	return strings.Join(words, ", ")
}

// factsText are the facts to which a test holds the domains of each profile.
func factsText(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"application", "system", "privileged"} {
		text, err := os.ReadFile(filepath.Join("testdata", "facts", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\nWhat the kernel tells of a domain of profile `%s`, of its init and of each command beside it alike:\n\n```text\n%s```\n", name, text)
	}
	return b.String()
}
