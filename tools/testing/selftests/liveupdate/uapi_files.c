// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which files a session takes, under which tokens, and what is left behind
 * when it refuses one.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi.h"

#ifndef __NR_memfd_secret
#define __NR_memfd_secret	447
#endif

FIXTURE(file) {
	int dev;
	int session;
	int memfd;
};

FIXTURE_SETUP(file)
{
	ASSERT_EQ(0, setup_system());
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "files");
	ASSERT_LE(0, self->session);
	self->memfd = memfd_filled("file", MFD_ALLOW_SEALING, 3 * 4096, 1);
	ASSERT_LE(0, self->memfd);
}

FIXTURE_TEARDOWN(file)
{
	close(self->memfd);
	close(self->session);
	close(self->dev);
}

TEST_F(file, any_token_is_good)
{
	static const uint64_t tokens[] = {
		7, 0, ~0ULL, 1ULL << 63, 1ULL << 32, 1, 0xdeadbeefULL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
		int memfd = memfd_filled("t", 0, 100, i);

		ASSERT_LE(0, memfd);
		EXPECT_EQ(0, luo_preserve(self->session, memfd, tokens[i]))
			TH_LOG("token %#llx", (unsigned long long)tokens[i]);
		close(memfd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++)
		EXPECT_EQ(-EEXIST, luo_preserve(self->session, self->memfd,
						tokens[i]));
	EXPECT_EQ(0, luo_preserve(self->session, self->memfd, 2));
}

TEST_F(file, token_in_use_gets_eexist)
{
	int other = memfd_filled("other", 0, 4096, 2);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, luo_preserve(self->session, self->memfd, 1));
	EXPECT_EQ(-EEXIST, luo_preserve(self->session, other, 1));
	/* The refused file is free, and so is every other token */
	EXPECT_EQ(0, ftruncate(other, 8192));
	EXPECT_EQ(0, luo_preserve(self->session, other, 2));
	close(other);
}

TEST_F(file, same_token_in_two_sessions_works)
{
	int session = luo_create(self->dev, "second");
	int other = memfd_filled("other", 0, 4096, 2);

	ASSERT_LE(0, session);
	ASSERT_EQ(0, luo_preserve(self->session, self->memfd, 1));
	EXPECT_EQ(0, luo_preserve(session, other, 1));
	close(other);
	close(session);
}

TEST_F(file, preserved_twice_gets_ebusy)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->memfd, 1));
	EXPECT_EQ(-EBUSY, luo_preserve(self->session, self->memfd, 2));
	/* Token 2 has not been used up */
	close(self->memfd);
	self->memfd = memfd_filled("other", 0, 4096, 2);
	EXPECT_EQ(0, luo_preserve(self->session, self->memfd, 2));
}

TEST_F(file, preserved_elsewhere_gets_ebusy)
{
	int session = luo_create(self->dev, "second");

	ASSERT_LE(0, session);
	ASSERT_EQ(0, luo_preserve(self->session, self->memfd, 1));
	EXPECT_EQ(-EBUSY, luo_preserve(session, self->memfd, 1));
	close(session);
}

/* A second open description, and even a read-only one, is the same file */
TEST_F(file, same_inode_through_another_fd_gets_ebusy)
{
	static const int flags[] = { O_RDWR, O_RDONLY };
	char path[64];

	ASSERT_EQ(0, luo_preserve(self->session, self->memfd, 1));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->memfd);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		int session = luo_create(self->dev, "second");
		int again = open(path, flags[i]);

		ASSERT_LE(0, session);
		ASSERT_LE(0, again);
		EXPECT_EQ(-EBUSY, luo_preserve(self->session, again, 2));
		EXPECT_EQ(-EBUSY, luo_preserve(session, again, 2));
		close(again);
		close(session);
	}
}

