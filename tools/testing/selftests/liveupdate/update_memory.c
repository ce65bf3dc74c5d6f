// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memfds in all kinds of memory: of two nodes, swapped out, much of it, and written
 * to while it is being preserved.
 */
#include <limits.h>
#include <pthread.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "update.h"

#define PAGE	4096UL

/* ---- Nodes ---- */

#define POLICY_BIND	2
#define RUN		(3 * MIB)

static void bind_to(unsigned int node)
{
	unsigned long mask = 1UL << node;

	SYS(syscall(SYS_set_mempolicy, POLICY_BIND, &mask, 8 * sizeof(mask)));
}

/* How many of the pages from @offset on are on @node */
static unsigned long pages_on(int fd, uint64_t offset, uint64_t len, int node)
{
	unsigned long nr = len / PAGE, on = 0;
	char *map = mmap(NULL, len, PROT_READ, MAP_SHARED | MAP_POPULATE, fd,
			 offset);
	void **pages = calloc(nr, sizeof(*pages));
	int *where = calloc(nr, sizeof(*where));

	CHECK(map != MAP_FAILED && pages && where);
	for (unsigned long i = 0; i < nr; i++)
		pages[i] = map + i * PAGE;
	SYS(syscall(SYS_move_pages, 0, nr, pages, NULL, where, 0));
	for (unsigned long i = 0; i < nr; i++)
		on += where[i] == node;
	munmap(map, len);
	free(pages);
	free(where);
	return on;
}

/* In turns, so that neighbours in the file are on different nodes */
static void nodes_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = SYS(memfd_create("nodes", 0));

	if (access("/sys/devices/system/node/node1", F_OK))
		test_skip("one node only");
	SYS(ftruncate(fd, 4 * RUN));
	for (unsigned int i = 0; i < 4; i++) {
		bind_to(i % 2);
		OK(content_fill(fd, i * RUN, RUN, 5));
	}
	OK(luo_preserve(session, fd, 1));
	for (unsigned int i = 0; i < 4; i++)
		CHECK_EQ(RUN / PAGE, pages_on(fd, i * RUN, RUN, i % 2));
}

static void nodes_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	for (unsigned int i = 0; i < 4; i++)
		CHECK_EQ(RUN / PAGE, pages_on(fd, i * RUN, RUN, i % 2));
	OK(content_check(fd, 0, 4 * RUN, 5));
	OK(luo_finish(session));
}

UPDATE_TEST(memory, memory_of_two_nodes, .stage = { nodes_before, nodes_after });

/* ---- Swap ---- */

#define DISK		"/dev/ram0"
#define SWAPPED		(16 * MIB)

static void swap_on(void)
{
	need_swap();
	if (meminfo_kib("SwapTotal"))
		return;
	CHECK_EQ(0, system("mkswap " DISK " >/dev/null 2>&1"));
	SYS(swapon(DISK, 0));
}

/* Ask for all of it to be swapped out, and say how much was */
static long swap_out(int fd)
{
	long before = meminfo_kib("SwapFree");
	char *map = mmap(NULL, SWAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(map != MAP_FAILED);
	SYS(madvise(map, SWAPPED, MADV_POPULATE_READ));
	SYS(madvise(map, SWAPPED, MADV_PAGEOUT));
	munmap(map, SWAPPED);
	return before - meminfo_kib("SwapFree");
}

/*
 * Pages are in swap when it is preserved; and some, after holes were filled, when it
 * is frozen. What is preserved does not go to swap any more.
 */
static void swapped_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = SYS(memfd_create("swapped", 0));

	swap_on();
	SYS(ftruncate(fd, 2 * SWAPPED));
	OK(content_fill(fd, 0, SWAPPED, 6));
	CHECK_BETWEEN((long)(SWAPPED / KIB / 2), swap_out(fd), LONG_MAX);
	OK(luo_preserve(session, fd, 1));
	CHECK_BETWEEN(LONG_MIN, swap_out(fd), 64);
	OK(content_check(fd, 0, SWAPPED, 6));
	OK(content_fill(fd, SWAPPED, SWAPPED, 6));
}

static void swapped_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, 2 * SWAPPED, 6));
	OK(luo_finish(session));
}

UPDATE_TEST(memory, memory_in_swap, .stage = { swapped_before, swapped_after });

/* ---- Lost in swap ---- */

static int lost_session, lost_fd;

static void page_out(int fd, unsigned long index)
{
	unsigned char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED, fd, index * PAGE), resident = 1;

	CHECK(page != MAP_FAILED);
	for (int i = 0; i < 20 && resident & 1; i++) {
		SYS(madvise(page, PAGE, MADV_POPULATE_READ));
		/* A page on its way to the lists of pages cannot be taken from them */
		OK(text_write("/proc/sys/vm/compact_memory", "1"));
		SYS(madvise(page, PAGE, MADV_PAGEOUT));
		SYS(mincore(page, PAGE, &resident));
	}
	CHECK_EQ(0, resident & 1);
	munmap(page, PAGE);
}

