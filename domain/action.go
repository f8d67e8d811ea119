package domain

import davitv1 "github.com/davitd/davit/proto/davit/v1"

// ActionOn is what follows an end of the guest for which a definition says said: destroy or restart. A dead container has
// neither resources that could be preserved nor a memory to dump, and keeps its name, so libvirt's other words come down to
// one of the two; otherwise is what holds where nothing is said.
func ActionOn(said, otherwise davitv1.LifecycleAction) davitv1.LifecycleAction {
	switch said {
	case davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY, davitv1.LifecycleAction_LIFECYCLE_ACTION_PRESERVE,
		davitv1.LifecycleAction_LIFECYCLE_ACTION_COREDUMP_DESTROY:
		return davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY
	case davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART, davitv1.LifecycleAction_LIFECYCLE_ACTION_RENAME_RESTART,
		davitv1.LifecycleAction_LIFECYCLE_ACTION_COREDUMP_RESTART:
		return davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	default:
		return otherwise
	}
}
