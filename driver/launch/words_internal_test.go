package launch

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestCapabilityWords(t *testing.T) {
	all := uint64(1)<<(unix.CAP_LAST_CAP+1) - 1
	for set, want := range map[uint64]string{
		0:                          "no capabilities",
		all:                        "all capabilities",
		all &^ (1 << unix.CAP_BPF): "all capabilities but bpf",
		all &^ (1<<unix.CAP_SYS_TIME | 1<<unix.CAP_CHOWN):                "all capabilities but chown sys_time",
		1<<unix.CAP_NET_RAW | 1<<unix.CAP_CHECKPOINT_RESTORE:             "capabilities net_raw checkpoint_restore",
		1<<unix.CAP_KILL | 1<<(unix.CAP_LAST_CAP+1):                      "capabilities kill cap_41",
		1<<unix.CAP_SETFCAP | 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYSLOG: "capabilities sys_admin setfcap syslog",
	} {
		if got := capabilityWords(set); got != want {
			t.Errorf("%#x is %q, want %q", set, got, want)
		}
	}
}

func TestResourceWord(t *testing.T) {
	for n, want := range map[uint32]string{
		unix.RLIMIT_CPU: "cpu", unix.RLIMIT_CORE: "core", unix.RLIMIT_NPROC: "nproc", unix.RLIMIT_NOFILE: "nofile",
		unix.RLIMIT_MEMLOCK: "memlock", unix.RLIMIT_RTTIME: "rttime", 16: "16",
	} {
		if got := resourceWord(n); got != want {
			t.Errorf("resource %d is %q, want %q", n, got, want)
		}
	}
}
