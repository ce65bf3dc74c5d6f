// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that wait, after a memfd was retrieved, until they are used: whatever is
 * done to the file meanwhile, it must not show.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/kernel-page-flags.h>
#include <linux/mman.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "update.h"

#define PAGE		4096UL
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

/* Pages that come in together, and a file of many such rows */
#define ROW		64UL
#define SIZE		(8 * MIB)
#define PAGES		(SIZE / PAGE)
#define SEED		21

/* In ms; the worker comes after 10 s */
#define WORKER_MS	(60000UL * slower())

static void lazy_before(struct note *note)
{
	int session = session_new(note, "");

	OK(luo_preserve(session, OK(memfd_filled("lazy", 0, SIZE, SEED)), 1));
}

static char *map_file(int fd, int flags)
{
	char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	CHECK(map != MAP_FAILED);
	return map;
}

/* Pages that are in the page cache, of as many as there are in an open file */
static unsigned long resident(int fd)
{
	char *map = map_file(fd, MAP_SHARED);
	unsigned char *vec = malloc(PAGES);
	unsigned long nr = 0;

	CHECK(vec);
	SYS(mincore(map, SIZE, vec));
	for (unsigned long i = 0; i < PAGES; i++)
		nr += vec[i] & 1;
	free(vec);
	munmap(map, SIZE);
	return nr;
}

static void check_blocks(int fd, unsigned long pages)
{
	struct stat st;

	SYS(fstat(fd, &st));
	CHECK_EQ(pages * PAGE / 512, st.st_blocks);
}

/* The file, of which all waits; its session is finished */
static int lazy_file(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	OK(luo_finish(session));
	close(session);
	CHECK_EQ(0, resident(fd));
	check_blocks(fd, PAGES);
	return fd;
}

#define LAZY_TEST(_name, _after)					\
	UPDATE_TEST(lazy, _name, .stage = { lazy_before, _after })

static char read_page(int fd, unsigned long page)
{
	char c;

	CHECK_EQ(1, SYS(pread(fd, &c, 1, page * PAGE)));
	return c;
}

/* ---- Coming in ---- */

static void first_use_after(struct note *note)
{
	int fd = lazy_file(note);
	char *map = map_file(fd, MAP_SHARED);

	/* By a read, a fault, and a write; with those that are next to it in memory */
	read_page(fd, 0);
	CHECK_BETWEEN(1, resident(fd), ROW);
	__atomic_load_n(map + 3 * ROW * PAGE + 5 * PAGE, __ATOMIC_RELAXED);
	CHECK_BETWEEN(2, resident(fd), 2 * ROW);
	CHECK_EQ(1, SYS(pwrite(fd, map + 7 * ROW * PAGE, 1, 7 * ROW * PAGE)));
	CHECK_BETWEEN(3, resident(fd), 3 * ROW);
	for (unsigned long row = 0; row < PAGES / ROW; row++)
		read_page(fd, row * ROW);
	CHECK_BETWEEN(PAGES / ROW + ROW - 1, resident(fd), PAGES);
	check_blocks(fd, PAGES);
	OK(content_check(fd, 0, SIZE, SEED));
	CHECK_EQ(PAGES, resident(fd));
	check_blocks(fd, PAGES);
}

LAZY_TEST(lazy_first_use, first_use_after);

static void worker_after(struct note *note)
{
	uint64_t start = now_ms();
	int fd = lazy_file(note);

	while (resident(fd) < PAGES && now_ms() - start < WORKER_MS)
		usleep(100000);
	CHECK_EQ(PAGES, resident(fd));
	CHECK_BETWEEN(9000, now_ms() - start, WORKER_MS);
	OK(content_check(fd, 0, SIZE, SEED));
}

LAZY_TEST(lazy_worker, worker_after);

static void locked_after(struct note *note)
{
	int fd = lazy_file(note);
	char *map = map_file(fd, MAP_SHARED);

	SYS(mlock(map, SIZE / 2));
	CHECK_EQ(PAGES / 2, resident(fd));
	SYS(madvise(map, SIZE, MADV_POPULATE_WRITE));
	CHECK_EQ(PAGES, resident(fd));
	OK(content_check(fd, 0, SIZE, SEED));
}

