// SPDX-License-Identifier: GPL-2.0-only
/*
 * Watching from outside: sysfs, uevents, the log, tracepoints and debugfs tell of
 * each change, once, and of nothing else.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uapi.h"

#define SYSFS	"/sys/kernel/liveupdate"
#define WHAT	SYSFS "/"

FIXTURE(watch) {
	int dev;
	int uevents, kmsg;
};

FIXTURE_SETUP(watch)
{
	ASSERT_EQ(0, setup_system());
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	ASSERT_TRUE(sysfs_says("state", "normal"));
	self->uevents = uevent_open();
	ASSERT_LE(0, self->uevents);
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
}

FIXTURE_TEARDOWN(watch)
{
	EXPECT_TRUE(sysfs_says("state", "normal"));
	close(self->kmsg);
	close(self->uevents);
	close(self->dev);
}

/* A session with a file, and all that is undone, in a state that stays */
static int use_session(int dev)
{
	int file = memfd_filled("f", 0, 4096, 1);
	int session = luo_create(dev, "s");
	int err;

	err = luo_preserve(session, file, 7);
	err = err ? err : luo_unpreserve(session, 7);
	err = err ? err : luo_preserve(session, file, 8);
	close(session);
	close(file);
	return err;
}

TEST_F(watch, uevents)
{
	char text[256];

	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	ASSERT_EQ(0, uevent_next(self->uevents, text, sizeof(text)));
	EXPECT_STREQ("change /devices/virtual/misc/liveupdate misc prepared",
		     text);
	EXPECT_EQ(-EAGAIN, uevent_next(self->uevents, text, sizeof(text)));

	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_FINISH));
	EXPECT_EQ(0, use_session(self->dev));
	EXPECT_EQ(-EAGAIN, uevent_next(self->uevents, text, sizeof(text)));

	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	ASSERT_EQ(0, uevent_next(self->uevents, text, sizeof(text)));
	EXPECT_STREQ("change /devices/virtual/misc/liveupdate misc normal",
		     text);
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	EXPECT_EQ(-EAGAIN, uevent_next(self->uevents, text, sizeof(text)));
}

/* "6 normal -> prepared in 12 us": 6 is the level of pr_info() */
static bool is_transition(const char *text, const char *from_to)
{
	char begin[64];
	char *end;

	snprintf(begin, sizeof(begin), "6 %s in ", from_to);
	if (strncmp(text, begin, strlen(begin)))
		return false;
	text += strlen(begin);
	strtoul(text, &end, 10);
	return end > text && !strcmp(end, " us");
}

TEST_F(watch, log)
{
	char text[256];

	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	ASSERT_EQ(0, kmsg_next(self->kmsg, text, sizeof(text)));
	EXPECT_TRUE(is_transition(text, "normal -> prepared"))
		TH_LOG("%s", text);
	EXPECT_EQ(-EAGAIN, kmsg_next(self->kmsg, text, sizeof(text)));

	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(0, use_session(self->dev));
	EXPECT_EQ(-EAGAIN, kmsg_next(self->kmsg, text, sizeof(text)));

	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	ASSERT_EQ(0, kmsg_next(self->kmsg, text, sizeof(text)));
	EXPECT_TRUE(is_transition(text, "prepared -> normal"))
		TH_LOG("%s", text);
	EXPECT_EQ(-EAGAIN, kmsg_next(self->kmsg, text, sizeof(text)));
}

/* Reading it arms the next notification */
static int poll_state(int fd, const char *state)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLPRI };
	char text[32];
	ssize_t n;

	if (poll(&pollfd, 1, 0) != 1 || !(pollfd.revents & POLLPRI))
		return -EAGAIN;
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return strncmp(text, state, strlen(state)) ? -EBADMSG : 0;
}