TEST_F(file, no_open_file_gets_ebadf)
{
	int memfd = memfd_filled("m", 0, 4096, 1);
	int path;

	EXPECT_EQ(-EBADF, luo_preserve(self->session, -1, 1));
	EXPECT_EQ(-EBADF, luo_preserve(self->session, 1 << 20, 1));
	EXPECT_EQ(-EBADF, luo_preserve(self->session, -100, 1));
	ASSERT_LE(0, memfd);
	close(memfd);
	EXPECT_EQ(-EBADF, luo_preserve(self->session, memfd, 1));
	path = open("/", O_PATH);
	ASSERT_LE(0, path);
	EXPECT_EQ(-EBADF, luo_preserve(self->session, path, 1));
	close(path);
	EXPECT_EQ(0, luo_preserve(self->session, self->memfd, 1));
}

TEST_F(file, sessions_and_the_device_get_enoent)
{
	int other = luo_create(self->dev, "other");

	ASSERT_LE(0, other);
	EXPECT_EQ(-ENOENT, luo_preserve(self->session, self->session, 1));
	EXPECT_EQ(-ENOENT, luo_preserve(self->session, other, 1));
	EXPECT_EQ(-ENOENT, luo_preserve(self->session, self->dev, 1));
	/* A session that held a reference to itself would never go */
	close(self->session);
	self->session = luo_create(self->dev, "files");
	EXPECT_LE(0, self->session);
	close(other);
}

/* One file of each kind that has nothing to do with memfds */
static int open_foreign(unsigned int kind)
{
	int pair[2];

	switch (kind) {
	case 0:
		return pipe(pair) ? -1 : pair[0];
	case 1:
		return pipe(pair) ? -1 : pair[1];
	case 2:
		return socket(AF_UNIX, SOCK_STREAM, 0);
	case 3:
		return open("/proc/version", O_RDONLY);
	case 4:
		return open("/sys/kernel/debug", O_RDONLY);
	case 5:
		return open("/dev/null", O_RDWR);
	case 6:
		return open("/dev/zero", O_RDWR);
	case 7:
		return epoll_create1(0);
	case 8:
		return eventfd(0, 0);
	case 9:
		return open("/proc/self/ns/mnt", O_RDONLY);
	case 10:
		return syscall(SYS_pidfd_open, getpid(), 0);
	default:
		return -1;
	}
}

TEST_F(file, other_types_get_enoent)
{
	unsigned int kind;

	for (kind = 0; kind < 11; kind++) {
		int fd = open_foreign(kind);

		ASSERT_LE(0, fd)
			TH_LOG("kind %u", kind);
		EXPECT_EQ(-ENOENT, luo_preserve(self->session, fd, kind))
			TH_LOG("kind %u", kind);
		close(fd);
	}
	/* None of them has spoiled the session or taken its token */
	EXPECT_EQ(0, luo_preserve(self->session, self->memfd, 0));
}

TEST_F(file, secret_memory_gets_enoent)
{
	int fd = syscall(__NR_memfd_secret, 0);

	if (fd < 0)
		SKIP(return, "no memfd_secret: %s", strerror(errno));
	ASSERT_EQ(0, ftruncate(fd, 4096));
	EXPECT_EQ(-ENOENT, luo_preserve(self->session, fd, 1));
	close(fd);
	EXPECT_EQ(0, luo_preserve(self->session, self->memfd, 1));
}

TEST_F(file, hugetlb_memfd_is_preserved)
{
	int fd = memfd_create("huge", MFD_HUGETLB);

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, luo_preserve(self->session, fd, 1));
	EXPECT_EQ(-EBUSY, luo_preserve(self->session, fd, 2));
	EXPECT_EQ(0, luo_unpreserve(self->session, 1));
	close(fd);
	EXPECT_EQ(0, luo_preserve(self->session, self->memfd, 1));
}

/*
 * A tmpfs file is shmem as a memfd is, but has a place in a tree that a memfd
 * has not, even once it is unlinked: it must not come back as one.
 */
FIXTURE(tmpfs) {
	char dir[32];
	int session;
};

FIXTURE_SETUP(tmpfs)
{
	ASSERT_EQ(0, setup_system());
	strcpy(self->dir, "/tmp/luo-XXXXXX");
	mkdir("/tmp", 0777);
	ASSERT_NE(NULL, mkdtemp(self->dir));
	ASSERT_EQ(0, mount("none", self->dir, "tmpfs", 0, NULL));
	ASSERT_EQ(0, chdir(self->dir));
	self->session = luo_session_new("tmpfs");
	ASSERT_LE(0, self->session);
}