LAZY_TEST(lazy_locked, locked_after);

static void advised_after(struct note *note)
{
	int fd = lazy_file(note);
	char *map = map_file(fd, MAP_SHARED);

	/* These are for swap: they leave alone what waits */
	SYS(madvise(map, SIZE, MADV_WILLNEED));
	SYS(madvise(map, SIZE, MADV_PAGEOUT));
	CHECK_EQ(0, posix_fadvise(fd, 0, SIZE, POSIX_FADV_DONTNEED));
	CHECK_EQ(0, resident(fd));
	/* And this makes a large folio of it, where that can be */
	madvise(map, SIZE, MADV_COLLAPSE);
	OK(content_check(fd, 0, SIZE, SEED));
	check_blocks(fd, PAGES);
}

LAZY_TEST(lazy_advised, advised_after);

#ifndef SYS_cachestat
#define SYS_cachestat	451
#endif

/* They were in memory all the time: nothing tells when they were reclaimed */
static void counted_after(struct note *note)
{
	struct cachestat_range all = { 0, SIZE };
	struct cachestat stat = {};
	int fd = lazy_file(note);

	SYS(syscall(SYS_cachestat, fd, &all, &stat, 0));
	CHECK_EQ(0, stat.nr_cache);
	CHECK_EQ(PAGES, stat.nr_evicted);
	CHECK_EQ(0, stat.nr_recently_evicted);
	read_page(fd, 5 * ROW);
	SYS(syscall(SYS_cachestat, fd, &all, &stat, 0));
	CHECK_EQ(resident(fd), stat.nr_cache);
	CHECK_EQ(PAGES - resident(fd), stat.nr_evicted);
	CHECK_EQ(0, stat.nr_recently_evicted);
	OK(content_check(fd, 0, SIZE, SEED));
}

LAZY_TEST(lazy_counted, counted_after);

/* A child has its own copy of what is private, and the same of what is shared */
static void fork_after(struct note *note)
{
	int fd = lazy_file(note);
	char *own = map_file(fd, MAP_PRIVATE);
	int status;
	pid_t child;

	own[0] ^= 1;
	child = SYS(fork());
	if (!child) {
		own[PAGE] ^= 1;
		_exit(content_check(fd, 0, SIZE, SEED) ? 1 : 0);
	}
	SYS(waitpid(child, &status, 0));
	CHECK_EQ(0, status);
	CHECK_EQ(read_page(fd, 0) ^ 1, own[0]);
	CHECK_EQ(read_page(fd, 1), own[PAGE]);
	OK(content_check(fd, 0, SIZE, SEED));
}

LAZY_TEST(lazy_fork, fork_after);

/* ---- Going away ---- */

/* In the middle of a row, and of a page; then at the end of a page, then of a row */
static void truncated_after(struct note *note)
{
	static const uint64_t cuts[] = {
		(25 * ROW + 7) * PAGE + 100, (15 * ROW + 7) * PAGE, 5 * ROW * PAGE,
	};
	int fd = lazy_file(note);

	for (unsigned int i = 0; i < ARRAY_SIZE(cuts); i++) {
		unsigned long pages = (cuts[i] + PAGE - 1) / PAGE;
		uint64_t start = now_ms();

		SYS(ftruncate(fd, cuts[i]));
		CHECK_BETWEEN(0, now_ms() - start, 5000 * slower());
		check_blocks(fd, pages);
		SYS(ftruncate(fd, SIZE));
		check_blocks(fd, pages);
		OK(content_check(fd, cuts[i] - PAGE, PAGE, SEED));
		OK(content_check_zero(fd, cuts[i], SIZE - cuts[i]));
	}
	OK(content_check(fd, 0, cuts[2], SEED));
}

LAZY_TEST(lazy_truncated, truncated_after);

static void punch(int fd, uint64_t offset, uint64_t len)
{
	SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
		      len));
	OK(content_check_zero(fd, offset, len));
}

