// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that nobody would make, and what they leave behind: nothing. What is the
 * same for all commands is in lib/torture.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "uapi.h"

#define PAGE	4096

/* Records that a block of KHO holds: see include/linux/kho/abi */
#define BLOCK_HEADER		16
#define SESSIONS_PER_BLOCK	((PAGE - BLOCK_HEADER) / 104)
#define FILES_PER_BLOCK		((PAGE - BLOCK_HEADER) / 64)

FIXTURE(torture) {
	struct torture t;
};

FIXTURE_VARIANT(torture) {
	enum torture_on on;
};

FIXTURE_VARIANT_ADD(torture, device) { .on = TORTURE_DEVICE };
FIXTURE_VARIANT_ADD(torture, outgoing) { .on = TORTURE_OUTGOING };

FIXTURE_SETUP(torture)
{
	struct torture *t = &self->t;

	ASSERT_EQ(0, setup_system());
	t->on = variant->on;
	t->dev = luo_open();
	ASSERT_LE(0, t->dev);
	t->session = luo_create(t->dev, "victim");
	ASSERT_LE(0, t->session);
	t->file = memfd_filled("file", 0, 3 * PAGE, 1);
	t->spare = memfd_filled("spare", 0, PAGE, 2);
	ASSERT_EQ(0, luo_preserve(t->session, t->file, TORTURE_TOKEN));
	t->fd = t->on == TORTURE_DEVICE ? t->dev : t->session;
}

FIXTURE_TEARDOWN(torture)
{
	/* It has survived */
	EXPECT_EQ(-EEXIST, luo_preserve(self->t.session, self->t.spare,
					TORTURE_TOKEN));
	EXPECT_EQ(0, content_check(self->t.file, 0, 3 * PAGE, 1));
	close(self->t.session);
	close(self->t.dev);
}

TEST_F_TIMEOUT(torture, numbers, 120)
{
	ASSERT_EQ(0, torture_by_numbers(&self->t))
		TH_LOG("%s", self->t.failure);
	TH_LOG("%lu calls", self->t.calls);
}

TEST_F_TIMEOUT(torture, sizes, 240)
{
	ASSERT_EQ(0, torture_by_sizes(&self->t))
		TH_LOG("%s", self->t.failure);
	TH_LOG("%lu calls", self->t.calls);
}

TEST_F_TIMEOUT(torture, buffers, 120)
{
	ASSERT_EQ(0, torture_by_buffers(&self->t))
		TH_LOG("%s", self->t.failure);
	TH_LOG("%lu calls", self->t.calls);
}

/*
 * Descriptors
 */

FIXTURE(session) {
	int dev;
	int fd;
	int memfd;
};

FIXTURE_SETUP(session)
{
	ASSERT_EQ(0, setup_system());
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	self->fd = luo_create(self->dev, "session");
	ASSERT_LE(0, self->fd);
	self->memfd = memfd_filled("file", MFD_ALLOW_SEALING, 3 * PAGE, 1);
	ASSERT_LE(0, self->memfd);
}

FIXTURE_TEARDOWN(session)
{
	struct liveupdate_ioctl_get_info info;

	close(self->memfd);
	close(self->fd);
	EXPECT_EQ(0, luo_info(self->dev, &info));
	EXPECT_EQ(0, info.outgoing_sessions);
	EXPECT_EQ(0, info.outgoing_files);
	close(self->dev);
}

static long preserved_pages(void)
{
	char text[32];

	return text_read(PRESERVED_PAGES, text, sizeof(text)) ? -1 : atol(text);
}

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_signalfd(void)
{
	sigset_t none;

	sigemptyset(&none);
	return signalfd(-1, &none, SFD_CLOEXEC);
}

static int open_timerfd(void)
{
	return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
}

static int open_inet(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int open_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}

/* A mount is a path, and no open file */
static int open_mount(void)
{
	return syscall(SYS_open_tree, AT_FDCWD, "/", O_CLOEXEC);
}

static int open_memfd_path(void)
{
	int fd = memfd_create("path", MFD_CLOEXEC);
	int path = reopen(fd, O_PATH);

	close(fd);
	return path;
}

static int open_userfaultfd(void)
{
	return syscall(SYS_userfaultfd, O_CLOEXEC);
}

static int open_pty(void)
{
	return posix_openpt(O_RDWR | O_CLOEXEC);
}

