/*
 * The floor: the least that starting and ending a container takes on this host. It makes the same container as davit does for a domain
 * with the profile "application" on a mapped root folder, by the same system calls, and does nothing else: no daemon, no protocol, no
 * record, no supervisor, no look at what it was given. What davit takes beyond it is davit's own.
 *
 *   floor ROOT PROGRAM FIRST-ID FILTER NAME [HIERARCHY=FOLDER]...
 *
 * FILTER is a file with the instructions of a system call filter, or "-". Each hierarchy is named by its controllers ("cpuset",
 * "memory", "unified") and FOLDER is where the container's cgroup is made. It obeys lines on standard input and answers each with one
 * line, nanoseconds or "error STEP ERRNO":
 *
 *   prepare   make a user and network namespace and a cgroup ahead, for one start
 *   start     start a container, with what was prepared if there is any: to the exec of its program
 *   stop      kill the oldest container: to the removal of its cgroups
 *   exec      run /bin/true in the newest container: to its exit
 *   life      start a container and wait until it has ended by itself: to the removal of its cgroups
 *   sustain N start and stop one after the other for N seconds: answers how many there were
 */
#include "host.h"
#include "child.h"

static void write_map(long pid, const char *file)
{
	char path[64], line[64];
	snprintf(path, sizeof path, "/proc/%ld/%s", pid, file);
	int n = snprintf(line, sizeof line, "0 %ld 65536\n", first_id), fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, line, n) != n)
		check(file, -errno);
	if (fd >= 0)
		close(fd);
}

static int namespace_of(long pid, const char *kind)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%ld/ns/%s", pid, kind);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	check(kind, fd < 0 ? -errno : 0);
	return fd;
}

static void make_node(int dir, const char *node, int major, int minor)
{
	if (mknodat(dir, node, S_IFCHR | 0666, makedev(major, minor)) < 0)
		check(node, -errno);
	fchownat(dir, node, first_id, first_id, AT_SYMLINK_NOFOLLOW);
	fchmodat(dir, node, 0666, 0);
}