static void punched_after(struct note *note)
{
	int fd = lazy_file(note);
	uint64_t row = ROW * PAGE;

	punch(fd, row + 3 * PAGE, PAGE);
	punch(fd, 4 * row, row);
	punch(fd, 7 * row - 2 * PAGE, 3 * row);
	check_blocks(fd, PAGES - 1 - ROW - 3 * ROW);
	/* Part of a page is zero then, and there */
	punch(fd, 20 * row + 10, 5 * PAGE);
	check_blocks(fd, PAGES - 1 - ROW - 3 * ROW - 4);
	OK(content_check(fd, 0, row + 3 * PAGE, SEED));
	OK(content_check(fd, row + 4 * PAGE, 3 * row - 4 * PAGE, SEED));
	OK(content_check(fd, 5 * row, 2 * row - 2 * PAGE, SEED));
	OK(content_check(fd, 10 * row - 2 * PAGE, 10 * row + 2 * PAGE + 10, SEED));
	OK(content_check(fd, 20 * row + 5 * PAGE + 10,
			 SIZE - 20 * row - 5 * PAGE - 10, SEED));
}

LAZY_TEST(lazy_punched, punched_after);

static void allocated_after(struct note *note)
{
	int fd = lazy_file(note);

	SYS(fallocate(fd, 0, PAGE, SIZE));
	check_blocks(fd, PAGES + 1);
	OK(content_check(fd, 0, SIZE, SEED));
	OK(content_check_zero(fd, SIZE, PAGE));
}

LAZY_TEST(lazy_allocated, allocated_after);

/* What nobody has used is freed with the file */
static void closed_after(struct note *note)
{
	int fd = lazy_file(note);
	long before;

	read_page(fd, ROW);
	before = memory_free_kib();
	close(fd);
	/* By RCU, for a part */
	for (int i = 0; i < 50 && memory_free_kib() - before < (long)(SIZE / KIB);
	     i++)
		usleep(100000);
	CHECK_BETWEEN((long)(SIZE / KIB) - 1024, memory_free_kib() - before,
		      (long)(SIZE / KIB) + 4096);
}

LAZY_TEST(lazy_closed, closed_after);

/* ---- Several at once ---- */

#define READERS		4

struct race {
	char *map;
	unsigned int first;
};

/* Each goes through all pages, in an order of its own; its first word is known */
static void *use_all(void *arg)
{
	struct race *race = arg;
	uint64_t want;

	for (unsigned long i = 0; i < PAGES; i++) {
		unsigned long page = (i * 37 + race->first) % PAGES;
		uint64_t have = *(uint64_t *)(race->map + page * PAGE);

		content_generate(&want, page * PAGE, sizeof(want), SEED);
		if (have != want && (have || page % ROW != 1))
			return (void *)(page + 1);
	}
	return NULL;
}

/* A page of each row is punched out while all are being used */
static void raced_after(struct note *note)
{
	int fd = lazy_file(note);
	struct race races[READERS];
	pthread_t threads[READERS];
	void *wrong;

	for (unsigned int i = 0; i < READERS; i++) {
		races[i] = (struct race){ map_file(fd, MAP_SHARED), i / 2 * 99 };
		CHECK_EQ(0, pthread_create(&threads[i], NULL, use_all, &races[i]));
	}
	for (unsigned long row = PAGES / ROW; row-- > 0; sched_yield())
		SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (row * ROW + 1) * PAGE, PAGE));
	for (unsigned int i = 0; i < READERS; i++) {
		CHECK_EQ(0, pthread_join(threads[i], &wrong));
		CHECK_EQ(0, wrong);
	}
	for (unsigned long row = 0; row < PAGES / ROW; row++) {
		OK(content_check(fd, row * ROW * PAGE, PAGE, SEED));
		OK(content_check_zero(fd, (row * ROW + 1) * PAGE, PAGE));
		OK(content_check(fd, (row * ROW + 2) * PAGE, (ROW - 2) * PAGE,
				 SEED));
	}
}

LAZY_TEST(lazy_raced, raced_after);

/* ---- Who pays ---- */

#define GROUP		"luo-lazy"

