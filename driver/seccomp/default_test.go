package seccomp_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/seccomp"
)

// TestEveryCallIsDecided fails for a call that is new in the tables until somebody has put it into a group.
func TestEveryCallIsDecided(t *testing.T) {
	in := make(map[string]string)
	for _, g := range seccomp.Groups() {
		if len(g.Names) == 0 || g.Application == (seccomp.Action{}) || g.System == (seccomp.Action{}) {
			t.Errorf("group %q is not whole: %+v", g.Title, g)
		}
		if g.Why == "" && (g.Application != seccomp.Allow || g.System != seccomp.Allow) {
			t.Errorf("group %q does not say why", g.Title)
		}
		for _, name := range g.Names {
			if in[name] != "" {
				t.Errorf("%s is in group %q and in %q", name, in[name], g.Title)
			}
			in[name] = g.Title
		}
	}
	for arch, table := range names() {
		for _, name := range table {
			if in[name] == "" {
				t.Errorf("%s of %s is in no group: may a guest call it?", name, arch)
			}
		}
	}
}

func TestDefaultKnowsTwoNames(t *testing.T) {
	for _, name := range []string{"", "none", "privileged", "Application"} {
		p, err := seccomp.Default(name)
		if !errors.Is(err, domain.ErrNotFound) || len(p.Rules) != 0 {
			t.Errorf("Default(%q): %v", name, err)
		}
		if _, err := p.Compile("amd64"); err == nil {
			t.Errorf("what Default(%q) gave beside its error is compiled", name)
		}
	}
	_, err := seccomp.Default("web")
	if want := `find seccomp profile "web": the built-in profiles are "application" and "system"`; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestDefaultIsTheCallers shows that nobody changes the built-in lists by way of a profile.
func TestDefaultIsTheCallers(t *testing.T) {
	p := builtin(t, seccomp.Application)
	for _, r := range p.Rules {
		for i := range r.Names {
			r.Names[i] = "mount"
		}
		for i := range r.When {
			r.When[i].Value++
		}
	}
	p.Rules[0].Action = seccomp.KillProcess
	first, err := builtin(t, seccomp.Application).Compile("amd64")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := interpret(t, first.Bytes(), call{arch: audit["amd64"], number: 165}); got != code(seccomp.Errno(1)) {
		t.Errorf("mount is answered with %#x after a change of another profile", got)
	}
}

// The answers by which an attack of security's table is held.
var (
	allow = seccomp.Allow
	eperm = seccomp.Errno(1)
	nosys = seccomp.Errno(38)
	nofam = seccomp.Errno(97)
	kill  = seccomp.KillProcess
)

// row is calls of an attack and how each profile answers them.
type row struct {
	id                  string
	names               string
	arguments           [][6]uint64
	application, system seccomp.Action
}

var flags = func() (all [][6]uint64) { // each namespace, alone and with what fork and threads ask for
	for _, flag := range []uint64{0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000} {
		all = append(all, [6]uint64{flag | 17}, [6]uint64{flag | 0x3d0f00}, [6]uint64{1<<63 | flag})
	}
	return all
}()

var rows = []row{
	{"ESC-22", "mount umount2 umount pivot_root fsopen fsconfig fsmount fspick open_tree open_tree_attr move_mount mount_setattr", nil, eperm, allow},
	{"ESC-22", "unshare setns", append([][6]uint64{{0x80}, {0x200}}, flags...), eperm, allow},
	{"ESC-22", "clone", flags, eperm, allow},
	{"ESC-22", "clone", [][6]uint64{{17}, {0x3d0f00}, {0x1200011}, {0x4111}, {0x80 | 17}}, allow, allow},
	{"ESC-22", "clone3", flags, nosys, allow},
	{"ESC-22", "statmount listmount chroot", nil, allow, allow},
	{"ESC-23", "open_by_handle_at", nil, eperm, eperm},
	{"ESC-24", "_sysctl uselib sysfs", nil, nosys, nosys},
	{"ESC-24", "syslog", [][6]uint64{{0}, {2}, {3}, {10}}, eperm, eperm},
	{"ESC-25", "bpf perf_event_open userfaultfd kexec_load kexec_file_load init_module finit_module delete_module", nil, eperm, eperm},
	{"ESC-25", "kcmp", nil, nosys, nosys},
	{"ESC-26", "io_uring_setup io_uring_enter io_uring_register", nil, nosys, nosys},
	{"ESC-27", "add_key request_key keyctl", nil, nosys, nosys},
	{"ESC-28", "socketcall", [][6]uint64{{1}, {8}, {1<<32 | 1}}, nofam, nofam},
	{"ESC-28", "socketcall", [][6]uint64{{2}, {3}, {15}, {18}}, allow, allow},
	{"ESC-28", "socketpair", [][6]uint64{{1, 1, 0}, {1<<32*5 | 1, 2}}, allow, allow},
	{"ESC-28", "socketpair", [][6]uint64{{2, 1}, {16, 3}, {30, 5}, {40, 1}, {0}}, nofam, nofam},
	{"ESC-30", "ioctl", [][6]uint64{{0, 0x5412}, {0, 1<<32 | 0x5412}, {9, 0x541c}, {0, 1<<63 | 0x541c}, {0, 0xffffffff<<32 | 0x5412}}, eperm, eperm},
	{"ESC-30", "ioctl", [][6]uint64{{0, 0x5413}, {0x5412, 0}, {0, 0x5412 << 32}, {0, 0x15412}, {0, 0x541b}, {0, 0x541d}}, allow, allow},
	{"ESC-37", "personality", [][6]uint64{{0}, {8}, {0x20000}, {0x20008}, {0xffffffff}, {1<<64 - 1}, {1 << 32}}, allow, allow},
	{"ESC-37", "personality", [][6]uint64{{0x40000}, {0x400000}, {0x100000}, {6}, {0x20009}}, eperm, allow},
	{"ESC-37", "swapon swapoff acct quotactl quotactl_fd iopl ioperm", nil, eperm, eperm},
	{"ESC-37", "clock_settime clock_settime64 settimeofday stime adjtimex clock_adjtime clock_adjtime64", nil, eperm, eperm},
	{"ESC-37", "vm86 vm86old lookup_dcookie nfsservctl create_module query_module", nil, nosys, nosys},
	{"ESC-37", "modify_ldt", nil, nosys, allow},
	{"ESC-37", "reboot sethostname setdomainname vhangup fanotify_init listns mbind set_mempolicy", nil, eperm, allow},
	{"programs", strings.Join([]string{
		"read write open openat openat2 close_range faccessat2 fchmodat2 statx execve execveat fork vfork wait4 waitid futex futex_waitv futex_wait",
		"membarrier rseq landlock_create_ruleset landlock_restrict_self memfd_create pidfd_open pidfd_send_signal pidfd_getfd epoll_pwait2",
		"mseal map_shadow_stack process_mrelease process_madvise ptrace process_vm_readv seccomp prctl setxattrat file_getattr cachestat",
		"copy_file_range renameat2 getrandom name_to_handle_at sched_setattr uretprobe arch_prctl set_tls cacheflush lsm_get_self_attr mknod setgroups",
	}, " "), nil, allow, allow},
}

// sockets are rows for all families that there are and all protocols of netlink.
func sockets() (all []row) {
	application, system := []uint64{1, 2, 10}, []uint64{1, 2, 10, 17}
	answer := func(yes bool) seccomp.Action {
		if yes {
			return allow
		}
		return nofam
	}
	for family := range uint64(64) {
		if family != 16 {
			arguments := [][6]uint64{{family, 1, 0}, {family, 3 | 0x80000, 4}, {1<<40 | family, 2}}
			all = append(all, row{"ESC-28", "socket", arguments, answer(slices.Contains(application, family)), answer(slices.Contains(system, family))})
		}
		arguments := [][6]uint64{{16, 3, family}, {16, 2, 1<<32 | family}}
		all = append(all, row{"ESC-28", "socket", arguments, answer(family == 0), answer(slices.Contains([]uint64{0, 4, 12, 15, 16}, family))})
	}
	return all
}

// TestAttacksAreHeld is the rows of the table of attacks that a filter holds, by number and arguments.
func TestAttacksAreHeld(t *testing.T) {
	for _, native := range []string{"amd64", "arm64"} {
		for _, profile := range []string{seccomp.Application, seccomp.System} {
			program, err := builtin(t, profile).Compile(native)
			if err != nil {
				t.Fatal(err)
			}
			for _, arch := range []string{native, seccomp.Companion(native)} {
				for _, r := range slices.Concat(rows, sockets()) {
					want := r.application
					if profile == seccomp.System {
						want = r.system
					} else if arch != native {
						want = kill
					}
					hold(t, program.Bytes(), arch, fmt.Sprintf("%s: %s on %s of %s", r.id, profile, arch, native), r, want)
				}
			}
		}
	}
}

func hold(t *testing.T, program []byte, arch, where string, r row, want seccomp.Action) {
	t.Helper()
	calls := seccomp.Calls(arch)
	for name := range strings.FieldsSeq(r.names) {
		number, ok := calls[name]
		if !ok {
			continue
		}
		arguments := r.arguments
		if arguments == nil {
			arguments = [][6]uint64{{}, {1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1}}
		}
		for _, a := range arguments {
			if got, _ := interpret(t, program, call{number: number, arch: audit[arch], arguments: a}); got != code(want) {
				t.Errorf("%s: %s %#x is answered with %#x, want %#x", where, name, a, got, code(want))
			}
		}
	}
}

// TestUnknownNumbers are those above the newest, those in gaps, and those that only look like calls.
func TestUnknownNumbers(t *testing.T) {
	for _, profile := range []string{seccomp.Application, seccomp.System} {
		for native, numbers := range map[string][]uint32{
			"amd64": {337, 423, 472, 512, 520, 547, 1000, 0x40000000, 0x40000001, 0x40000000 + 59, 0x40000000 + 520, 0x7fffffff, 1 << 31, 1<<32 - 1},
			"arm64": {244, 260 + 45, 472, 1000, 0xf0002, 0x40000000 + 221, 1 << 31, 1<<32 - 1},
		} {
			program, err := builtin(t, profile).Compile(native)
			if err != nil {
				t.Fatal(err)
			}
			for _, number := range numbers {
				if got, _ := interpret(t, program.Bytes(), call{number: number, arch: audit[native]}); got != code(nosys) {
					t.Errorf("%s: number %d of %s is answered with %#x, want ENOSYS", profile, number, native, got)
				}
			}
		}
	}
}

// TestX32IsNoWayRound: a profile that permits what it does not know would permit each call by its second number.
func TestX32IsNoWayRound(t *testing.T) {
	p := seccomp.Profile{
		Default: seccomp.Allow, Unknown: seccomp.Allow, Foreign: seccomp.KillProcess,
		Rules: []seccomp.Rule{{Names: []string{"mount"}, Action: seccomp.Errno(1)}},
	}
	program, err := p.Compile("amd64")
	if err != nil {
		t.Fatal(err)
	}
	for number, want := range map[uint32]seccomp.Action{165: eperm, 166: allow, 1000: allow, 0x40000000 + 165: nosys, 0x40000000: nosys, 1<<32 - 1: nosys} {
		if got, _ := interpret(t, program.Bytes(), call{number: number, arch: audit["amd64"]}); got != code(want) {
			t.Errorf("number %#x is answered with %#x, want %#x", number, got, code(want))
		}
	}
}