FIXTURE_TEARDOWN(tmpfs)
{
	close(self->session);
	chdir("/");
	umount2(self->dir, MNT_DETACH);
	rmdir(self->dir);
}

/* Refused, and left as it was */
static int refused(int session, int fd)
{
	int err = luo_preserve(session, fd, 1);

	if (ftruncate(fd, 3 * 4096) || content_fill(fd, 0, 3 * 4096, 1))
		return -EIO;
	return err;
}

TEST_F(tmpfs, linked_file_gets_eopnotsupp)
{
	int fd = open("linked", O_RDWR | O_CREAT, 0600);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EOPNOTSUPP, refused(self->session, fd));
	close(fd);
}

TEST_F(tmpfs, unlinked_file_gets_eopnotsupp)
{
	int fd = open("unlinked", O_RDWR | O_CREAT, 0600);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, content_fill(fd, 0, 8192, 1));
	ASSERT_EQ(0, unlink("unlinked"));
	EXPECT_EQ(-EOPNOTSUPP, refused(self->session, fd));
	close(fd);
}

TEST_F(tmpfs, o_tmpfile_gets_eopnotsupp)
{
	int fd = open(".", O_RDWR | O_TMPFILE, 0600);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EOPNOTSUPP, refused(self->session, fd));
	close(fd);
}

/* The name proves nothing: anybody may name a file so */
TEST_F(tmpfs, file_named_like_a_memfd_gets_eopnotsupp)
{
	int fd = open("memfd:x", O_RDWR | O_CREAT, 0600);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, unlink("memfd:x"));
	EXPECT_EQ(-EOPNOTSUPP, refused(self->session, fd));
	close(fd);
}

TEST_F(tmpfs, directory_is_refused)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY);
	int err;

	ASSERT_LE(0, fd);
	err = luo_preserve(self->session, fd, 1);
	EXPECT_TRUE(err == -EOPNOTSUPP || err == -ENOENT)
		TH_LOG("returned %d", err);
	close(fd);
}

/*
 * The memory behind a shared anonymous mapping, as behind System V shared
 * memory, is a file on the mount that memfds are on. /proc gives it to root.
 */
TEST_F(tmpfs, shared_anonymous_memory_gets_eopnotsupp)
{
	size_t len = 4 * sysconf(_SC_PAGESIZE);
	char path[128];
	char *map;
	int fd;

	map = mmap(NULL, len, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);
	memset(map, 1, len);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		 (unsigned long)map, (unsigned long)map + len);
	fd = open(path, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EOPNOTSUPP, luo_preserve(self->session, fd, 1));
	EXPECT_EQ(0, ftruncate(fd, 2 * len));
	close(fd);
}

/* Tries all files, says which ones it got, and keeps them until killed */
static pid_t start_preserver(int session, const int *fds, int count,
			     const int go[2], int result)
{
	pid_t pid = fork();
	char byte;

	if (pid)
		return pid;
	close(go[1]);
	read(go[0], &byte, 1);
	for (int i = 0; i < count; i++) {
		int err = luo_preserve(session, fds[i], i);

		write(result, &err, sizeof(err));
	}
	pause();
	_exit(0);
}

/* Processes that want the same files in different sessions */
TEST_F(file, racing_preservers_have_one_winner)
{
	enum { RACERS = 4, FILES = 50 };
	int fds[FILES], result[2], go[2], err;
	int taken = 0, busy = 0;
	pid_t pids[RACERS];

	ASSERT_EQ(0, pipe(result));
	ASSERT_EQ(0, pipe(go));
	for (int i = 0; i < FILES; i++) {
		fds[i] = memfd_filled("race", 0, 16 * 4096, i);
		ASSERT_LE(0, fds[i]);
	}
	for (int r = 0; r < RACERS; r++) {
		char name[16];
		int session;

		snprintf(name, sizeof(name), "racer %d", r);
		session = luo_create(self->dev, name);
		ASSERT_LE(0, session);
		pids[r] = start_preserver(session, fds, FILES, go, result[1]);
		ASSERT_LT(0, pids[r]);
		close(session);
	}
	close(go[1]);
	for (int i = 0; i < RACERS * FILES; i++) {
		ASSERT_EQ(sizeof(err), read(result[0], &err, sizeof(err)));
		taken += !err;
		busy += err == -EBUSY;
	}
	EXPECT_EQ(FILES, taken);
	EXPECT_EQ((RACERS - 1) * FILES, busy);
	for (int r = 0; r < RACERS; r++) {
		kill(pids[r], SIGKILL);
		waitpid(pids[r], NULL, 0);
	}
	for (int i = 0; i < FILES; i++)
		EXPECT_EQ(0, luo_preserve(self->session, fds[i], i));
}

