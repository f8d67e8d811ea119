package launch

import (
	"fmt"
	"math/bits"
	"strings"
)

// capabilities are the kernel's, in the order of their numbers. They are text, for a list would be made in each monitor that starts.
const capabilities = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable " +
	"net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin " +
	"sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog " +
	"wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"

// capabilityWords say a set: the capabilities that are in it, or those that are not where these are fewer.
func capabilityWords(set uint64) string {
	all := uint64(1)<<len(strings.Fields(capabilities)) - 1
	switch missing := all &^ set; {
	case set == 0:
		return "no capabilities"
	case set == all:
		return "all capabilities"
	case set&^all == 0 && bits.OnesCount64(missing) < bits.OnesCount64(set):
		return "all capabilities but " + capabilityNames(missing)
	}
	return "capabilities " + capabilityNames(set)
}

// capabilityNames are those of a set; one that is newer than this table has a number.
func capabilityNames(set uint64) string {
	var names []string
	known := strings.Fields(capabilities)
	for n := range 64 {
		switch {
		case set&(1<<n) == 0:
		case n < len(known):
			names = append(names, known[n])
		default:
			names = append(names, fmt.Sprintf("cap_%d", n))
		}
	}
	return strings.Join(names, " ")
}

// resources are what setrlimit(2) limits, in the order of their numbers.
const resources = "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime"

// resourceWord is the name of a resource, or its number.
func resourceWord(n uint32) string {
	if known := strings.Fields(resources); int(n) < len(known) {
		return known[n]
	}
	return fmt.Sprint(n)
}
