// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that take long, as they are about large files: whoever makes one can be
 * killed, as can who waits for it, and others run meanwhile, on one CPU as well.
 * Times are printed, but not what the tests rely on, as the machine may stop at any
 * time if it is a virtual one.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi.h"

#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define IN_PAGES	(96 * MIB)
#define IN_FOLIOS	(256 * MIB)
#define SMALL_FILES	1000
/* How often others have a turn in a call that takes so many ms */
#define TURNS		3
#define TURNS_MS	50

static int make_allocated(uint64_t size)
{
	int fd = memfd_create("long", 0);

	return fd >= 0 && !fallocate(fd, 0, 0, size) ? fd : -1;
}

static int make_pages(void)
{
	return make_allocated(IN_PAGES);
}

/* Nobody wrote to them: they are cleared when they are preserved */
static int make_large_folios(void)
{
	int fd;

	if (text_write(SHMEM_ENABLED, "always"))
		return -1;
	fd = make_allocated(IN_FOLIOS);
	return text_write(SHMEM_ENABLED, "never") ? -1 : fd;
}

/* ---- Who is killed ---- */

FIXTURE(killed) {
	int dev, session, fd;
	uint64_t whole;
};

FIXTURE_VARIANT(killed) {
	int (*make)(void);
};

FIXTURE_VARIANT_ADD(killed, pages) { .make = make_pages };
FIXTURE_VARIANT_ADD(killed, large_folios) { .make = make_large_folios };

FIXTURE_SETUP(killed)
{
	uint64_t start;

	ASSERT_EQ(0, setup_system());
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "killed");
	ASSERT_LE(0, self->session);
	self->fd = variant->make();
	ASSERT_LE(0, self->fd);
	start = now_ms();
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	self->whole = now_ms() - start;
	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	close(self->fd);
	self->fd = variant->make();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(killed)
{
	close(self->fd);
	close(self->session);
	close(self->dev);
}

static pid_t start_preserving(int session, int fd, uint64_t token)
{
	pid_t pid = fork();

	if (!pid)
		_exit(luo_preserve(session, fd, token) ? 1 : 0);
	return pid;
}

/* How long it takes to die; its status goes to @status */
static uint64_t kill_and_wait(pid_t pid, int *status)
{
	uint64_t start = now_ms();

	kill(pid, SIGKILL);
	waitpid(pid, status, 0);
	return now_ms() - start;
}

TEST_F_TIMEOUT(killed, in_the_middle, 120)
{
	unsigned int interrupted = 0;
	struct census before, now;
	uint64_t longest = 0;

	ASSERT_EQ(0, census_take(self->dev, &before));
	for (unsigned int i = 1; i <= 10; i++) {
		pid_t pid = start_preserving(self->session, self->fd, 1);
		uint64_t ms;
		int status;

		/* Always early: it can take less time than the first one did */
		usleep(self->whole * i * 30);
		ms = kill_and_wait(pid, &status);
		if (ms > longest)
			longest = ms;
		/* What the signal came too late for is there as a whole */
		if (luo_unpreserve(self->session, 1) == -ENOENT)
			interrupted++;
		ASSERT_EQ(0, census_take(self->dev, &now));
		ASSERT_EQ(NULL, census_differs(&before, &now));
		close(self->fd);
		self->fd = variant->make();
		ASSERT_LE(0, self->fd);
	}
	ksft_print_msg("%u calls of %lu ms were interrupted, all died within %lu ms\n",
		       interrupted, self->whole, longest);
	EXPECT_LE(3, interrupted);
	EXPECT_EQ(0, luo_preserve(self->session, self->fd, 1));
}

