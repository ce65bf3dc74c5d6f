// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many sessions and many files. The limits on time are wide: they are there
 * to tell linear from quadratic, on an emulated processor too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi.h"

#define SESSIONS	10000
#define FILES		20000

FIXTURE(scale) {
	int dev;
};

FIXTURE_SETUP(scale)
{
	ASSERT_EQ(0, setup_system());
	ASSERT_EQ(0, fd_limit(SESSIONS + FILES + 100));
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
}

FIXTURE_TEARDOWN(scale)
{
	close(self->dev);
}

static int create_numbered(int dev, int i)
{
	char name[32];

	snprintf(name, sizeof(name), "session %d", i);
	return luo_create(dev, name);
}

TEST_F_TIMEOUT(scale, sessions_one_after_another, 120)
{
	for (int i = 0; i < SESSIONS; i++) {
		int session = create_numbered(self->dev, i);

		ASSERT_LE(0, session);
		close(session);
	}
}

TEST_F_TIMEOUT(scale, sessions_at_once, 120)
{
	static int sessions[SESSIONS];
	int i;

	for (i = 0; i < SESSIONS; i++) {
		sessions[i] = create_numbered(self->dev, i);
		ASSERT_LE(0, sessions[i])
			TH_LOG("session %d", i);
	}
	for (i = 0; i < SESSIONS; i += 997)
		ASSERT_EQ(-EEXIST, create_numbered(self->dev, i));
	/* Every other one first, so that the rest is scattered */
	for (i = 0; i < SESSIONS; i += 2)
		close(sessions[i]);
	for (i = 0; i < SESSIONS; i++) {
		int session = create_numbered(self->dev, i);

		ASSERT_EQ(i % 2, session == -EEXIST);
		ASSERT_EQ(!(i % 2), session >= 0);
		if (session >= 0)
			close(session);
	}
	for (i = 1; i < SESSIONS; i += 2)
		close(sessions[i]);
	sessions[0] = create_numbered(self->dev, 1);
	ASSERT_LE(0, sessions[0]);
	close(sessions[0]);
}

static int memfd_numbered(int i)
{
	int fd = memfd_create("scale", 0);

	if (fd >= 0 && pwrite(fd, &i, sizeof(i), 0) != sizeof(i)) {
		close(fd);
		return -EIO;
	}
	return fd;
}

TEST_F_TIMEOUT(scale, files_in_one_session, 240)
{
	int session = luo_create(self->dev, "many files");
	uint64_t start, first_half = 0, second_half;
	int i, fd;

	ASSERT_LE(0, session);
	start = now_ms();
	for (i = 0; i < FILES; i++) {
		if (i == FILES / 2)
			first_half = now_ms() - start;
		fd = memfd_numbered(i);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, luo_preserve(session, fd, i))
			TH_LOG("file %d", i);
		close(fd);
	}
	second_half = now_ms() - start - first_half;
	TH_LOG("halves took %llu and %llu ms", (unsigned long long)first_half,
	       (unsigned long long)second_half);
	EXPECT_GT(2 * first_half + 1000, second_half);

	fd = memfd_numbered(i);
	EXPECT_EQ(-EEXIST, luo_preserve(session, fd, FILES / 2));
	start = now_ms();
	close(session);
	TH_LOG("close took %llu ms", (unsigned long long)(now_ms() - start));
	close(fd);
}

TEST_HARNESS_MAIN