TEST_F(watch, poll_of_sysfs_state)
{
	int fd = open(SYSFS "/state", O_RDONLY);
	char text[32];

	ASSERT_LE(0, fd);
	ASSERT_LT(0, pread(fd, text, sizeof(text), 0));
	EXPECT_EQ(-EAGAIN, poll_state(fd, "normal"));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(0, poll_state(fd, "prepared\n"));
	EXPECT_EQ(-EAGAIN, poll_state(fd, "prepared\n"));
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_FINISH));
	EXPECT_EQ(0, use_session(self->dev));
	EXPECT_EQ(-EAGAIN, poll_state(fd, "prepared\n"));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	EXPECT_EQ(0, poll_state(fd, "normal\n"));
	EXPECT_EQ(-EAGAIN, poll_state(fd, "normal\n"));
	close(fd);
}

/* Who sleeps in poll is woken, and need not ask again */
TEST_F(watch, poll_of_sysfs_state_wakes)
{
	struct pollfd pollfd = { .events = POLLPRI };
	char text[32];
	int status;
	pid_t pid;

	pollfd.fd = open(SYSFS "/state", O_RDONLY);
	ASSERT_LT(0, pread(pollfd.fd, text, sizeof(text), 0));
	pid = fork();
	if (!pid) {
		usleep(300000);
		_exit(luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE) != 0);
	}
	EXPECT_EQ(1, poll(&pollfd, 1, 10000));
	EXPECT_TRUE(sysfs_says("state", "prepared"));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	close(pollfd.fd);
}

TEST_F(watch, trace_of_transitions)
{
	char text[4096];

	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	EXPECT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(-EINVAL, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	EXPECT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	ASSERT_EQ(0, trace_stop(text, sizeof(text)));
	EXPECT_STREQ("liveupdate_call: who=\"step sessions\" phase=1 duration=N err=0\n"
		     "liveupdate_call: who=\"step subsystems\" phase=1 duration=N err=0\n"
		     "liveupdate_state: from=1 to=2\n"
		     "liveupdate_state: from=2 to=1\n", text);
}

TEST_F(watch, trace_of_sessions_and_files)
{
	char text[4096];
	int file = memfd_filled("f", 0, 4096, 1);
	int session, pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, trace_start());
	session = luo_create(self->dev, "s");
	EXPECT_LE(0, session);
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "s"));
	EXPECT_EQ(0, luo_preserve(session, file, 7));
	EXPECT_EQ(-ENOENT, luo_preserve(session, pipes[0], 8));
	EXPECT_EQ(0, luo_unpreserve(session, 7));
	EXPECT_EQ(-ENOENT, luo_unpreserve(session, 7));
	EXPECT_EQ(0, luo_preserve(session, file, ~0ULL));
	close(session);
	ASSERT_EQ(0, trace_stop(text, sizeof(text)));
	EXPECT_STREQ("liveupdate_session: name=\"s\" direction=0 state=0\n"
		     "liveupdate_file: session=\"s\" token=7 phase=1 err=0\n"
		     "liveupdate_file: session=\"s\" token=7 phase=6 err=0\n"
		     "liveupdate_file: session=\"s\" token=18446744073709551615 phase=1 err=0\n"
		     "liveupdate_file: session=\"s\" token=18446744073709551615 phase=6 err=0\n"
		     "liveupdate_session: name=\"s\" direction=0 state=1\n",
		     text);
	close(file);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(watch, debugfs_names_what_is_outgoing)
{
	int file = memfd_filled("f", 0, 4096, 1);
	int one = luo_create(self->dev, "first one");
	int two = luo_create(self->dev, "second");
	char text[4096];

	ASSERT_EQ(0, luo_preserve(two, file, 4711));
	ASSERT_EQ(0, debugfs_read("outgoing", text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "\"first one\""));
	ASSERT_NE(NULL, strstr(text, "\"second\""));
	EXPECT_LT(strstr(text, "\"first one\""), strstr(text, "\"second\""));
	EXPECT_NE(NULL, strstr(strstr(text, "\"second\""),
			       "file 4711 liveupdate-memfd-v3"));
	ASSERT_EQ(0, debugfs_read("incoming", text, sizeof(text)));
	EXPECT_STREQ("", text);

	close(one);
	close(two);
	close(file);
	ASSERT_EQ(0, debugfs_read("outgoing", text, sizeof(text)));
	EXPECT_EQ(NULL, strstr(text, "session"));
	EXPECT_EQ(NULL, strstr(text, "file"));
}

