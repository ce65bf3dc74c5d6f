// SPDX-License-Identifier: GPL-2.0-only
/*
 * Subsystems, FLBs and many files that go through updates together, and whose
 * modules come late, or not at all, in the kernels on the way.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "update.h"

#define PAGE		4096UL
#define SESSIONS	10
#define FILES		10
#define EARLY		"/sys/module/mock_early/parameters/"
#define HANGS		"/modprobe-hangs"

static void check_logged(const char *words, bool want)
{
	bool have = times_logged(words);

	if (want != have)
		test_fail(__FILE__, __LINE__, "the log %s \"%s\"",
			  have ? "has" : "does not have", words);
}

/* ---- Built in, and asked for before there are modules ---- */

static void early_first(struct note *note)
{
	CHECK_EQ(0, number_in(EARLY "early"));
	CHECK_EQ(0, number_in(EARLY "booted"));
	CHECK_EQ(1, number_in(EARLY "generation"));
	CHECK_EQ(EAGAIN, number_in(EARLY "too_early"));
}

static void early_next(struct note *note)
{
	CHECK_EQ(note->stage, number_in(EARLY "early"));
	CHECK_EQ(note->stage, number_in(EARLY "booted"));
	CHECK_EQ(note->stage + 1, number_in(EARLY "generation"));
}

UPDATE_TEST(mocks, mocks_early_subsystem,
	    .stage = { early_first, early_next, early_next });

/* ---- 100 files in ten sessions, which share two FLBs ---- */

static void name_of(char *name, int session, int file)
{
	snprintf(name, 16, "s%d/f%d", session, file);
}

static void fill(struct note *note, int s)
{
	char name[16];
	int session;

	snprintf(name, sizeof(name), "%d", s);
	session = session_new(note, name);
	for (int f = 0; f < FILES; f++) {
		int fd;

		name_of(name, s, f);
		fd = OK(mock_file(name));
		OK(luo_preserve(session, fd, f));
		close(fd);
	}
}

static void many_files(struct note *note)
{
	OK(mock_load(""));
	for (int s = 0; s < SESSIONS; s++)
		fill(note, s);
	CHECK_EQ(SESSIONS * FILES, mock_get("mock-x-outgoing"));
	CHECK_EQ(SESSIONS * FILES, mock_get("mock-y-outgoing"));
}

static void check_session(struct note *note, int s)
{
	char name[16];
	int session;

	snprintf(name, sizeof(name), "%d", s);
	session = session_claim(note, name);
	for (int f = FILES - 1; f >= 0; f--) {
		int fd = OK(luo_restore(session, f));

		name_of(name, s, f);
		OK(mock_file_is(fd, name));
		close(fd);
	}
	OK(luo_finish(session));
	close(session);
}

/* Asking for the first file loads the module */
static void check_many(struct note *note)
{
	check_text(LUO_SYSFS "incoming", "10 100");
	CHECK(access(MOCK_DIR, F_OK));
	for (int s = SESSIONS - 1; s > 0; s--)
		check_session(note, s);
	/* They are there until their last file is finished */
	CHECK_EQ(SESSIONS * FILES, mock_get("mock-x-incoming"));
	CHECK_EQ(SESSIONS * FILES, mock_get("mock-y-incoming"));
	check_session(note, 0);
	CHECK_EQ(-ENODATA, mock_get("mock-x-incoming"));
	CHECK_EQ(-ENODATA, mock_get("mock-y-incoming"));
}

/* A file that cannot go: its page broke when it was preserved */
static int broken_session(struct note *note)
{
	int session = session_new(note, "broken");
	int fd = OK(memfd_filled("broken", 0, PAGE, 1));
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(page != MAP_FAILED);
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(-EBUSY, page_break(page));
	munmap(page, PAGE);
	close(fd);
	return session;
}

/* A program that hangs holds up the jump for ten seconds, and no longer */
static void modprobe_hangs(struct note *note)
{
	static const char script[] = "#!/bin/sh\nexec sleep 600\n";
	int fd = SYS(open(HANGS, O_WRONLY | O_CREAT | O_CLOEXEC, 0700));
	int session = broken_session(note);
	uint64_t start;

	CHECK_EQ(strlen(script), write(fd, script, strlen(script)));
	close(fd);
	OK(text_write(MODPROBE, HANGS));
	start = now_ms();
	CHECK_EQ(-EHWPOISON, jump_once());
	CHECK_BETWEEN(9000, now_ms() - start, 30000 * slower());
	close(session);
	OK(text_write(MODPROBE, "/sbin/modprobe"));
	check_logged("modprobe takes too long to load what handles files of type 'mock-file-v1'",
		     true);
	check_logged("nothing here handles a file of type 'mock-file-v1', it goes on as it came",
		     true);
}

/*
 * The first kernel in between does not know them, and they go on as they came. The
 * second one has their module loaded for the jump.
 */