static void make_dev(struct start *s)
{
	char id[24], tty[24];
	snprintf(id, sizeof id, "%ld", first_id);
	snprintf(tty, sizeof tty, "%ld", first_id + 5);
	const char *dev[] = {"mode", "755", "uid", id, "gid", id, "size", "65536", NULL};
	const char *shm[] = {"mode", "1777", "uid", id, "gid", id, "size", "67108864", NULL};
	const char *pts[] = {"mode", "620", "gid", tty, "ptmxmode", "666", "max", "1024", NULL};
	const char *const folders[] = {"pts", "shm", "mqueue"};
	const char *const links[] = {"/proc/self/fd", "fd", "/proc/self/fd/0", "stdin", "/proc/self/fd/1", "stdout", "/proc/self/fd/2", "stderr", "pts/ptmx", "ptmx"};

	s->devpts = check("devpts", make_filesystem("devpts", pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
	s->shm = check("shm", make_filesystem("tmpfs", shm, harmless));
	s->dev = check("dev", make_filesystem("tmpfs", dev, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
	for (int i = 0; i < 3; i++) {
		mkdirat(s->dev, folders[i], 0755);
		fchownat(s->dev, folders[i], first_id, first_id, 0);
	}
	make_node(s->dev, "null", 1, 3);
	make_node(s->dev, "zero", 1, 5);
	make_node(s->dev, "full", 1, 7);
	make_node(s->dev, "random", 1, 8);
	make_node(s->dev, "urandom", 1, 9);
	make_node(s->dev, "tty", 5, 0);
	for (int i = 0; i < 10; i += 2) {
		symlinkat(links[i], s->dev, links[i + 1]);
		fchownat(s->dev, links[i + 1], first_id, first_id, AT_SYMLINK_NOFOLLOW);
	}
	close(openat(s->dev, "tty1", O_CREAT | O_CLOEXEC, 0600));
	close(openat(s->dev, "console", O_CREAT | O_CLOEXEC, 0600));
}

static int open_terminal(struct start *s)
{
	int unlocked = 0, master = openat(s->devpts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) < 0)
		check("terminal", -errno);
	s->slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	check("terminal", s->slave < 0 ? -errno : 0);
	fchown(s->slave, first_id, -1);
	return master;
}

static void await_exec(struct start *s)
{
	struct { const char *step; long error; } word;
	close(s->report[1]);
	if (read(s->report[0], &word, sizeof word) == sizeof word)
		check(word.step, word.error);
	close(s->report[0]);
}

static void use_stack(struct clone_args *args, int which)
{
	args->stack = (uintptr_t)stacks[which];
	args->stack_size = stack_size;
}

enum { own_namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS };

static long spawn_cold(struct start *s)
{
	struct clone_args args = {.flags = CLONE_VM | own_namespaces | CLONE_NEWUSER | CLONE_NEWNET, .exit_signal = SIGCHLD};
	use_stack(&args, 0);
	if (s->group->unified >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = s->group->unified;
	}
	if (pipe2(s->gate, O_CLOEXEC) < 0)
		check("pipe", -errno);
	long pid = check("clone", clone_to(&args, run_cold, s));
	if (pid > 0) {
		write_map(pid, "uid_map");
		write_map(pid, "gid_map");
		int userns = namespace_of(pid, "user");
		check("map root", set_attributes(s->root, MOUNT_ATTR_IDMAP, userns));
		close(userns);
		if (write(s->gate[1], "g", 1) != 1)
			check("gate", -errno);
	}
	close(s->gate[0]);
	close(s->gate[1]);
	return pid;
}

static long spawn_warm(struct start *s)
{
	struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};
	use_stack(&args, 0);
	if (s->group->unified >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = s->group->unified;
	}
	check("map root", set_attributes(s->root, MOUNT_ATTR_IDMAP, s->pair->userns));
	s->args = (struct clone_args){.flags = CLONE_VM | CLONE_PARENT | own_namespaces};
	use_stack(&s->args, 1);
	s->pid = -1;
	long helper = check("clone", clone_to(&args, run_warm, s));
	if (helper > 0)
		sys(SYS_wait4, helper, 0, 0, 0, 0, 0);
	return s->pid;
}

static int take_pair(struct pair *p)
{
	if (pair_count == 0)
		return 0;
	*p = pairs[--pair_count];
	return 1;
}

static void start(void)
{
	struct container *c = &containers[newest % most_containers];
	struct pair prepared;
	struct start s = {.group = &c->group};
	int warm = take_pair(&prepared);

	if (warm) {
		c->group = prepared.group;
		s.pair = &prepared;
	} else {
		make_group(&c->group);
	}
	int root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	s.root = check("clone root", clone_mount(root));
	close(root);
	make_dev(&s);
	c->master = open_terminal(&s);
	if (pipe2(s.report, O_CLOEXEC) < 0)
		check("pipe", -errno);
	if (failed_step) {
		close_group(&c->group);
		remove_group(&c->group);
		return;
	}
	long pid = warm ? spawn_warm(&s) : spawn_cold(&s);
	await_exec(&s);
	c->pidfd = (int)check("pidfd", sys(SYS_pidfd_open, pid, 0, 0, 0, 0, 0));
	c->devpts = s.devpts;
	close(s.root);
	close(s.dev);
	close(s.shm);
	close(s.slave);
	if (warm) {
		close(prepared.userns);
		close(prepared.netns);
	}
	newest++;
}

static void finish(struct container *c)
{
	siginfo_t info;
	if (waitid(P_PIDFD, c->pidfd, &info, WEXITED | __WALL) < 0)
		check("wait", -errno);
	close(c->pidfd);
	close(c->master);
	close(c->devpts);
	close_group(&c->group);
	remove_group(&c->group);
}

static void stop(void)
{
	if (oldest == newest) {
		check("stop", -ESRCH);
		return;
	}
	struct container *c = &containers[oldest++ % most_containers];
	check("kill", sys(SYS_pidfd_send_signal, c->pidfd, SIGKILL, 0, 0, 0, 0));
	finish(c);
}

/* A command in the newest container, to its exit. */
static void execute(void)
{
	struct container *c = &containers[(newest - 1) % most_containers];
	struct start s = {.group = &c->group, .dev = c->pidfd, .pid = -1};
	struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};
	int status = 0;

	if (oldest == newest) {
		check("exec", -ESRCH);
		return;
	}
	use_stack(&args, 0);
	if (s.group->unified >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = s.group->unified;
	}
	s.args = (struct clone_args){.flags = CLONE_VM | CLONE_PARENT};
	use_stack(&s.args, 1);
	s.slave = null_device;
	if (pipe2(s.report, O_CLOEXEC) < 0)
		check("pipe", -errno);
	long helper = check("clone", clone_to(&args, run_into, &s));
	if (helper > 0)
		sys(SYS_wait4, helper, 0, 0, 0, 0, 0);
	await_exec(&s);
	if (s.pid > 0 && check("wait", sys(SYS_wait4, s.pid, &status, __WALL, 0, 0, 0)) > 0 && status != 0)
		check("exit", -ECHILD);
}

static void wait_there(void *with)
{
	struct start *s = with;
	char word;
	sys(SYS_close, s->gate[1], 0, 0, 0, 0, 0);
	sys(SYS_read, s->gate[0], &word, 1, 0, 0, 0);
	for (;;)
		sys(SYS_exit, 0, 0, 0, 0, 0, 0);
}

static void prepare(void)
{
	struct start s = {0};
	struct clone_args args = {.flags = CLONE_VM | CLONE_NEWUSER | CLONE_NEWNET, .exit_signal = SIGCHLD};
	if (pair_count == (int)(sizeof pairs / sizeof *pairs))
		return;
	struct pair *p = &pairs[pair_count];
	make_group(&p->group);
	use_stack(&args, 0);
	if (pipe2(s.gate, O_CLOEXEC) < 0)
		check("pipe", -errno);
	long pid = check("clone", clone_to(&args, wait_there, &s));
	if (pid > 0) {
		write_map(pid, "uid_map");
		write_map(pid, "gid_map");
		p->userns = namespace_of(pid, "user");
		p->netns = namespace_of(pid, "net");
	}
	close(s.gate[1]);
	close(s.gate[0]);
	if (pid > 0)
		sys(SYS_wait4, pid, 0, 0, 0, 0, 0);
	pair_count++;
}

static void make_vault(void)
{
	static const char *const options[] = {"mode", "755", "size", "4096", NULL};
	int vault = check("vault", make_filesystem("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
	if (failed_step)
		return;
	close(openat(vault, "file", O_CREAT | O_CLOEXEC, 0444));
	mkdirat(vault, "folder", 0555);
	check("attach vault", sys(SYS_move_mount, vault, "", AT_FDCWD, "/dev", MOVE_MOUNT_F_EMPTY_PATH, 0));
	close(vault);
}

static void read_arguments(int argc, char **argv)
{
	if (argc < 6) {
		fprintf(stderr, "floor: arguments are missing\n");
		exit(2);
	}
	root_path = argv[1], program = argv[2], first_id = atol(argv[3]), name = argv[5];
	if (strcmp(argv[4], "-") != 0) {
		int fd = open(argv[4], O_RDONLY | O_CLOEXEC);
		long n = fd < 0 ? -1 : read(fd, filter, sizeof filter);
		if (n <= 0)
			perror("floor: read filter"), exit(2);
		filter_program.len = n / sizeof *filter;
		close(fd);
	}
	for (int i = 6; i < argc && tree_count < most_trees; i++) {
		char *path = strstr(argv[i], "=/");
		if (!path)
			continue;
		*path = 0;
		trees[tree_count++] = (struct tree){argv[i], path + 1, strcmp(argv[i], "unified") == 0};
	}
}

static void answer(int64_t value)
{
	if (failed_step)
		printf("error %s %ld\n", failed_step, failed_errno);
	else
		printf("%lld\n", (long long)value);
	failed_step = NULL;
	fflush(stdout);
}

static int64_t sustain(int seconds)
{
	int64_t n = 0, end = now() + seconds * 1000000000LL;
	for (; now() < end && !failed_step; n++) {
		start();
		if (!failed_step)
			stop();
	}
	return n;
}

int main(int argc, char **argv)
{
	char line[64];

	read_arguments(argc, argv);
	umask(0);
	/* A mount table of our own, as a monitor of davit has. */
	if (unshare(CLONE_NEWNS) < 0 || sys(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, (&(struct mount_attr){.propagation = 1 << 18}), sizeof(struct mount_attr), 0) < 0)
		perror("floor: leave host"), exit(2);
	for (int i = 0; i < 3; i++) {
		struct rlimit own;
		getrlimit(resources[i], &own);
		if (limits[i].rlim_max > own.rlim_max)
			limits[i].rlim_max = own.rlim_max;
		if (limits[i].rlim_cur > own.rlim_max)
			limits[i].rlim_cur = own.rlim_max;
	}
	for (int i = 0; i < 2; i++)
		stacks[i] = mmap(NULL, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	null_device = open("/dev/null", O_RDWR | O_CLOEXEC); /* the vault will lie on it */
	make_vault();
	answer(0);
	while (fgets(line, sizeof line, stdin)) {
		int64_t begun = now(), value;
		if (strcmp(line, "prepare\n") == 0)
			prepare();
		else if (strcmp(line, "start\n") == 0)
			start();
		else if (strcmp(line, "stop\n") == 0)
			stop();
		else if (strcmp(line, "exec\n") == 0)
			execute();
		else if (strcmp(line, "life\n") == 0) {
			start();
			if (!failed_step)
				finish(&containers[oldest++ % most_containers]);
		} else if (strncmp(line, "sustain ", 8) == 0) {
			value = sustain(atoi(line + 8));
			answer(value);
			continue;
		}
		value = now() - begun;
		answer(value);
	}
	while (oldest != newest)
		stop();
	while (pair_count > 0) {
		close_group(&pairs[--pair_count].group);
		remove_group(&pairs[pair_count].group);
	}
	return 0;
}
