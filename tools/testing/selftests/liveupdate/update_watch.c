// SPDX-License-Identifier: GPL-2.0-only
/*
 * Set "watch": what sysfs, uevents, the log, tracepoints and debugfs tell of a
 * live update, in both kernels. The last test finishes the last session.
 */
#include <stdio.h>
#include <sys/utsname.h>
#include <time.h>
#include <sys/mman.h>
#include <unistd.h>

#include "update.h"

#define MSEC	1000LL
#define SEC	1000000LL

/* As far as clocks that the kernels calibrate, while they are emulated, may differ */
static long long about(long long us)
{
	return us + us / 10 + 200 * MSEC;
}

static long long clock_us(clockid_t clock)
{
	struct timespec ts;

	SYS(clock_gettime(clock, &ts));
	return ts.tv_sec * SEC + ts.tv_nsec / 1000;
}

static void preserve_files(int session, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		int fd = OK(memfd_filled("f", 0, 4096, i));

		OK(luo_preserve(session, fd, 100 + i));
		close(fd);
	}
}

static void get_info(struct liveupdate_ioctl_get_info *info)
{
	int dev = OK(luo_open());

	OK(luo_info(dev, info));
	close(dev);
}

static void check_sysfs(struct liveupdate_ioctl_get_info *info)
{
	const char *what;

	get_info(info);
	what = sysfs_differs(info);
	if (what)
		test_fail(__FILE__, __LINE__, "sysfs and the device differ in %s",
			  what);
}

/*
 * The blackout, as the kernels measure it, against clocks that we can read
 */

static void blackout_before(struct note *note)
{
	CHECK(sysfs_says("blackout", "freeze 0\nkernel 0\ninit 0\nretrieve 0"));
	preserve_files(session_new(note, ""), 2);
}

/* The clock of the machine runs on, and is read at boot, to a second */
static void blackout_late(struct note *note)
{
	note->value[0] = clock_us(CLOCK_REALTIME);
}

static long long blackout(const char *what)
{
	return OK(sysfs_number("blackout", what));
}

/*
 * Time since before the jump. That since boot is no good to measure with: a slow
 * machine loses ticks until the kernel has a clock to count with.
 */
static long long since_late(const struct note *note)
{
	return clock_us(CLOCK_REALTIME) - note->value[0] + 2 * SEC;
}

static void check_downtime(const struct note *note)
{
	long long jump = since_late(note) - clock_us(CLOCK_BOOTTIME);

	CHECK_BETWEEN(1, blackout("freeze"), about(jump));
	CHECK_BETWEEN(blackout("freeze"), blackout("kernel"), about(jump));
	CHECK(blackout("init") > 0);
	CHECK(blackout("kernel") + blackout("init") <= about(since_late(note)));
}

static void blackout_after(struct note *note)
{
	long long first, second, before, after;
	int session;

	check_downtime(note);
	CHECK_EQ(0, blackout("retrieve"));
	session = session_claim(note, "");
	CHECK_EQ(0, blackout("retrieve"));
	before = clock_us(CLOCK_BOOTTIME);
	OK(luo_restore(session, 100));
	first = blackout("retrieve");
	CHECK_BETWEEN(1, first, about(since_late(note)));
	CHECK_EQ(first, blackout("retrieve"));

	/* Each retrieval counts, until there are no more */
	usleep(500 * MSEC);
	after = clock_us(CLOCK_BOOTTIME);
	OK(luo_restore(session, 101));
	second = blackout("retrieve");
	CHECK(second > first);
	CHECK(about(second - first) >= 500 * MSEC);
	CHECK(second - first <= about(clock_us(CLOCK_BOOTTIME) - before));
	CHECK(blackout("kernel") + blackout("init") + second <=
	      about(since_late(note)));
	CHECK(about(blackout("init") + second) >= after);

	OK(luo_finish(session));
	CHECK_EQ(second, blackout("retrieve"));
	snprintf(note->text, sizeof(note->text),
		 "freeze %lld us, kernel %lld us, init %lld us",
		 blackout("freeze"), blackout("kernel"), blackout("init"));
}

UPDATE_TEST(watch, blackout_is_measured, .late = { blackout_late },
	    .stage = { blackout_before, blackout_after });

