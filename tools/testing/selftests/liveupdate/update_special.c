// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests that need a live update of their own: the numbers of all sessions
 * count, the jump is made to fail, clients misbehave, or the next kernel does
 * not want any of it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "update.h"

#define PAGE	4096UL

static int create_numbered(int dev, const char *what, unsigned int i)
{
	char name[32];

	snprintf(name, sizeof(name), "%s %u", what, i);
	return OK(luo_create(dev, name));
}

static int retrieve_numbered(int dev, const char *what, unsigned int i)
{
	char name[32];

	snprintf(name, sizeof(name), "%s %u", what, i);
	return OK(luo_retrieve(dev, name));
}

/*
 * Set "blocks": how many sessions there are, in all
 */

/* Session @i holds one file with its number in it */
static void create_sessions(const char *what, unsigned int count)
{
	int dev = OK(luo_open());

	for (unsigned int i = 0; i < count; i++) {
		int session = create_numbered(dev, what, i);

		OK(luo_preserve(session, OK(memfd_filled(what, 0, 64, i)), i));
	}
	close(dev);
}

static void claim_sessions(const char *what, unsigned int count)
{
	int dev = OK(luo_open());

	for (unsigned int i = 0; i < count; i++) {
		int session = retrieve_numbered(dev, what, i);

		OK(content_check(OK(luo_restore(session, i)), 0, 64, i));
		OK(luo_finish(session));
		close(session);
	}
	close(dev);
}

/* 51 sessions fill a block; one that is refused must not start another */
static void full_block(struct note *note)
{
	create_sessions("block", 51);
	CHECK_EQ(-EEXIST, luo_session_new("block 7"));
	CHECK_EQ(-EINVAL, luo_session_new(""));
}

/* And goes on with none at all */
static void check_full_block(struct note *note)
{
	claim_sessions("block", 51);
}

static void check_no_sessions(struct note *note)
{
	CHECK_EQ(-ENOENT, luo_session_claim("block 0"));
	close(session_new(note, ""));
}

UPDATE_TEST(blocks, sessions_fill_a_block,
	    .stage = { full_block, check_full_block, check_no_sessions });

/*
 * Set "scale"
 */

#define SESSIONS	10000
#define FILES		20000

static void many_sessions(struct note *note)
{
	int dev = OK(luo_open());

	for (unsigned int i = 0; i < SESSIONS; i++) {
		int session = create_numbered(dev, "scale", i);
		int fd;

		if (i % 100)
			continue;
		fd = OK(memfd_filled("s", 0, 64, i));
		OK(luo_preserve(session, fd, i));
		close(fd);
	}
	close(dev);
}

static void check_many_sessions(struct note *note)
{
	int dev = OK(luo_open());

	/* From both ends, so that no order helps */
	for (unsigned int i = 0; i < SESSIONS; i++) {
		unsigned int n = i % 2 ? SESSIONS - i : i;
		int session = retrieve_numbered(dev, "scale", n);

		if (!(n % 100)) {
			int fd = OK(luo_restore(session, n));

			OK(content_check(fd, 0, 64, n));
			close(fd);
		}
		OK(luo_finish(session));
		close(session);
	}
	CHECK_EQ(-ENOENT, luo_retrieve(dev, "scale 0"));
	CHECK_EQ(-ENOENT, luo_retrieve(dev, "scale 10000"));
	close(dev);
}

UPDATE_TEST(scale, scale_10000_sessions, .timeout = 240,
	    .stage = { many_sessions, check_many_sessions });

static void many_files(struct note *note)
{
	int session = session_new(note, "");

	for (unsigned int i = 0; i < FILES; i++) {
		int fd = OK(memfd_filled("f", 0, 16, i));

		OK(luo_preserve(session, fd, i * 7));
		close(fd);
	}
}

static void check_many_files(struct note *note)
{
	int session = session_claim(note, "");

	for (unsigned int i = 0; i < FILES; i++) {
		unsigned int n = i % 2 ? FILES - i : i;
		int fd = OK(luo_restore(session, n * 7));

		OK(content_check(fd, 0, 16, n));
		close(fd);
	}
	CHECK_EQ(-ENOENT, luo_restore(session, 1));
	OK(luo_finish(session));
}

