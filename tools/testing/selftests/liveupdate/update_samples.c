// SPDX-License-Identifier: GPL-2.0-only
/*
 * The modules of samples/liveupdate in live updates: what they hand over comes
 * back, though no module is there when the next kernel starts.
 *
 * They are unloaded after each test of a kernel, and the next one relies on it.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/klog.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "update.h"

#define FILE_MODULE		"liveupdate_file"
#define SUBSYSTEM_MODULE	"liveupdate_subsystem"
#define NOTE_DEVICE		"/dev/liveupdate-note"
#define NOTE_SIZE		4096UL
#define KLOG_READ_ALL		3

static bool is_loaded(const char *module)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	return !access(path, F_OK);
}

static int load(const char *module)
{
	struct utsname self;
	char path[256];
	int fd, err;

	SYS(uname(&self));
	snprintf(path, sizeof(path),
		 "/lib/modules/%s/kernel/samples/liveupdate/%s.ko",
		 self.release, module);
	fd = SYS(open(path, O_RDONLY | O_CLOEXEC));
	err = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return err;
}

static int unload(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK) ? -errno : 0;
}

/* ---- The file handler ---- */

static int note_open(int flags)
{
	if (!is_loaded(FILE_MODULE))
		OK(load(FILE_MODULE));
	return SYS(open(NOTE_DEVICE, flags | O_CLOEXEC));
}

/* What is written tells which test has written it */
static int note_written(struct note *note)
{
	int fd = note_open(O_RDWR);

	CHECK_EQ(strlen(note->test), SYS(write(fd, note->test,
					       strlen(note->test))));
	return fd;
}

static void note_check(struct note *note, int fd)
{
	char want[NOTE_SIZE] = {}, have[NOTE_SIZE + 1];

	strcpy(want, note->test);
	SYS(lseek(fd, 0, SEEK_SET));
	CHECK_EQ(NOTE_SIZE, SYS(read(fd, have, sizeof(have))));
	CHECK(!memcmp(want, have, NOTE_SIZE));
}

/* A session with a note and a memfd */
static int session_with_note(struct note *note)
{
	int session = session_new(note, "");
	int fd = note_written(note);

	OK(luo_preserve(session, fd, 1));
	close(fd);
	fd = OK(memfd_filled("beside", 0, MIB, 2));
	OK(luo_preserve(session, fd, 2));
	close(fd);
	return session;
}

static void one_note(struct note *note)
{
	session_with_note(note);
}

/* Before the others, as their notes keep the module */
static void refusals(struct note *note)
{
	int fd = note_open(O_RDONLY);
	int session = session_new(note, "gone");

	CHECK_EQ(-EOPNOTSUPP, luo_preserve(session, fd, 1));
	close(fd);
	OK(unload(FILE_MODULE));
	close(session);

	session = session_with_note(note);
	CHECK_EQ(-EAGAIN, unload(FILE_MODULE));
	close(session);
	OK(unload(FILE_MODULE));
	CHECK(!is_loaded(FILE_MODULE));
	CHECK(access(NOTE_DEVICE, F_OK) && errno == ENOENT);
}

static void nothing_came(struct note *note)
{
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
}

UPDATE_TEST(samples, note_keeps_its_module,
	    .stage = { refusals, nothing_came });

/* As if there were no such module on the disk */
static int restore_without_modules(int session, uint64_t token)
{
	char modprobe[256];
	int ret;

	OK(text_read(MODPROBE, modprobe, sizeof(modprobe)));
	OK(text_write(MODPROBE, "/nowhere"));
	ret = luo_restore(session, token);
	OK(text_write(MODPROBE, modprobe));
	return ret;
}

static void hidden_after(struct note *note)
{
	int session = session_claim(note, ""), fd;

	CHECK(!is_loaded(FILE_MODULE));
	CHECK_EQ(-ENOENT, restore_without_modules(session, 1));
	CHECK(!is_loaded(FILE_MODULE));
	OK(content_check(OK(luo_restore(session, 2)), 0, MIB, 2));

	OK(load(FILE_MODULE));
	fd = OK(restore_without_modules(session, 1));
	note_check(note, fd);
	OK(luo_finish(session));
	close(fd);
	OK(unload(FILE_MODULE));
}

UPDATE_TEST(samples, note_whose_module_comes_late,
	    .stage = { one_note, hidden_after });