/*
 * sysfs and the device agree
 */

static void sysfs_before(struct note *note)
{
	struct liveupdate_ioctl_get_info info;
	struct utsname name;

	SYS(uname(&name));
	snprintf((char *)note->value, sizeof(note->value), "%s", name.release);
	preserve_files(session_new(note, ""), 3);
	check_sysfs(&info);
	CHECK_EQ(LIVEUPDATE_STATE_NORMAL, info.state);
	CHECK_EQ(0, info.number);
	CHECK_EQ(0, info.incoming_sessions);
}

static void sysfs_after(struct note *note)
{
	struct liveupdate_ioctl_get_info before, info;
	int session;

	check_sysfs(&before);
	CHECK_EQ(LIVEUPDATE_STATE_UPDATED, before.state);
	CHECK_EQ(1, before.number);
	CHECK_EQ(0, before.outgoing_sessions);
	CHECK_EQ(0, before.outgoing_files);
	CHECK_EQ(0, before.quarantined);
	CHECK_EQ(0, before.last_errno);
	CHECK(sysfs_says("previous_release", (char *)note->value));
	CHECK(OK(sysfs_number("timings", "boot")) > 0);
	CHECK_EQ(-ENOENT, sysfs_number("timings", "finish"));

	session = session_claim(note, "");
	check_sysfs(&info);
	CHECK_EQ(before.incoming_sessions, info.incoming_sessions);
	CHECK_EQ(before.incoming_files, info.incoming_files);
	OK(luo_finish(session));
	check_sysfs(&info);
	CHECK_EQ(before.incoming_sessions - 1, info.incoming_sessions);
	CHECK_EQ(before.incoming_files - 3, info.incoming_files);
}

UPDATE_TEST(watch, sysfs_agrees_with_the_device,
	    .stage = { sysfs_before, sysfs_after });

/*
 * debugfs names what is on its way
 */

static const char *quoted_name(const struct note *note)
{
	static char text[LIVEUPDATE_SESSION_NAME_LENGTH + 3];

	snprintf(text, sizeof(text), "\"%s\"", session_name(note, ""));
	return text;
}

/* Whether it has the session, with so many of its files */
static void check_dump(const struct note *note, const char *direction,
		       int sessions, int files)
{
	char text[16 * KIB], *at, *end;
	int found = 0;

	OK(debugfs_read(direction, text, sizeof(text)));
	at = strstr(text, quoted_name(note));
	CHECK_EQ(sessions, !!at);
	if (!at)
		return;
	end = strstr(at, "\nsession ");
	if (end)
		*end = '\0';
	for (int i = 0; i < 3; i++) {
		char file[64];

		snprintf(file, sizeof(file), "file %d liveupdate-memfd-v3 ",
			 100 + i);
		found += !!strstr(at, file);
	}
	CHECK_EQ(files, found);
}

static void debugfs_before(struct note *note)
{
	preserve_files(session_new(note, ""), 3);
	check_dump(note, "outgoing", 1, 3);
	check_dump(note, "incoming", 0, 0);
}

/* Records of files are not looked at before somebody claims their session */
static void debugfs_after(struct note *note)
{
	int session;

	check_dump(note, "incoming", 1, 0);
	check_dump(note, "outgoing", 0, 0);
	session = session_claim(note, "");
	check_dump(note, "incoming", 1, 3);
	OK(luo_restore(session, 101));
	check_dump(note, "incoming", 1, 3);
	OK(luo_finish(session));
	check_dump(note, "incoming", 0, 0);
}

UPDATE_TEST(watch, debugfs_names_sessions_and_files,
	    .stage = { debugfs_before, debugfs_after });

/*
 * A jump that fails, and the end of the update, in the log, as uevents and as
 * tracepoints
 */

static void check_line(int kmsg, const char *begins, const char *ends)
{
	char text[512] = "";
	size_t len = strlen(ends);
	int err = kmsg_next(kmsg, text, sizeof(text));

	if (err || strncmp(text, begins, strlen(begins)) ||
	    strlen(text) < len || strcmp(text + strlen(text) - len, ends))
		test_fail(__FILE__, __LINE__, "log has '%s', not '%s ... %s'",
			  text, begins, ends);
}

