// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kernel does not know goes on to one that does, with all its memory. Kernels
 * in between are made not to know it: before the first jump the version of a record is
 * changed to one that there will be some day, and before the second one it is changed
 * back.
 *
 * And updates to which nothing came but subsystems, which end by themselves.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/handover.h"
#include "update.h"

#define PAGE		4096UL
#define SIZE		(8 * MIB + 123)
#define IN		"/sys/kernel/debug/kho/in/sub_fdts/liveupdate"

/* Two memfds, of which the first has single pages as well */
static void two_files(struct note *note)
{
	int session = session_new(note, "");

	for (int token = 1; token <= 2; token++) {
		int fd = OK(memfd_filled("unknown", 0, SIZE, token));

		for (int i = 0; token == 1 && i < 200; i++)
			OK(content_fill(fd, 16 * MIB + 2 * i * PAGE, 8, token));
		OK(luo_preserve(session, fd, token));
		close(fd);
	}
}

static void check_file(int session, uint64_t token)
{
	int fd = OK(luo_restore(session, token));

	OK(content_check(fd, 0, SIZE, token));
	for (int i = 0; token == 1 && i < 200; i++)
		OK(content_check(fd, 16 * MIB + 2 * i * PAGE, 8, token));
	close(fd);
}

/* All other memory has been somebody else's meanwhile */
static void two_files_are_there(struct note *note)
{
	int session;

	OK(memory_use_up(2));
	session = session_claim(note, "");
	check_file(session, 1);
	check_file(session, 2);
	OK(luo_finish(session));
	close(session);
}

static void add_to_byte(uint64_t phys, int what)
{
	unsigned char byte;

	OK(memory_read(phys, &byte, sizeof(byte)));
	byte += what;
	OK(memory_write(phys, &byte, sizeof(byte)));
}

static void nothing(struct note *note)
{
}

/* ---- The record of a session ---- */

static void change_session(int what)
{
	struct place place = {};

	OK(place_find("unknown_session", &place));
	add_to_byte(place.session + strlen("luo-session-v"), what);
}

static void make_later_session(struct note *note)
{
	change_session(1);
}

static void make_session_again(struct note *note)
{
	change_session(-1);
}

static void session_is_unknown(struct note *note)
{
	struct liveupdate_ioctl_next_session next = {
		.size = sizeof(next),
		.direction = LIVEUPDATE_INCOMING,
	};
	int dev = OK(luo_open());

	CHECK_EQ(-EPROTONOSUPPORT, luo_retrieve(dev, session_name(note, "")));
	do {
		OK(luo_ioctl(dev, LIVEUPDATE_IOCTL_NEXT_SESSION, &next));
	} while (strcmp((char *)next.name, session_name(note, "")));
	CHECK_EQ(LIVEUPDATE_SESSION_UNKNOWN, next.state);
	close(dev);
	check_text(LUO_SYSFS "state", "updated");
	check_text(LUO_SYSFS "quarantined", "0");
	CHECK_EQ(1, times_logged("session 'unknown_session' is of version 'luo-session-v2'"));
	OK(memory_use_up(1));
}

UPDATE_TEST(unknown, unknown_session, .timeout = 120,
	    .stage = { two_files, session_is_unknown, two_files_are_there },
	    .frozen = make_later_session);
UPDATE_TEST(unknown, unknown_session_is_known_again,
	    .stage = { NULL, nothing }, .frozen = make_session_again);

/* ---- The type of a file ---- */

static void change_file(int what)
{
	struct place place = {};

	OK(place_find("unknown_file", &place));
	add_to_byte(place.file, what);
	place_fix_files(&place);
}

static void make_other_file(struct note *note)
{
	change_file(1);
}

static void make_file_again(struct note *note)
{
	change_file(-1);
}

/* The session stays open, and nobody finishes it */
static void file_is_unknown(struct note *note)
{
	int session = session_claim(note, "");

	CHECK_EQ(-ENOENT, luo_restore(session, 1));
	check_file(session, 2);
}

/* A jump that is refused after all was carried leaves no trace but in the log */
static void name_who_did_not_finish(struct note *note)
{
	long before;

	OK(mock_load("mock-a freeze fail 90"));
	before = kho_preserved_pages();
	CHECK_EQ(-90, jump_once());
	CHECK_EQ(before, kho_preserved_pages());
	CHECK_EQ(1, times_logged("session 'unknown_file' was retrieved, and nobody"));
	CHECK_EQ(0, times_logged("session 'unknown_session' was retrieved"));
	CHECK_EQ(1, times_logged("session 'unknown_file': nothing here handles a file"));
	OK(mock_steer("clear"));
	OK(mock_unload());
}

UPDATE_TEST(unknown, unknown_file, .timeout = 120,
	    .stage = { two_files, file_is_unknown, two_files_are_there },
	    .late = { NULL, name_who_did_not_finish },
	    .frozen = make_other_file);
UPDATE_TEST(unknown, unknown_file_is_known_again,
	    .stage = { NULL, nothing }, .frozen = make_file_again);

/* ---- Nobody ever comes who knows it: FINISH drops it, and nothing else does ---- */