static void by_alias_after(struct note *note)
{
	int session = session_claim(note, ""), fd;

	CHECK(!is_loaded(FILE_MODULE));
	fd = OK(luo_restore(session, 1));
	CHECK(is_loaded(FILE_MODULE));
	note_check(note, fd);
	close(fd);

	/* The session has it still */
	CHECK_EQ(-EAGAIN, unload(FILE_MODULE));
	fd = OK(luo_restore(session, 1));
	note_check(note, fd);
	OK(luo_finish(session));
	CHECK_EQ(-EAGAIN, unload(FILE_MODULE));
	note_check(note, fd);
	close(fd);
	OK(unload(FILE_MODULE));
}

UPDATE_TEST(samples, note_loads_its_module,
	    .stage = { one_note, by_alias_after });

/* 8 MiB */
#define MANY	2048

static void many_notes(struct note *note)
{
	int session = session_new(note, "");

	for (unsigned int i = 0; i < MANY; i++) {
		int fd = note_written(note);

		OK(luo_preserve(session, fd, i));
		close(fd);
	}
}

/* Only the first is ever asked for. Of the pages, processors keep a few. */
static void finish_frees_after(struct note *note)
{
	int session = session_claim(note, "");
	long before, freed;

	before = memory_free_kib();
	OK(luo_finish(session));
	freed = memory_free_kib() - before;
	/* The module itself takes up to 2 MiB */
	CHECK_BETWEEN(5 * 1024, freed, 9 * 1024);
	close(session);
	OK(unload(FILE_MODULE));
}

UPDATE_TEST(samples, notes_nobody_wants_are_freed,
	    .stage = { many_notes, finish_frees_after });

/* Unclaimed in the second kernel, which loads the module for the jump */
static void nothing(struct note *note)
{
	CHECK(!is_loaded(FILE_MODULE));
}

static void carried_after(struct note *note)
{
	int session = session_claim(note, ""), fd;

	CHECK(!is_loaded(FILE_MODULE));
	fd = OK(luo_restore(session, 1));
	note_check(note, fd);
	OK(luo_finish(session));
	close(fd);
	OK(unload(FILE_MODULE));
}

UPDATE_TEST(samples, note_is_carried,
	    .stage = { one_note, nothing, carried_after });

/* ---- The subsystem; last, as its session keeps the update from being over ---- */

static void check_generation(int want)
{
	char text[32];

	OK(text_read("/sys/module/" SUBSYSTEM_MODULE "/parameters/generation",
		     text, sizeof(text)));
	CHECK_EQ(want, atoi(text));
}

static unsigned int times_in_log(const char *line)
{
	static char log[1024 * KIB];
	unsigned int times = 0;
	int n = SYS(klogctl(KLOG_READ_ALL, log, sizeof(log) - 1));

	log[n] = '\0';
	for (char *at = log; (at = strstr(at, line)); at++)
		times++;
	return times;
}

/* Reported when it came, and never again */
static void check_reported(unsigned int times)
{
	CHECK_EQ(times,
		 times_in_log("liveupdate: no subsystem 'sample-subsystem-v1'"));
}

static void generation_0(struct note *note)
{
	int dev = OK(luo_open());

	OK(load(SUBSYSTEM_MODULE));
	check_generation(0);
	OK(luo_event(dev, LIVEUPDATE_EVENT_PREPARE));
	CHECK_EQ(-EAGAIN, unload(SUBSYSTEM_MODULE));
	OK(luo_event(dev, LIVEUPDATE_EVENT_CANCEL));
	OK(unload(SUBSYSTEM_MODULE));
	CHECK(!is_loaded(SUBSYSTEM_MODULE));

	OK(luo_event(dev, LIVEUPDATE_EVENT_PREPARE));
	CHECK_EQ(-EBUSY, load(SUBSYSTEM_MODULE));
	OK(luo_event(dev, LIVEUPDATE_EVENT_CANCEL));
	close(dev);

	OK(load(SUBSYSTEM_MODULE));
	check_generation(0);
	check_reported(0);
	session_new(note, "");
}

static int session_of_generation(struct note *note, int generation)
{
	int session = session_claim(note, "");

	CHECK(!is_loaded(SUBSYSTEM_MODULE));
	check_reported(1);
	OK(load(SUBSYSTEM_MODULE));
	check_generation(generation);
	check_reported(1);
	/* Until the update is over */
	CHECK_EQ(-EAGAIN, unload(SUBSYSTEM_MODULE));
	return session;
}

static void generation_1(struct note *note)
{
	session_of_generation(note, 1);
}

static void generation_2(struct note *note)
{
	OK(luo_finish(session_of_generation(note, 2)));
	OK(unload(SUBSYSTEM_MODULE));
	/* What came has been taken */
	OK(load(SUBSYSTEM_MODULE));
	check_generation(0);
	OK(unload(SUBSYSTEM_MODULE));
}

UPDATE_TEST(samples, subsystem_counts_updates,
	    .stage = { generation_0, generation_1, generation_2 });
