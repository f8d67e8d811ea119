package seccomp

import "strings"

// Group is calls that are answered alike in the built-in profiles, for a reason.
type Group struct {
	Title string
	// Why is said of groups that not every domain may use.
	Why string
	// Application and System answer the calls in the profiles of these names, where no [Rule] on arguments does so before.
	Application, System Action
	Names               []string
}

// Groups are all calls that davit knows, each exactly once.
func Groups() []Group {
	all := make([]Group, 0, len(groups))
	for _, g := range groups {
		all = append(all, Group{
			Title: g.title, Why: strings.Join(strings.Fields(g.why), " "), Application: g.application, System: g.system, Names: strings.Fields(g.names),
		})
	}
	return all
}

// Error numbers of Linux, which are the same for all architectures with a table.
const (
	eperm        = 1
	enosys       = 38
	eafnosupport = 97
)

// The answers of the built-in profiles.
var (
	denied      = Errno(eperm)        // known, and not for this domain
	absent      = Errno(enosys)       // programs do without
	unsupported = Errno(eafnosupport) // a kernel without that family of sockets
)

var groups = []struct {
	title, why          string
	application, system Action
	names               string
}{
	{
		title: "Files and folders", application: Allow, system: Allow, names: `
		access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fallocate fchdir
		fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 file_getattr file_setattr flock fstat fstat64 fstatat64 fstatfs
		fstatfs64 ftruncate ftruncate64 futimesat getcwd getdents getdents64 lchown lchown32 link linkat lstat lstat64 mkdir mkdirat mknod
		mknodat name_to_handle_at newfstatat oldfstat oldlstat oldstat open openat openat2 readdir readlink readlinkat rename renameat
		renameat2 rmdir stat stat64 statfs statfs64 statx symlink symlinkat truncate truncate64 umask unlink unlinkat utime utimensat
		utimensat_time64 utimes`,
	},
	{
		title: "Extended attributes", application: Allow, system: Allow, names: `
		fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr lremovexattr lsetxattr
		removexattr removexattrat setxattr setxattrat`,
	},
	{
		title: "Reading and writing", application: Allow, system: Allow, names: `
		_llseek arm_fadvise64_64 arm_sync_file_range cachestat fadvise64 fadvise64_64 fdatasync fsync io_cancel io_destroy io_getevents
		io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl lseek pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
		readahead readv sendfile sendfile64 splice sync sync_file_range syncfs tee vmsplice write writev`,
	},
	{
		title: "Waiting for events", application: Allow, system: Allow, names: `
		_newselect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 fanotify_mark
		inotify_add_watch inotify_init inotify_init1 inotify_rm_watch poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd
		signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64`,
	},
	{
		title: "Memory", application: Allow, system: Allow, names: `
		brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal
		msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages`,
	},
	{
		title: "Processes and threads", application: Allow, system: Allow, names: `
		arch_prctl breakpoint cacheflush execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv
		futex_wake get_robust_list get_thread_area get_tls getcpu getpgid getpgrp getpid getppid getrandom getrlimit getrusage getsid
		gettid pidfd_open prctl prlimit64 restart_syscall rseq rseq_slice_yield set_robust_list set_thread_area set_tid_address set_tls
		setpgid setrlimit setsid sysinfo ugetrlimit olduname oldolduname uname uprobe uretprobe usr26 usr32 vfork wait4 waitid waitpid`,
	},
	{
		title: "Signals", application: Allow, system: Allow, names: `
		kill pause pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
		rt_sigtimedwait_time64 rt_tgsigqueueinfo sgetmask sigaction sigaltstack signal sigpending sigprocmask sigreturn sigsuspend ssetmask
		tgkill tkill`,
	},
	{
		title: "Identity and rights", application: Allow, system: Allow, names: `
		capget capset chroot getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid
		getresuid32 getuid getuid32 landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_get_self_attr lsm_list_modules
		lsm_set_self_attr seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32
		setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32`,
	},
	{
		title: "Time", application: Allow, system: Allow, names: `
		alarm clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday
		nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
		times`,
	},
	{
		title: "Scheduling", application: Allow, system: Allow, names: `
		getpriority ioprio_get ioprio_set nice sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
		sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
		sched_setparam sched_setscheduler sched_yield setpriority`,
	},
	{
		title: "Messages between processes", application: Allow, system: Allow, names: `
		ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl
		msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`,
	},
	{
		title: "Use of sockets", application: Allow, system: Allow, names: `
		accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send sendmmsg
		sendmsg sendto setsockopt shutdown socketcall`,
	},
	{
		title: "Families of sockets", application: unsupported, system: unsupported, names: `socket socketpair`,
		why: `Of the families that a kernel has, most are not divided by network namespaces, or are old code that few programs need: AF_VSOCK speaks
		to the host, AF_ALG and AF_RXRPC have overwritten the page cache. What is not permitted fails as if the kernel did not have it. As a filter
		does not see what socketcall of 32-bit programs points to, it makes no sockets.`,
	},
	{
		title: "Debugging", application: Allow, system: Allow, names: `
		pidfd_getfd process_madvise process_mrelease process_vm_readv process_vm_writev ptrace`,
		why: `The kernel holds them to processes of the domain's own user namespace with no more rights than the caller's.`,
	},
	{
		title: "Creation of processes", application: denied, system: Allow, names: `clone`,
		why: `Threads and processes are made with it, and namespaces.`,
	},
	{
		title: "Creation of processes, newer", application: absent, system: Allow, names: `clone3`,
		why: `Its flags are in memory, where a filter does not see them. Programs take clone in its stead.`,
	},
	{
		title: "Namespaces", application: denied, system: Allow, names: `listns setns unshare`,
		why: `Whoever makes a user namespace has every capability in it, and with that reaches code of the kernel that is meant for root.`,
	},
	{
		title: "Mounts", application: denied, system: Allow, names: `
		fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root umount umount2`,
		why: `Code of filesystems trusts what root mounts; masks on /proc and /sys hold as long as nobody mounts those anew.`,
	},
	{
		title: "Reading of mounts", application: Allow, system: Allow, names: `listmount statmount`,
	},
	{
		title: "Personality", application: denied, system: Allow, names: `personality`,
		why: `Some bits of it switch defences off, as of addresses that are not to be guessed.`,
	},
	{
		title: "Host name, reboot, terminals", application: denied, system: Allow, names: `reboot setdomainname sethostname vhangup`,
		why: `They are init's business; the kernel holds them to the domain's own namespaces.`,
	},
	{
		title: "Placement of memory", application: denied, system: Allow, names: `
		get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node`,
		why: `Where a domain's memory lies is said by its definition. Programs take the refusal for a machine without nodes.`,
	},
	{
		title: "Watching of whole filesystems", application: denied, system: Allow, names: `fanotify_init`,
		why: `It tells of what others do to files.`,
	},
	{
		title: "Segments", application: absent, system: Allow, names: `modify_ldt`,
		why: `Only 16-bit programs need it, and Wine; the kernel's part of it has had faults time and again.`,
	},
	{
		title: "io_uring", application: absent, system: absent, names: `io_uring_enter io_uring_register io_uring_setup`,
		why: `What is asked for by way of its rings passes no filter, and its code has let many a guest out. Programs do without.`,
	},
	{
		title: "Keys of the kernel", application: absent, system: absent, names: `add_key keyctl request_key`,
		why: `Keyrings have no namespace: quotas are by user, and names are found across domains. Programs do without.`,
	},
	{
		title: "Programs in the kernel, tracing", application: denied, system: denied, names: `bpf perf_event_open userfaultfd`,
		why: `They let a process look into the kernel or hold it up half-way through its work; faults in them are the usual way out of a container.`,
	},
	{
		title: "Comparison of kernel objects", application: absent, system: absent, names: `kcmp`,
		why: `It tells how the kernel's memory is laid out. Programs do without.`,
	},
	{
		title: "Modules and other kernels", application: denied, system: denied, names: `
		delete_module finit_module init_module kexec_file_load kexec_load`,
		why: `They replace the host's kernel or a part of it.`,
	},
	{
		title: "Files by handle", application: denied, system: denied, names: `open_by_handle_at`,
		why: `A guessed handle opens any file of the filesystem, outside the domain's root as well.`,
	},
	{
		title: "The host's clock", application: denied, system: denied, names: `
		adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 settimeofday stime`,
		why: `There is one for all domains.`,
	},
	{
		title: "The host's kernel log", application: denied, system: denied, names: `syslog`,
		why: `There is one for all domains.`,
	},
	{
		title: "Swap, quota, accounting", application: denied, system: denied, names: `acct quotactl quotactl_fd swapoff swapon`,
		why: `They are about the host's disks.`,
	},
	{
		title: "Ports of the machine", application: denied, system: denied, names: `
		ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write`,
		why: `They reach devices past the kernel.`,
	},
	{
		title: "16-bit mode", application: absent, system: absent, names: `vm86 vm86old`,
		why: `Only programs for DOS need it.`,
	},
	{
		title: "Of old", application: absent, system: absent, names: `
		_sysctl afs_syscall bdflush break create_module epoll_ctl_old epoll_wait_old ftime get_kernel_syms getpmsg gtty idle lock
		lookup_dcookie mpx nfsservctl prof profil putpmsg query_module security stty sysfs tuxcall ulimit uselib ustat vserver`,
		why: `Most kernels no longer have them, and hardly a program calls them.`,
	},
}
