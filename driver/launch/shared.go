package launch

import (
	"os"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// joinShared takes the calling thread, which ends after the launch, into the namespaces that the container shares with
// others: a child that gets none of its own of these kinds begins in them. The thread does it, and not the child, because it
// has the rights for it: a child in a user namespace of its own has none over what belongs to others.
func joinShared(shared []*monitorv1.SharedNamespace, files []*os.File) error {
	for i, s := range shared {
		// The kernel refuses a descriptor of another kind.
		if err := unix.Setns(int(files[i].Fd()), int(sharedFlag(s))); err != nil {
			return failed(step{operation: "join " + sharedWords(s)}, err)
		}
	}
	return nil
}

// sharedFlag is a kind of namespace as a CLONE_NEW flag; 0 if it is not known.
func sharedFlag(s *monitorv1.SharedNamespace) uint64 {
	switch s.GetKind() {
	case monitorv1.NamespaceKind_NAMESPACE_KIND_NET:
		return unix.CLONE_NEWNET
	case monitorv1.NamespaceKind_NAMESPACE_KIND_IPC:
		return unix.CLONE_NEWIPC
	case monitorv1.NamespaceKind_NAMESPACE_KIND_UTS:
		return unix.CLONE_NEWUTS
	case monitorv1.NamespaceKind_NAMESPACE_KIND_UNSPECIFIED:
	}
	return 0
}

// sharedWords is "network namespace of domain "web"".
func sharedWords(s *monitorv1.SharedNamespace) string {
	kind := map[uint64]string{
		unix.CLONE_NEWNET: "network", unix.CLONE_NEWIPC: "IPC", unix.CLONE_NEWUTS: "UTS",
	}[sharedFlag(s)]
	return kind + " namespace of " + s.GetOwner()
}

// checkShared refuses to share what a container has of its own, and what is shared twice.
func checkShared(plan *monitorv1.Plan) error {
	own := namespaceFlags(plan.GetNamespaces())
	for _, s := range plan.GetShared() {
		flag := sharedFlag(s)
		switch {
		case flag == 0:
			return invalid(step{operation: "check plan"}, "namespace kind %d is not known", s.GetKind())
		case own&flag != 0:
			return invalid(step{operation: "check plan"}, "the %s is not the only one", sharedWords(s))
		}
		own |= flag
	}
	return nil
}

// checkSharedFiles tells whether there is a descriptor of each namespace that is shared.
func checkSharedFiles(plan *monitorv1.Plan, d Descriptors) error {
	if want := len(plan.GetShared()); len(d.Namespaces) != want {
		return invalid(step{operation: "share namespaces"}, "there are %d descriptors of %d namespaces", len(d.Namespaces), want)
	}
	return nil
}

// enteredFlags are the namespaces of a container that are not the monitor's: its own and those that it shares with others.
func enteredFlags(ns *monitorv1.Namespaces, shared []*monitorv1.SharedNamespace) uint64 {
	flags := namespaceFlags(ns)
	for _, s := range shared {
		flags |= sharedFlag(s)
	}
	return flags
}

// describeShared is a namespace that is shared, with whose it is.
func describeShared(s *monitorv1.SharedNamespace) string { return "share " + sharedWords(s) + "\n" }
