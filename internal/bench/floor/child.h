/* What the floor's child does, from its clone to its exec. It shares the parent's memory and makes nothing but system calls. */
static void die(struct start *s, const char *step, long result)
{
	struct { const char *step; long error; } word = {step, result};
	sys(SYS_write, s->report[1], &word, sizeof word, 0, 0, 0);
	for (;;)
		sys(SYS_exit, 1, 0, 0, 0, 0, 0);
}

static long must(struct start *s, const char *step, long result)
{
	if (result < 0)
		die(s, step, result);
	return result;
}

static void mount_new(struct start *s, const char *kind, const char *target, long attributes)
{
	int mount = (int)must(s, kind, make_filesystem(kind, NULL, attributes));
	int place = (int)must(s, target, open_at(s->root, target, O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
	must(s, target, move(mount, place));
}

static void attach(struct start *s, int mount, const char *target, long flags)
{
	int place = (int)must(s, target, open_at(s->root, target, flags, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
	must(s, target, move(mount, place));
}

static const char *const masks[] = {
	"proc/acpi", "proc/asound", "proc/interrupts", "proc/kallsyms", "proc/kcore", "proc/keys", "proc/kpagecgroup", "proc/kpagecount",
	"proc/kpageflags", "proc/latency_stats", "proc/sched_debug", "proc/scsi", "proc/slabinfo", "proc/timer_list", "proc/timer_stats",
	"proc/vmallocinfo", "sys/devices/virtual/dmi", "sys/devices/virtual/powercap", "sys/firmware", "sys/kernel/debug",
	"sys/kernel/security", "sys/kernel/slab", "sys/kernel/tracing",
};
static const char *const read_only[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
static const char *const writable[] = {"proc/sys/net/ipv4", "proc/sys/net/ipv6"};

static void hide(struct start *s)
{
	const unsigned long long resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
	for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
		int cover = s->empty_folder, place = open_at(s->root, masks[i], O_DIRECTORY, resolve);
		if (place == -ENOTDIR) {
			cover = s->empty_file;
			place = open_at(s->root, masks[i], 0, resolve);
		}
		if (place >= 0)
			must(s, masks[i], move((int)must(s, "clone mask", clone_mount(cover)), place));
	}
	for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
		int clones[2] = {-1, -1}, place = open_at(s->root, read_only[i], 0, resolve);
		int exempt = strcmp(read_only[i], "proc/sys") == 0;
		if (place < 0)
			continue;
		for (int j = 0; exempt && j < 2; j++) {
			int at = open_at(s->root, writable[j], 0, resolve);
			if (at >= 0)
				clones[j] = clone_mount(at);
		}
		int clone = (int)must(s, read_only[i], clone_mount(place));
		must(s, read_only[i], set_attributes(clone, MOUNT_ATTR_RDONLY, -1));
		must(s, read_only[i], move(clone, place));
		for (int j = 0; exempt && j < 2; j++)
			if (clones[j] >= 0)
				attach(s, clones[j], writable[j], 0);
	}
}

static void raise_loopback(struct start *s)
{
	struct ifreq request = {.ifr_name = "lo"};
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	int fd = (int)must(s, "socket", sys(SYS_socket, 2, 2 | O_CLOEXEC, 0, 0, 0, 0));
	must(s, "raise loopback", sys(SYS_ioctl, fd, 0x8914, &request, 0, 0, 0));
	sys(SYS_close, fd, 0, 0, 0, 0, 0);
}

static void mount_all(struct start *s)
{
	s->empty_file = (int)must(s, "open mask", open_at(AT_FDCWD, "/dev/file", 0, 0));
	s->empty_folder = (int)must(s, "open mask", open_at(AT_FDCWD, "/dev/folder", 0, 0));
	must(s, "attach root", sys(SYS_move_mount, s->root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH, 0));
	mount_new(s, "proc", "proc", harmless);
	mount_new(s, "sysfs", "sys", harmless | MOUNT_ATTR_RDONLY);
	mount_new(s, "cgroup2", "sys/fs/cgroup", harmless | MOUNT_ATTR_RDONLY);
	attach(s, s->dev, "dev", O_DIRECTORY);
	attach(s, s->devpts, "dev/pts", O_DIRECTORY);
	attach(s, s->shm, "dev/shm", O_DIRECTORY);
	mount_new(s, "mqueue", "dev/mqueue", harmless);
	attach(s, (int)must(s, "clone terminal", clone_mount(s->slave)), "dev/tty1", 0);
	attach(s, (int)must(s, "clone terminal", clone_mount(s->slave)), "dev/console", 0);
	hide(s);
	must(s, "set host name", sys(SYS_sethostname, "floor", 5, 0, 0, 0, 0));
	raise_loopback(s);
	must(s, "enter root", sys(SYS_fchdir, s->root, 0, 0, 0, 0, 0));
	must(s, "pivot root", sys(SYS_pivot_root, ".", ".", 0, 0, 0, 0));
	must(s, "drop host", sys(SYS_umount2, ".", MNT_DETACH, 0, 0, 0, 0));
	must(s, "enter root", sys(SYS_chdir, "/", 0, 0, 0, 0, 0));
}

static const int resources[] = {RLIMIT_NOFILE, RLIMIT_CORE, RLIMIT_MEMLOCK};
static struct rlimit limits[] = {{1024, 524288}, {0, 0}, {8388608, 8388608}};

static void take_files(struct start *s, int files)
{
	for (int i = 0; i < 3; i++)
		must(s, "standard files", sys(SYS_dup3, files, i, 0, 0, 0, 0));
}

static void confine(struct start *s)
{
	/* chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service */
	const uint32_t kept = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10;
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{kept, kept, 0}, {0, 0, 0}};

	sys(SYS_keyctl, 1, 0, 0, 0, 0, 0);
	for (int i = 0; i < 3; i++)
		must(s, "limits", sys(SYS_prlimit64, 0, resources[i], &limits[i], 0, 0, 0));
	for (int c = 0; c < 64; c++)
		if (c >= 32 || !(kept & 1u << c))
			sys(SYS_prctl, PR_CAPBSET_DROP, c, 0, 0, 0, 0);
	sys(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0);
	must(s, "groups", sys(SYS_setgroups, 0, 0, 0, 0, 0, 0));
	must(s, "group", sys(SYS_setresgid, 0, 0, 0, 0, 0, 0));
	must(s, "user", sys(SYS_setresuid, 0, 0, 0, 0, 0, 0));
	must(s, "capabilities", sys(SYS_capset, &header, data, 0, 0, 0, 0));
	must(s, "no new privileges", sys(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0));
}

static void run_program(struct start *s, const char *path)
{
	const char *argv[] = {path, NULL};
	const char *env[] = {"PATH=/bin", "TERM=linux", "container=floor", NULL};

	sys(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0); /* nothing is to be left of a floor that is killed */
	must(s, "close files", sys(SYS_close_range, 3, ~0U, 4, 0, 0, 0));
	if (filter_program.len)
		must(s, "filter", sys(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter_program, 0, 0, 0));
	die(s, "exec", sys(SYS_execve, path, argv, env, 0, 0, 0));
}

static void become_root(struct start *s)
{
	must(s, "root's group", sys(SYS_setresgid, 0, 0, 0, 0, 0, 0));
	must(s, "root's groups", sys(SYS_setgroups, 0, 0, 0, 0, 0, 0));
	must(s, "root's user", sys(SYS_setresuid, 0, 0, 0, 0, 0, 0));
}

static void join(struct start *s)
{
	for (int i = 0; i < tree_count; i++)
		if (s->group->tasks[i] >= 0)
			must(s, "join cgroup", sys(SYS_write, s->group->tasks[i], "0", 1, 0, 0, 0));
}

static void to_program(struct start *s)
{
	must(s, "cgroup namespace", sys(SYS_unshare, CLONE_NEWCGROUP, 0, 0, 0, 0, 0));
	become_root(s);
	mount_all(s);
	take_files(s, s->slave);
	must(s, "session", sys(SYS_setsid, 0, 0, 0, 0, 0, 0));
	must(s, "terminal", sys(SYS_ioctl, 0, TIOCSCTTY, 0, 0, 0, 0));
	confine(s);
	run_program(s, program);
}

/* A child in new namespaces waits until its maps are written. */
static void run_cold(void *with)
{
	struct start *s = with;
	char word;
	sys(SYS_close, s->gate[1], 0, 0, 0, 0, 0);
	if (sys(SYS_read, s->gate[0], &word, 1, 0, 0, 0) != 1)
		die(s, "gate", -EPIPE);
	join(s);
	to_program(s);
}

static void run_inner(void *with) { to_program(with); }

/* A child that goes into namespaces that are there makes the container's first process, whose parent is ours. */
static void run_warm(void *with)
{
	struct start *s = with;
	join(s);
	must(s, "join user namespace", sys(SYS_setns, s->pair->userns, CLONE_NEWUSER, 0, 0, 0, 0));
	must(s, "join network namespace", sys(SYS_setns, s->pair->netns, CLONE_NEWNET, 0, 0, 0, 0));
	become_root(s);
	s->pid = must(s, "clone", clone_to(&s->args, run_inner, s));
	for (;;)
		sys(SYS_exit, 0, 0, 0, 0, 0, 0);
}

static void run_command(void *with)
{
	struct start *s = with;
	take_files(s, s->slave);
	confine(s);
	run_program(s, "/bin/true");
}

/* A child that goes into a container makes the command, whose parent is ours. */
static void run_into(void *with)
{
	struct start *s = with;
	join(s);
	must(s, "join namespaces", sys(SYS_setns, s->dev, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP, 0, 0, 0, 0));
	become_root(s);
	s->pid = must(s, "clone", clone_to(&s->args, run_command, s));
	for (;;)
		sys(SYS_exit, 0, 0, 0, 0, 0, 0);
}
