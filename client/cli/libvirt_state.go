package cli

import davitv1 "github.com/davitd/davit/proto/davit/v1"

// libvirtState is a state and its reason by libvirt's numbers (virDomainState and its reasons); 0 is "no state" and
// "unknown".
func libvirtState(s davitv1.DomainState, r davitv1.DomainReason) (state, reason uint64) {
	return map[davitv1.DomainState]uint64{
			davitv1.DomainState_DOMAIN_STATE_RUNNING:  1,
			davitv1.DomainState_DOMAIN_STATE_PAUSED:   3,
			davitv1.DomainState_DOMAIN_STATE_SHUTDOWN: 4,
			davitv1.DomainState_DOMAIN_STATE_SHUTOFF:  5,
			davitv1.DomainState_DOMAIN_STATE_CRASHED:  6,
		}[s], map[davitv1.DomainReason]uint64{
			davitv1.DomainReason_DOMAIN_REASON_RUNNING_BOOTED:     1,
			davitv1.DomainReason_DOMAIN_REASON_RUNNING_UNPAUSED:   5,
			davitv1.DomainReason_DOMAIN_REASON_RUNNING_CRASHED:    9,
			davitv1.DomainReason_DOMAIN_REASON_PAUSED_USER:        1,
			davitv1.DomainReason_DOMAIN_REASON_PAUSED_STARTING_UP: 11,
			davitv1.DomainReason_DOMAIN_REASON_SHUTDOWN_USER:      1,
			davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_SHUTDOWN:   1,
			davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_DESTROYED:  2,
			davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_CRASHED:    3,
			davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_FAILED:     6,
			davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_DAEMON:     8,
			davitv1.DomainReason_DOMAIN_REASON_CRASHED_PANICKED:   1,
		}[r]
}