/* Of tmpfs, and no memfd */
static int open_file(void)
{
	return open("/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}

/* What uapi_files has not */
static const struct kind {
	const char *name;
	int (*open)(void);	/* or the name is a path */
	int flags;
	int want;
} kinds[] = {
	{ "/",			NULL, O_RDONLY,			-ENOENT },
	{ "/proc",		NULL, O_RDONLY | O_DIRECTORY,	-ENOENT },
	{ "/sys/fs/cgroup",	NULL, O_RDONLY | O_DIRECTORY,	-ENOENT },
	{ "/dev/shm",		NULL, O_RDONLY | O_DIRECTORY,	-ENOENT },
	{ "/dev/shm",		NULL, O_PATH,			-EBADF },
	{ "/dev/liveupdate",	NULL, O_PATH,			-EBADF },
	{ "/proc/self/mem",	NULL, O_RDWR,			-ENOENT },
	{ "/proc/self/exe",	NULL, O_RDONLY,			-ENOENT },
	{ "/dev/urandom",	NULL, O_RDWR,			-ENOENT },
	{ "/dev/kmsg",		NULL, O_WRONLY,			-ENOENT },
	{ "/dev/null",		NULL, O_WRONLY,			-ENOENT },
	{ "signalfd",		open_signalfd, 0,		-ENOENT },
	{ "timerfd",		open_timerfd, 0,		-ENOENT },
	{ "inet socket",	open_inet, 0,			-ENOENT },
	{ "netlink socket",	open_netlink, 0,		-ENOENT },
	{ "userfaultfd",	open_userfaultfd, 0,		-ENOENT },
	{ "pty",		open_pty, 0,			-ENOENT },
	{ "mount",		open_mount, 0,			-EBADF },
	{ "path of a memfd",	open_memfd_path, 0,		-EBADF },
	{ "file of tmpfs",	open_file, 0,			-EOPNOTSUPP },
};

static int open_kind(const struct kind *kind)
{
	return kind->open ? kind->open() :
			    open(kind->name, kind->flags | O_CLOEXEC);
}

static uint64_t files_of(int session)
{
	struct liveupdate_session_get_info info = { .size = sizeof(info) };

	return luo_ioctl(session, LIVEUPDATE_SESSION_GET_INFO, &info) ?
	       ~0ULL : info.files;
}

TEST_F(session, foreign_descriptors)
{
	long pages = preserved_pages();
	int next = fd_next_free();

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int fd = open_kind(&kinds[i]);

		ASSERT_LE(0, fd)
			TH_LOG("%s: %s", kinds[i].name, strerror(errno));
		EXPECT_EQ(kinds[i].want, luo_preserve(self->fd, fd, i))
			TH_LOG("%s", kinds[i].name);
		close(fd);
		ASSERT_EQ(0, files_of(self->fd));
		ASSERT_EQ(pages, preserved_pages());
	}
	EXPECT_EQ(next, fd_next_free());
	EXPECT_EQ(0, luo_preserve(self->fd, self->memfd, 0));
}

/* No number is a descriptor but those that are open */
TEST_F(session, numbers_of_no_descriptor)
{
	static const int numbers[] = {
		-1, -2, -100, INT_MIN, INT_MAX, 1 << 16, 1 << 30, -4096,
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		EXPECT_EQ(-EBADF, luo_preserve(self->fd, numbers[i], i))
			TH_LOG("%d", numbers[i]);
	}
	EXPECT_EQ(0, files_of(self->fd));
}

/* A reference that was kept would keep the pipe open */
TEST_F(session, refused_files_are_let_go)
{
	int pair[2];
	struct pollfd p;

	ASSERT_EQ(0, pipe2(pair, O_CLOEXEC));
	EXPECT_EQ(-ENOENT, luo_preserve(self->fd, pair[0], 1));
	close(pair[0]);
	p = (struct pollfd){ .fd = pair[1], .events = POLLOUT };
	ASSERT_EQ(1, poll(&p, 1, 0));
	EXPECT_TRUE(p.revents & POLLERR);
	close(pair[1]);
}

static int pass_to_myself(int fd)
{
	int pair[2], copy;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ||
	    fd_send(pair[0], fd))
		return -1;
	copy = fd_receive(pair[1]);
	close(pair[0]);
	close(pair[1]);
	return copy;
}

TEST_F(session, one_file_by_many_descriptors)
{
	int fds[] = {
		self->memfd, dup(self->memfd), pass_to_myself(self->memfd),
		reopen(self->memfd, O_RDWR), reopen(self->memfd, O_RDONLY),
		reopen(self->memfd, O_WRONLY | O_APPEND),
	};
	int other = luo_create(self->dev, "other");

	ASSERT_LE(0, other);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		ASSERT_EQ(0, luo_preserve(self->fd, fds[i], i))
			TH_LOG("descriptor %zu", i);
		for (size_t j = 0; j < ARRAY_SIZE(fds); j++) {
			EXPECT_EQ(-EBUSY, luo_preserve(self->fd, fds[j], 100));
			EXPECT_EQ(-EBUSY, luo_preserve(other, fds[j], 100));
			EXPECT_EQ(-EEXIST, luo_preserve(self->fd, fds[j], i));
		}
		ASSERT_EQ(1, files_of(self->fd));
		ASSERT_EQ(0, luo_unpreserve(self->fd, i));
	}
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	EXPECT_EQ(0, files_of(other));
	close(other);
}

