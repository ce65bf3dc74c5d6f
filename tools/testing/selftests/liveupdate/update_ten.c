// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ten live updates in a row, with a session that nobody asks for before the end,
 * and one that is in use all the time. Each kernel carries the same, so each has the
 * same memory left, and preserves as much.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "update.h"

#define UPDATES		10
#define PAGE		4096UL
#define SIZE		(24 * MIB + 5)
#define IN_PRESERVED	"/sys/kernel/debug/kho/in/preserved_pages"
#define OUT_PRESERVED	"/sys/kernel/debug/kho/out/preserved_pages"

/* Free memory differs from boot to boot; a leak of one session's would be seen */
#define SLACK_KIB	1024

static void unclaimed(struct note *note)
{
	int session = session_new(note, "");
	int fd = OK(memfd_filled("ten", MFD_ALLOW_SEALING, SIZE, 1));

	SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
	OK(luo_preserve(session, fd, 1));
	close(fd);
	fd = SYS(memfd_create("sparse", 0));
	SYS(ftruncate(fd, TIB));
	for (int i = 0; i < 100; i++)
		OK(content_fill(fd, i * GIB + i * PAGE, PAGE, i));
	OK(luo_preserve(session, fd, 2));
	close(fd);
}

static void check_unclaimed(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	CHECK_EQ(SIZE, SYS(lseek(fd, 0, SEEK_END)));
	CHECK_EQ(F_SEAL_GROW | F_SEAL_SHRINK, SYS(fcntl(fd, F_GET_SEALS)));
	OK(content_check(fd, 0, SIZE, 1));
	fd = OK(luo_restore(session, 2));
	CHECK_EQ(TIB, SYS(lseek(fd, 0, SEEK_END)));
	for (int i = 0; i < 100; i++)
		OK(content_check(fd, i * GIB + i * PAGE, PAGE, i));
	OK(luo_finish(session));
}

UPDATE_TEST(ten, ten_unclaimed,
	    .stage = { [0] = unclaimed, [UPDATES] = check_unclaimed });

/* A session whose owner goes on with it in each kernel, and never finishes */
static void use(struct note *note)
{
	int session, fd;

	if (!note->stage) {
		session = session_new(note, "");
		fd = SYS(memfd_create("used", 0));
		SYS(ftruncate(fd, UPDATES * MIB));
		OK(luo_preserve(session, fd, 1));
	} else {
		session = session_claim(note, "");
		fd = OK(luo_restore(session, 1));
	}
	for (unsigned int i = 0; i < note->stage; i++)
		OK(content_check(fd, i * MIB, MIB / 2, 100 + i));
	OK(content_check_zero(fd, note->stage * MIB + MIB / 2, MIB / 2));
	OK(content_fill(fd, note->stage * MIB, MIB / 2, 100 + note->stage));
}

static void check_used(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	for (unsigned int i = 0; i < UPDATES; i++)
		OK(content_check(fd, i * MIB, MIB / 2, 100 + i));
	OK(luo_finish(session));
}

UPDATE_TEST(ten, ten_in_use,
	    .stage = { use, use, use, use, use, use, use, use, use, use,
		       check_used });

/*
 * By stage, free memory, and the pages that the kernel before had preserved: those
 * of the session in use are half a MiB more each time.
 */
static void measure(struct note *note)
{
	note->value[note->stage] = memory_free_kib();
	note->value[16 + note->stage] = 0;
	if (note->stage)
		note->value[16 + note->stage] = number_in(IN_PRESERVED) -
						note->stage * (MIB / 2 / PAGE);
}

/* From the second on, all kernels have carried, and are alike */
static void check_level(struct note *note)
{
	uint64_t *free = note->value, *pages = note->value + 16;

	for (int i = 3; i < UPDATES; i++) {
		/* Where memory is scattered, extents take a page more */
		CHECK_BETWEEN(-2, (long)(pages[i] - pages[2]), 2);
		CHECK_BETWEEN(-SLACK_KIB, free[i] - free[2] +
			      (i - 2) * (MIB / 2 / KIB), SLACK_KIB);
	}
	snprintf(note->text, sizeof(note->text),
		 "%lu pages preserved in each round; KiB free from the second to the last: %lu to %lu, of which %lu are written in between",
		 pages[2], free[2], free[UPDATES - 1],
		 (UPDATES - 3) * (MIB / 2 / KIB));
}

UPDATE_TEST(ten, ten_level,
	    .stage = { [UPDATES] = check_level },
	    .late = { measure, measure, measure, measure, measure, measure,
		      measure, measure, measure, measure });