UPDATE_TEST(mocks, mocks_many_files,
	    .stage = { many_files, NULL, NULL, check_many },
	    .late = { NULL, modprobe_hangs }, .timeout = 120);

/* ---- A transition that takes its time holds up nobody who has to go ---- */

static pid_t start_prepare(void)
{
	pid_t pid = SYS(fork());

	if (!pid)
		_exit(luo_send_event(LIVEUPDATE_EVENT_PREPARE) ? 1 : 0);
	return pid;
}

static pid_t start_holder(struct note *note)
{
	int session = session_new(note, "");
	pid_t pid = SYS(fork());

	if (!pid)
		pause();
	close(session);
	return pid;
}

static void slow_transition(struct note *note)
{
	pid_t holder = start_holder(note), preparer;
	char timings[256];
	uint64_t start;
	int status;

	OK(mock_steer("mock-a prepare sleep %u", 10000 * slower()));
	preparer = start_prepare();
	usleep(1000000);
	start = now_ms();
	OK(text_read(LUO_SYSFS "timings", timings, sizeof(timings)));
	SYS(kill(holder, SIGKILL));
	SYS(waitpid(holder, NULL, 0));
	CHECK_EQ(0, waitpid(preparer, &status, WNOHANG));
	CHECK_BETWEEN(0, now_ms() - start, 5000 * slower());
	SYS(waitpid(preparer, &status, 0));
	CHECK_EQ(0, status);

	/* The name of the session is free, though it may not be gone yet */
	close(session_new(note, ""));
	OK(mock_steer("clear"));
	OK(luo_send_event(LIVEUPDATE_EVENT_CANCEL));
}

UPDATE_TEST(mocks, mocks_slow_transition, .stage = { slow_transition },
	    .timeout = 120);

/* ---- Three subsystems, whose module the kernels in between have too late ---- */

static void set_values(struct note *note)
{
	OK(mock_set("mock-a", 1ULL << 40));
	OK(mock_set("mock-b", 7));
	OK(mock_set("mock-c", ~0ULL >> 1));
}

static void check_values(void)
{
	CHECK_EQ(1ULL << 40, mock_get("mock-a"));
	CHECK_EQ(7, mock_get("mock-b"));
	CHECK_EQ(~0ULL >> 1, mock_get("mock-c"));
}

static void nobody_there(struct note *note)
{
	check_logged("no subsystem 'mock-a' here to take what came for it", true);
	check_logged("no subsystem 'mock-c' here to take what came for it", true);
	check_logged("no subsystem 'mock-early'", false);
	CHECK(access(MOCK_DIR, F_OK));
}

/* As if it were a kernel that does not have the module */
static void come_never(struct note *note)
{
	OK(text_write(MODPROBE, "/nowhere"));
	check_text(LUO_SYSFS "state", "updated");
	CHECK(access(MOCK_DIR, F_OK));
}

/* The files of the test before have it loaded for the jump */
static void come_late(struct note *note)
{
	CHECK(access(MOCK_DIR, F_OK));
}

/* The module came when the files of the test before asked for it */
static void values_again(struct note *note)
{
	check_values();
}

UPDATE_TEST(mocks, mocks_subsystems,
	    .stage = { set_values, nobody_there, nobody_there, values_again },
	    .late = { NULL, come_never, come_late });

/* The set's last: the update was finished with the last session */
static void all_over(struct note *note)
{
	check_text(LUO_SYSFS "state", "normal");
	CHECK_EQ(note->stage + 1, number_in(EARLY "generation"));
	OK(mock_unload());
}

UPDATE_TEST(mocks, mocks_unload_at_the_end,
	    .stage = { NULL, NULL, NULL, all_over });

/* ---- A handover that needs more memory, while somebody looks at the last one ---- */

static void read_for_ever(void)
{
	int fd = SYS(open("/sys/kernel/debug/kho/out/sub_fdts/liveupdate",
			  O_RDONLY | O_CLOEXEC));
	void *page = page_stuck();

	CHECK(page);
	_exit(read(fd, page, 4096) < 0);
}

/* The reader gets stuck on a page of its own, and goes on when the jump takes place */
static void many_subsystems(struct note *note)
{
	pid_t reader;

	OK(mock_load(""));
	OK(mock_set("many", 100));
	reader = SYS(fork());
	if (!reader)
		read_for_ever();
	usleep(1000000);
	CHECK_EQ(0, waitpid(reader, NULL, WNOHANG));
}

static void came_all(struct note *note)
{
	static char text[64 * KIB];

	OK(debugfs_read("incoming", text, sizeof(text)));
	CHECK(strstr(text, "\"mock-c\""));
	CHECK(strstr(text, "\"mock-many-0\""));
	CHECK(strstr(text, "\"mock-many-99\""));
}

UPDATE_TEST(grown, grown_while_read, .stage = { many_subsystems, came_all });