static void make_later(struct note *note)
{
	struct place place = {};

	OK(place_find(session_name(note, ""), &place));
	add_to_byte(place.session + strlen("luo-session-v"), 1);
}

/* The last test: all others have finished theirs */
static void drop(struct note *note)
{
	check_text(LUO_SYSFS "state", "updated");
	check_text(LUO_SYSFS "incoming", "1 0");
	OK(luo_send_event(LIVEUPDATE_EVENT_FINISH));
	check_text(LUO_SYSFS "state", "normal");
	check_text(LUO_SYSFS "incoming", "0 0");
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
}

UPDATE_TEST(unknown, unknown_is_dropped, .stage = { two_files, nothing, drop },
	    .frozen = make_later);

/* ---- Jumps that are refused, with each allocation failing once, change nothing ---- */

/* The second jump is the one: see jump_refused() of update.c */
static void drop_after_refusals(struct note *note)
{
	CHECK_BETWEEN(5, jumps_refused(), 5000);
	CHECK_EQ(-EPROTONOSUPPORT, luo_session_claim(session_name(note, "")));
	drop(note);
}

UPDATE_TEST(unknown_refused, unknown_without_memory,
	    .stage = { two_files, nothing, drop_after_refusals },
	    .frozen = make_later);

/* ---- The root ---- */

static void make_later_root(struct note *note)
{
	static struct root root;
	char *version;

	OK(root_read(&root));
	version = root_property(&root, "", "compatible", NULL);
	version[strlen("liveupdate-v")]++;
	OK(root_write(&root));
}

static void root_is_unknown(struct note *note)
{
	check_text(LUO_SYSFS "state", "updated");
	check_text(LUO_SYSFS "incoming", "0 0");
	check_text(LUO_SYSFS "quarantined", "0");
	CHECK_EQ(1, times_logged("handover is of version 'liveupdate-v2'"));
	OK(memory_use_up(1));
	session_new(note, "later");
}

/* What a root tells of itself, and of the first session that hangs on it */
static void check_old_root(struct note *note, uint64_t phys, uint64_t size)
{
	static struct root old;
	struct session_ser ser;

	CHECK_BETWEEN(1, size, sizeof(old.fdt));
	for (uint64_t at = 0; at < size; at += PAGE)
		OK(memory_read(phys + at, old.fdt + at, PAGE));
	CHECK(!strcmp("liveupdate-v2",
		      root_property(&old, "", "compatible", NULL)));
	CHECK_EQ(1, root_get(&old, "sessions", "count"));
	OK(memory_read(root_get(&old, "sessions", "first") +
		       sizeof(struct block_ser), &ser, sizeof(ser)));
	CHECK(!strcmp(session_name(note, ""), ser.name));
	CHECK_EQ(2, ser.nr_files);
	CHECK_EQ(crc32c(0, &ser, offsetof(struct session_ser, crc)), ser.crc);
}

static void root_is_kept(struct note *note)
{
	int fd = SYS(open(IN, O_RDONLY | O_CLOEXEC));
	static struct root root;

	OK(memory_use_up(2));
	close(session_claim(note, "later"));
	root.size = SYS(read(fd, root.fdt, sizeof(root.fdt)));
	close(fd);
	CHECK(!strcmp("liveupdate-v2",
		      root_property(&root, "root@0", "compatible", NULL)));
	check_old_root(note, root_get(&root, "root@0", "data"),
		       root_get(&root, "root@0", "count"));

	check_text(LUO_SYSFS "state", "updated");
	OK(luo_send_event(LIVEUPDATE_EVENT_FINISH));
	check_text(LUO_SYSFS "state", "normal");
}

UPDATE_TEST(unknown_root, unknown_root, .timeout = 120,
	    .stage = { two_files, root_is_unknown, root_is_kept },
	    .frozen = make_later_root);

/* ---- Nothing but subsystems ---- */

#define EARLY		"/sys/module/mock_early/parameters/"

static void set_values(struct note *note)
{
	OK(mock_load(""));
	OK(mock_set("mock-a", 1));
	OK(mock_set("mock-c", 3));
}

/* It is over when the last one has come, a moment later */
static void await_normal(void)
{
	for (int i = 0; i < 500 && !sysfs_says("state", "normal"); i++)
		usleep(10000);
	check_text(LUO_SYSFS "state", "normal");
}

static void ends_with_the_module(struct note *note)
{
	CHECK_EQ(1, number_in(EARLY "booted"));
	check_text(LUO_SYSFS "state", "updated");
	OK(mock_load(""));
	await_normal();
	CHECK_EQ(1, mock_get("mock-a"));
	CHECK_EQ(3, mock_get("mock-c"));
	OK(mock_unload());
}

/* Those that are built in have all of it before there is any process */
static void ends_at_boot(struct note *note)
{
	CHECK_EQ(2, number_in(EARLY "booted"));
	CHECK_EQ(2, number_in(LUO_SYSFS "number"));
	check_text(LUO_SYSFS "state", "normal");
}

UPDATE_TEST(alone, alone_subsystems,
	    .stage = { set_values, ends_with_the_module, ends_at_boot });