static int read_at(int fd, unsigned long index)
{
	char byte;

	return pread(fd, &byte, 1, index * PAGE) == 1 ? 0 : -errno;
}

/* The page comes after its file was preserved: it is not held yet */
static void lost_before(struct note *note)
{
	int err;

	swap_on();
	lost_session = session_new(note, "");
	lost_fd = OK(memfd_filled("lost", 0, 4 * PAGE, 1));
	SYS(ftruncate(lost_fd, 8 * PAGE));
	OK(luo_preserve(lost_session, lost_fd, 1));
	OK(content_fill(lost_fd, 6 * PAGE, PAGE, 1));
	page_out(lost_fd, 6);
	/* The disk has to work for others, whatever comes of it */
	OK(disk_fails("ram0", true));
	err = read_at(lost_fd, 6);
	OK(disk_fails("ram0", false));
	CHECK_EQ(-EIO, err);
	CHECK_EQ(-EIO, read_at(lost_fd, 6));
}

/* In the next kernel it would look like a hole */
static void lost_late(struct note *note)
{
	CHECK_EQ(-EIO, try_jump());
	check_text(LUO_SYSFS "last_failure",
		   "5 freeze file 1 of session memory_lost_in_swap");
	OK(luo_unpreserve(lost_session, 1));
	CHECK_EQ(-EIO, luo_preserve(lost_session, lost_fd, 1));
	SYS(fallocate(lost_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      6 * PAGE, PAGE));
	OK(luo_preserve(lost_session, lost_fd, 1));
}

static void lost_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, 4 * PAGE, 1));
	OK(content_check_zero(fd, 4 * PAGE, 4 * PAGE));
	OK(luo_finish(session));
}

UPDATE_TEST(memory, memory_lost_in_swap,
	    .stage = { lost_before, lost_after }, .late = { lost_late });

/* ---- Written to meanwhile ---- */

#define WRITTEN		(64 * MIB)

struct writer {
	char *map;
	uint64_t bytes;		/* behind which it has been, over all passes */
	bool end;
};

/*
 * Each page gets its number again and again: what is lost would be zero. There is
 * one whole pass at least, however late this thread comes to run.
 */
static void *write_on(void *arg)
{
	struct writer *writer = arg;

	do {
		for (uint64_t at = 0; at < WRITTEN; at += PAGE) {
			__atomic_store_n((uint64_t *)(writer->map + at), at + 1,
					 __ATOMIC_RELAXED);
			__atomic_fetch_add(&writer->bytes, PAGE, __ATOMIC_RELAXED);
		}
	} while (!__atomic_load_n(&writer->end, __ATOMIC_RELAXED));
	return NULL;
}

static void wait_for_writer(struct writer *writer, uint64_t bytes)
{
	while (__atomic_load_n(&writer->bytes, __ATOMIC_RELAXED) < bytes)
		sched_yield();
}

static void written_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = SYS(memfd_create("written", 0));
	struct writer writer = {};
	pthread_t thread;

	SYS(ftruncate(fd, WRITTEN));
	writer.map = mmap(NULL, WRITTEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(writer.map != MAP_FAILED);
	CHECK_EQ(0, pthread_create(&thread, NULL, write_on, &writer));
	for (unsigned int i = 0; i < 4; i++) {
		if (i)
			OK(luo_unpreserve(session, 1));
		/* Within its first pass, while there are holes to fill */
		wait_for_writer(&writer, (i + 1) * WRITTEN / 8);
		OK(luo_preserve(session, fd, 1));
	}
	/* The last pass fills what is left of the holes */
	__atomic_store_n(&writer.end, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	for (uint64_t at = 0; at < WRITTEN; at += PAGE)
		CHECK_EQ(at + 1, *(uint64_t *)(writer.map + at));
}

static void written_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));
	char *map = mmap(NULL, WRITTEN, PROT_READ, MAP_SHARED, fd, 0);

	CHECK(map != MAP_FAILED);
	for (uint64_t at = 0; at < WRITTEN; at += PAGE)
		CHECK_EQ(at + 1, *(uint64_t *)(map + at));
	OK(luo_finish(session));
}

UPDATE_TEST(memory, memory_written_to, .stage = { written_before, written_after });

/* ---- Set "movable": half of the memory is of no use to who pins it ---- */

/* Memfds leave some of the rest to others, however much is free elsewhere */
static void movable_before(struct note *note)
{
	unsigned long free, present, was;
	int fd = SYS(memfd_create("movable", 0));

	OK(memory_pinnable(&was, &present));
	SYS(fallocate(fd, 0, 0, 1200 * MIB));
	OK(memory_pinnable(&free, &present));
	CHECK_BETWEEN(present / 9, free, was);
	snprintf(note->text, sizeof(note->text), "%lu of %lu pages stay free",
		 free, present);
	close(fd);
}

UPDATE_TEST(movable, memfds_leave_some_unmovable, .stage = { movable_before });

/* ---- Memory that is broken ---- */

static int broken_session, broken_fd;

