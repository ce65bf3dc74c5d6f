// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits: how many sessions and files an operator allows, and what a memory
 * cgroup does. What does not fit is refused, and nothing else happens.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi.h"

#define NO_LIMIT	"2147483647"
#define PAGE		4096

static int create_numbered(int dev, int i)
{
	char name[32];

	snprintf(name, sizeof(name), "limit %d", i);
	return luo_create(dev, name);
}

static bool counts_are(int dev, uint64_t sessions, uint64_t files)
{
	struct liveupdate_ioctl_get_info info;

	return !luo_info(dev, &info) && info.outgoing_sessions == sessions &&
	       info.outgoing_files == files;
}

FIXTURE(limit) {
	int dev;
	int next;
	char pages[32];
};

FIXTURE_SETUP(limit)
{
	ASSERT_EQ(0, setup_system());
	ASSERT_EQ(0, text_write(MAX_SESSIONS, NO_LIMIT));
	ASSERT_EQ(0, text_write(MAX_SESSION_FILES, NO_LIMIT));
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	self->next = fd_next_free();
	ASSERT_EQ(0, text_read(PRESERVED_PAGES, self->pages,
			       sizeof(self->pages)));
}

/* All that was made is closed by then */
FIXTURE_TEARDOWN(limit)
{
	char pages[32];

	EXPECT_TRUE(counts_are(self->dev, 0, 0));
	EXPECT_EQ(self->next, fd_next_free());
	EXPECT_EQ(0, text_read(PRESERVED_PAGES, pages, sizeof(pages)));
	EXPECT_STREQ(self->pages, pages);
	EXPECT_EQ(0, text_write(MAX_SESSIONS, NO_LIMIT));
	EXPECT_EQ(0, text_write(MAX_SESSION_FILES, NO_LIMIT));
	close(self->dev);
}

TEST_F(limit, values)
{
	static const char * const paths[] = { MAX_SESSIONS, MAX_SESSION_FILES };
	static const char * const good[] = { "0", "1", "1000000", NO_LIMIT };
	static const char * const bad[] = { "-1", "2147483648", "many", "1k" };
	char text[32];

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(good); j++) {
			EXPECT_EQ(0, text_write(paths[i], good[j]));
			EXPECT_EQ(0, text_read(paths[i], text, sizeof(text)));
			EXPECT_STREQ(good[j], text);
		}
		for (size_t j = 0; j < ARRAY_SIZE(bad); j++) {
			EXPECT_EQ(-EINVAL, text_write(paths[i], bad[j]))
				TH_LOG("%s", bad[j]);
			EXPECT_EQ(0, text_read(paths[i], text, sizeof(text)));
			EXPECT_STREQ(NO_LIMIT, text);
		}
	}
}