UPDATE_TEST(scale, scale_20000_files, .timeout = 240,
	    .stage = { many_files, check_many_files });

/*
 * Set "refused": the way to the jump lacks memory, at one place after the
 * other. Every time, all is as before and the next try gets further.
 */

#define SWEEP_MAX	2000

static void some_files(struct note *note)
{
	for (int i = 0; i < 3; i++) {
		char suffix[8];
		int session;

		snprintf(suffix, sizeof(suffix), "%d", i);
		session = session_new(note, suffix);
		for (int token = 0; token < 3; token++)
			OK(luo_preserve(session,
					OK(memfd_filled("r", 0, 5 * PAGE,
							10 * i + token)),
					token));
	}
}

static void check_some_files(struct note *note)
{
	for (int i = 0; i < 3; i++) {
		char suffix[8];
		int session;

		snprintf(suffix, sizeof(suffix), "%d", i);
		session = session_claim(note, suffix);
		for (int token = 0; token < 3; token++)
			OK(content_check(OK(luo_restore(session, token)), 0,
					 5 * PAGE, 10 * i + token));
		OK(luo_finish(session));
	}
}

static void jump_was_refused(struct note *note)
{
	check_some_files(note);
	snprintf(note->text, sizeof(note->text),
		 "the jump failed for want of memory %u times",
		 jumps_refused());
	/* The files of another test leave work for the jump */
	CHECK(jumps_refused() > 4);
}

UPDATE_TEST(refused, refused_jump_loses_nothing,
	    .stage = { some_files, jump_was_refused });

/* Pages that come after PRESERVE_FD leave work for the jump */
static void fill_late(struct note *note)
{
	int session = session_new(note, "");
	int fd = SYS(memfd_create("late", 0));

	SYS(ftruncate(fd, 64 * MIB));
	OK(luo_preserve(session, fd, 1));
	for (int i = 0; i < 500; i++)
		OK(content_fill(fd, i * 3 * PAGE, PAGE, i));
}

static void check_late(struct note *note)
{
	int fd = OK(luo_restore(session_claim(note, ""), 1));

	for (int i = 0; i < 500; i++) {
		OK(content_check(fd, i * 3 * PAGE, PAGE, i));
		OK(content_check_zero(fd, (i * 3 + 1) * PAGE, 2 * PAGE));
	}
}

UPDATE_TEST(refused, refused_jump_with_late_pages,
	    .stage = { fill_late, check_late });

/*
 * When memory is short, pages come from where there is some: also from the
 * area that the next kernel boots in, which preserved pages must not lie in.
 */
static void fill_under_pressure(struct note *note)
{
	int session = session_new(note, "");
	int ballast = SYS(memfd_create("ballast", 0));
	int fd = SYS(memfd_create("late", 0));
	uint64_t size = 0;

	SYS(ftruncate(fd, 80 * MIB));
	OK(luo_preserve(session, fd, 1));
	while (meminfo_kib("MemFree") > 160 * 1024) {
		SYS(fallocate(ballast, 0, size, 16 * MIB));
		size += 16 * MIB;
	}
	OK(content_fill(fd, 0, 80 * MIB, 5));
	close(ballast);
}

static void check_pressure(struct note *note)
{
	int fd = OK(luo_restore(session_claim(note, ""), 1));

	OK(content_check(fd, 0, 80 * MIB, 5));
}

UPDATE_TEST(refused, filled_when_memory_was_short,
	    .stage = { fill_under_pressure, check_pressure });

/* Calls that failed for want of memory are no part of what crosses */
static void refused_calls(struct note *note)
{
	unsigned int refused = 0;

	OK(fault_arm(0));
	for (unsigned int nth = 1; nth <= 16; nth++) {
		char suffix[8];
		int fd = OK(memfd_filled("f", 0, PAGE, nth));
		int dev = OK(luo_open());
		int session, err;

		snprintf(suffix, sizeof(suffix), "%u", nth);
		OK(fault_arm(nth));
		session = luo_create(dev, session_name(note, suffix));
		OK(fault_disarm());
		refused += session < 0;
		if (session < 0)
			session = OK(luo_create(dev, session_name(note,
								  suffix)));
		OK(fault_arm(nth));
		err = luo_preserve(session, fd, 1);
		OK(fault_disarm());
		refused += err < 0;
		if (err)
			OK(luo_preserve(session, fd, 1));
		close(dev);
	}
	CHECK(refused > 4);
}

