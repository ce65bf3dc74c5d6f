// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a memfd can and cannot do while it is preserved, and that it is as
 * before once its session lets it go.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi.h"

#define SIZE	(8 * 4096UL)

FIXTURE(memfd) {
	int session;
	int fd;
};

FIXTURE_SETUP(memfd)
{
	ASSERT_EQ(0, setup_system());
	self->session = luo_session_new("memfd");
	ASSERT_LE(0, self->session);
	self->fd = memfd_filled("m", MFD_ALLOW_SEALING, SIZE, 1);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(memfd)
{
	close(self->fd);
	close(self->session);
}

static int result(int ret)
{
	return ret < 0 ? -errno : ret;
}

static int truncate_to(int fd, off_t size)
{
	return result(ftruncate(fd, size));
}

static int allocate(int fd, int mode, off_t offset, off_t len)
{
	return result(fallocate(fd, mode, offset, len));
}

static int write_at(int fd, off_t offset)
{
	return result(pwrite(fd, "x", 1, offset));
}

TEST_F(memfd, preserved_cannot_change_its_size)
{
	struct stat st;

	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-EPERM, truncate_to(self->fd, 0));
	EXPECT_EQ(-EPERM, truncate_to(self->fd, SIZE - 1));
	EXPECT_EQ(-EPERM, truncate_to(self->fd, SIZE + 1));
	EXPECT_EQ(-EPERM, allocate(self->fd, 0, 0, 2 * SIZE));
	EXPECT_EQ(-EPERM, write_at(self->fd, SIZE));
	EXPECT_EQ(-EPERM, write_at(self->fd, SIZE + 12345));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(SIZE, st.st_size);
	EXPECT_EQ(0, content_check(self->fd, 0, SIZE, 1));
}

#define CHUNK	(2 * MIB)
#define CHUNKS	12

/* Somebody who makes a file larger until that is refused */
struct writer {
	int fd;
	uint64_t written;
	int err;
};

static void *write_on(void *arg)
{
	static char data[CHUNK];
	struct writer *writer = arg;
	ssize_t n;

	memset(data, 'x', sizeof(data));
	for (int i = 0; i < CHUNKS; i++) {
		n = write(writer->fd, data, sizeof(data));
		if (n < 0) {
			writer->err = -errno;
			break;
		}
		writer->written += n;
	}
	return NULL;
}

static uint64_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_size;
}

/*
 * What was written when the file is preserved is all that is ever written: a write
 * that is in the middle of it fails, or is part of the size. The moment is another
 * one each time, and with large folios most of the time goes into copying.
 */
TEST_F(memfd, preserved_while_written_keeps_its_size)
{
	uint64_t until = now_ms() + 10000, size;
	struct writer writer;
	pthread_t thread;

	text_write("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always");
	for (unsigned int i = 0; i < 400 && now_ms() < until; i++) {
		writer = (struct writer){ .fd = memfd_create("grows", 0) };
		ASSERT_LE(0, writer.fd);
		ASSERT_EQ(0, pthread_create(&thread, NULL, write_on, &writer));
		usleep(100 + i * 37 % 4000);
		ASSERT_EQ(0, luo_preserve(self->session, writer.fd, 1));
		size = size_of(writer.fd);
		pthread_join(thread, NULL);
		EXPECT_EQ(size, size_of(writer.fd));
		EXPECT_EQ(size, writer.written);
		if (writer.err)
			EXPECT_EQ(-EPERM, writer.err);
		/* Nothing is left behind the end */
		ASSERT_EQ(0, luo_unpreserve(self->session, 1));
		ASSERT_EQ(0, truncate_to(writer.fd, size + CHUNK));
		EXPECT_EQ(0, content_check_zero(writer.fd, size, CHUNK));
		close(writer.fd);
	}
	text_write("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "never");
}

TEST_F(memfd, preserved_cannot_lose_pages)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-EPERM, allocate(self->fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, SIZE));
	EXPECT_EQ(0, content_check(self->fd, 0, SIZE, 1));
}

