// SPDX-License-Identifier: GPL-2.0-only
/*
 * compat [OPTION OF load-kernel...]
 *
 * A client that knows nothing but mainline's interface, and that can be built
 * against mainline's header alone: it shares no code with the other tests. One
 * and the same program file has to come through a live update on mainline and
 * here.
 *
 * What it does, mainline can: a session with files of different sizes, all of
 * them dense, kept open over the jump; then retrieve, compare, finish.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/liveupdate.h>
#include <linux/reboot.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSION		"compat client"
#define AFTER		"--after"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static const struct {
	uint64_t token;
	size_t size;
	off_t position;
} files[] = {
	{ 0x1111,	1,		0 },
	{ 0,		4096,		4096 },
	{ ~0ULL,	100000,		4242 },
	{ 3,		4 << 20,	1 << 20 },
	{ 2,		0,		0 },
};

static unsigned int number, failures;

static bool result(bool ok, const char *what)
{
	printf("%sok %u compat_%s\n", ok ? "" : "not ", ++number, what);
	fflush(stdout);
	failures += !ok;
	return ok;
}

static void give_up(const char *what)
{
	printf("# %s: %s\n", what, strerror(errno));
	printf("Bail out! %s\n", what);
	exit(1);
}

static unsigned char byte_at(size_t file, size_t offset)
{
	return (offset * 31 + (offset >> 12) * 7 + file * 101) ^ 0x5c;
}

static int make_file(size_t i)
{
	int fd = memfd_create("compat", 0);
	unsigned char *map;

	if (fd < 0 || ftruncate(fd, files[i].size))
		give_up("memfd");
	if (files[i].size) {
		map = mmap(NULL, files[i].size, PROT_WRITE, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			give_up("mmap");
		for (size_t k = 0; k < files[i].size; k++)
			map[k] = byte_at(i, k);
		munmap(map, files[i].size);
	}
	if (lseek(fd, files[i].position, SEEK_SET) != files[i].position)
		give_up("lseek");
	return fd;
}

static bool check_file(size_t i, int fd)
{
	const unsigned char *map;

	if (lseek(fd, 0, SEEK_CUR) != files[i].position ||
	    lseek(fd, 0, SEEK_END) != (off_t)files[i].size)
		return false;
	if (!files[i].size)
		return true;
	map = mmap(NULL, files[i].size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return false;
	for (size_t k = 0; k < files[i].size; k++)
		if (map[k] != byte_at(i, k))
			return false;
	return true;
}

static int create_session(int dev)
{
	struct liveupdate_ioctl_create_session arg = {
		.size = sizeof(arg),
		.name = SESSION,
	};

	if (ioctl(dev, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg))
		return -errno;
	return arg.fd;
}

static int retrieve_session(int dev)
{
	struct liveupdate_ioctl_retrieve_session arg = {
		.size = sizeof(arg),
		.name = SESSION,
	};

	if (ioctl(dev, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg))
		return -errno;
	return arg.fd;
}

static int preserve(int session, int fd, uint64_t token)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.token = token,
	};

	return ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &arg) ?
	       -errno : 0;
}

static int retrieve(int session, uint64_t token)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg),
		.token = token,
	};

	if (ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg))
		return -errno;
	return arg.fd;
}

static int finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	return ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg) ? -errno : 0;
}

static bool has_name(int session)
{
	struct liveupdate_session_get_name arg = { .size = sizeof(arg) };

	return !ioctl(session, LIVEUPDATE_SESSION_GET_NAME, &arg) &&
	       !strcmp((char *)arg.name, SESSION);
}

static void load_next(char *program, int argc, char **argv)
{
	char *load[32];
	int n = 0, status;
	pid_t pid;

	load[n++] = "load-kernel";
	while (argc-- && n < 28)
		load[n++] = *argv++;
	load[n++] = program;
	load[n++] = AFTER;
	load[n] = NULL;
	pid = fork();
	if (!pid) {
		execvp(load[0], load);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		give_up("load-kernel");
}

static void before(char *program, int argc, char **argv)
{
	int dev = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	int session;

	if (dev < 0)
		give_up("/dev/liveupdate");
	session = create_session(dev);
	if (session < 0)
		give_up("CREATE_SESSION");
	if (create_session(dev) != -EEXIST || !has_name(session))
		give_up("session");
	load_next(program, argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int fd = make_file(i);

		errno = -preserve(session, fd, files[i].token);
		if (errno)
			give_up("PRESERVE_FD");
		if (preserve(session, fd, files[i].token) != -EEXIST ||
		    preserve(session, fd, 12345) != -EBUSY)
			give_up("PRESERVE_FD twice");
	}
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);
	give_up("reboot");
}

static void after(void)
{
	int dev = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	bool same = true;
	int session, fd = -1;

	printf("TAP version 13\n1..6\n");
	session = retrieve_session(dev);
	result(session >= 0, "session_retrieved");
	result(has_name(session), "session_has_its_name");
	for (size_t i = ARRAY_SIZE(files); i--;) {
		fd = retrieve(session, files[i].token);
		same = same && fd >= 0 && check_file(i, fd);
	}
	result(same, "files_are_the_same");
	result(retrieve(session, 12345) == -ENOENT, "unknown_token");
	result(!finish(session), "finish");
	close(session);
	result(retrieve_session(dev) == -ENOENT, "session_is_gone");
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], AFTER))
		after();
	else
		before(argv[0], argc - 1, argv + 1);
	return failures != 0;
}
