// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the next kernel sets aside early in its boot, before KHO has reserved
 * what is preserved: for huge pages, for devices, for a crash kernel.
 *
 * Each set has one file whose words are compared when it comes, and once more after
 * all that was set aside, and all other memory, has been written to. And what was to
 * be set aside has to be there, where there is room.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "update.h"

#define PAGE		4096UL
#define SEED		12
#define GIGANTIC	"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"
#define CRASH_SIZE	"/sys/kernel/kexec_crash_size"

/* How much of what can be pinned is in the file */
#define MOST(_n)	((_n) / 8 * 7)
#define SOME(_n)	((_n) / 4)

static uint64_t bytes_pinnable(void)
{
	unsigned long free, present;

	OK(memory_pinnable(&free, &present));
	CHECK(free * PAGE > memory_kept());
	return free * PAGE - memory_kept();
}

static void preserve(struct note *note, uint64_t size)
{
	int fd = SYS(memfd_create("reserve", 0));

	note->value[0] = size / MIB * MIB;
	note->value[1] = meminfo_kib("CmaTotal");
	SYS(ftruncate(fd, note->value[0]));
	OK(words_fill(fd, 0, note->value[0], SEED));
	OK(luo_preserve(session_new(note, ""), fd, 1));
}

static void preserve_most(struct note *note)
{
	preserve(note, MOST(bytes_pinnable()));
}

static void preserve_some(struct note *note)
{
	preserve(note, SOME(bytes_pinnable()));
}

static void check_words(struct note *note, int fd, const char *when)
{
	struct words_wrong wrong = {};

	if (words_check(fd, 0, note->value[0], SEED, &wrong))
		test_fail(__FILE__, __LINE__,
			  "%s, %lu words are wrong, the first at %#lx is %#lx, not %#lx",
			  when, wrong.count, wrong.offset, wrong.have, wrong.want);
}

/* All pages of 1 GiB that CMA has, written to; they stay */
static unsigned long take_gigantic(void)
{
	unsigned long nr = meminfo_kib("CmaTotal") * KIB / GIB;
	char text[16];
	int fd;

	if (!nr)
		return 0;
	snprintf(text, sizeof(text), "%lu", nr);
	OK(text_write(GIGANTIC, text));
	nr = number_in(GIGANTIC);
	fd = SYS(memfd_create("gigantic", MFD_HUGETLB | 30 << 26));
	SYS(ftruncate(fd, nr * GIB));
	OK(words_fill(fd, 0, nr * GIB, SEED + 1));
	return nr;
}

/* Returns how many pages of 1 GiB others could have */
static unsigned long check_through(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));
	unsigned long gigantic;
	int64_t used;

	check_words(note, fd, "when it comes");
	gigantic = take_gigantic();
	used = OK(memory_use_up(SEED + 2));
	check_words(note, fd, "when all memory was used");
	snprintf(note->text, sizeof(note->text),
		 "%lu MiB, %lu pages of 1 GiB and %ld MiB of others",
		 note->value[0] / MIB, gigantic, used / (long)MIB);
	OK(luo_finish(session));
	CHECK_EQ(0, number_in(LUO_SYSFS "quarantined"));
	return gigantic;
}

/* ---- hugetlb_cma= ---- */

static void check_only(struct note *note)
{
	check_through(note);
}

/* Nearly all memory is preserved, and the next kernel is asked for 1 GiB of it */
UPDATE_TEST(cma_new, reserve_no_room, .stage = { preserve_most, check_only },
	    .timeout = 300);

static void check_one(struct note *note)
{
	CHECK_EQ(1, check_through(note));
}

/* There is room for it */
UPDATE_TEST(cma_room, reserve_new, .stage = { preserve_some, check_one },
	    .timeout = 300);

static void check_same_cma(struct note *note)
{
	CHECK_EQ(note->value[1], meminfo_kib("CmaTotal"));
}

static void check_two(struct note *note)
{
	check_same_cma(note);
	CHECK_EQ(2, check_through(note));
}

static void preserve_beside_one(struct note *note)
{
	CHECK_EQ(GIB / KIB, meminfo_kib("CmaTotal"));
	preserve_most(note);
}

static void check_same_one(struct note *note)
{
	check_same_cma(note);
	check_one(note);
}

/* The command line is the same in each kernel, and there is room for scratch beside it */
UPDATE_TEST(cma_one, reserve_one_range, .timeout = 300,
	    .stage = { preserve_beside_one, check_same_one });

/* What it was, goes on */
static void preserve_again(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	check_words(note, fd, "in the second kernel");
	check_same_cma(note);
}

static void preserve_beside(struct note *note)
{
	CHECK_EQ(2 * GIB / KIB, meminfo_kib("CmaTotal"));
	preserve_most(note);
}

/* The command line is the same in each kernel, and asks for two ranges */
UPDATE_TEST(cma_two, reserve_two_ranges, .timeout = 300,
	    .stage = { preserve_beside, preserve_again, check_two });

/* ---- cma= ---- */

static void preserve_beside_cma(struct note *note)
{
	preserve_most(note);
	CHECK_EQ(128 * MIB / KIB, note->value[1]);
}

static void check_there(struct note *note)
{
	check_same_cma(note);
	check_through(note);
}

/* The command line is the same in each kernel, with an address in one group */
UPDATE_TEST(cma, reserve_cma, .timeout = 300,
	    .stage = { preserve_beside_cma, check_there });

static void check_cma_refused(struct note *note)
{
	CHECK_EQ(1, times_logged("has memory of the previous kernel"));
	CHECK_EQ(0, meminfo_kib("CmaTotal"));
}

/*
 * It is new, and has an address where memory is preserved. The first kernel is the stock
 * one, as ours refuses to load another with such words.
 */
UPDATE_TEST(cma_taken, reserve_cma_taken, .timeout = 300,
	    .stage = { preserve_most, check_cma_refused });

/* ---- crashkernel= ---- */

static void preserve_beside_crash(struct note *note)
{
	note->value[2] = number_in(CRASH_SIZE);
	CHECK(note->value[2]);
	preserve_most(note);
}

static void check_crash(struct note *note)
{
	CHECK_EQ(note->value[2], number_in(CRASH_SIZE));
	check_through(note);
}

/* As large a part of memory as it may be */
UPDATE_TEST(crash, reserve_crash, .timeout = 300,
	    .stage = { preserve_beside_crash, check_crash });

static void preserve_without_crash(struct note *note)
{
	CHECK_EQ(0, number_in(CRASH_SIZE));
	preserve_some(note);
}

static void check_crash_new(struct note *note)
{
	CHECK_EQ(192 * MIB, number_in(CRASH_SIZE));
	check_through(note);
}

/* No scratch area is so large */
UPDATE_TEST(crash_new, reserve_crash_new, .timeout = 300,
	    .stage = { preserve_without_crash, check_crash_new });

/* There is no room for anything else: this is told, with what helps */
static void check_told(struct note *note)
{
	if (meminfo_kib("MemTotal") > 256 * MIB / KIB)
		test_skip("there is more memory than the test is made for");
	CHECK_EQ(900 * MIB, number_in(CRASH_SIZE));
	CHECK(access(LUO_DEVICE, F_OK));
	CHECK_EQ(1, times_logged("KHO: no room for scratch areas"));
}

UPDATE_TEST(crash_most, reserve_is_told, .stage = { check_told });
