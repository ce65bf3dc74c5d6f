// SPDX-License-Identifier: GPL-2.0-only
/*
 * Carries the memory of a memcached through a live update.
 *
 *	cache_agent create PATH MIB [plain]
 *	cache_agent restore PATH
 *
 * "create" makes a memfd of MIB MiB and the symbolic link PATH to it, for
 * memcached -e PATH. On SIGUSR1, when memcached has ended and left PATH.meta,
 * it preserves the memfd and a copy of PATH.meta in the session "memcached"
 * and jumps to the kernel that is loaded. With "plain" it only jumps.
 *
 * "restore", in the new kernel, gets both back and puts them where memcached
 * looks for them. Both hold the memfd open until they are killed.
 *
 * The moments that count are left as files in the folder $MARKS, and as lines
 * in the kernel's log.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/liveupdate.h>
#include <linux/reboot.h>

#define SESSION		"memcached"
#define TOKEN_CACHE	1
#define TOKEN_META	2

static void die(const char *what)
{
	fprintf(stderr, "cache_agent: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int check(int ret, const char *what)
{
	if (ret < 0)
		die(what);
	return ret;
}

/* Leaves one line in a file; what cannot be told is not worth failing for. */
static void tell(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return;
	if (write(fd, line, strlen(line)) < 0)
		perror(path);
	close(fd);
}

static void mark(const char *moment)
{
	const char *folder = getenv("MARKS");
	char path[256], line[64];

	snprintf(line, sizeof(line), "demo: %s\n", moment);
	tell("/dev/kmsg", line);
	if (!folder)
		return;
	snprintf(path, sizeof(path), "%s/%s", folder, moment);
	tell(path, line);
}

static void copy(int from, int to)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		if (write(to, buf, n) != n)
			die("copy");
	check(n, "copy");
}

static void meta_path(char *buf, size_t size, const char *path)
{
	snprintf(buf, size, "%s.meta", path);
}

/* memcached opens PATH and gets the memfd. */
static void link_memfd(const char *path, int fd)
{
	char target[64];

	snprintf(target, sizeof(target), "/proc/%d/fd/%d", getpid(), fd);
	unlink(path);
	check(symlink(target, path), path);
}

static int create_session(int dev)
{
	struct liveupdate_ioctl_create_session arg = {
		.size = sizeof(arg),
		.name = SESSION,
	};

	check(ioctl(dev, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg),
	      "create session");
	return arg.fd;
}

static int retrieve_session(int dev)
{
	struct liveupdate_ioctl_retrieve_session arg = {
		.size = sizeof(arg),
		.name = SESSION,
	};

	check(ioctl(dev, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg),
	      "retrieve session");
	return arg.fd;
}

static void preserve_fd(int session, int fd, unsigned long token)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.token = token,
	};

	check(ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &arg),
	      "preserve memfd");
}

static int retrieve_fd(int session, unsigned long token)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg),
		.token = token,
	};

	check(ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg),
	      "retrieve memfd");
	return arg.fd;
}

static void finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	check(ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg), "finish");
}

static int open_device(void)
{
	return check(open("/dev/liveupdate", O_RDWR | O_CLOEXEC),
		     "/dev/liveupdate");
}

static int copy_meta(const char *path)
{
	int from, memfd;
	char meta[256];

	meta_path(meta, sizeof(meta), path);
	from = check(open(meta, O_RDONLY | O_CLOEXEC), meta);
	memfd = check(memfd_create("memcached.meta", MFD_CLOEXEC), "memfd");
	copy(from, memfd);
	close(from);
	return memfd;
}

/* The session stays open: to close it is to give the files back. */
static void preserve(const char *path, int cache)
{
	int session = create_session(open_device());

	preserve_fd(session, cache, TOKEN_CACHE);
	preserve_fd(session, copy_meta(path), TOKEN_META);
	mark("preserved");
}

static void jump(void)
{
	sync();
	mark("reboot");
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);
	die("kexec");
}

static void create(const char *path, const char *mib, int plain)
{
	int sig, fd = check(memfd_create("memcached", MFD_CLOEXEC), "memfd");
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);

	check(ftruncate(fd, atol(mib) << 20), "size of the memfd");
	link_memfd(path, fd);
	sigwait(&set, &sig);
	if (!plain)
		preserve(path, fd);
	jump();
}

static void restore(const char *path)
{
	int session = retrieve_session(open_device());
	int cache = retrieve_fd(session, TOKEN_CACHE);
	int from = retrieve_fd(session, TOKEN_META);
	char meta[256];
	int to;

	finish(session);
	close(session);

	meta_path(meta, sizeof(meta), path);
	to = check(open(meta, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
		   meta);
	check(lseek(from, 0, SEEK_SET), "rewind");
	copy(from, to);
	close(to);
	close(from);
	mark("retrieved");
	link_memfd(path, cache);
	pause();
}

int main(int argc, char **argv)
{
	if (argc >= 4 && !strcmp(argv[1], "create"))
		create(argv[2], argv[3],
		       argc > 4 && !strcmp(argv[4], "plain"));
	else if (argc == 3 && !strcmp(argv[1], "restore"))
		restore(argv[2]);
	else
		fprintf(stderr, "usage: cache_agent create PATH MIB [plain] | restore PATH\n");
	return 2;
}
