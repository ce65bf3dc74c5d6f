// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events and states, what the device and sessions tell of themselves, and taking
 * single files out of a session.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uapi.h"

static int state_of(int dev)
{
	struct liveupdate_ioctl_get_info info;
	int ret = luo_info(dev, &info);

	return ret ? ret : (int)info.state;
}

static int next_session(int dev, struct liveupdate_ioctl_next_session *next)
{
	next->size = sizeof(*next);
	return luo_ioctl(dev, LIVEUPDATE_IOCTL_NEXT_SESSION, next);
}

static int next_file(int session, struct liveupdate_session_next_file *next)
{
	next->size = sizeof(*next);
	return luo_ioctl(session, LIVEUPDATE_SESSION_NEXT_FILE, next);
}

static int session_info(int session, struct liveupdate_session_get_info *info)
{
	uint32_t reserved = info->reserved;

	memset(info, 0xff, sizeof(*info));
	info->size = sizeof(*info);
	info->reserved = reserved;
	return luo_ioctl(session, LIVEUPDATE_SESSION_GET_INFO, info);
}

FIXTURE(events) {
	int dev;
};

FIXTURE_SETUP(events)
{
	ASSERT_EQ(0, setup_system());
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	ASSERT_EQ(LIVEUPDATE_STATE_NORMAL, state_of(self->dev));
}

FIXTURE_TEARDOWN(events)
{
	EXPECT_EQ(LIVEUPDATE_STATE_NORMAL, state_of(self->dev));
	close(self->dev);
}

TEST_F(events, info_counts)
{
	struct liveupdate_ioctl_get_info info;
	int a, b, file;

	ASSERT_EQ(0, luo_info(self->dev, &info));
	EXPECT_EQ(0, info.outgoing_sessions);
	EXPECT_EQ(0, info.outgoing_files);
	EXPECT_EQ(0, info.incoming_sessions);
	EXPECT_EQ(0, info.incoming_files);
	EXPECT_EQ(0, info.quarantined);
	EXPECT_EQ(0, info.number);
	EXPECT_EQ(LIVEUPDATE_FEATURE_EVENTS | LIVEUPDATE_FEATURE_WALK |
		  LIVEUPDATE_FEATURE_UNPRESERVE | LIVEUPDATE_FEATURE_CARRY |
		  LIVEUPDATE_FEATURE_BATCH | LIVEUPDATE_FEATURE_ANNOUNCE |
		  LIVEUPDATE_FEATURE_READERS | LIVEUPDATE_FEATURE_REHEARSE,
		  info.features);

	a = luo_create(self->dev, "a");
	b = luo_create(self->dev, "b");
	file = memfd_filled("f", 0, 4096, 1);
	ASSERT_EQ(0, luo_preserve(a, file, 1));
	ASSERT_EQ(0, luo_info(self->dev, &info));
	EXPECT_EQ(2, info.outgoing_sessions);
	EXPECT_EQ(1, info.outgoing_files);
	EXPECT_TRUE(sysfs_says("outgoing", "2 1"));
	EXPECT_TRUE(sysfs_says("incoming", "0 0"));

	close(a);
	close(b);
	close(file);
	ASSERT_EQ(0, luo_info(self->dev, &info));
	EXPECT_EQ(0, info.outgoing_sessions);
	EXPECT_EQ(0, info.outgoing_files);
}

TEST_F(events, prepare_and_cancel)
{
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_FINISH));
	EXPECT_TRUE(sysfs_says("state", "normal"));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(LIVEUPDATE_STATE_PREPARED, state_of(self->dev));
	EXPECT_TRUE(sysfs_says("state", "prepared"));
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_FINISH));
	EXPECT_EQ(LIVEUPDATE_STATE_PREPARED, state_of(self->dev));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	EXPECT_TRUE(sysfs_says("state", "normal"));
}

TEST_F(events, freeze_is_not_for_users)
{
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_FREEZE));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_FREEZE));
	EXPECT_EQ(LIVEUPDATE_STATE_PREPARED, state_of(self->dev));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
}

TEST_F(events, unknown_events)
{
	EXPECT_EQ(-EINVAL, luo_event(self->dev, 4));
	EXPECT_EQ(-EINVAL, luo_event(self->dev, 5));
	EXPECT_EQ(-EINVAL, luo_event(self->dev, ~0U));
}

