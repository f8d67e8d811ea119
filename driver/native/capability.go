package native

import (
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
)

// capabilityNumbers are the kernel's numbers by the names of the definition's fields.
var capabilityNumbers = map[protoreflect.Name]uint{
	"chown": unix.CAP_CHOWN, "dac_override": unix.CAP_DAC_OVERRIDE, "dac_read_search": unix.CAP_DAC_READ_SEARCH,
	"fowner": unix.CAP_FOWNER, "fsetid": unix.CAP_FSETID, "kill": unix.CAP_KILL, "setgid": unix.CAP_SETGID,
	"setuid": unix.CAP_SETUID, "setpcap": unix.CAP_SETPCAP, "linux_immutable": unix.CAP_LINUX_IMMUTABLE,
	"net_bind_service": unix.CAP_NET_BIND_SERVICE, "net_broadcast": unix.CAP_NET_BROADCAST, "net_admin": unix.CAP_NET_ADMIN,
	"net_raw": unix.CAP_NET_RAW, "ipc_lock": unix.CAP_IPC_LOCK, "ipc_owner": unix.CAP_IPC_OWNER,
	"sys_module": unix.CAP_SYS_MODULE, "sys_rawio": unix.CAP_SYS_RAWIO, "sys_chroot": unix.CAP_SYS_CHROOT,
	"sys_ptrace": unix.CAP_SYS_PTRACE, "sys_pacct": unix.CAP_SYS_PACCT, "sys_admin": unix.CAP_SYS_ADMIN,
	"sys_boot": unix.CAP_SYS_BOOT, "sys_nice": unix.CAP_SYS_NICE, "sys_resource": unix.CAP_SYS_RESOURCE,
	"sys_time": unix.CAP_SYS_TIME, "sys_tty_config": unix.CAP_SYS_TTY_CONFIG, "mknod": unix.CAP_MKNOD,
	"lease": unix.CAP_LEASE, "audit_write": unix.CAP_AUDIT_WRITE, "audit_control": unix.CAP_AUDIT_CONTROL,
	"setfcap": unix.CAP_SETFCAP, "mac_override": unix.CAP_MAC_OVERRIDE, "mac_admin": unix.CAP_MAC_ADMIN,
	"syslog": unix.CAP_SYSLOG, "wake_alarm": unix.CAP_WAKE_ALARM, "block_suspend": unix.CAP_BLOCK_SUSPEND,
	"audit_read": unix.CAP_AUDIT_READ, "perfmon": unix.CAP_PERFMON, "bpf": unix.CAP_BPF,
	"checkpoint_restore": unix.CAP_CHECKPOINT_RESTORE,
}

// bounding is the set of a definition, of what there is.
func bounding(c domain.Confinement, available uint64) uint64 {
	var set uint64
	for _, name := range c.Capabilities {
		set |= 1 << capabilityNumbers[protoreflect.Name(name)]
	}
	return set & available
}