static void check_no_line(int kmsg)
{
	char text[512];
	int err = kmsg_next(kmsg, text, sizeof(text));

	if (err != -EAGAIN)
		test_fail(__FILE__, __LINE__, "log has '%s' (%d)", text, err);
}

static int count(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

/* A page that comes when the file is preserved leaves work for the jump */
static void told_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = SYS(memfd_create("told", 0));

	SYS(ftruncate(fd, 8192));
	OK(luo_preserve(session, fd, 100));
	OK(content_fill(fd, 4096, 4096, 1));
	close(fd);
}

/* What was prepared, fails, and is as before */
static void check_failed_trace(const char *trace,
			       const struct liveupdate_ioctl_get_info *info)
{
	const char *prepared = strstr(trace, "liveupdate_state: from=1 to=2\n");
	const char *normal = strstr(trace, "liveupdate_state: from=2 to=1\n");
	const char *failed = strstr(trace, "err=-12\n");
	char first[256];

	CHECK_EQ(2, count(trace, "liveupdate_state:"));
	CHECK(prepared && normal && failed);
	CHECK(prepared < failed);
	CHECK(failed < normal);
	snprintf(first, sizeof(first), "who=\"%s\" phase=%u duration=",
		 (const char *)info->last_participant, info->last_phase);
	failed = strstr(trace, first);
	CHECK(failed);
	CHECK(strchr(failed, '\n') == strstr(failed, "err=-12\n") + 7);
}

static void told_late(struct note *note)
{
	struct liveupdate_ioctl_get_info info;
	char trace[16 * KIB];
	int kmsg = OK(kmsg_open());

	check_sysfs(&info);
	CHECK_EQ(0, info.last_errno);
	OK(trace_start());
	CHECK_EQ(-ENOMEM, try_jump_with(1));
	OK(trace_stop(trace, sizeof(trace)));

	check_sysfs(&info);
	CHECK_EQ(LIVEUPDATE_STATE_NORMAL, info.state);
	CHECK_EQ(ENOMEM, info.last_errno);
	check_failed_trace(trace, &info);
	check_line(kmsg, "6 normal -> prepared in ", " us");
	check_line(kmsg, "3 ", ": -ENOMEM");
	check_line(kmsg, "6 prepared -> normal in ", " us");
	check_no_line(kmsg);
}

static void check_finish_trace(const char *name)
{
	char trace[4 * KIB], want[KIB];

	OK(trace_stop(trace, sizeof(trace)));
	snprintf(want, sizeof(want),
		 "liveupdate_session: name=\"%s\" direction=1 state=3\n"
		 "liveupdate_file: session=\"%s\" token=100 phase=8 err=0\n"
		 "liveupdate_file: session=\"%s\" token=100 phase=9 err=0\n"
		 "liveupdate_session: name=\"%s\" direction=1 state=4\n"
		 "liveupdate_state: from=4 to=1\n", name, name, name, name);
	if (strcmp(want, trace))
		test_fail(__FILE__, __LINE__, "trace is '%s'", trace);
}

static void told_after(struct note *note)
{
	int kmsg = OK(kmsg_open()), uevents = OK(uevent_open()), session;
	struct liveupdate_ioctl_get_info info;
	char text[256];

	OK(trace_start());
	session = session_claim(note, "");
	OK(luo_restore(session, 100));
	CHECK_EQ(-EAGAIN, uevent_next(uevents, text, sizeof(text)));
	check_no_line(kmsg);
	CHECK(sysfs_says("state", "updated"));

	OK(luo_finish(session));
	check_finish_trace(session_name(note, ""));
	OK(uevent_next(uevents, text, sizeof(text)));
	CHECK(!strcmp("change /devices/virtual/misc/liveupdate misc normal",
		      text));
	CHECK_EQ(-EAGAIN, uevent_next(uevents, text, sizeof(text)));
	check_line(kmsg, "6 updated -> normal in ", " us");
	check_no_line(kmsg);
	check_sysfs(&info);
	CHECK_EQ(LIVEUPDATE_STATE_NORMAL, info.state);
	CHECK_EQ(0, info.incoming_sessions);
	OK(sysfs_number("timings", "finish"));
}

UPDATE_TEST(watch, failure_and_finish_are_told, .late = { told_late },
	    .stage = { told_before, told_after });
