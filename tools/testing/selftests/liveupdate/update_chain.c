// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several live updates in a row. What one kernel has not finished, the next
 * one gets, however slow or idle their owner was.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "update.h"

#define PAGE	4096UL
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

static void preserve_filled(int session, uint64_t token, uint64_t size)
{
	int fd = OK(memfd_filled("chain", 0, size, token));

	OK(luo_preserve(session, fd, token));
	close(fd);
}

static int restore_checked(int session, uint64_t token, uint64_t size)
{
	int fd = OK(luo_restore(session, token));

	CHECK_EQ(size, SYS(lseek(fd, 0, SEEK_END)));
	OK(content_check(fd, 0, size, token));
	return fd;
}

static void two_files(struct note *note)
{
	int session = session_new(note, "");

	preserve_filled(session, 1, MIB + 5);
	preserve_filled(session, 2, 3 * PAGE);
}

static void check_two_files(struct note *note)
{
	int session = session_claim(note, "");

	restore_checked(session, 1, MIB + 5);
	restore_checked(session, 2, 3 * PAGE);
	OK(luo_finish(session));
	close(session);
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
}

static void nothing(struct note *note)
{
}

/* Nobody asks for it in two kernels */
UPDATE_TEST(chain, chain_unclaimed,
	    .stage = { two_files, nothing, nothing, check_two_files });

/* Claimed, looked at, and put back on the way */
static void look_and_close(struct note *note)
{
	int session = session_claim(note, "");

	restore_checked(session, 1, MIB + 5);
	close(session);
}

UPDATE_TEST(chain, chain_put_back,
	    .stage = { two_files, look_and_close, nothing, check_two_files });

/* Claimed and held open over the jump, with nothing retrieved */
static void claim_and_hold(struct note *note)
{
	session_claim(note, "");
}

UPDATE_TEST(chain, chain_held_open,
	    .stage = { two_files, claim_and_hold, claim_and_hold,
		       check_two_files });

/* One file is retrieved and in use, the other one stays where it is */
static void use_one(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));
	unsigned int stage = note->stage;

	for (unsigned int i = 1; i < stage; i++)
		OK(content_check(fd, i * 10 * PAGE, 2 * PAGE + 3, 70 + i));
	OK(content_fill(fd, stage * 10 * PAGE, 2 * PAGE + 3, 70 + stage));
	SYS(lseek(fd, stage * 1000, SEEK_SET));
}

static void check_used(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	CHECK_EQ(2000, SYS(lseek(fd, 0, SEEK_CUR)));
	OK(content_check(fd, 0, 10 * PAGE, 1));
	OK(content_check(fd, 10 * PAGE, 2 * PAGE + 3, 71));
	OK(content_check(fd, 20 * PAGE, 2 * PAGE + 3, 72));
	OK(content_check(fd, 30 * PAGE, MIB + 5 - 30 * PAGE, 1));
	restore_checked(session, 2, 3 * PAGE);
	OK(luo_finish(session));
}

UPDATE_TEST(chain, chain_in_use,
	    .stage = { two_files, use_one, use_one, check_used });

/* Retrieved, and the descriptor closed, while the session stays open */
static void retrieve_and_drop(struct note *note)
{
	int session = session_claim(note, "");

	close(restore_checked(session, 1, MIB + 5));
	close(restore_checked(session, 2, 3 * PAGE));
}

UPDATE_TEST(chain, chain_retrieved_and_dropped,
	    .stage = { two_files, retrieve_and_drop, nothing,
		       check_two_files });

/* Retrieved and in use when its session is put back unfinished */
static void retrieve_and_put_back(struct note *note)
{
	int session = session_claim(note, "");
	int fd = restore_checked(session, 1, MIB + 5);

	close(session);
	SYS(pwrite(fd, "in use", 6, 100));
}

static void check_put_back(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));
	char buf[6];

	CHECK_EQ(6, SYS(pread(fd, buf, 6, 100)));
	CHECK(!memcmp(buf, "in use", 6));
	OK(content_check(fd, 112, MIB + 5 - 112, 1));
	restore_checked(session, 2, 3 * PAGE);
}

UPDATE_TEST(chain, chain_put_back_while_in_use,
	    .stage = { two_files, retrieve_and_put_back, check_put_back });

/* A file in use that its session froze cannot outgrow what was preserved */
static void check_frozen(struct note *note)
{
	int session = session_claim(note, "");
	int fd = restore_checked(session, 1, MIB + 5);
	int err = ftruncate(fd, 2 * MIB) ? -errno : 0;

	/* Refused, or it crosses: what must not be is that it gets lost */
	note->value[0] = err ? MIB + 5 : 2 * MIB;
}

static void check_size(struct note *note)
{
	int fd = OK(luo_restore(session_claim(note, ""), 1));

	CHECK_EQ(note->value[0], SYS(lseek(fd, 0, SEEK_END)));
	OK(content_check(fd, 0, MIB + 5, 1));
}

UPDATE_TEST(chain, chain_resized_in_use,
	    .stage = { two_files, check_frozen, check_size });

/* Finished is over, even while somebody keeps the descriptor */
static void finish_and_hold(struct note *note)
{
	int session = session_claim(note, "");

	restore_checked(session, 1, MIB + 5);
	OK(luo_finish(session));
}

static void check_gone(struct note *note)
{
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
}

