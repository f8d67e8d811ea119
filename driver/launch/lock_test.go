package launch_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// attack makes a mount writable in each way that there is, directly and in a copy of it, and writes a new file: words of the guest.
func attack(mount string) []string {
	words := []string{"--", "remount", mount, "--", "unlock", mount, "--", "write", mount + "/new", "x"}
	words = append(words, "--", "bind", mount, "/run", "--", "remount", "/run", "--", "unlock", "/run", "--", "write", "/run/new", "x")
	return append(words, "--", "umount", "/run")
}

// The root of a container with a user namespace has every capability in it, and can make none of the host's files writable that it was
// given to read: not its root, nor what is below it, nor a folder bound, nor a copy of either.
func TestReadOnlyMountsOfTheHostAreLockedInAUserNamespace(t *testing.T) {
	testenv.Require(t, testenv.Root)
	for _, mapped := range []bool{false, true} {
		t.Run(map[bool]string{false: "owned", true: "mapped"}[mapped], func(t *testing.T) {
			testenv.Residue(t)
			root, source := newRoot(t), t.TempDir()
			for _, dir := range []string{root + "/run", source + "/sub"} {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if !mapped {
				chownTree(t, root)
				chownTree(t, source)
			}
			words := slices.Concat(attack("/"), attack("/ro"), attack("/inner"))
			p := withUserNamespace(newPlan(root, words[1:]...))
			p.Operations[0].GetRootBind().ReadOnly, p.Operations[0].GetRootBind().Mapped = true, mapped
			p.Operations = slices.DeleteFunc(p.Operations, func(op *monitorv1.Operation) bool { return op.GetTmpfs() != nil })
			add(p,
				bindOf(&monitorv1.Bind{Source: source, Target: "/ro", ReadOnly: true, Mapped: mapped}),
				bindOf(&monitorv1.Bind{Source: source, Target: "/a/b/c", Mapped: mapped}),
				&monitorv1.Operation{Step: &monitorv1.Operation_InnerBind{InnerBind: &monitorv1.InnerBind{Source: "/ro", Target: "/inner", ReadOnly: true}}},
			)
			out, _ := run(t, p)
			out.compare(t, "wrote")
			out.compare(t, "remounted")
			out.compare(t, "unlocked")
			if bound := len(out.with("bound")); bound < 3 {
				t.Errorf("%d copies were attacked: %q", bound, out)
			}
			for _, dir := range []string{root, source} {
				if _, err := os.Lstat(filepath.Join(dir, "new")); err == nil {
					t.Errorf("%s was written to", dir)
				}
			}
			if errors := out.with("error:"); !slices.ContainsFunc(errors, func(e string) bool { return strings.HasSuffix(e, "operation not permitted") }) {
				t.Errorf("%q", errors)
			}
		})
	}
}
