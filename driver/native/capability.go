package native

import (
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
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

// dropped are the capabilities that the default policy takes away.
var dropped = func() (set uint64) {
	for _, name := range domain.DroppedCapabilities() {
		set |= 1 << capabilityNumbers[protoreflect.Name(name)]
	}
	return set
}()

// bounding is the set of a definition: what its policy begins with, less and more the single ones, of what there is.
func bounding(c *davitv1.Capabilities, available uint64) uint64 {
	var set uint64
	switch c.GetPolicy() {
	case davitv1.CapabilityPolicy_CAPABILITY_POLICY_ALLOW:
		set = available
	case davitv1.CapabilityPolicy_CAPABILITY_POLICY_DENY:
	default:
		set = available &^ dropped
	}
	if c == nil {
		return set
	}
	c.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		n, ok := capabilityNumbers[f.Name()]
		switch {
		case !ok:
		case v.Bool():
			set |= 1 << n
		default:
			set &^= 1 << n
		}
		return true
	})
	return set & available
}