TEST_F(memfd, preserved_takes_writes_within_its_size)
{
	char *map;

	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(0, content_fill(self->fd, 4096, 4096, 2));
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);
	map[SIZE - 1] ^= 0x5a;
	EXPECT_EQ(0, content_check(self->fd, 4096, 4096, 2));
	EXPECT_EQ(0, content_check(self->fd, 8192, SIZE - 8192 - 1, 1));
	munmap(map, SIZE);
}

TEST_F(memfd, old_mappings_go_on)
{
	char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->fd, 0);
	char byte;

	ASSERT_NE(MAP_FAILED, (void *)map);
	map[0] = 'a';
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ('a', map[0]);
	map[0] = 'b';
	ASSERT_EQ(1, pread(self->fd, &byte, 1, 0));
	EXPECT_EQ('b', byte);
	close(self->session);
	self->session = -1;
	map[0] = 'c';
	ASSERT_EQ(1, pread(self->fd, &byte, 1, 0));
	EXPECT_EQ('c', byte);
	munmap(map, SIZE);
}

TEST_F(memfd, holes_can_be_filled_while_preserved)
{
	int fd = memfd_create("holes", 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	ASSERT_EQ(0, luo_preserve(self->session, fd, 1));
	EXPECT_EQ(0, content_fill(fd, 4096, 4096, 3));
	EXPECT_EQ(0, content_check_zero(fd, 0, 4096));
	EXPECT_EQ(0, content_check(fd, 4096, 4096, 3));
	EXPECT_EQ(0, content_check_zero(fd, 8192, SIZE - 8192));
	close(fd);
}

TEST_F(memfd, close_of_the_session_allows_all_again)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	close(self->session);
	self->session = luo_session_new("memfd");
	ASSERT_LE(0, self->session);
	EXPECT_EQ(0, content_check(self->fd, 0, SIZE, 1));
	EXPECT_EQ(0, allocate(self->fd,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			      4096));
	EXPECT_EQ(0, content_check_zero(self->fd, 0, 4096));
	EXPECT_EQ(0, truncate_to(self->fd, 2 * SIZE));
	EXPECT_EQ(1, write_at(self->fd, 2 * SIZE));
	EXPECT_EQ(0, allocate(self->fd, 0, 0, 3 * SIZE));
	EXPECT_EQ(0, truncate_to(self->fd, 0));
}

TEST_F(memfd, can_be_preserved_elsewhere_after_the_close)
{
	int other = luo_session_new("other");

	ASSERT_LE(0, other);
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	close(self->session);
	self->session = -1;
	EXPECT_EQ(0, luo_preserve(other, self->fd, 1));
	close(other);
}

/* The session keeps the file, not the descriptor */
TEST_F(memfd, stays_preserved_when_its_descriptor_closes)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	again = open(path, O_RDWR);
	ASSERT_LE(0, again);
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	close(self->fd);
	EXPECT_EQ(-EPERM, truncate_to(again, 0));
	EXPECT_EQ(-EBUSY, luo_preserve(self->session, again, 2));
	self->fd = again;
}

/* A file that was refused is not left frozen */
TEST_F(memfd, refusal_leaves_the_file_alone)
{
	int other = memfd_filled("other", 0, SIZE, 2);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, luo_preserve(self->session, other, 1));
	ASSERT_EQ(-EEXIST, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(0, truncate_to(self->fd, SIZE / 2));
	EXPECT_EQ(0, allocate(self->fd, 0, 0, SIZE));
	/* And one that was refused twice is still frozen by the first time */
	ASSERT_EQ(-EBUSY, luo_preserve(self->session, other, 2));
	EXPECT_EQ(-EPERM, truncate_to(other, 0));
	close(other);
}

TEST_F(memfd, zero_size_works)
{
	int fd = memfd_create("empty", 0);

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, luo_preserve(self->session, fd, 1));
	EXPECT_EQ(-EPERM, truncate_to(fd, 1));
	EXPECT_EQ(-EPERM, write_at(fd, 0));
	close(fd);
}