/* Sessions in sessions would never end */
TEST_F(session, sessions_in_sessions)
{
	int other = luo_create(self->dev, "other");
	int all[] = { self->fd, other, dup(self->fd), pass_to_myself(other),
		      self->dev, dup(self->dev) };

	ASSERT_LE(0, other);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		EXPECT_EQ(-ENOENT, luo_preserve(self->fd, all[i], i));
		EXPECT_EQ(-ENOENT, luo_preserve(other, all[i], i));
	}
	EXPECT_EQ(0, files_of(self->fd));
	EXPECT_EQ(0, files_of(other));
	close(all[1]);
	close(all[2]);
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "other"));
	close(all[3]);
	close(all[5]);
	other = luo_create(self->dev, "other");
	EXPECT_LE(0, other);
	close(other);
}

/* A session cannot be opened a second time, nor the device for writing by way of /proc */
TEST_F(session, reopening_gets_nothing_new)
{
	static const int flags[] = { O_RDWR, O_RDONLY, O_WRONLY };
	int path;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT_EQ(-ENXIO, reopen(self->fd, flags[i]));
		if (flags[i] != O_RDONLY)
			EXPECT_EQ(-EBUSY, reopen(self->dev, flags[i]));
	}
	path = reopen(self->fd, O_PATH);
	ASSERT_LE(0, path);
	EXPECT_EQ(-EBADF, luo_preserve(path, self->memfd, 1));
	EXPECT_EQ(-EBADF, luo_preserve(self->fd, path, 1));
	close(path);
}

/*
 * Tokens and cursors
 */

TEST_F(session, extreme_tokens)
{
	static const uint64_t tokens[] = {
		0, ~0ULL, 1ULL << 63, (1ULL << 63) - 1, 1ULL << 32, 0xffffffffULL,
	};
	int other = luo_create(self->dev, "other");

	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
		EXPECT_EQ(-ENOENT, luo_unpreserve(self->fd, tokens[i]));
		ASSERT_EQ(0, luo_preserve(self->fd, self->memfd, tokens[i]));
		for (size_t j = 0; j < ARRAY_SIZE(tokens); j++) {
			if (j != i)
				EXPECT_EQ(-ENOENT,
					  luo_unpreserve(self->fd, tokens[j]));
			EXPECT_EQ(-ENOENT, luo_unpreserve(other, tokens[j]));
		}
		ASSERT_EQ(0, luo_unpreserve(self->fd, tokens[i]));
		EXPECT_EQ(-ENOENT, luo_unpreserve(self->fd, tokens[i]));
	}
	close(other);
}

TEST_F(session, extreme_cursors)
{
	static const uint64_t cursors[] = {
		2, 1ULL << 32, 1ULL << 63, ~0ULL - 1, ~0ULL,
	};

	ASSERT_EQ(0, luo_preserve(self->fd, self->memfd, 7));
	for (size_t i = 0; i < ARRAY_SIZE(cursors); i++) {
		struct liveupdate_session_next_file file = {
			.size = sizeof(file),
			.cursor = cursors[i],
			.token = 99,
		};

		EXPECT_EQ(-ENOENT, luo_ioctl(self->fd,
					     LIVEUPDATE_SESSION_NEXT_FILE,
					     &file))
			TH_LOG("cursor %#lx", cursors[i]);
		EXPECT_EQ(cursors[i], file.cursor);
		EXPECT_EQ(99, file.token);
	}
	for (size_t i = 1; i < ARRAY_SIZE(cursors); i++) {
		struct liveupdate_ioctl_next_session session = {
			.size = sizeof(session),
			.cursor = cursors[i],
			.name = "none",
		};

		EXPECT_EQ(-ENOENT, luo_ioctl(self->dev,
					     LIVEUPDATE_IOCTL_NEXT_SESSION,
					     &session))
			TH_LOG("cursor %#lx", cursors[i]);
		EXPECT_EQ(cursors[i], session.cursor);
		EXPECT_STREQ("none", (char *)session.name);
	}
}

