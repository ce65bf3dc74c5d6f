// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rehearsals of the jump in one kernel, with no image loaded: they leave everything as
 * it was. update_rehearse.c has those with an image.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uapi.h"

#define PAGE		4096
#define REHEARSALS	1000

FIXTURE(rehearse) {
	int dev, session, file;
	struct census before;
};

FIXTURE_SETUP(rehearse)
{
	ASSERT_EQ(0, setup_system());
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "rehearsed");
	ASSERT_LE(0, self->session);
	self->file = memfd_filled("f", 0, 10 * PAGE, 1);
	ASSERT_LE(0, self->file);
	ASSERT_EQ(0, luo_preserve(self->session, self->file, 1));
	ASSERT_EQ(0, census_take(self->dev, &self->before));
}

FIXTURE_TEARDOWN(rehearse)
{
	struct census now;

	ASSERT_EQ(0, census_take(self->dev, &now));
	EXPECT_EQ(NULL, census_differs(&self->before, &now))
		TH_LOG("not as before: %s", census_differs(&self->before, &now));
	EXPECT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, content_check(self->file, 0, 10 * PAGE, 1));
	close(self->file);
	close(self->session);
	close(self->dev);
}

/* There is nothing to jump to, and that is all that is wrong */
static bool is_no_image(const struct liveupdate_ioctl_rehearse *result)
{
	return result->error == EINVAL &&
	       result->phase == LIVEUPDATE_PHASE_HANDOVER &&
	       !strcmp((char *)result->participant, "step image") &&
	       result->image == LIVEUPDATE_IMAGE_NONE && !result->release[0];
}

TEST_F(rehearse, without_an_image)
{
	struct liveupdate_ioctl_rehearse result;
	char text[512], want[256];

	ASSERT_EQ(0, luo_rehearse(self->dev, &result));
	EXPECT_TRUE(is_no_image(&result))
		TH_LOG("%u in %u of %s", result.error, result.phase,
		       result.participant);
	/* A root, a session, a file: but no page of the file */
	EXPECT_LT(104 + 64, result.bytes);
	EXPECT_GT(PAGE, result.bytes);

	ASSERT_EQ(0, sysfs_read("last_rehearsal", text, sizeof(text)));
	snprintf(want, sizeof(want),
		 "error 22 handover step image\nimage none\nprepare %llu\ncarry %llu\n"
		 "freeze %llu\nhandover %llu\nundo %llu\nbytes %llu",
		 result.prepare_us, result.carry_us, result.freeze_us,
		 result.handover_us, result.undo_us, result.bytes);
	EXPECT_STREQ(want, text);
}

/* Neither a state nor a failure is told that there was not */
TEST_F(rehearse, nothing_is_told)
{
	struct pollfd watched = { .fd = luo_open_reader(), .events = POLLPRI };
	struct liveupdate_ioctl_get_info info, now;
	struct liveupdate_ioctl_rehearse result;
	int uevents = uevent_open();
	char text[256], timings[512], last[256];

	ASSERT_LE(0, watched.fd);
	ASSERT_LE(0, uevents);
	ASSERT_EQ(0, luo_info(self->dev, &info));
	ASSERT_LE(0, sysfs_read("timings", timings, sizeof(timings)));
	ASSERT_LE(0, sysfs_read("last_failure", last, sizeof(last)));
	ASSERT_EQ(0, luo_rehearse(self->dev, &result));
	EXPECT_EQ(0, poll(&watched, 1, 0));
	EXPECT_EQ(-EAGAIN, uevent_next(uevents, text, sizeof(text)));
	EXPECT_TRUE(sysfs_says("timings", timings));
	EXPECT_TRUE(sysfs_says("last_failure", last));
	ASSERT_EQ(0, luo_info(self->dev, &now));
	EXPECT_EQ(0, memcmp(&info, &now, sizeof(info)));
	close(uevents);
	close(watched.fd);
}