TEST_F(events, prepared_outlives_the_agent)
{
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	close(self->dev);
	EXPECT_TRUE(sysfs_says("state", "prepared"));
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	EXPECT_EQ(LIVEUPDATE_STATE_PREPARED, state_of(self->dev));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
}

TEST_F(events, sessions_change_while_prepared)
{
	int session, file = memfd_filled("f", 0, 3 * 4096, 1);

	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	session = luo_create(self->dev, "s");
	ASSERT_LE(0, session);
	EXPECT_EQ(0, luo_preserve(session, file, 1));
	EXPECT_EQ(0, luo_unpreserve(session, 1));
	EXPECT_EQ(0, luo_preserve(session, file, 2));
	close(session);
	close(file);
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
}

static int poll_now(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLPRI };

	return poll(&pollfd, 1, 0) < 0 ? -errno : pollfd.revents;
}

TEST_F(events, poll_tells_of_changes)
{
	EXPECT_EQ(0, poll_now(self->dev));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(POLLPRI, poll_now(self->dev));
	EXPECT_EQ(POLLPRI, poll_now(self->dev));
	EXPECT_EQ(LIVEUPDATE_STATE_PREPARED, state_of(self->dev));
	EXPECT_EQ(0, poll_now(self->dev));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	EXPECT_EQ(POLLPRI, poll_now(self->dev));
	close(self->dev);
	self->dev = luo_open();
	EXPECT_EQ(0, poll_now(self->dev));
}

/* What one opener has seen, the others have not */
TEST_F(events, each_opener_has_its_own_view)
{
	int one = luo_open_reader(), other = luo_open_reader();

	ASSERT_LE(0, one);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(LIVEUPDATE_STATE_PREPARED, state_of(one));
	EXPECT_EQ(0, poll_now(one));
	EXPECT_EQ(POLLPRI, poll_now(other));
	EXPECT_EQ(POLLPRI, poll_now(self->dev));
	EXPECT_EQ(LIVEUPDATE_STATE_PREPARED, state_of(self->dev));
	EXPECT_EQ(POLLPRI, poll_now(other));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	EXPECT_EQ(POLLPRI, poll_now(one));
	EXPECT_EQ(LIVEUPDATE_STATE_NORMAL, state_of(other));
	EXPECT_EQ(0, poll_now(other));
	close(one);
	close(other);
}

TEST_F(events, info_with_something_reserved)
{
	struct liveupdate_ioctl_get_info info = {
		.size = sizeof(info),
		.reserved = 1,
	};

	EXPECT_EQ(-EINVAL, luo_ioctl(self->dev, LIVEUPDATE_IOCTL_GET_INFO,
				     &info));
	EXPECT_EQ(0, info.state);
}

TEST_F(events, walk_over_sessions)
{
	struct liveupdate_ioctl_next_session next = {};
	int fds[100], seen = 0;
	char name[16];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "walk%d", i);
		fds[i] = luo_create(self->dev, name);
		ASSERT_LE(0, fds[i]);
	}
	/* Holes in the order make no difference */
	for (int i = 10; i < 20; i++)
		close(fds[i]);
	while (!next_session(self->dev, &next)) {
		if (seen == 10)
			seen = 20;
		snprintf(name, sizeof(name), "walk%d", seen++);
		EXPECT_STREQ(name, (char *)next.name);
		EXPECT_EQ(LIVEUPDATE_SESSION_OPEN, next.state);
		EXPECT_EQ(0, next.files);
	}
	EXPECT_EQ(100, seen);
	EXPECT_EQ(-ENOENT, next_session(self->dev, &next));

	next = (struct liveupdate_ioctl_next_session){ .direction = 1 };
	EXPECT_EQ(-ENOENT, next_session(self->dev, &next));
	next.direction = 2;
	EXPECT_EQ(-EINVAL, next_session(self->dev, &next));
	for (int i = 0; i < 100; i++) {
		if (i < 10 || i >= 20)
			close(fds[i]);
	}
}