static long group_bytes(void)
{
	return number_in("/sys/fs/cgroup/" GROUP "/memory.current");
}

/* As much as a processor may charge in advance */
#define SLACK		(2 * 64 * (long)PAGE)

static void paid_after(struct note *note)
{
	int session = session_claim(note, ""), fd;
	long before;

	need_memcg();
	OK(memcg_create(GROUP, "max"));
	OK(memcg_enter(GROUP));
	before = group_bytes();
	fd = OK(luo_restore(session, 1));
	OK(memcg_enter("."));
	CHECK_BETWEEN((long)SIZE, group_bytes() - before + SLACK,
		      (long)SIZE + 3 * SLACK);
	CHECK_EQ(0, memcg_stat(GROUP, "shmem"));
	/* Whoever uses them: they stay where they are charged, as memory of files */
	OK(content_check(fd, 0, SIZE, SEED));
	CHECK_EQ(SIZE, memcg_stat(GROUP, "shmem"));
	CHECK_BETWEEN((long)SIZE, group_bytes() - before + SLACK,
		      (long)SIZE + 3 * SLACK);
	OK(luo_finish(session));
	close(session);
	close(fd);
	CHECK_BETWEEN(-3 * SLACK, group_bytes() - before, SLACK);
	OK(memcg_remove(GROUP));
}

LAZY_TEST(lazy_paid, paid_after);

/* All that is told about charges holds where kernel memory usually is not charged */
UPDATE_TEST(nokmem, lazy_paid_without_kmem, .stage = { lazy_before, paid_after });

/* A group that has no room left: what was charged is enough for them to come in */
static void full_after(struct note *note)
{
	int session = session_claim(note, ""), fd;
	char max[32];

	need_memcg();
	OK(memcg_create(GROUP "-full", "max"));
	OK(memcg_enter(GROUP "-full"));
	fd = OK(luo_restore(session, 1));
	OK(text_read("/sys/fs/cgroup/" GROUP "-full/memory.current", max,
		     sizeof(max)));
	OK(text_write("/sys/fs/cgroup/" GROUP "-full/memory.max", max));
	OK(memcg_enter("."));
	OK(content_check(fd, 0, SIZE, SEED));
	CHECK_EQ(PAGES, resident(fd));
	OK(luo_finish(session));
	close(session);
	close(fd);
	OK(memcg_remove(GROUP "-full"));
}

LAZY_TEST(lazy_in_a_full_group, full_after);

/* ---- Memory that breaks while they wait ---- */

/* Behind the first page of a large folio, and in a row of small ones */
#define BROKEN		600UL

static uint64_t pfn_at(int fd, unsigned long page)
{
	char *map = map_file(fd, MAP_SHARED);
	uint64_t pfn;

	SYS(madvise(map, SIZE, MADV_POPULATE_READ));
	pfn = pfn_of(map + page * PAGE);
	munmap(map, SIZE);
	return pfn;
}

/* Whether a page is part of a large folio, and not its first one */
static bool is_tail(uint64_t pfn)
{
	int fd = SYS(open("/proc/kpageflags", O_RDONLY | O_CLOEXEC));
	uint64_t flags;

	CHECK_EQ(8, SYS(pread(fd, &flags, 8, pfn * 8)));
	close(fd);
	return flags >> KPF_COMPOUND_TAIL & 1;
}

static void broken_before(struct note *note)
{
	int session = session_new(note, "");

	for (int i = 0; i < 2; i++) {
		int fd;

		OK(text_write(SHMEM_ENABLED, i ? "never" : "always"));
		fd = memfd_filled("broken", 0, SIZE, SEED);
		OK(text_write(SHMEM_ENABLED, "never"));
		OK(luo_preserve(session, OK(fd), i));
		note->value[i] = pfn_at(fd, BROKEN);
		CHECK_EQ(!i, is_tail(note->value[i]));
	}
}

