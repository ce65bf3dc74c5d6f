// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parts of the system that tests look at: /proc, /sys, cgroups, descriptors
 * that go from one process to another, and who a process is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "luo_lib.h"

#define CGROUP_ROOT	"/sys/fs/cgroup"

static const struct {
	const char *type, *where, *witness;
} mounts[] = {
	{ "proc",	"/proc",		"/proc/self" },
	{ "sysfs",	"/sys",			"/sys/kernel" },
	{ "debugfs",	"/sys/kernel/debug",	"/sys/kernel/debug/kho" },
	{ "tracefs",	"/sys/kernel/tracing",	"/sys/kernel/tracing/events" },
	{ "cgroup2",	CGROUP_ROOT,		CGROUP_ROOT "/cgroup.procs" },
};

/*
 * Mounts what the tests need and the system has not mounted, and makes the
 * memory counters exact enough to test with.
 */
int setup_system(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		if (!access(mounts[i].witness, F_OK))
			continue;
		if (mount(mounts[i].type, mounts[i].where, mounts[i].type, 0,
			  NULL) && errno != EBUSY)
			return -errno;
	}
	/* Free pages that a processor keeps for itself are not in MemFree */
	text_write("/proc/sys/vm/percpu_pagelist_high_fraction", "1000000");
	return memcg_exists() ?
	       text_write(CGROUP_ROOT "/cgroup.subtree_control", "+memory") : 0;
}

int text_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = -errno;
	close(fd);
	return err;
}

/* The first @size - 1 bytes of a file, terminated, without the last newline */
int text_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n;
	int err;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf + length, size - 1 - length);
		length += n > 0 ? n : 0;
	} while (n > 0 && length < size - 1);
	err = n < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err;
	while (length && buf[length - 1] == '\n')
		length--;
	buf[length] = '\0';
	return 0;
}

/* The number on the line of a file that begins with @key, or -1 */
static long number_after(const char *path, const char *key)
{
	char buf[8192], *line;
	size_t len = strlen(key);

	if (text_read(path, buf, sizeof(buf)))
		return -1;
	for (line = buf; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, len))
			return strtol(line + len, NULL, 10);
	}
	return -1;
}

long meminfo_kib(const char *key)
{
	char start[64];

	snprintf(start, sizeof(start), "%s:", key);
	return number_after("/proc/meminfo", start);
}

#define SLAB_CACHES	"/sys/kernel/slab"

/*
 * Some kernels keep back what was freed: SLUB free slabs, and KASAN all objects,
 * up to megabytes of them, to see who still uses them. Shrinking makes both give
 * it up. Kernels without this folder keep next to nothing.
 */
void memory_settle(void)
{
	DIR *caches = opendir(SLAB_CACHES);
	struct dirent *entry;
	char path[512];

	if (!caches)
		return;
	while ((entry = readdir(caches))) {
		if (entry->d_type != DT_DIR || *entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), SLAB_CACHES "/%s/shrink",
			 entry->d_name);
		text_write(path, "1");
	}
	closedir(caches);
}

/* Free pages that the CPUs keep at hand, megabytes perhaps, are not in MemFree */
static long pages_at_hand(void)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	long sum = 0, count;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " count: %ld", &count) == 1)
			sum += count;
	if (file)
		fclose(file);
	return sum;
}

long memory_free_kib(void)
{
	memory_settle();
	return meminfo_kib("MemFree") +
	       pages_at_hand() * (sysconf(_SC_PAGESIZE) / (long)KIB);
}

/* What a file that begins with a number says, or 0 */
static long number_of(const char *path)
{
	char text[32];

	return text_read(path, text, sizeof(text)) ? 0 : atol(text);
}

/* What kmemleak has for itself, a record of each thing that is allocated; or 0 */
long memory_of_kmemleak_kib(void)
{
	static const char cache[] = SLAB_CACHES "/kmemleak_object";
	char path[sizeof(cache) + 8];
	long slabs, order;

	snprintf(path, sizeof(path), "%s/slabs", cache);
	slabs = number_of(path);
	snprintf(path, sizeof(path), "%s/order", cache);
	order = number_of(path);
	return slabs * (sysconf(_SC_PAGESIZE) << order) / (long)KIB;
}

/* Pages that go to the next kernel, as things are */
long kho_preserved_pages(void)
{
	char text[32];
	int err;

	err = text_read("/sys/kernel/debug/kho/out/preserved_pages", text,
			sizeof(text));
	return err ?: atol(text);
}

int fd_link(int fd, char *buf, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

/* Whether both are open descriptions of one inode */
bool fd_same_file(int a, int b)
{
	struct stat sa, sb;

	return !fstat(a, &sa) && !fstat(b, &sb) &&
	       sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* Shows a leaked descriptor, which moves the next free number */
int fd_next_free(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return fd;
}

int fd_limit(unsigned long limit)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return -errno;
	rl.rlim_cur = limit;
	if (rl.rlim_max < limit)
		rl.rlim_max = limit;
	return setrlimit(RLIMIT_NOFILE, &rl) ? -errno : 0;
}

union fd_control {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int fd_send(int sock, int fd)
{
	union fd_control control = {};
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	return sendmsg(sock, &msg, 0) < 0 ? -errno : 0;
}

int fd_receive(int sock)
{
	union fd_control control = {};
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg;
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -ENOMSG;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));
	return fd;
}

static int memcg_write(const char *name, const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), CGROUP_ROOT "/%s/%s", name, file);
	return text_write(path, text);
}

/* Kernels can be built without them */
bool memcg_exists(void)
{
	char controllers[256];

	return !text_read(CGROUP_ROOT "/cgroup.controllers", controllers,
			  sizeof(controllers)) && strstr(controllers, "memory");
}

/* A memory cgroup below the root; @max as in memory.max */
int memcg_create(const char *name, const char *max)
{
	char path[256];

	snprintf(path, sizeof(path), CGROUP_ROOT "/%s", name);
	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	return memcg_write(name, "memory.max", max);
}

/* Moves the calling process; "." is the root cgroup */
int memcg_enter(const char *name)
{
	return memcg_write(name, "cgroup.procs", "0");
}

int memcg_remove(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), CGROUP_ROOT "/%s", name);
	return rmdir(path) ? -errno : 0;
}

/* Somebody without any privilege, for ever */
int become_nobody(void)
{
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	/* Changing the user has taken /proc/self away from it */
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

/* All capabilities, in a user namespace of nobody's, where it is called root */
int become_namespace_root(void)
{
	int err = become_nobody();

	if (err)
		return err;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return -errno;
	err = text_write("/proc/self/setgroups", "deny") ?:
	      text_write("/proc/self/uid_map", "0 65534 1") ?:
	      text_write("/proc/self/gid_map", "0 65534 1");
	if (err)
		return err;
	return setresgid(0, 0, 0) || setresuid(0, 0, 0) ? -errno : 0;
}

/* A line of memory.stat, most of them in bytes, or -1 */
long memcg_stat(const char *name, const char *key)
{
	char path[256], start[64];

	snprintf(path, sizeof(path), CGROUP_ROOT "/%s/memory.stat", name);
	snprintf(start, sizeof(start), "%s ", key);
	return number_after(path, start);
}

/* The calling thread runs there, and nowhere else */
int stay_on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

uint64_t now_ms(void)
{
	return now_us() / 1000;
}

/* How many times longer than usual things may take on this kernel */
unsigned int slower(void)
{
	const char *times = getenv("SLOWER");

	return times && atoi(times) > 0 ? atoi(times) : 1;
}