#define ESCAPED	"a\\x0asession \\x22b\\x22 \\x5cn\\xff"

/* A name cannot look like several lines, or end where it does not */
TEST_F(watch, names_are_escaped)
{
	int session = luo_create(self->dev, "a\nsession \"b\" \\n\xff");
	char path[64], text[4096];

	ASSERT_LE(0, session);
	ASSERT_EQ(0, debugfs_read("outgoing", text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "session \"" ESCAPED "\" "));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", session);
	ASSERT_EQ(0, text_read(path, text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "liveupdate-session:\t" ESCAPED "\n"));
	close(session);
}

static bool is_documented(const char *name)
{
	const char *what = sysfs_abi;
	size_t len = strlen(name);

	while ((what = strstr(what, WHAT))) {
		what += strlen(WHAT);
		if (!strncmp(what, name, len) && what[len] == '\n')
			return true;
	}
	return false;
}

static int count_documented(void)
{
	const char *what = sysfs_abi;
	int count = 0;

	for (; (what = strstr(what, WHAT)); what++)
		count++;
	return count;
}

TEST_F(watch, sysfs_is_as_documented)
{
	DIR *dir = opendir(SYSFS);
	struct dirent *entry;
	int count = 0;
	char text[512];

	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		count++;
		EXPECT_TRUE(is_documented(entry->d_name))
			TH_LOG("%s", entry->d_name);
		EXPECT_EQ(0, sysfs_read(entry->d_name, text, sizeof(text)));
	}
	closedir(dir);
	EXPECT_EQ(11, count);
	EXPECT_EQ(count, count_documented());
}

TEST_F(watch, sysfs_before_the_first_update)
{
	EXPECT_TRUE(sysfs_says("number", "0"));
	EXPECT_TRUE(sysfs_says("previous_release", ""));
	EXPECT_TRUE(sysfs_says("incoming", "0 0"));
	EXPECT_TRUE(sysfs_says("quarantined", "0"));
	EXPECT_TRUE(sysfs_says("quarantine", ""));
	EXPECT_TRUE(sysfs_says("last_failure", "none"));
	EXPECT_TRUE(sysfs_says("blackout",
			       "freeze 0\nkernel 0\ninit 0\nretrieve 0"));
	EXPECT_LT(0, sysfs_number("timings", "boot"));
	EXPECT_EQ(-ENOENT, sysfs_number("timings", "freeze"));
	EXPECT_EQ(-ENOENT, sysfs_number("timings", "finish"));
}

TEST_F(watch, sysfs_agrees_with_the_device)
{
	struct liveupdate_ioctl_get_info info;
	int file = memfd_filled("f", 0, 4096, 1);
	int a, b;

	ASSERT_EQ(0, luo_info(self->dev, &info));
	EXPECT_EQ(NULL, sysfs_differs(&info));
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_PREPARE));
	a = luo_create(self->dev, "a");
	b = luo_create(self->dev, "b");
	EXPECT_EQ(0, luo_preserve(b, file, 1));
	ASSERT_EQ(0, luo_info(self->dev, &info));
	EXPECT_EQ(NULL, sysfs_differs(&info))
		TH_LOG("%s", sysfs_differs(&info));
	EXPECT_TRUE(sysfs_says("state", "prepared"));
	EXPECT_TRUE(sysfs_says("outgoing", "2 1"));
	EXPECT_LE(0, sysfs_number("timings", "prepare"));
	close(a);
	close(b);
	close(file);
	ASSERT_EQ(0, luo_event(self->dev, LIVEUPDATE_EVENT_CANCEL));
	EXPECT_TRUE(sysfs_says("outgoing", "0 0"));
}

TEST_HARNESS_MAIN
