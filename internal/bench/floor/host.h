/* What the floor asks of the kernel: system calls, filesystems, cgroups; and what it knows of itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the floor is written for amd64"
#endif

#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4
#define MOVE_MOUNT_T_EMPTY_PATH 0x40
#endif
#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x100000
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

enum { most_trees = 16, most_containers = 4096, stack_size = 64 << 10 };

/* A system call without errno, which a child that shares our memory would share as well. */
static inline long call(long n, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return result;
}
#define arg(x) ((long)(x))
#define sys(n, a, b, c, d, e, f) call(n, arg(a), arg(b), arg(c), arg(d), arg(e), arg(f))

/* clone3 for a child with a stack of its own, which calls run(with) and never returns. */
static long clone_to(struct clone_args *args, void (*run)(void *), void *with)
{
	long result;
	register void *to __asm__("r8") = (void *)run;
	register void *what __asm__("r9") = with;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r9, %%rdi\n\t"
			 "call *%%r8\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(result)
			 : "a"(SYS_clone3), "D"(args), "S"(sizeof *args), "r"(to), "r"(what)
			 : "rcx", "r11", "memory");
	return result;
}

struct tree {
	const char *controllers, *folder;
	int unified;
};

struct group {
	char name[64];
	int tasks[most_trees], unified;
};

struct pair { /* what is prepared */
	struct group group;
	int userns, netns;
};

struct container {
	struct group group;
	int pidfd, master, devpts;
};

struct start { /* what a child is told */
	int gate[2], report[2];
	int root, dev, devpts, shm, slave, empty_file, empty_folder;
	struct group *group;
	struct pair *pair;
	struct clone_args args;
	volatile long pid;
	char *stack;
};

static struct tree trees[most_trees];
static int tree_count, serial;
static const char *root_path, *program, *name;
static long first_id;
static struct sock_filter filter[4096];
static struct sock_fprog filter_program = {0, filter};
static struct container containers[most_containers];
static int oldest, newest;
static int null_device;
static struct pair pairs[64];
static int pair_count;
static char *stacks[2];
static const char *failed_step;
static long failed_errno;

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long check(const char *step, long result)
{
	if (result < 0 && !failed_step) {
		failed_step = step;
		failed_errno = -result;
	}
	return result;
}

static int open_at(int dir, const char *path, long flags, unsigned long long resolve)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC | flags, .resolve = resolve};
	return (int)sys(SYS_openat2, dir, path, &how, sizeof how, 0, 0);
}

/* Filesystems. */

static int configure(int context, const char *key, const char *value)
{
	return (int)sys(SYS_fsconfig, context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0, 0);
}

static int make_filesystem(const char *kind, const char *const *options, long attributes)
{
	int context = (int)sys(SYS_fsopen, kind, FSOPEN_CLOEXEC, 0, 0, 0, 0), mount;
	if (context < 0)
		return context;
	for (; options && options[0]; options += 2)
		configure(context, options[0], options[1]);
	mount = (int)sys(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0, 0);
	if (mount == 0)
		mount = (int)sys(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes, 0, 0, 0);
	sys(SYS_close, context, 0, 0, 0, 0, 0);
	return mount;
}

static int clone_mount(int source)
{
	return (int)sys(SYS_open_tree, source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE, 0, 0, 0);
}

static long set_attributes(int mount, unsigned long long set, int userns)
{
	struct mount_attr attr = {.attr_set = set, .userns_fd = userns < 0 ? 0 : userns};
	return sys(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr, 0);
}

static long move(int mount, int target)
{
	return sys(SYS_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH, 0);
}

enum { harmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };

/* Cgroups. */

static void write_file(const char *folder, const char *file, const char *value)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* a controller that this kernel does not have */
	if (write(fd, value, strlen(value)) < 0)
		check(file, -errno);
	close(fd);
}

static void copy_file(const char *from, const char *to, const char *file)
{
	char path[4096], value[4096];
	snprintf(path, sizeof path, "%s/%s", from, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long n = fd < 0 ? -1 : read(fd, value, sizeof value - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	value[n] = 0;
	write_file(to, file, value);
}

static const char *const devices[] = {"c 1:3 rw", "c 1:5 rw", "c 1:7 rw", "c 1:8 rw", "c 1:9 rw", "c 5:0 rw", "c 5:1 rw", "c 5:2 rw", "c 136:* rw"};

static void limit(const struct tree *t, const char *folder)
{
	if (strstr(t->controllers, "cpuset") && !t->unified) {
		copy_file(t->folder, folder, "cpuset.cpus");
		copy_file(t->folder, folder, "cpuset.mems");
	}
	if (strstr(t->controllers, "memory") && !t->unified)
		write_file(folder, "memory.limit_in_bytes", "67108864");
	if (strstr(t->controllers, "pids") && !t->unified)
		write_file(folder, "pids.max", "4096");
	if (strstr(t->controllers, "devices")) {
		write_file(folder, "devices.deny", "a");
		for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
			write_file(folder, "devices.allow", devices[i]);
	}
	if (t->unified) {
		write_file(folder, "memory.max", "67108864");
		write_file(folder, "pids.max", "4096");
	}
}

static void make_group(struct group *g)
{
	char path[4096];
	snprintf(g->name, sizeof g->name, "%s-%d", name, serial++);
	g->unified = -1;
	for (int i = 0; i < tree_count; i++) {
		snprintf(path, sizeof path, "%s/%s", trees[i].folder, g->name);
		if (mkdir(path, 0755) < 0)
			check("make cgroup", -errno);
		limit(&trees[i], path);
		g->tasks[i] = -1;
		if (trees[i].unified) {
			g->unified = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			check("open cgroup", g->unified < 0 ? -errno : 0);
			continue;
		}
		strcat(path, "/tasks");
		g->tasks[i] = open(path, O_WRONLY | O_CLOEXEC);
		check("open tasks", g->tasks[i] < 0 ? -errno : 0);
	}
}

static void close_group(struct group *g)
{
	for (int i = 0; i < tree_count; i++)
		if (g->tasks[i] >= 0)
			close(g->tasks[i]);
	if (g->unified >= 0)
		close(g->unified);
}

static void remove_group(struct group *g)
{
	char path[4096];
	for (int i = 0; i < tree_count; i++) {
		snprintf(path, sizeof path, "%s/%s", trees[i].folder, g->name);
		for (int tries = 0; rmdir(path) < 0 && errno == EBUSY && tries < 100000; tries++)
			sched_yield();
	}
}