TEST_F(limit, sessions)
{
	int fds[3];

	ASSERT_EQ(0, text_write(MAX_SESSIONS, "3"));
	for (int i = 0; i < 3; i++) {
		fds[i] = create_numbered(self->dev, i);
		ASSERT_LE(0, fds[i]);
	}
	EXPECT_EQ(-ENOSPC, create_numbered(self->dev, 3));
	EXPECT_EQ(-EEXIST, create_numbered(self->dev, 0));
	EXPECT_EQ(-EINVAL, luo_create(self->dev, ""));
	EXPECT_EQ(fds[2] + 1, fd_next_free());
	EXPECT_TRUE(counts_are(self->dev, 3, 0));
	/* One goes, one comes */
	close(fds[1]);
	fds[1] = create_numbered(self->dev, 3);
	EXPECT_LE(0, fds[1]);
	EXPECT_EQ(-ENOSPC, create_numbered(self->dev, 1));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* A lower limit takes nothing away, and what is there goes on working */
TEST_F(limit, lowered_below_what_is_there)
{
	int memfd = memfd_filled("file", 0, PAGE, 1);
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = create_numbered(self->dev, i);
	ASSERT_EQ(0, text_write(MAX_SESSIONS, "1"));
	EXPECT_TRUE(counts_are(self->dev, 3, 0));
	EXPECT_EQ(0, luo_preserve(fds[2], memfd, 1));
	close(fds[0]);
	EXPECT_EQ(-ENOSPC, create_numbered(self->dev, 0));
	close(fds[1]);
	EXPECT_EQ(-ENOSPC, create_numbered(self->dev, 0));
	ASSERT_EQ(0, text_write(MAX_SESSION_FILES, "0"));
	EXPECT_TRUE(counts_are(self->dev, 1, 1));
	close(fds[2]);
	fds[0] = create_numbered(self->dev, 0);
	EXPECT_LE(0, fds[0]);
	EXPECT_EQ(-ENOSPC, luo_preserve(fds[0], memfd, 1));
	close(fds[0]);
	close(memfd);
}

TEST_F(limit, no_session_at_all)
{
	int session;

	ASSERT_EQ(0, text_write(MAX_SESSIONS, "0"));
	EXPECT_EQ(-ENOSPC, luo_create(self->dev, "none"));
	/* An update takes place all the same */
	EXPECT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(-ENOSPC, luo_create(self->dev, "none"));
	EXPECT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	ASSERT_EQ(0, text_write(MAX_SESSIONS, "1"));
	session = luo_create(self->dev, "one");
	EXPECT_LE(0, session);
	close(session);
}

/* In each session that many, and what is refused stays as free as it was */
TEST_F(limit, files_of_a_session)
{
	int a = luo_create(self->dev, "a"), b = luo_create(self->dev, "b");
	int fds[3];

	ASSERT_EQ(0, text_write(MAX_SESSION_FILES, "2"));
	for (int i = 0; i < 3; i++)
		fds[i] = memfd_filled("file", 0, PAGE, i);
	EXPECT_EQ(0, luo_preserve(a, fds[0], 0));
	EXPECT_EQ(0, luo_preserve(a, fds[1], 1));
	EXPECT_EQ(-ENOSPC, luo_preserve(a, fds[2], 2));
	EXPECT_EQ(-EEXIST, luo_preserve(a, fds[2], 1));
	EXPECT_EQ(-ENOENT, luo_preserve(a, a, 2));
	EXPECT_EQ(-EBADF, luo_preserve(a, -1, 2));
	EXPECT_EQ(0, ftruncate(fds[2], 0));
	EXPECT_TRUE(counts_are(self->dev, 2, 2));
	EXPECT_EQ(0, luo_preserve(b, fds[2], 2));
	ASSERT_EQ(0, luo_unpreserve(a, 0));
	EXPECT_EQ(0, luo_preserve(a, fds[0], 3));
	EXPECT_TRUE(counts_are(self->dev, 2, 3));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(a);
	close(b);
}

/* Creates as many as it can, says how many it got, and holds them a while */
static void create_all(int dev, int first, int count, int result, int stop)
{
	unsigned char got = 0;
	char byte;

	for (int i = first; i < first + count; i++) {
		int ret = create_numbered(dev, i);

		if (ret < 0 && ret != -ENOSPC)
			got |= 128;
		got += ret >= 0;
	}
	write(result, &got, 1);
	read(stop, &byte, 1);
	_exit(0);
}

/* Not one too many, and not one too few */
TEST_F(limit, sessions_of_racing_creators)
{
	enum { RACERS = 8, EACH = 10, LIMIT = 37 };
	int result[2], stop[2], sum = 0;
	unsigned char got;

	ASSERT_EQ(0, text_write(MAX_SESSIONS, "37"));
	ASSERT_EQ(0, pipe2(result, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(stop, O_CLOEXEC));
	for (int i = 0; i < RACERS; i++) {
		if (fork())
			continue;
		close(stop[1]);
		create_all(self->dev, i * EACH, EACH, result[1], stop[0]);
	}
	for (int i = 0; i < RACERS; i++) {
		ASSERT_EQ(1, read(result[0], &got, 1));
		ASSERT_EQ(0, got & 128);
		sum += got;
	}
	EXPECT_EQ(LIMIT, sum);
	EXPECT_TRUE(counts_are(self->dev, LIMIT, 0));
	close(stop[1]);
	while (wait(NULL) > 0)
		;
	close(stop[0]);
	close(result[0]);
	close(result[1]);
}

/*
 * Memory cgroups
 */

#define CGROUP	"luo-limits"

/* Bytes of a record */
#define SESSION_BYTES	104
#define FILE_BYTES	64
#define EXTENT_BYTES	24

/* Extents of a file that has many, a page each */
#define EXTENTS		60000

FIXTURE(memcg) {
	int dev;
};

FIXTURE_SETUP(memcg)
{
	ASSERT_EQ(0, setup_system());
	if (!memcg_exists())
		SKIP(return, "no memory cgroups");
	ASSERT_EQ(0, fd_limit(10000));
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	/* The table of descriptors is charged, too: let it grow before */
	ASSERT_EQ(9999, dup2(self->dev, 9999));
	close(9999);
	/* So are the inodes of all the files that this looks at: let them be there */
	memory_settle();
	/* There is to be nobody to kill for want of memory */
	ASSERT_EQ(0, text_write("/proc/self/oom_score_adj", "-1000"));
}

FIXTURE_TEARDOWN(memcg)
{
	EXPECT_EQ(0, memcg_enter("."));
	EXPECT_EQ(0, memcg_remove(CGROUP));
	EXPECT_TRUE(counts_are(self->dev, 0, 0));
	close(self->dev);
}

/* Each processor charges that many pages in advance */
#define CHARGE_BATCH	64

static long slack(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) * CHARGE_BATCH * PAGE;
}

static long charged(void)
{
	char text[32];

	if (text_read("/sys/fs/cgroup/" CGROUP "/memory.current", text,
		      sizeof(text)))
		return -1;
	return atol(text);
}

/* What is charged, and what is in use but for looking for leaks, to be compared */
struct usage {
	long charged;
	long used;
};

static struct usage usage_now(void)
{
	return (struct usage) {
		.charged = charged(),
		.used = -(memory_free_kib() + memory_of_kmemleak_kib()) * (long)KIB,
	};
}

/* All is charged but the tables that everybody shares, and maybe in advance */
static void check_charged(struct __test_metadata *_metadata,
			  const struct usage *before, long least)
{
	struct usage now = usage_now();
	long grown = now.charged - before->charged;
	long used = now.used - before->used;

	TH_LOG("%ld KiB of %ld KiB are charged", grown / 1024, used / 1024);
	EXPECT_LE(least, grown + slack());
	EXPECT_LE(used / 10 * 9, grown + slack());
}

/* Some memory is freed by RCU, that is after a while; how long, at most, in ms */
#define RCU_MS	(20000ul * slower())

static bool is_uncharged(const struct usage *before)
{
	for (uint64_t start = now_ms(); now_ms() - start < RCU_MS; usleep(100000)) {
		if (charged() <= before->charged + slack())
			return true;
		/* KASAN keeps back what was freed, until caches are shrunk */
		memory_settle();
	}
	return false;
}

static void tell_left(struct __test_metadata *_metadata,
		      const struct usage *before)
{
	char stat[4096] = "";

	text_read("/sys/fs/cgroup/" CGROUP "/memory.stat", stat, sizeof(stat));
	TH_LOG("%ld bytes are left, of\n%s", charged() - before->charged, stat);
}

TEST_F_TIMEOUT(memcg, sessions_are_charged_until_the_close, 120)
{
	enum { COUNT = 5000 };
	static int fds[COUNT];
	struct usage before;

	ASSERT_EQ(0, memcg_create(CGROUP, "max"));
	ASSERT_EQ(0, memcg_enter(CGROUP));
	before = usage_now();
	for (int i = 0; i < COUNT; i++) {
		fds[i] = create_numbered(self->dev, i);
		ASSERT_LE(0, fds[i]);
	}
	check_charged(_metadata, &before, COUNT * SESSION_BYTES);
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
	EXPECT_TRUE(is_uncharged(&before))
		tell_left(_metadata, &before);
}

/* Files whose pages are charged to somebody else: what comes is metadata */
TEST_F_TIMEOUT(memcg, files_are_charged_until_the_close, 120)
{
	enum { COUNT = 2000 };
	static int fds[COUNT];
	int session = luo_create(self->dev, "files");
	struct usage before;

	for (int i = 0; i < COUNT; i++) {
		fds[i] = memfd_filled("file", MFD_CLOEXEC, PAGE, i);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, memcg_create(CGROUP, "max"));
	ASSERT_EQ(0, memcg_enter(CGROUP));
	before = usage_now();
	for (int i = 0; i < COUNT; i++)
		ASSERT_EQ(0, luo_preserve(session, fds[i], i));
	check_charged(_metadata, &before, COUNT * FILE_BYTES);
	close(session);
	EXPECT_TRUE(is_uncharged(&before))
		tell_left(_metadata, &before);
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
}

/* Every other page: each of them is an extent */
static int scattered(unsigned int pages)
{
	int fd = memfd_create("scattered", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 2L * pages * PAGE))
		return -1;
	for (unsigned int i = 0; i < pages; i++)
		if (pwrite(fd, "x", 1, 2L * i * PAGE) != 1)
			return -1;
	return fd;
}