FIXTURE(argument) {
	int session;
	int memfd;
	struct liveupdate_session_preserve_fd arg;
};

FIXTURE_SETUP(argument)
{
	ASSERT_EQ(0, setup_system());
	self->session = luo_session_new("argument");
	ASSERT_LE(0, self->session);
	self->memfd = memfd_filled("file", 0, 4096, 1);
	ASSERT_LE(0, self->memfd);
	self->arg = (struct liveupdate_session_preserve_fd) {
		.size = sizeof(self->arg),
		.fd = self->memfd,
		.token = 3,
	};
}

FIXTURE_TEARDOWN(argument)
{
	close(self->memfd);
	close(self->session);
}

/* PRESERVE_FD answers nothing, so that it needs no buffer to answer into */
TEST_F(argument, preserve_from_read_only_buffer_works)
{
	EXPECT_EQ(0, luo_ioctl(self->session, LIVEUPDATE_SESSION_PRESERVE_FD,
			       page_readonly(&self->arg, sizeof(self->arg))));
	EXPECT_EQ(-EEXIST, luo_preserve(self->session, self->memfd, 3));
}

TEST_F(argument, preserve_leaves_the_buffer_alone)
{
	struct liveupdate_session_preserve_fd before = self->arg;

	ASSERT_EQ(0, luo_ioctl(self->session, LIVEUPDATE_SESSION_PRESERVE_FD,
			       &self->arg));
	EXPECT_EQ(0, memcmp(&before, &self->arg, sizeof(before)));
}

TEST_F(argument, preserve_from_unmapped_buffer_gets_efault)
{
	EXPECT_EQ(-EFAULT, luo_ioctl(self->session,
				     LIVEUPDATE_SESSION_PRESERVE_FD,
				     page_unmapped()));
	EXPECT_EQ(0, ftruncate(self->memfd, 8192));
}

TEST_F(argument, preserve_with_nonzero_tail_gets_e2big)
{
	struct {
		struct liveupdate_session_preserve_fd cmd;
		uint64_t tail;
	} arg = { .cmd = self->arg, .tail = 1 };

	arg.cmd.size = sizeof(arg);
	EXPECT_EQ(-E2BIG, luo_ioctl(self->session,
				    LIVEUPDATE_SESSION_PRESERVE_FD, &arg));
	arg.tail = 0;
	EXPECT_EQ(0, luo_ioctl(self->session, LIVEUPDATE_SESSION_PRESERVE_FD,
			       &arg));
}

/* PRESERVE_FD makes no descriptor, so that it works where none is free */
TEST_F(argument, preserve_with_no_free_descriptor_works)
{
	ASSERT_EQ(0, fd_limit(fd_next_free()));
	EXPECT_EQ(0, luo_ioctl(self->session, LIVEUPDATE_SESSION_PRESERVE_FD,
			       &self->arg));
}

/*
 * Sessions are handed to clients that trust nobody: those may preserve what
 * they have open, with no privilege at all, and have no way to the device.
 */
TEST_F(argument, unprivileged_client_preserves)
{
	int status;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		int memfd;

		if (become_nobody())
			_exit(1);
		if (luo_open() != -EACCES)
			_exit(2);
		memfd = memfd_filled("client", 0, 8192, 4);
		if (memfd < 0)
			_exit(3);
		if (luo_preserve(self->session, memfd, 4))
			_exit(4);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	/* The file lives on in the session */
	EXPECT_EQ(-EEXIST, luo_preserve(self->session, self->memfd, 4));
}

TEST_HARNESS_MAIN