TEST_F(memfd, read_only_descriptor_works)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, luo_preserve(self->session, fd, 1));
	close(fd);
}

TEST_F(memfd, every_seal_works)
{
	static const int seals[] = {
		F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE,
		F_SEAL_FUTURE_WRITE, F_SEAL_EXEC,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
		F_SEAL_FUTURE_WRITE | F_SEAL_EXEC,
	};

	for (size_t i = 0; i < ARRAY_SIZE(seals); i++) {
		int fd = memfd_filled("sealed", MFD_ALLOW_SEALING, SIZE, i);
		int got;

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, seals[i]));
		got = fcntl(fd, F_GET_SEALS);
		EXPECT_EQ(0, luo_preserve(self->session, fd, i))
			TH_LOG("seals %#x", seals[i]);
		EXPECT_EQ(got, fcntl(fd, F_GET_SEALS));
		EXPECT_EQ(0, content_check(fd, 0, SIZE, i));
		close(fd);
	}
}

/*
 * Memory that the system lost between two looks at it, in KiB. Other things
 * allocate too, in bursts: the least of several looks is what counts.
 */
static long lost_kib(int (*action)(int session, int fd), int session, int fd)
{
	long least = 1L << 40;

	for (int i = 0; i < 5; i++) {
		long before = meminfo_kib("MemFree");
		long lost;

		if (action(session, fd))
			return 1L << 40;
		lost = before - meminfo_kib("MemFree");
		if (lost < least)
			least = lost;
	}
	return least;
}

static int preserve_in_new_session(int unused, int fd)
{
	static int count;
	int session;
	char name[32];

	snprintf(name, sizeof(name), "round %d", count++);
	session = luo_session_new(name);
	if (session < 0)
		return session;
	return luo_preserve(session, fd, 1) ?: close(session);
}

TEST_F(memfd, memory_returns_at_the_close)
{
	int fd = memfd_filled("large", 0, 32 * MIB, 1);

	ASSERT_LE(0, fd);
	/* Once, so that what happens only once is not counted */
	ASSERT_EQ(0, preserve_in_new_session(-1, fd));
	EXPECT_GT(512, lost_kib(preserve_in_new_session, -1, fd));
	EXPECT_EQ(0, content_check(fd, 0, 32 * MIB, 1));
	close(fd);
}

/* Writes from memory that never comes, with the inode's lock held */
static pid_t start_stuck_write(int fd)
{
	pid_t pid = fork();

	if (!pid) {
		void *page = page_stuck();

		_exit(page && pwrite(fd, page, 4096, 0) < 0);
	}
	return pid;
}

/* Its errno is what it exits with */
static pid_t start_fallocate(int fd)
{
	pid_t pid = fork();

	if (!pid)
		_exit(fallocate(fd, 0, 0, SIZE) ? errno : 0);
	return pid;
}

/* A call that has not begun is refused when it does: nobody waits for it */
TEST_F(memfd, fallocate_behind_a_stuck_write_keeps_nobody)
{
	pid_t writer, waiter;
	uint64_t start;
	int status;

	writer = start_stuck_write(self->fd);
	ASSERT_LT(0, writer);
	usleep(500000);
	waiter = start_fallocate(self->fd);
	ASSERT_LT(0, waiter);
	usleep(500000);
	ASSERT_EQ(0, waitpid(writer, &status, WNOHANG));
	ASSERT_EQ(0, waitpid(waiter, &status, WNOHANG));

	start = now_ms();
	EXPECT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_GT(5000, now_ms() - start);
	kill(writer, SIGKILL);
	ASSERT_EQ(writer, waitpid(writer, &status, 0));
	ASSERT_EQ(waiter, waitpid(waiter, &status, 0));
	EXPECT_EQ(EPERM, WEXITSTATUS(status));
}

#define ALLOCATORS	8

static void start_allocators(int fd, pid_t *pids)
{
	for (int i = 0; i < ALLOCATORS; i++) {
		pids[i] = fork();
		while (!pids[i])
			fallocate(fd, 0, 0, SIZE);
	}
	usleep(500000);
}