TEST_F_TIMEOUT(memcg, extents_are_charged_until_the_close, 120)
{
	int session = luo_create(self->dev, "extents");
	int fd = scattered(EXTENTS);
	struct usage before;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, memcg_create(CGROUP, "max"));
	ASSERT_EQ(0, memcg_enter(CGROUP));
	before = usage_now();
	ASSERT_EQ(0, luo_preserve(session, fd, 1));
	check_charged(_metadata, &before, EXTENTS * EXTENT_BYTES);
	ASSERT_EQ(0, luo_unpreserve(session, 1));
	EXPECT_TRUE(is_uncharged(&before))
		tell_left(_metadata, &before);
	close(session);
	close(fd);
}

/*
 * A cgroup with little room, and a way to give it more when there is none left. In
 * between, the program must not need any itself: a fault on a page that it cannot
 * have would be tried again for ever.
 */
static int enter_small(const char *max)
{
	int err = memcg_create(CGROUP, max);
	int fd;

	if (err)
		return err;
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return -errno;
	fd = open("/sys/fs/cgroup/" CGROUP "/memory.max", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return memcg_enter(CGROUP) ?: fd;
}

static int enlarge(int fd)
{
	int err = write(fd, "max", 3) == 3 ? 0 : -errno;

	close(fd);
	return err;
}

/* What does not fit is not made; what was made is there, and more room is room */
TEST_F_TIMEOUT(memcg, too_small_for_sessions, 120)
{
	enum { MOST = 9000 };
	static int fds[MOST];
	int i, max = enter_small("3M"), next = fd_next_free();

	ASSERT_LE(0, max);
	for (i = 0; i < MOST; i++) {
		fds[i] = create_numbered(self->dev, i);
		if (fds[i] < 0)
			break;
	}
	ASSERT_EQ(0, enlarge(max));
	ASSERT_GT(MOST, i);
	ASSERT_LT(0, i);
	TH_LOG("%d sessions fit", i);
	EXPECT_EQ(-ENOMEM, fds[i]);
	EXPECT_TRUE(counts_are(self->dev, i, 0));
	EXPECT_EQ(-EEXIST, create_numbered(self->dev, i - 1));
	/* The number of the descriptor that was closed last is free */
	fds[i] = create_numbered(self->dev, i);
	EXPECT_EQ(max, fds[i]);
	EXPECT_EQ(next + i, fd_next_free());
	for (; i >= 0; i--)
		close(fds[i]);
}

TEST_F_TIMEOUT(memcg, too_small_for_a_file, 120)
{
	int session = luo_create(self->dev, "file");
	int small = memfd_filled("small", MFD_CLOEXEC, PAGE, 1);
	int large = scattered(EXTENTS), max, err;
	char before[32], after[32];

	ASSERT_LE(0, large);
	max = enter_small("1M");
	ASSERT_LE(0, max);
	ASSERT_EQ(0, luo_preserve(session, small, 1));
	ASSERT_EQ(0, text_read(PRESERVED_PAGES, before, sizeof(before)));
	err = luo_preserve(session, large, 2);
	ASSERT_EQ(0, enlarge(max));
	EXPECT_EQ(-ENOMEM, err);
	ASSERT_EQ(0, text_read(PRESERVED_PAGES, after, sizeof(after)));
	EXPECT_STREQ(before, after);
	EXPECT_TRUE(counts_are(self->dev, 1, 1));
	/* It is as free as before, and so is its token */
	EXPECT_EQ(0, ftruncate(large, (2L * EXTENTS + 1) * PAGE));
	EXPECT_EQ(0, luo_preserve(session, large, 2));
	EXPECT_EQ(-EBUSY, luo_preserve(session, small, 3));
	close(session);
	close(small);
	close(large);
}

TEST_HARNESS_MAIN