static void check_refused_calls(struct note *note)
{
	for (unsigned int nth = 1; nth <= 16; nth++) {
		char suffix[8];
		int session;

		snprintf(suffix, sizeof(suffix), "%u", nth);
		session = session_claim(note, suffix);
		OK(content_check(OK(luo_restore(session, 1)), 0, PAGE, nth));
		OK(luo_finish(session));
	}
}

UPDATE_TEST(refused, refused_calls_do_not_cross,
	    .stage = { refused_calls, check_refused_calls });

static void one_file(struct note *note)
{
	int session = session_new(note, "");
	int fd = OK(memfd_filled("one", 0, 2 * MIB, 1));

	SYS(ftruncate(fd, 64 * MIB));
	for (int i = 0; i < 300; i++)
		OK(content_fill(fd, 4 * MIB + i * 3 * PAGE, PAGE, i));
	OK(luo_preserve(session, fd, 1));
}

/* Calls until no allocation is left to fail; the result is that of the last */
static int sweep(int (*call)(int fd, const char *name), int fd,
		 const char *name, unsigned int *failures)
{
	int ret, hit = 1;

	*failures = 0;
	for (unsigned int nth = 1; hit; nth++) {
		int next = fd_next_free();

		CHECK(nth < SWEEP_MAX);
		OK(fault_arm(nth));
		ret = call(fd, name);
		hit = OK(fault_disarm());
		if (ret >= 0 && hit) {
			close(ret);
			continue;
		}
		if (ret >= 0)
			break;
		/* shmem says ENOSPC where it finds no memory for an inode */
		if (ret != -ENOSPC)
			CHECK_EQ(-ENOMEM, ret);
		CHECK_EQ(next, fd_next_free());
		(*failures)++;
	}
	return OK(ret);
}

static int restore_first(int session, const char *unused)
{
	return luo_restore(session, 1);
}

static void sweep_after(struct note *note)
{
	unsigned int claims, restores;
	int dev, session, fd;

	OK(fault_arm(0));
	dev = OK(luo_open());
	session = sweep(luo_retrieve, dev, session_name(note, ""), &claims);
	fd = sweep(restore_first, session, NULL, &restores);
	snprintf(note->text, sizeof(note->text),
		 "RETRIEVE_SESSION failed %u times, RETRIEVE_FD %u times",
		 claims, restores);
	CHECK(claims > 0);
	CHECK(restores > 0);
	OK(content_check(fd, 0, 2 * MIB, 1));
	OK(content_check_zero(fd, 2 * MIB, 2 * MIB));
	for (int i = 0; i < 300; i++) {
		OK(content_check(fd, 4 * MIB + i * 3 * PAGE, PAGE, i));
		OK(content_check_zero(fd, 4 * MIB + (i * 3 + 1) * PAGE,
				      2 * PAGE));
	}
	CHECK_EQ(64 * MIB, SYS(lseek(fd, 0, SEEK_END)));
	OK(luo_finish(session));
}

UPDATE_TEST(refused, refused_retrieval_loses_nothing, .timeout = 240,
	    .stage = { one_file, sweep_after });

/*
 * Set "hostile": clients that do what they can to be in the way
 */

static void *sit_in_get_name(void *session)
{
	luo_ioctl(*(int *)session, LIVEUPDATE_SESSION_GET_NAME, page_stuck());
	return NULL;
}

static void *sit_in_preserve(void *session)
{
	luo_ioctl(*(int *)session, LIVEUPDATE_SESSION_PRESERVE_FD,
		  page_stuck());
	return NULL;
}

/* The argument can be read, and the answer never written */
static void *sit_in_answer(void *session)
{
	struct liveupdate_session_get_name arg = { .size = sizeof(arg) };

	luo_ioctl(*(int *)session, LIVEUPDATE_SESSION_GET_NAME,
		  page_stuck_for_writing(&arg, sizeof(arg)));
	return NULL;
}

static void *sit_in_create(void *dev)
{
	struct liveupdate_ioctl_create_session arg = {
		.size = sizeof(arg),
		.name = "never answered",
	};

	luo_ioctl(*(int *)dev, LIVEUPDATE_IOCTL_CREATE_SESSION,
		  page_stuck_for_writing(&arg, sizeof(arg)));
	return NULL;
}