TEST_F(events, walk_over_files)
{
	static const uint64_t tokens[] = { 7, 0, ~0ULL, 3 };
	struct liveupdate_session_get_info info = { .reserved = 1 };
	struct liveupdate_session_next_file next = {};
	int session = luo_create(self->dev, "files");
	int seen = 0;

	for (int i = 0; i < 4; i++) {
		int file = memfd_filled("f", 0, (i + 1) * 4096, i);

		ASSERT_EQ(0, luo_preserve(session, file, tokens[i]));
		close(file);
	}
	while (!next_file(session, &next)) {
		ASSERT_GT(4, seen);
		EXPECT_EQ(tokens[seen], next.token);
		EXPECT_EQ((seen + 1) * 4096, next.bytes);
		EXPECT_EQ(LIVEUPDATE_FILE_PRESERVED, next.state);
		EXPECT_STREQ("liveupdate-memfd-v3", (char *)next.compatible);
		seen++;
	}
	EXPECT_EQ(4, seen);

	EXPECT_EQ(-EINVAL, session_info(session, &info));
	info.reserved = 0;
	ASSERT_EQ(0, session_info(session, &info));
	EXPECT_EQ(LIVEUPDATE_OUTGOING, info.direction);
	EXPECT_EQ(LIVEUPDATE_SESSION_OPEN, info.state);
	EXPECT_EQ(0, info.reserved);
	EXPECT_EQ(4, info.files);
	EXPECT_EQ(10 * 4096, info.bytes);
	close(session);
}

TEST_F(events, unpreserve_gives_one_back)
{
	struct liveupdate_session_next_file next = {};
	int a = luo_create(self->dev, "a"), b = luo_create(self->dev, "b");
	int one = memfd_filled("1", 0, 8192, 1);
	int two = memfd_filled("2", 0, 8192, 2);

	ASSERT_EQ(0, luo_preserve(a, one, 1));
	ASSERT_EQ(0, luo_preserve(a, two, 2));
	EXPECT_EQ(-ENOENT, luo_unpreserve(a, 3));
	EXPECT_EQ(-ENOENT, luo_unpreserve(b, 1));
	EXPECT_EQ(-EPERM, ftruncate(one, 0) ? -errno : 0);
	ASSERT_EQ(0, luo_unpreserve(a, 1));
	EXPECT_EQ(-ENOENT, luo_unpreserve(a, 1));
	EXPECT_EQ(0, ftruncate(one, 4096));
	EXPECT_EQ(0, luo_preserve(b, one, 1));
	EXPECT_EQ(-EEXIST, luo_preserve(a, one, 2));
	EXPECT_EQ(-EBUSY, luo_preserve(a, one, 1));
	ASSERT_EQ(0, next_file(a, &next));
	EXPECT_EQ(2, next.token);
	EXPECT_EQ(-ENOENT, next_file(a, &next));
	close(a);
	close(b);
	close(one);
	close(two);
}

TEST_F(events, reserved_fields_are_zero)
{
	struct liveupdate_session_unpreserve_fd arg = {
		.size = sizeof(arg),
		.reserved = 1,
	};
	struct liveupdate_ioctl_next_session next = { .reserved = 1 };
	int session = luo_create(self->dev, "s");
	int file = memfd_filled("f", 0, 4096, 1);

	ASSERT_EQ(0, luo_preserve(session, file, 0));
	EXPECT_EQ(-EINVAL, luo_ioctl(session,
				     LIVEUPDATE_SESSION_UNPRESERVE_FD, &arg));
	EXPECT_EQ(-EINVAL, next_session(self->dev, &next));
	arg.reserved = 0;
	EXPECT_EQ(0, luo_ioctl(session, LIVEUPDATE_SESSION_UNPRESERVE_FD, &arg));
	close(session);
	close(file);
}

TEST_F(events, nothing_is_written_where_nothing_can_be)
{
	struct liveupdate_ioctl_get_info info = { .size = sizeof(info) };
	void *page = page_readonly(&info, sizeof(info));

	EXPECT_EQ(-EFAULT, luo_ioctl(self->dev, LIVEUPDATE_IOCTL_GET_INFO,
				     page));
	EXPECT_EQ(-EFAULT, luo_ioctl(self->dev, LIVEUPDATE_IOCTL_GET_INFO,
				     page_unmapped()));
}

TEST_HARNESS_MAIN
