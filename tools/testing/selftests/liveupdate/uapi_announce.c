// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that are announced to a session before they are preserved.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uapi.h"

#define SIZE	(64 * 4096UL)

FIXTURE(announce) {
	long preserved;
	int dev;
	int session;
	int fd;
};

FIXTURE_SETUP(announce)
{
	ASSERT_EQ(0, setup_system());
	self->preserved = kho_preserved_pages();
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "announce");
	ASSERT_LE(0, self->session);
	self->fd = memfd_create("a", MFD_ALLOW_SEALING);
	ASSERT_LE(0, self->fd);
}

/* Whatever a test did, the end of its session undoes it */
FIXTURE_TEARDOWN(announce)
{
	close(self->session);
	close(self->fd);
	EXPECT_EQ(self->preserved, kho_preserved_pages());
	close(self->dev);
}

static int next_file(int session, struct liveupdate_session_next_file *next)
{
	memset(next, 0, sizeof(*next));
	next->size = sizeof(*next);
	return luo_ioctl(session, LIVEUPDATE_SESSION_NEXT_FILE, next);
}

/* The state of the only file, and what it keeps */
static void expect_file(struct __test_metadata *_metadata, int session,
			unsigned int state, uint64_t bytes)
{
	struct liveupdate_session_next_file next;

	ASSERT_EQ(0, next_file(session, &next));
	EXPECT_EQ(state, next.state);
	EXPECT_EQ(bytes, next.bytes);
	EXPECT_STREQ("liveupdate-memfd-v3", (char *)next.compatible);
}

static int truncate_to(int fd, off_t size)
{
	return ftruncate(fd, size) ? -errno : 0;
}

TEST_F(announce, can_still_be_changed)
{
	long preserved;

	ASSERT_EQ(0, luo_announce(self->session, self->fd, 1));
	preserved = kho_preserved_pages();
	expect_file(_metadata, self->session, LIVEUPDATE_FILE_ANNOUNCED, 0);
	EXPECT_EQ(0, truncate_to(self->fd, SIZE));
	EXPECT_EQ(0, content_fill(self->fd, 0, SIZE, 1));
	EXPECT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, 0, 4096));
	EXPECT_EQ(0, truncate_to(self->fd, SIZE / 2));
	expect_file(_metadata, self->session, LIVEUPDATE_FILE_ANNOUNCED, 0);
	EXPECT_EQ(preserved, kho_preserved_pages());
}

TEST_F(announce, then_preserved)
{
	int again = -1;

	ASSERT_EQ(0, luo_announce(self->session, self->fd, 1));
	ASSERT_EQ(0, truncate_to(self->fd, SIZE));
	ASSERT_EQ(0, content_fill(self->fd, 0, SIZE, 1));
	again = fcntl(self->fd, F_DUPFD_CLOEXEC, 0);
	ASSERT_EQ(0, luo_preserve(self->session, again, 1));
	expect_file(_metadata, self->session, LIVEUPDATE_FILE_PRESERVED, SIZE);
	EXPECT_EQ(-EPERM, truncate_to(self->fd, 0));
	EXPECT_EQ(-EEXIST, luo_preserve(self->session, self->fd, 1));
	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, truncate_to(self->fd, 0));
	close(again);
}

TEST_F(announce, is_of_one_object)
{
	int other = memfd_create("b", 0);

	ASSERT_EQ(0, luo_announce(self->session, self->fd, 1));
	EXPECT_EQ(-EEXIST, luo_announce(self->session, other, 1));
	EXPECT_EQ(-EEXIST, luo_preserve(self->session, other, 1));
	EXPECT_EQ(-EBUSY, luo_announce(self->session, self->fd, 2));
	EXPECT_EQ(-EBUSY, luo_preserve(self->session, self->fd, 2));
	ASSERT_EQ(0, luo_preserve(self->session, other, 3));
	EXPECT_EQ(-EEXIST, luo_announce(self->session, self->fd, 3));
	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(-ENOENT, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, luo_preserve(self->session, self->fd, 1));
	close(other);
}