TEST_F(session, there_are_two_directions)
{
	static const unsigned int directions[] = { 2, 3, 1U << 31, ~0U };

	for (size_t i = 0; i < ARRAY_SIZE(directions); i++) {
		struct liveupdate_ioctl_next_session next = {
			.size = sizeof(next),
			.direction = directions[i],
		};

		EXPECT_EQ(-EINVAL, luo_ioctl(self->dev,
					     LIVEUPDATE_IOCTL_NEXT_SESSION,
					     &next));
	}
}

/*
 * Blocks: a call that fails must leave neither a block too many nor one too few
 */

static long blocks_for(long records, long per_block)
{
	return (records + per_block - 1) / per_block;
}

/* Every way in which a session is not made */
static int fail_to_create(int dev)
{
	struct liveupdate_ioctl_create_session arg = {
		.size = sizeof(arg),
		.name = "read-only",
	};
	int next = fd_next_free();

	if (luo_ioctl(dev, LIVEUPDATE_IOCTL_CREATE_SESSION,
		      page_readonly(&arg, sizeof(arg))) != -EFAULT)
		return -1;
	if (fd_limit(next) || luo_create(dev, "emfile") != -EMFILE)
		return -1;
	if (fd_limit(4096) || fd_next_free() != next)
		return -1;
	/* Last, as a session that goes takes what is left over with it */
	return luo_create(dev, "") == -EINVAL &&
	       luo_create(dev, "block 0") == -EEXIST ? 0 : -1;
}

static int create_numbered(int dev, int i)
{
	char name[32];

	snprintf(name, sizeof(name), "block %d", i);
	return luo_create(dev, name);
}

TEST_F(session, sessions_around_blocks)
{
	enum { COUNT = 3 * SESSIONS_PER_BLOCK + 1 };
	int fds[COUNT];
	long pages;

	ASSERT_EQ(0, fd_limit(4096));
	close(self->fd);
	pages = preserved_pages();
	for (int i = 0; i < COUNT; i++) {
		fds[i] = create_numbered(self->dev, i);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(pages + blocks_for(i + 1, SESSIONS_PER_BLOCK),
			  preserved_pages())
			TH_LOG("%d sessions", i + 1);
		ASSERT_EQ(0, fail_to_create(self->dev))
			TH_LOG("%d sessions", i + 1);
		ASSERT_EQ(pages + blocks_for(i + 1, SESSIONS_PER_BLOCK),
			  preserved_pages())
			TH_LOG("%d sessions, and a failure", i + 1);
	}
	for (int i = 0; i < COUNT; i++) {
		close(fds[i]);
		ASSERT_EQ(pages + blocks_for(COUNT - 1 - i, SESSIONS_PER_BLOCK),
			  preserved_pages())
			TH_LOG("%d sessions left", COUNT - 1 - i);
	}
	self->fd = luo_create(self->dev, "session");
}

/* Every way in which a file is not preserved */
static int fail_to_preserve(int session, int preserved, int token)
{
	int fd = memfd_create("fails", MFD_CLOEXEC);
	int file = open_file();
	int err;

	err = luo_preserve(session, fd, token) != -EEXIST ||
	      luo_preserve(session, preserved, token + 1) != -EBUSY ||
	      luo_preserve(session, file, token + 1) != -EOPNOTSUPP ||
	      luo_preserve(session, session, token + 1) != -ENOENT ||
	      luo_preserve(session, -1, token + 1) != -EBADF;
	close(file);
	close(fd);
	return err ? -1 : 0;
}

/* Empty files cost the same each, whatever that is */
TEST_F(session, files_around_blocks)
{
	enum { COUNT = 3 * FILES_PER_BLOCK + 1 };
	long pages = preserved_pages(), each = 0, want;
	int fds[COUNT];

	ASSERT_EQ(0, fd_limit(4096));
	for (int i = 0; i < COUNT; i++) {
		fds[i] = memfd_create("empty", MFD_CLOEXEC);
		ASSERT_EQ(0, luo_preserve(self->fd, fds[i], i));
		if (!i)
			each = preserved_pages() - pages - 1;
		want = pages + (i + 1) * each +
		       blocks_for(i + 1, FILES_PER_BLOCK);
		ASSERT_EQ(want, preserved_pages())
			TH_LOG("%d files", i + 1);
		ASSERT_EQ(0, fail_to_preserve(self->fd, fds[i], i));
		ASSERT_EQ(want, preserved_pages())
			TH_LOG("%d files, and a failure", i + 1);
	}
	for (int i = COUNT - 1; i >= 0; i--) {
		ASSERT_EQ(0, luo_unpreserve(self->fd, i));
		ASSERT_EQ(pages + i * each + blocks_for(i, FILES_PER_BLOCK),
			  preserved_pages())
			TH_LOG("%d files left", i);
		close(fds[i]);
	}
}

TEST_HARNESS_MAIN
