// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sets "rehearse" and "rehearse_cost": rehearsals with an image loaded, and the jump
 * that follows. Times are compared, so they run where a clock counts instructions.
 */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "update.h"

#define PAGE		4096
#define REHEARSALS	1000
#define FILES		1000

/* What services would wait for in reboot(2), by a rehearsal */
static uint64_t predicted(const struct liveupdate_ioctl_rehearse *result)
{
	return result->prepare_us + result->carry_us + result->freeze_us +
	       result->handover_us;
}

static void rehearse(struct liveupdate_ioctl_rehearse *result)
{
	OK(luo_rehearse_now(result));
	if (result->error)
		test_fail(__FILE__, __LINE__, "%s would refuse: %s",
			  result->participant, strerror(result->error));
	CHECK_EQ(LIVEUPDATE_IMAGE_HANDOVER, result->image);
}

/* ---- What is predicted comes true ---- */

static void predict_before(struct note *note)
{
	int session = session_new(note, "");

	for (int i = 0; i < FILES; i++) {
		int fd = OK(memfd_filled("f", 0, 16 * PAGE, i));

		OK(luo_preserve(session, fd, i));
		close(fd);
	}
}

static void predict_late(struct note *note)
{
	struct liveupdate_ioctl_rehearse result;

	rehearse(&result);
	rehearse(&result);
	note->value[0] = predicted(&result);
	snprintf(note->text, sizeof(note->text), "%s", (char *)result.release);
}

static void predict_after(struct note *note)
{
	int session = session_claim(note, "");
	uint64_t took = sysfs_number("blackout", "freeze");
	struct utsname uts;

	SYS(uname(&uts));
	CHECK(!strcmp(note->text, uts.release));
	snprintf(note->text, sizeof(note->text),
		 "%lu us were predicted, and the freeze took %lu",
		 note->value[0], took);
	CHECK_BETWEEN(note->value[0] / 2, took, 2 * note->value[0]);
	for (int i = 0; i < FILES; i++) {
		int fd = OK(luo_restore(session, i));

		OK(content_check(fd, 0, 16 * PAGE, i));
		close(fd);
	}
	OK(luo_finish(session));
}

UPDATE_TEST(rehearse, rehearse_predicts,
	    .stage = { predict_before, predict_after },
	    .late = { predict_late });

/* ---- Nothing becomes more ---- */

static void level_late(struct note *note)
{
	struct liveupdate_ioctl_rehearse result;
	long preserved, free;

	for (int i = 0; i < REHEARSALS / 10; i++)
		rehearse(&result);
	preserved = kho_preserved_pages();
	free = memory_free_kib();
	for (int i = 0; i < REHEARSALS; i++)
		rehearse(&result);
	CHECK_EQ(preserved, kho_preserved_pages());
	free -= memory_free_kib();
	snprintf(note->text, sizeof(note->text),
		 "%d rehearsals took %ld KiB", REHEARSALS, free);
	/* A page for each would be 4 MiB */
	CHECK_BETWEEN(-1024, free, 1024);
}

UPDATE_TEST(rehearse, rehearse_many, .stage = { predict_before },
	    .late = { level_late });

/* ---- The second half, taking it all back, costs next to nothing ---- */

static void check_cost(struct note *note, const char *what)
{
	struct liveupdate_ioctl_rehearse result;
	uint64_t start;
	double ratio;

	rehearse(&result);
	start = now_us();
	rehearse(&result);
	ratio = (double)(now_us() - start) / predicted(&result);
	snprintf(note->text, sizeof(note->text),
		 "%s: %.2f of the %lu us that are predicted", what, ratio,
		 predicted(&result));
	CHECK(ratio <= 1.1);
}

#define SESSIONS	10000

static void nothing(struct note *note)
{
}

static void sessions_late(struct note *note)
{
	static int sessions[SESSIONS];
	int dev = OK(luo_open());
	char name[32];

	OK(fd_limit(SESSIONS + 100));
	for (int i = 0; i < SESSIONS; i++) {
		snprintf(name, sizeof(name), "many %d", i);
		sessions[i] = OK(luo_create(dev, name));
	}
	close(dev);
	check_cost(note, "10000 sessions");
	for (int i = 0; i < SESSIONS; i++)
		close(sessions[i]);
}

UPDATE_TEST(rehearse_cost, rehearse_sessions, .stage = { nothing },
	    .late = { sessions_late });

#define MANY_FILES	16000

static void files_late(struct note *note)
{
	int session = session_new(note, "many");

	for (int i = 0; i < MANY_FILES; i++) {
		int fd = OK(memfd_filled("f", 0, PAGE, i));

		OK(luo_preserve(session, fd, i));
		close(fd);
	}
	check_cost(note, "16000 files");
	close(session);
}

UPDATE_TEST(rehearse_cost, rehearse_files, .stage = { nothing },
	    .late = { files_late });