static void stop_allocators(const pid_t *pids)
{
	for (int i = 0; i < ALLOCATORS; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < ALLOCATORS; i++)
		waitpid(pids[i], NULL, 0);
}

/* However many are at it all the time */
TEST_F(memfd, fallocate_again_and_again_keeps_nobody)
{
	pid_t pids[ALLOCATORS];

	start_allocators(self->fd, pids);
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(0, luo_preserve(self->session, self->fd, 1));
		EXPECT_EQ(0, luo_unpreserve(self->session, 1));
	}
	stop_allocators(pids);
	EXPECT_EQ(0, content_check(self->fd, 0, SIZE, 1));
}

/* The same for what reboot(2) does first */
TEST_F(memfd, fallocate_again_and_again_keeps_no_announced_file)
{
	pid_t pids[ALLOCATORS];

	ASSERT_EQ(0, luo_announce(self->session, self->fd, 1));
	start_allocators(self->fd, pids);
	for (int i = 0; i < 10; i++) {
		EXPECT_EQ(0, luo_send_event(LIVEUPDATE_EVENT_PREPARE));
		EXPECT_EQ(0, luo_send_event(LIVEUPDATE_EVENT_CANCEL));
	}
	stop_allocators(pids);
	EXPECT_EQ(0, content_check(self->fd, 0, SIZE, 1));
}

/* What a preserved file held is freed when session and file are both gone */
TEST_F(memfd, content_is_freed_with_session_and_file)
{
	long before = 0, lost;

	for (int i = 0; i < 4; i++) {
		int session = luo_session_new("holder");
		int fd = memfd_filled("large", 0, 32 * MIB, 1);

		ASSERT_LE(0, fd);
		ASSERT_LE(0, session);
		ASSERT_EQ(0, luo_preserve(session, fd, 1));
		close(fd);
		close(session);
		if (!i)
			before = memory_free_kib();
	}
	lost = before - memory_free_kib();
	EXPECT_GT(8 * 1024, lost);
}

/* The first preserve of a sparse file must cost what is there, no more */
static int preserve_sparse(int session, int unused)
{
	static uint64_t token = 100;
	int fd = memfd_create("sparse", 0);
	int err;

	if (fd < 0 || ftruncate(fd, 4 * TIB) ||
	    content_fill(fd, TIB, 4096, 1) ||
	    content_fill(fd, 4 * TIB - 4096, 4096, 2))
		return -EIO;
	err = luo_preserve(session, fd, token++);
	close(fd);
	return err;
}

TEST_F(memfd, sparse_terabytes_cost_next_to_nothing)
{
	uint64_t start = now_ms();

	for (int i = 0; i < 5; i++)
		ASSERT_EQ(0, preserve_sparse(self->session, -1));
	EXPECT_GT(5000, now_ms() - start);
	EXPECT_GT(1024, lost_kib(preserve_sparse, self->session, -1));
}

TEST_F(memfd, holes_stay_holes_when_preserved)
{
	int fd = memfd_create("sparse", 0);
	struct stat before, after;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 64 * MIB));
	ASSERT_EQ(0, content_fill(fd, 16 * MIB, 4096, 1));
	ASSERT_EQ(0, fstat(fd, &before));
	ASSERT_EQ(0, luo_preserve(self->session, fd, 1));
	ASSERT_EQ(0, fstat(fd, &after));
	EXPECT_EQ(before.st_blocks, after.st_blocks);
	EXPECT_EQ(16 * MIB, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(16 * MIB + 4096, lseek(fd, 16 * MIB, SEEK_HOLE));
	close(fd);
}

/* No page there, no bound: the size is just a number */
TEST_F(memfd, largest_size_works)
{
	int fd = memfd_create("largest", 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 0x7fffffffffffffffLL));
	EXPECT_EQ(0, luo_preserve(self->session, fd, 1));
	close(fd);
}

TEST_HARNESS_MAIN