TEST_F(announce, needs_a_file_with_a_use_for_it)
{
	char path[] = "/tmp/announce-XXXXXX";
	int tmpfs = mkstemp(path), ends[2];

	ASSERT_LE(0, tmpfs);
	ASSERT_EQ(0, pipe(ends));
	EXPECT_EQ(-EBADF, luo_announce(self->session, -1, 1));
	EXPECT_EQ(-ENOENT, luo_announce(self->session, ends[0], 1));
	EXPECT_EQ(-EOPNOTSUPP, luo_announce(self->session, tmpfs, 1));
	ASSERT_EQ(0, mock_load(""));
	EXPECT_EQ(-EOPNOTSUPP, luo_announce(self->session, mock_file("m"), 1));
	EXPECT_EQ(-ENOENT, luo_unpreserve(self->session, 1));
	close(ends[0]);
	close(ends[1]);
	close(tmpfs);
	unlink(path);
}

TEST_F(announce, prepare_preserves_and_cancel_undoes)
{
	long preserved;

	ASSERT_EQ(0, luo_announce(self->session, self->fd, 1));
	ASSERT_EQ(0, truncate_to(self->fd, SIZE));
	ASSERT_EQ(0, content_fill(self->fd, 0, SIZE, 1));
	preserved = kho_preserved_pages();

	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	expect_file(_metadata, self->session, LIVEUPDATE_FILE_PRESERVED, SIZE);
	EXPECT_EQ(-EPERM, truncate_to(self->fd, 0));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	expect_file(_metadata, self->session, LIVEUPDATE_FILE_ANNOUNCED, 0);
	EXPECT_EQ(preserved, kho_preserved_pages());
	EXPECT_EQ(0, truncate_to(self->fd, SIZE / 2));
	EXPECT_EQ(0, content_check(self->fd, 0, SIZE / 2, 1));
}

TEST_F(announce, what_was_preserved_stays_so)
{
	ASSERT_EQ(0, luo_announce(self->session, self->fd, 1));
	ASSERT_EQ(0, truncate_to(self->fd, SIZE));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	expect_file(_metadata, self->session, LIVEUPDATE_FILE_PRESERVED, 0);
	EXPECT_EQ(-EPERM, truncate_to(self->fd, 0));
}

TEST_F(announce, while_prepared_preserves)
{
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(0, luo_announce(self->session, self->fd, 1));
	expect_file(_metadata, self->session, LIVEUPDATE_FILE_PRESERVED, 0);
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	expect_file(_metadata, self->session, LIVEUPDATE_FILE_ANNOUNCED, 0);
}

/* ---- Where its pages come from ---- */

static long counter(const char *key)
{
	static char text[64 * KIB];
	const char *line;

	if (text_read("/proc/vmstat", text, sizeof(text)))
		return -1;
	line = strstr(text, key);
	return line ? strtol(line + strlen(key), NULL, 10) : -1;
}

/* Scratch memory that is in use then, in pages, if nobody has announced the file */
#define IN_SCRATCH	1024

/* Fill a memfd until it has some of its pages in scratch memory; its size, or -1 */
static int64_t fill_to_scratch(int fd)
{
	long free = counter("nr_free_cma ");
	int64_t size = 0;

	while (counter("nr_free_cma ") > free - IN_SCRATCH) {
		if (ftruncate(fd, size + MIB) || content_fill(fd, size, MIB, 1))
			return -1;
		size += MIB;
	}

	return size;
}

static int64_t fill_announced(int session, int fd, int64_t size)
{
	if (luo_announce(session, fd, 1) || ftruncate(fd, size) ||
	    content_fill(fd, 0, size, 1))
		return -1;
	return size;
}

/*
 * How many pages have to move when a memfd is preserved: one of @size that was
 * announced, or one that takes as much as it needs to have some in scratch memory
 */
static long moved_for(int session, int64_t *size)
{
	int fd = memfd_create("filled", 0);
	long before;

	*size = *size ? fill_announced(session, fd, *size) : fill_to_scratch(fd);
	if (*size < 0)
		return -1;
	before = counter("pgmigrate_success ");
	if (luo_preserve(session, fd, 1) || content_check(fd, 0, *size, 1) ||
	    luo_unpreserve(session, 1))
		return -1;
	close(fd);
	return counter("pgmigrate_success ") - before;
}

TEST_F_TIMEOUT(announce, its_pages_need_not_move, 120)
{
	int64_t size = 0;

	if (counter("pgmigrate_success ") < 0)
		SKIP(return, "the kernel does not count pages that move");
	ASSERT_LT(0, moved_for(self->session, &size));
	EXPECT_EQ(0, moved_for(self->session, &size));
}

TEST_HARNESS_MAIN