/* Of a page that is kept, the kernel says EBUSY: others refer to it */
static void break_page(int fd, unsigned long index, int want)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  index * PAGE);

	CHECK(page != MAP_FAILED);
	SYS(madvise(page, PAGE, MADV_POPULATE_WRITE));
	CHECK_EQ(want, page_break(page));
	munmap(page, PAGE);
}

static void mend_page(int fd, unsigned long index)
{
	SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      index * PAGE, PAGE));
}

static void broken_before(struct note *note)
{
	broken_session = session_new(note, "");
	broken_fd = OK(memfd_filled("broken", 0, 20 * PAGE, 1));
	break_page(broken_fd, 3, 0);
	CHECK_EQ(-EHWPOISON, luo_preserve(broken_session, broken_fd, 1));
	mend_page(broken_fd, 3);
	OK(luo_preserve(broken_session, broken_fd, 1));
}

/* The next kernel would give it back as if nothing were wrong with it */
static void break_late(struct note *note)
{
	break_page(broken_fd, 7, -EBUSY);
	CHECK_EQ(-EHWPOISON, try_jump());
	check_text(LUO_SYSFS "last_failure",
		   "133 freeze file 1 of session memory_broken");
	OK(luo_unpreserve(broken_session, 1));
	mend_page(broken_fd, 7);
	OK(luo_preserve(broken_session, broken_fd, 1));
}

static void broken_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, 3 * PAGE, 1));
	OK(content_check_zero(fd, 3 * PAGE, PAGE));
	OK(content_check(fd, 4 * PAGE, 3 * PAGE, 1));
	OK(content_check_zero(fd, 7 * PAGE, PAGE));
	OK(content_check(fd, 8 * PAGE, 12 * PAGE, 1));
	OK(luo_finish(session));
	close(fd);
	close(session);
}

UPDATE_TEST(memory, memory_broken, .stage = { broken_before, broken_after },
	    .late = { break_late });

/* ---- Holes at random ---- */

#define SPARSE		(256 * MIB)

/* The same sequence in both kernels: xorshift */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Call @each for runs of 1 to 64 pages, with holes of 1 to 64 between them */
static void each_run(int fd, int (*each)(int fd, uint64_t offset, uint64_t len,
					 uint64_t seed),
		     uint64_t state)
{
	uint64_t at = 0;

	while (at < SPARSE - 128 * PAGE) {
		uint64_t len = (1 + next_random(&state) % 64) * PAGE;

		OK(each(fd, at, len, 7));
		at += len + (1 + next_random(&state) % 64) * PAGE;
	}
}

static void random_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = SYS(memfd_create("random", 0));

	note->value[0] = now_ms() * 2 + 1;
	snprintf(note->text, sizeof(note->text), "seed %lu",
		 (unsigned long)note->value[0]);
	SYS(ftruncate(fd, SPARSE));
	each_run(fd, content_fill, note->value[0]);
	snapshot_take(fd, (struct snapshot *)(note->value + 1));
	OK(luo_preserve(session, fd, 1));
}

static void random_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));
	struct snapshot have;

	each_run(fd, content_check, note->value[0]);
	snapshot_take(fd, &have);
	snapshot_compare((struct snapshot *)(note->value + 1), &have);
	OK(luo_finish(session));
}

static_assert(sizeof(struct snapshot) + 8 <= sizeof(((struct note *)0)->value),
	      "a note holds a seed and a snapshot");

UPDATE_TEST(memory, memory_with_random_holes,
	    .stage = { random_before, random_after });

/* ---- Much ---- */

#define LARGE		(8 * GIB)

/* A word of each page tells its place; to write all would take too long */
static void large_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = SYS(memfd_create("large", 0));

	OK(luo_announce(session, fd, 1));
	SYS(ftruncate(fd, LARGE));
	for (uint64_t at = 0; at < LARGE; at += GIB) {
		char *map = mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_SHARED,
				 fd, at);

		CHECK(map != MAP_FAILED);
		for (uint64_t i = 0; i < GIB; i += PAGE)
			*(uint64_t *)(map + i + (i / PAGE % 512) * 8) = at + i + 1;
		munmap(map, GIB);
	}
	OK(luo_preserve(session, fd, 1));
	note->value[0] = meminfo_kib("MemFree");
}

static void large_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	for (uint64_t at = 0; at < LARGE; at += GIB) {
		char *map = mmap(NULL, GIB, PROT_READ, MAP_SHARED, fd, at);

		CHECK(map != MAP_FAILED);
		for (uint64_t i = 0; i < GIB; i += PAGE)
			CHECK_EQ(at + i + 1, *(uint64_t *)
				 (map + i + (i / PAGE % 512) * 8));
		munmap(map, GIB);
	}
	OK(luo_finish(session));
	close(fd);
	close(session);
	CHECK_BETWEEN((long)(LARGE / KIB), meminfo_kib("MemFree"), LONG_MAX);
}

UPDATE_TEST(large, large_memfd, .stage = { large_before, large_after },
	    .timeout = 300);