static void start_thread(void *(*function)(void *), int fd)
{
	static int fds[8];
	static int count;
	pthread_t thread;

	fds[count] = fd;
	CHECK(!pthread_create(&thread, NULL, function, &fds[count++]));
	usleep(100 * 1000);
}

static void sit_in_ioctls(struct note *note)
{
	int session = session_new(note, "");

	OK(luo_preserve(session, OK(memfd_filled("m", 0, 3 * PAGE, 1)), 1));
	start_thread(sit_in_get_name, session);
	start_thread(sit_in_preserve, session);
	start_thread(sit_in_answer, session);
}

static void check_one_file(struct note *note)
{
	int session = session_claim(note, "");

	OK(content_check(OK(luo_restore(session, 1)), 0, 3 * PAGE, 1));
	OK(luo_finish(session));
}

UPDATE_TEST(hostile, hostile_client_in_ioctl,
	    .stage = { sit_in_ioctls, check_one_file });

/* Makes sessions and lets them go until the kernel is gone */
static void make_and_drop(int dev)
{
	for (unsigned int i = 0;; i++) {
		char name[32];
		int session, fd;

		snprintf(name, sizeof(name), "busy %u", i);
		session = luo_create(dev, name);
		fd = memfd_filled("busy", 0, PAGE, 9);
		luo_preserve(session, fd, 1);
		close(fd);
		if (i % 3)
			close(session);
		if (i > 1000)
			usleep(1000);
	}
}

/* The device can be open once: those who need it live here, and come last */
static void busy_device(struct note *note)
{
	int session = session_new(note, "");
	int dev = OK(luo_open());

	OK(luo_preserve(session, OK(memfd_filled("m", 0, 3 * PAGE, 1)), 1));
	start_thread(sit_in_create, dev);
	if (!SYS(fork()))
		make_and_drop(dev);
	usleep(300 * 1000);
}

/* What the busy process had open comes along whole, or not at all */
static void check_busy_device(struct note *note)
{
	unsigned int found = 0;

	check_one_file(note);
	for (unsigned int i = 0; i < 2000; i++) {
		char name[32];
		int session, fd;

		snprintf(name, sizeof(name), "busy %u", i);
		session = luo_session_claim(name);
		if (session == -ENOENT)
			continue;
		OK(session);
		fd = luo_restore(session, 1);
		if (fd != -ENOENT)
			OK(content_check(OK(fd), 0, PAGE, 9));
		OK(luo_finish(session));
		close(session);
		close(fd);
		found++;
	}
	snprintf(note->text, sizeof(note->text),
		 "%u sessions of the busy process crossed", found);
	CHECK(found > 0);
}

UPDATE_TEST(hostile, hostile_clients_until_the_jump,
	    .stage = { busy_device, check_busy_device });

/*
 * Set "mainline": the kernel before this one is mainline's, and what it
 * hands over is not understood here. That is no reason not to boot, nor not to
 * work; "refused" instead of "lost" is all that its sessions can ask for.
 */

static void mainline_before(struct note *note)
{
	int session = session_new(note, "");

	OK(luo_preserve(session, OK(memfd_filled("m", 0, 8 * MIB, 1)), 1));
}

/* Two full blocks, this time with one more that goes again */
static void mainline_after(struct note *note)
{
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
	create_sessions("blocks", 102);
	close(session_new(note, ""));
	CHECK_EQ(-EEXIST, luo_session_new("blocks 101"));
}

static void mainline_check(struct note *note)
{
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
	claim_sessions("blocks", 102);
}

UPDATE_TEST(mainline, update_from_mainline,
	    .stage = { mainline_before, mainline_after, mainline_check });

/*
 * Set "off": the next kernel runs with liveupdate=0
 */

static void off_before(struct note *note)
{
	int session = session_new(note, "");

	OK(luo_preserve(session, OK(memfd_filled("m", 0, 8 * MIB, 1)), 1));
}

static void off_after(struct note *note)
{
	CHECK_EQ(-1, access(LUO_DEVICE, F_OK));
	CHECK_EQ(ENOENT, errno);
}

UPDATE_TEST(off, next_kernel_without_live_update,
	    .stage = { off_before, off_after });