UPDATE_TEST(chain, chain_finished_does_not_cross,
	    .stage = { two_files, finish_and_hold, check_gone, check_gone });

/* What a service manager does at each update */
static void renew(struct note *note)
{
	int incoming = session_claim(note, "");
	int outgoing = session_new(note, "");
	int a = restore_checked(incoming, 1, MIB + 5);
	int b = restore_checked(incoming, 2, 3 * PAGE);

	OK(luo_finish(incoming));
	close(incoming);
	OK(luo_preserve(outgoing, a, 1));
	OK(luo_preserve(outgoing, b, 2));
}

UPDATE_TEST(chain, chain_renewed,
	    .stage = { two_files, renew, renew, check_two_files });

/* A session that is carried over meets a new one of the same name */
static void same_name(struct note *note)
{
	preserve_filled(session_new(note, ""), 10, PAGE);
}

static void check_same_name(struct note *note)
{
	int old = 0, new = 0;

	for (int i = 0; i < 2; i++) {
		int session = session_claim(note, "");
		int fd = luo_restore(session, 10);

		if (fd >= 0) {
			new++;
			OK(content_check(fd, 0, PAGE, 10));
		} else {
			old++;
			restore_checked(session, 1, MIB + 5);
			restore_checked(session, 2, 3 * PAGE);
		}
		OK(luo_finish(session));
		close(session);
	}
	CHECK_EQ(1, old);
	CHECK_EQ(1, new);
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
}

UPDATE_TEST(chain, chain_same_name_old_and_new,
	    .stage = { two_files, same_name, check_same_name });

/* Shapes that are more than a run of pages, unclaimed all the way */
static void shapes(struct note *note)
{
	int session = session_new(note, "");
	int fd = SYS(memfd_create("sparse", MFD_ALLOW_SEALING));

	SYS(ftruncate(fd, 2 * TIB));
	for (int i = 0; i < 8; i++)
		OK(content_fill(fd, i * 256 * GIB + i * PAGE, PAGE, i));
	SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	OK(luo_preserve(session, fd, 1));
	snapshot_take(fd, (struct snapshot *)note->value);
	OK(luo_preserve(session, SYS(memfd_create("empty", 0)), 2));
	OK(text_write(SHMEM_ENABLED, "always"));
	fd = OK(memfd_filled("huge", 0, 4 * MIB, 3));
	OK(text_write(SHMEM_ENABLED, "never"));
	OK(luo_preserve(session, fd, 3));
}

static void check_shapes(struct note *note)
{
	int session = session_claim(note, "");
	struct snapshot have;

	snapshot_take(OK(luo_restore(session, 1)), &have);
	snapshot_compare((struct snapshot *)note->value, &have);
	CHECK_EQ(0, SYS(lseek(OK(luo_restore(session, 2)), 0, SEEK_END)));
	restore_checked(session, 3, 4 * MIB);
	OK(luo_finish(session));
}

UPDATE_TEST(chain, chain_shapes_unclaimed,
	    .stage = { shapes, nothing, nothing, check_shapes });

static void shapes_in_use(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	OK(luo_restore(session, 3));
	OK(content_fill(fd, TIB + note->stage * MIB, 100, note->stage));
	snapshot_take(fd, (struct snapshot *)note->value);
}

UPDATE_TEST(chain, chain_shapes_in_use,
	    .stage = { shapes, shapes_in_use, shapes_in_use, check_shapes });

/* New sessions join on the way */
static void join(struct note *note)
{
	char suffix[16];

	snprintf(suffix, sizeof(suffix), "%u", note->stage);
	preserve_filled(session_new(note, suffix), note->stage, 5 * PAGE);
}

static void check_joined(struct note *note)
{
	char suffix[16];

	for (unsigned int i = 0; i < 3; i++) {
		snprintf(suffix, sizeof(suffix), "%u", i);
		restore_checked(session_claim(note, suffix), i, 5 * PAGE);
	}
}

UPDATE_TEST(chain, chain_sessions_join,
	    .stage = { join, join, join, check_joined });

/*
 * Carrying must not cost a little each time: with the same to carry, the
 * kernels have to have the same memory left.
 */
static void large(struct note *note)
{
	preserve_filled(session_new(note, ""), 1, 64 * MIB);
}

static void measure(struct note *note)
{
	note->value[note->stage] = memory_free_kib();
}

static void check_large(struct note *note, int session)
{
	measure(note);
	/* Later kernels may well have more: other tests end on the way */
	CHECK_BETWEEN(-512 * 1024, note->value[1] - note->value[2], 16 * 1024);
	CHECK_BETWEEN(-512 * 1024, note->value[1] - note->value[3], 16 * 1024);
	restore_checked(session, 1, 64 * MIB);
	OK(luo_finish(session));
}

static void check_unclaimed(struct note *note)
{
	check_large(note, session_claim(note, ""));
}

UPDATE_TEST(chain, chain_unclaimed_leaks_no_memory,
	    .stage = { large, measure, measure, check_unclaimed });

/* The same with the file in use all the way */
static void hold_and_measure(struct note *note)
{
	int session = session_claim(note, "");

	OK(luo_restore(session, 1));
	measure(note);
}

static void check_held(struct note *note)
{
	int session = session_claim(note, "");

	OK(luo_restore(session, 1));
	check_large(note, session);
}

UPDATE_TEST(chain, chain_held_leaks_no_memory,
	    .stage = { large, hold_and_measure, hold_and_measure,
		       check_held });