/* What was announced is preserved for it, and can be changed again behind it */
TEST_F(rehearse, announced_stays_announced)
{
	struct liveupdate_session_next_file next = { .size = sizeof(next) };
	struct liveupdate_ioctl_rehearse result;
	int file = memfd_filled("announced", 0, 20 * PAGE, 2);
	int session = luo_create(self->dev, "announced");

	ASSERT_LE(0, file);
	ASSERT_LE(0, session);
	ASSERT_EQ(0, luo_announce(session, file, 5));
	ASSERT_EQ(0, luo_rehearse(self->dev, &result));
	EXPECT_TRUE(is_no_image(&result));
	ASSERT_EQ(0, luo_ioctl(session, LIVEUPDATE_SESSION_NEXT_FILE, &next));
	EXPECT_EQ(LIVEUPDATE_FILE_ANNOUNCED, next.state);
	EXPECT_EQ(0, ftruncate(file, 30 * PAGE));
	EXPECT_EQ(0, content_check(file, 0, 20 * PAGE, 2));
	close(file);
	close(session);
}

TEST_F(rehearse, prepared_stays_prepared)
{
	struct liveupdate_ioctl_rehearse result;

	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	ASSERT_EQ(0, luo_rehearse(self->dev, &result));
	EXPECT_TRUE(is_no_image(&result));
	EXPECT_EQ(0, result.prepare_us);
	EXPECT_TRUE(sysfs_says("state", "prepared"));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	EXPECT_TRUE(sysfs_says("state", "normal"));
}

TEST_F(rehearse, not_for_readers)
{
	int reader = luo_open_reader();
	struct liveupdate_ioctl_rehearse result;

	ASSERT_LE(0, reader);
	EXPECT_EQ(-EBADF, luo_rehearse(reader, &result));
	close(reader);
}

TEST_F(rehearse, sizes)
{
	struct {
		struct liveupdate_ioctl_rehearse known;
		uint64_t unknown;
	} large = { .known.size = sizeof(large) };
	struct liveupdate_ioctl_rehearse *small = &large.known;

	EXPECT_EQ(0, luo_ioctl(self->dev, LIVEUPDATE_IOCTL_REHEARSE, &large));
	EXPECT_TRUE(is_no_image(&large.known));
	large.unknown = 1;
	large.known.size = sizeof(large);
	EXPECT_EQ(-E2BIG, luo_ioctl(self->dev, LIVEUPDATE_IOCTL_REHEARSE, &large));
	small->size = sizeof(*small) - 1;
	EXPECT_EQ(-EINVAL, luo_ioctl(self->dev, LIVEUPDATE_IOCTL_REHEARSE, small));
}

/* Who is called is called for it; the rehearsal comes behind them */
TEST_F(rehearse, traced)
{
	static char text[65536];
	struct liveupdate_ioctl_rehearse result;
	char *freeze, *whole;

	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, luo_rehearse(self->dev, &result));
	ASSERT_EQ(0, trace_stop(text, sizeof(text)));
	freeze = strstr(text, "liveupdate_call: who=\"step sessions\" phase=3");
	whole = strstr(text, "liveupdate_rehearsal: err=-22 who=\"step image\" phase=4");
	EXPECT_TRUE(freeze && whole && freeze < whole);
	EXPECT_EQ(NULL, strstr(text, "liveupdate_state:"));
}

/* Neither memory of the kernel nor pages that are kept become more, or less */
TEST_F(rehearse, many)
{
	struct liveupdate_ioctl_rehearse result;
	long before, after;

	for (int i = 0; i < REHEARSALS / 10; i++)
		ASSERT_EQ(0, luo_rehearse(self->dev, &result));
	before = memory_free_kib();
	for (int i = 0; i < REHEARSALS; i++) {
		ASSERT_EQ(0, luo_rehearse(self->dev, &result));
		ASSERT_TRUE(is_no_image(&result));
	}
	after = memory_free_kib();
	/* One page for each would be 4 MiB */
	EXPECT_GT(1024, labs(before - after))
		TH_LOG("%ld KiB are free, and were %ld", after, before);
}

TEST_HARNESS_MAIN
