// SPDX-License-Identifier: GPL-2.0-only
/*
 * Subsystems, FLBs and many files that go through updates together, and whose
 * modules come late, or not at all, in the kernels on the way.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "update.h"

#define SESSIONS	10
#define FILES		10
#define EARLY		"/sys/module/mock_early/parameters/"

static void check_logged(const char *words, bool want)
{
	char line[1024];
	bool have = false;
	int kmsg = OK(kmsg_open());

	SYS(lseek(kmsg, 0, SEEK_SET));
	while (kmsg_next(kmsg, line, sizeof(line)) >= 0)
		have |= !!strstr(line, words);
	close(kmsg);
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

UPDATE_TEST(mocks, mocks_many_files, .stage = { many_files, NULL, check_many });

/* ---- Three subsystems, whose module the kernel in between has too late ---- */

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

/*
 * What only the module can take on would be lost: the jump is refused while it
 * cannot be had. Then the files of the test before have it loaded.
 */
static void come_late(struct note *note)
{
	OK(text_write(MODPROBE, "/nowhere"));
	CHECK_EQ(-ENOENT, try_jump());
	OK(text_write(MODPROBE, "/sbin/modprobe"));
	check_text(LUO_SYSFS "last_failure", "2 carry subsystem mock-a");
	check_text(LUO_SYSFS "state", "updated");
	CHECK(access(MOCK_DIR, F_OK));
}

/* The module came when the files of the test before asked for it */
static void values_again(struct note *note)
{
	check_values();
}

UPDATE_TEST(mocks, mocks_subsystems, .stage = { set_values, nobody_there, values_again },
	    .late = { NULL, come_late });

/* The set's last: the update was finished with the last session */
static void all_over(struct note *note)
{
	check_text(LUO_SYSFS "state", "normal");
	CHECK_EQ(note->stage + 1, number_in(EARLY "generation"));
	OK(mock_unload());
}

UPDATE_TEST(mocks, mocks_unload_at_the_end, .stage = { NULL, NULL, all_over });
