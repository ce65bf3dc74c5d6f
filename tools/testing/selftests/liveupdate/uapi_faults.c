// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation that a call makes fails once, the first, the second, and
 * so on until the call comes through. Each time, the call has to say so,
 * change nothing, and work when it is made again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "lib/luo_lib.h"

/* More allocations than any call here makes; a sweep that gets there hangs */
#define SWEEP_MAX	2000

FIXTURE(faults) {
	int dev;
	int session;
};

FIXTURE_SETUP(faults)
{
	ASSERT_EQ(0, setup_system());
	ASSERT_EQ(0, fault_setup());
	ASSERT_EQ(0, fault_arm(0));
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "faults");
	ASSERT_LE(0, self->session);
}

FIXTURE_TEARDOWN(faults)
{
	close(self->session);
	close(self->dev);
}

TEST_F_TIMEOUT(faults, create_session, 120)
{
	unsigned int nth, failed = 0;
	int hit = 1;

	for (nth = 1; hit; nth++) {
		int next = fd_next_free();
		int session;

		ASSERT_GT(SWEEP_MAX, nth);
		ASSERT_EQ(0, fault_arm(nth));
		session = luo_create(self->dev, "swept");
		hit = fault_disarm();
		ASSERT_LE(0, hit);
		if (session < 0) {
			ASSERT_EQ(1, hit);
			ASSERT_EQ(-ENOMEM, session)
				TH_LOG("allocation %u", nth);
			ASSERT_EQ(next, fd_next_free());
			failed++;
			/* Nothing of it is left, and it works now */
			session = luo_create(self->dev, "swept");
			ASSERT_LE(0, session);
		}
		ASSERT_EQ(-EEXIST, luo_create(self->dev, "swept"));
		close(session);
	}
	TH_LOG("%u of %u allocations made it fail", failed, nth - 1);
	EXPECT_LT(0, failed);
}

static int truncate_to(int fd, off_t size)
{
	return ftruncate(fd, size) ? -errno : 0;
}

/* What PRESERVE_FD does to a file is undone, or done, but nothing in between */
static void check_preserve(struct __test_metadata *_metadata, int session,
			   int fd, int err)
{
	struct stat st;

	ASSERT_EQ(0, fstat(fd, &st));
	if (err) {
		ASSERT_EQ(-ENOMEM, err);
		/* Not frozen, not busy, token still free */
		ASSERT_EQ(0, truncate_to(fd, st.st_size + 4096));
		ASSERT_EQ(0, truncate_to(fd, st.st_size));
		ASSERT_EQ(0, luo_preserve(session, fd, 1));
	}
	ASSERT_EQ(-EPERM, truncate_to(fd, st.st_size + 4096));
}

/* One sweep of PRESERVE_FD over a fresh file of the same kind each time */
static void sweep_preserve(struct __test_metadata *_metadata, int dev,
			   int (*make)(void))
{
	unsigned int nth, failed = 0;
	int hit = 1;

	for (nth = 1; hit; nth++) {
		int session = luo_create(dev, "swept");
		int fd = make();
		int err;

		ASSERT_GT(SWEEP_MAX, nth);
		ASSERT_LE(0, session);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, fault_arm(nth));
		err = luo_preserve(session, fd, 1);
		hit = fault_disarm();
		ASSERT_LE(0, hit);
		ASSERT_TRUE(!err || hit);
		failed += !!err;
		check_preserve(_metadata, session, fd, err);
		close(fd);
		close(session);
	}
	TH_LOG("%u of %u allocations made it fail", failed, nth - 1);
	EXPECT_LT(0, failed);
}

static int make_small(void)
{
	return memfd_filled("small", 0, 4096, 1);
}

static int make_medium(void)
{
	return memfd_filled("medium", 0, 2 * MIB, 2);
}

static int make_empty(void)
{
	return memfd_create("empty", 0);
}

/* Every page an extent of its own */
static int make_scattered(void)
{
	int fd = memfd_create("scattered", 0);

	if (fd < 0 || ftruncate(fd, 1024 * 4096))
		return -1;
	for (int i = 0; i < 300; i++)
		if (content_fill(fd, i * 3 * 4096, 4096, i))
			return -1;
	return fd;
}

TEST_F_TIMEOUT(faults, preserve_small_file, 120)
{
	sweep_preserve(_metadata, self->dev, make_small);
}

TEST_F_TIMEOUT(faults, preserve_medium_file, 240)
{
	sweep_preserve(_metadata, self->dev, make_medium);
}

TEST_F_TIMEOUT(faults, preserve_empty_file, 120)
{
	sweep_preserve(_metadata, self->dev, make_empty);
}

TEST_F_TIMEOUT(faults, preserve_scattered_file, 240)
{
	sweep_preserve(_metadata, self->dev, make_scattered);
}

TEST_F(faults, get_name_needs_no_memory)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];

	for (unsigned int nth = 1; nth < 4; nth++) {
		int err;

		ASSERT_EQ(0, fault_arm(nth));
		err = luo_get_name(self->session, name);
		ASSERT_LE(0, fault_disarm());
		ASSERT_TRUE(!err || err == -ENOMEM);
	}
	ASSERT_EQ(0, luo_get_name(self->session, name));
	EXPECT_STREQ("faults", name);
}

/* Giving back must not fail: nobody would be told */
TEST_F_TIMEOUT(faults, close_gives_back_without_memory, 120)
{
	for (unsigned int nth = 1; nth < 40; nth++) {
		int session = luo_create(self->dev, "closed");
		int fd = memfd_filled("file", 0, 16 * 4096, nth);

		ASSERT_LE(0, session);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, luo_preserve(session, fd, 1));
		ASSERT_EQ(0, fault_arm(nth));
		close(session);
		ASSERT_LE(0, fault_disarm());
		ASSERT_EQ(0, truncate_to(fd, 0));
		ASSERT_EQ(0, luo_preserve(self->session, fd, nth));
		close(fd);
	}
}

static long memcg_current(const char *name)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/memory.current", name);
	return text_read(path, text, sizeof(text)) ? -1 : atol(text);
}

/*
 * What preserving takes is charged to who asks for it: there must be no way
 * to use up the memory of others.
 */
TEST_F(faults, preserving_is_charged_to_the_caller)
{
	enum { FILES = 2000 };
	static int fds[FILES];
	long charged, used;

	ASSERT_EQ(0, fd_limit(FILES + 100));
	for (int i = 0; i < FILES; i++) {
		fds[i] = memfd_filled("charged", 0, 4096, i);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, memcg_create("luo-charged", "max"));
	ASSERT_EQ(0, memcg_enter("luo-charged"));
	charged = memcg_current("luo-charged");
	used = meminfo_kib("MemFree");
	for (int i = 0; i < FILES; i++)
		ASSERT_EQ(0, luo_preserve(self->session, fds[i], i));
	used -= meminfo_kib("MemFree");
	charged = memcg_current("luo-charged") - charged;
	TH_LOG("%ld KiB of %ld KiB are charged", charged / 1024, used);
	EXPECT_LT(used / 2, charged / 1024);
	ASSERT_EQ(0, memcg_enter("."));
}

TEST_HARNESS_MAIN