/* Somebody else is at work in the same session, and still is afterwards */
TEST_F_TIMEOUT(killed, while_it_waits, 120)
{
	pid_t busy = start_preserving(self->session, self->fd, 1), waiting;
	int other = memfd_filled("other", 0, 4096, 1), status;
	long preserved;

	usleep(self->whole * 30);
	waiting = start_preserving(self->session, other, 2);
	usleep(self->whole * 30);
	kill_and_wait(waiting, &status);
	/* All pages are listed before the first is preserved */
	preserved = kho_preserved_pages();
	EXPECT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(busy, waitpid(busy, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_LT(preserved, kho_preserved_pages());
	EXPECT_EQ(-ENOENT, luo_unpreserve(self->session, 2));
	EXPECT_EQ(0, luo_unpreserve(self->session, 1));
	close(other);
}

/* ---- Who has the same CPU ---- */

/* Runs as often as it can, and notes how often and how long it could not */
struct watcher {
	atomic_ulong turns;
	atomic_ulong longest;
	atomic_ulong last;
	pid_t pid;
};

static void watch(struct watcher *watcher)
{
	for (;;) {
		uint64_t now = now_us(), gap = now - atomic_load(&watcher->last);

		if (gap > 500)
			atomic_fetch_add(&watcher->turns, 1);
		if (gap > atomic_load(&watcher->longest))
			atomic_store(&watcher->longest, gap);
		atomic_store(&watcher->last, now);
	}
}

static struct watcher *watcher_start(void)
{
	struct watcher *watcher = mmap(NULL, sizeof(*watcher),
				       PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	atomic_store(&watcher->last, now_us());
	pid = fork();
	if (!pid) {
		watch(watcher);
		_exit(0);
	}
	watcher->pid = pid;
	return watcher;
}

static void watcher_end(struct watcher *watcher)
{
	int status;

	kill_and_wait(watcher->pid, &status);
	munmap(watcher, sizeof(*watcher));
}

FIXTURE(yield) {
	struct watcher *watcher;
	int session;
};

FIXTURE_VARIANT(yield) {
	const char *name;
	int (*make)(void);
	unsigned int files;
};

FIXTURE_VARIANT_ADD(yield, pages) {
	.name = "96 MiB in pages", .make = make_pages, .files = 1,
};

FIXTURE_VARIANT_ADD(yield, large_folios) {
	.name = "256 MiB in large folios", .make = make_large_folios, .files = 1,
};

static int make_small(void)
{
	return memfd_filled("small", 0, 4096, 1);
}

FIXTURE_VARIANT_ADD(yield, small_files) {
	.name = "1000 files", .make = make_small, .files = SMALL_FILES,
};

FIXTURE_SETUP(yield)
{
	ASSERT_EQ(0, setup_system());
	ASSERT_EQ(0, stay_on_cpu(0));
	/* First, as it gets a copy of all descriptors */
	self->watcher = watcher_start();
	self->session = luo_session_new("yield");
	ASSERT_LE(0, self->session);
}

FIXTURE_TEARDOWN(yield)
{
	watcher_end(self->watcher);
}

/* What begins here ends with the next call */
static uint64_t begin(struct watcher *watcher)
{
	usleep(20000);
	atomic_store(&watcher->longest, 0);
	atomic_store(&watcher->turns, 0);
	return now_us();
}

static void check_gap(struct __test_metadata *_metadata,
		      struct watcher *watcher, uint64_t start, const char *what,
		      const char *name)
{
	unsigned long turns = atomic_load(&watcher->turns), gap;
	uint64_t whole = now_us() - start;

	usleep(20000);
	gap = atomic_load(&watcher->longest);
	ksft_print_msg("%s of %s took %lu ms: others waited %lu times, %lu ms (%lu %%) at most\n",
		       what, name, whole / 1000, turns, gap / 1000,
		       gap * 100 / whole);
	if (whole > TURNS_MS * 1000)
		EXPECT_LE(TURNS, turns);
}

/* The last file of a session; of many, one is not worth being watched */
TEST_F_TIMEOUT(yield, to_others, 120)
{
	uint64_t start;
	int fd;

	for (unsigned int i = 1; i < variant->files; i++) {
		fd = variant->make();
		ASSERT_EQ(0, luo_preserve(self->session, fd, i));
		close(fd);
	}
	fd = variant->make();
	ASSERT_LE(0, fd);
	start = begin(self->watcher);
	ASSERT_EQ(0, luo_preserve(self->session, fd, 0));
	if (variant->files == 1)
		check_gap(_metadata, self->watcher, start, "PRESERVE_FD",
			  variant->name);
	close(fd);
	start = begin(self->watcher);
	close(self->session);
	check_gap(_metadata, self->watcher, start, "close", variant->name);
}

TEST_HARNESS_MAIN