/* Reads end in front of it, as they do where the kernel was told in time */
static void broken_after(struct note *note)
{
	int session = session_claim(note, "");

	for (int i = 0; i < 2; i++) {
		int fd = OK(luo_restore(session, i));
		char two[2 * PAGE], pfn[32];

		snprintf(pfn, sizeof(pfn), "%#lx", (unsigned long)note->value[i]);
		/* Of memory that has no user yet, the kernel says EBUSY */
		CHECK_EQ(-EBUSY, text_write("/sys/kernel/debug/hwpoison/corrupt-pfn",
					    pfn));
		CHECK_EQ(0, resident(fd));
		CHECK_EQ((long)PAGE, pread(fd, two, sizeof(two),
					   (BROKEN - 1) * PAGE));
		CHECK_EQ(-1, pread(fd, two, 1, BROKEN * PAGE));
		CHECK_EQ(EIO, errno);
		OK(content_check(fd, 0, BROKEN * PAGE, SEED));
		OK(content_check(fd, (BROKEN + 1) * PAGE,
				 SIZE - (BROKEN + 1) * PAGE, SEED));
		close(fd);
		/* A large folio is never freed: others would get what is broken */
		CHECK_EQ(!i, is_tail(note->value[i]));
	}
	OK(luo_finish(session));
}

UPDATE_TEST(lazy, lazy_broken, .stage = { broken_before, broken_after });

/* ---- On to swap, and on to another kernel ---- */

#define DISK		"/dev/ram0"

static void swapped_after(struct note *note)
{
	int fd = lazy_file(note);
	char *map = map_file(fd, MAP_SHARED);

	need_swap();
	CHECK_EQ(0, system("mkswap " DISK " >/dev/null 2>&1"));
	SYS(swapon(DISK, 0));
	SYS(madvise(map, SIZE / 2, MADV_POPULATE_READ));
	SYS(madvise(map, SIZE, MADV_PAGEOUT));
	CHECK_BETWEEN(0, resident(fd), PAGES / 4);
	check_blocks(fd, PAGES);
	/* What waits has nothing to do with it */
	SYS(swapoff(DISK));
	CHECK_EQ(PAGES / 2, resident(fd));
	OK(content_check(fd, 0, SIZE, SEED));
	check_blocks(fd, PAGES);
}

LAZY_TEST(lazy_swapped, swapped_after);

static void again_after(struct note *note)
{
	int fd = lazy_file(note);
	int session = session_new(note, "2");

	read_page(fd, 2 * ROW);
	CHECK_BETWEEN(1, resident(fd), ROW);
	OK(luo_preserve(session, fd, 2));
	CHECK_EQ(-EBUSY, luo_preserve(session, fd, 3));
}

static void again_last(struct note *note)
{
	int session = session_claim(note, "2");
	int fd = OK(luo_restore(session, 2));

	CHECK_EQ(0, resident(fd));
	OK(content_check(fd, 0, SIZE, SEED));
	check_blocks(fd, PAGES);
	OK(luo_finish(session));
}

UPDATE_TEST(lazy, lazy_and_updated_again,
	    .stage = { lazy_before, again_after, again_last });

/* Extents of one page each: nothing comes in together */
static void scattered_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = SYS(memfd_create("scattered", 0));

	SYS(ftruncate(fd, SIZE));
	for (unsigned long i = 0; i < PAGES; i += 2)
		OK(content_fill(fd, i * PAGE, PAGE, SEED));
	OK(luo_preserve(session, fd, 1));
}

static void scattered_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	OK(luo_finish(session));
	check_blocks(fd, PAGES / 2);
	CHECK_EQ(2 * PAGE, SYS(lseek(fd, PAGE, SEEK_DATA)));
	CHECK_EQ(3 * PAGE, SYS(lseek(fd, 2 * PAGE, SEEK_HOLE)));
	read_page(fd, 10);
	CHECK_EQ(1, resident(fd));
	SYS(ftruncate(fd, SIZE / 2));
	check_blocks(fd, PAGES / 4);
	for (unsigned long i = 0; i < PAGES / 2; i += 2) {
		OK(content_check(fd, i * PAGE, PAGE, SEED));
		OK(content_check_zero(fd, (i + 1) * PAGE, PAGE));
	}
}

UPDATE_TEST(lazy, lazy_scattered, .stage = { scattered_before, scattered_after });
