// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation of every call that needs a second kernel fails once: the jump,
 * from a kernel with and without sessions that came, and what is done to these.
 * uapi_faults has the calls that one kernel is enough for.
 *
 * A call that failed is made again, and works. Where a failure does not matter and
 * the call works at once, it goes on with another session or file of the same kind.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "update.h"

#define PAGE		4096UL
#define SWEEP_MAX	2000
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
/*
 * Sessions, and files of a kind: more than there are failures that do not matter,
 * which are many more in kernels that keep records of all objects.
 */
#define SESSIONS	(8 * slower())
#define COPIES		(24 * slower())
/* What a jump is refused with when all its allocations were made */
#define REFUSED		130

/* ---- Sweeps ---- */

/* Something is called for one copy after the other, each of which @before readies */
struct swept {
	void (*before)(struct swept *swept);
	int (*call)(void *arg);
	int dev;
	int session;
	unsigned int copy;
	const struct note *note;
};

static void check_census(int dev, const struct census *before, unsigned int nth)
{
	const char *what;
	struct census now;

	OK(census_take(dev, &now));
	what = census_differs(before, &now);
	if (what)
		test_fail(__FILE__, __LINE__, "without allocation %u: %s is not as before",
			  nth, what);
}

/* shmem says ENOSPC where it finds no memory for an inode */
static bool is_want_of_memory(int err)
{
	return err == -ENOMEM || err == -ENOSPC;
}

/*
 * One call without its @nth allocation. Returns whether it made as many; @copy is
 * used up if it worked all the same.
 */
static bool try_without(struct swept *swept, unsigned int nth,
			unsigned int *failures)
{
	struct census before;
	int ret, hit;

	OK(census_take(swept->dev, &before));
	hit = OK(fault_try(nth, swept->call, swept, &ret));
	if (ret < 0) {
		if (!hit || !is_want_of_memory(ret))
			test_fail(__FILE__, __LINE__, "without allocation %u: %s",
				  nth, strerror(-ret));
		check_census(swept->dev, &before, nth);
		(*failures)++;
	} else {
		swept->copy++;
	}
	return hit;
}

static void sweep(struct note *note, struct swept *swept, const char *what,
		  unsigned int copies)
{
	size_t used = strlen(note->text);
	unsigned int nth = 0, failures = 0, ready = 0;
	bool hit = true;

	OK(fault_arm(0));
	swept->note = note;
	swept->copy = 0;
	while (hit) {
		unsigned int copy = swept->copy;

		CHECK(++nth < SWEEP_MAX);
		if (swept->before && ready != copy + 1)
			swept->before(swept);
		ready = copy + 1;
		hit = try_without(swept, nth, &failures);
		CHECK_BETWEEN(0, swept->copy, copies);
	}
	CHECK_BETWEEN(1, failures, SWEEP_MAX);
	snprintf(note->text + used, sizeof(note->text) - used,
		 "%s%s: %u points, %u make it fail", used ? "; " : "", what,
		 nth - 1, failures);
}

/* ---- Files of all kinds ---- */

static int make_small(void)
{
	return memfd_filled("small", 0, PAGE, 1);
}

static int make_medium(void)
{
	return memfd_filled("medium", 0, MIB, 2);
}

static int make_scattered(void)
{
	int fd = SYS(memfd_create("scattered", 0));

	SYS(ftruncate(fd, 900 * PAGE));
	for (int i = 0; i < 300; i++)
		OK(content_fill(fd, i * 3 * PAGE, PAGE, i));
	return fd;
}

static int make_sparse(void)
{
	int fd = SYS(memfd_create("sparse", 0));

	SYS(ftruncate(fd, 8 * 1024 * TIB - PAGE));
	for (int i = 0; i < 3; i++)
		OK(content_fill(fd, i * 1024 * TIB, PAGE, i));
	return fd;
}

static int make_large_folios(void)
{
	int fd;

	OK(text_write(SHMEM_ENABLED, "always"));
	fd = OK(memfd_filled("large", 0, 2 * MIB, 3));
	OK(text_write(SHMEM_ENABLED, "never"));
	return fd;
}

static int make_mock(void)
{
	return mock_file("failing");
}

static int check_small(int fd)
{
	return content_check(fd, 0, PAGE, 1);
}

static int check_medium(int fd)
{
	return content_check(fd, 0, MIB, 2);
}

static int check_scattered(int fd)
{
	int err = 0;

	for (int i = 0; i < 300 && !err; i++)
		err = content_check(fd, i * 3 * PAGE, PAGE, i) ?:
		      content_check_zero(fd, (i * 3 + 1) * PAGE, 2 * PAGE);
	return err;
}

static int check_sparse(int fd)
{
	int err = 0;

	for (int i = 0; i < 3 && !err; i++)
		err = content_check(fd, i * 1024 * TIB, PAGE, i) ?:
		      content_check_zero(fd, i * 1024 * TIB + PAGE, PAGE);
	return err;
}

static int check_large_folios(int fd)
{
	return content_check(fd, 0, 2 * MIB, 3);
}

static int check_mock(int fd)
{
	return mock_file_is(fd, "failing");
}

static const struct kind {
	const char *name;
	int (*make)(void);
	int (*check)(int fd);
} kinds[] = {
	{ "of a page", make_small, check_small },
	{ "of 1 MiB", make_medium, check_medium },
	{ "of 300 extents", make_scattered, check_scattered },
	{ "of 8 PiB with three pages", make_sparse, check_sparse },
	{ "of large folios", make_large_folios, check_large_folios },
	{ "of a mock", make_mock, check_mock },
};

static void preserve_copies(int session, const struct kind *kind)
{
	for (unsigned int i = 0; i <= COPIES; i++) {
		int fd = OK(kind->make());

		OK(luo_preserve(session, fd, i));
		close(fd);
	}
}

/* Two of each kind, the last of which nobody retrieves before FINISH */
static void preserve_all_kinds(int session)
{
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(kinds); i++) {
		int fd = OK(kinds[i / 2].make());

		OK(luo_preserve(session, fd, i));
		close(fd);
	}
}

static void check_all_kinds(int session, unsigned int step)
{
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(kinds); i += step) {
		int fd = OK(luo_restore(session, i));

		OK(kinds[i / 2].check(fd));
		close(fd);
	}
}

/* ---- Set "failing": the jump ---- */

static void load_mocks(struct note *note)
{
	OK(mock_load(""));
	preserve_all_kinds(session_new(note, ""));
}

/* Nothing is left to fail when the mock that is frozen last says so */
static void sweep_jump(struct note *note)
{
	unsigned int nth = 0, failures = 0;
	int dev = OK(luo_open());
	size_t used = strlen(note->text);
	struct census before;
	int err, hit;

	OK(fault_arm(0));
	OK(mock_steer("mock-a freeze fail %d", REFUSED));
	/* What is retrieved to be carried stays so, and is no change after that */
	CHECK_EQ(-REFUSED, jump_once());
	OK(census_take(dev, &before));
	do {
		CHECK(++nth < SWEEP_MAX);
		hit = OK(try_jump_without(nth, &err));
		if (err != -REFUSED)
			CHECK_EQ(-ENOMEM, err);
		failures += err == -ENOMEM;
		check_census(dev, &before, nth);
	} while (hit);
	OK(mock_steer("clear"));
	close(dev);
	CHECK_BETWEEN(1, failures, SWEEP_MAX);
	/* From here on the handover is written: the jump itself goes on there */
	sweep_jump_from(nth);
	snprintf(note->text + used, sizeof(note->text) - used,
		 "%sreboot in kernel %u: %u points, %u make it fail",
		 used ? "; " : "", note->stage, nth - 1, failures);
}

static void jumped(struct note *note)
{
	int session;

	if (!note->stage)
		return;
	OK(mock_load(""));
	session = session_claim(note, "");
	check_all_kinds(session, 1);
	if (note->stage == 2)
		OK(luo_finish(session));
	close(session);
}

UPDATE_TEST(failing, failing_jump, .timeout = 300,
	    .stage = { load_mocks, jumped, jumped },
	    .late = { sweep_jump, sweep_jump });

/* ---- RETRIEVE_SESSION ---- */

static void many_sessions(struct note *note)
{
	for (unsigned int i = 0; i <= SESSIONS; i++) {
		char suffix[8];

		snprintf(suffix, sizeof(suffix), "%u", i);
		preserve_all_kinds(session_new(note, suffix));
	}
}

static const char *name_of(const struct swept *swept)
{
	char suffix[8];

	snprintf(suffix, sizeof(suffix), "%u", swept->copy);
	return session_name(swept->note, suffix);
}

static int claim(void *arg)
{
	struct swept *swept = arg;
	int session = luo_retrieve(swept->dev, name_of(swept));

	if (session >= 0)
		close(session);
	return session;
}

static void sweep_claim(struct note *note)
{
	struct swept swept = { .call = claim, .dev = OK(luo_open()) };

	sweep(note, &swept, "RETRIEVE_SESSION", SESSIONS);
	for (swept.copy = 0; swept.copy <= SESSIONS; swept.copy++) {
		int session = OK(luo_retrieve(swept.dev, name_of(&swept)));

		check_all_kinds(session, 1);
		OK(luo_finish(session));
		close(session);
	}
	close(swept.dev);
}

UPDATE_TEST(failing, failing_claim, .stage = { many_sessions, sweep_claim },
	    .timeout = 120);

/* ---- RETRIEVE_FD ---- */

static void many_files(struct note *note)
{
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++)
		preserve_copies(session_new(note, kinds[k].name), &kinds[k]);
}

static int restore(void *arg)
{
	struct swept *swept = arg;
	int fd = luo_restore(swept->session, swept->copy);

	if (fd >= 0)
		close(fd);
	return fd;
}

static void sweep_restore_kind(struct note *note, int dev,
			       const struct kind *kind)
{
	struct swept swept = { .call = restore, .dev = dev };
	long free;

	swept.session = OK(luo_retrieve(dev, session_name(note, kind->name)));
	free = memory_free_kib();
	sweep(note, &swept, kind->name, COPIES);
	CHECK_BETWEEN(-100000, free - memory_free_kib(), 1024);
	for (unsigned int i = 0; i <= COPIES; i++) {
		int fd = OK(luo_restore(swept.session, i));

		OK(kind->check(fd));
		close(fd);
	}
	OK(luo_finish(swept.session));
	close(swept.session);
}

static void sweep_restore(struct note *note)
{
	int dev = OK(luo_open());

	snprintf(note->text, sizeof(note->text), "RETRIEVE_FD");
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++)
		sweep_restore_kind(note, dev, &kinds[k]);
	close(dev);
}

UPDATE_TEST(failing, failing_retrieval, .stage = { many_files, sweep_restore },
	    .timeout = 300);

/* ---- FINISH of a session: half of its files are retrieved, half are not ---- */

static void claim_half(struct swept *swept)
{
	swept->session = OK(luo_retrieve(swept->dev, name_of(swept)));
	check_all_kinds(swept->session, 2);
}

static int finish(void *arg)
{
	return luo_finish(((struct swept *)arg)->session);
}

/* Memory that the files do not have any more is free, of both halves */
static void check_freed(long before, unsigned int sessions)
{
	const long kib = 2 * (1 + 2) * MIB / KIB;

	usleep(300 * 1000);
	CHECK_BETWEEN(kib * sessions, memory_free_kib() - before,
		      2 * kib * sessions);
}

static void sweep_finish(struct note *note)
{
	struct swept swept = {
		.before = claim_half, .call = finish, .dev = OK(luo_open()),
	};
	long free = memory_free_kib();

	sweep(note, &swept, "FINISH", SESSIONS);
	check_freed(free, swept.copy);
	for (; swept.copy <= SESSIONS; swept.copy++) {
		int session = OK(luo_retrieve(swept.dev, name_of(&swept)));

		check_all_kinds(session, 1);
		OK(luo_finish(session));
		close(session);
	}
	close(swept.dev);
}

UPDATE_TEST(failing, failing_finish, .timeout = 300,
	    .stage = { many_sessions, sweep_finish });

/* ---- FINISH of the update: the last test, as it takes all that is left ---- */

static int finish_update(void *arg)
{
	return luo_event(((struct swept *)arg)->dev, LIVEUPDATE_EVENT_FINISH);
}

static void one_session(struct note *note)
{
	preserve_all_kinds(session_new(note, ""));
}

/* The first time that it works is the last one */
static void sweep_finish_update(struct note *note)
{
	struct swept swept = { .call = finish_update, .dev = OK(luo_open()) };
	unsigned int nth = 0, failures = 0;
	struct liveupdate_ioctl_get_info info;
	long free = memory_free_kib();

	OK(fault_arm(0));
	OK(luo_info(swept.dev, &info));
	CHECK_EQ(1, info.incoming_sessions);
	while (!swept.copy)
		try_without(&swept, ++nth, &failures);
	snprintf(note->text, sizeof(note->text),
		 "SET_EVENT(FINISH): %u points make it fail", failures);
	/*
	 * Its files are listed, and looked for, before anything of them goes. In between,
	 * a debug kernel has allocations that may fail, with which it works.
	 */
	CHECK_BETWEEN(slower() > 1 ? 1 : 2, failures, SWEEP_MAX);
	check_freed(free, 1);
	OK(luo_info(swept.dev, &info));
	CHECK_EQ(LIVEUPDATE_STATE_NORMAL, info.state);
	CHECK_EQ(0, info.incoming_sessions);
	CHECK_EQ(0, info.incoming_files);
	CHECK_EQ(0, info.quarantined);
	CHECK_EQ(-ENODATA, mock_get("mock-x-incoming"));
	close(swept.dev);
	OK(mock_unload());
}

UPDATE_TEST(failing, failing_finish_of_the_update, .timeout = 120,
	    .stage = { one_session, NULL, sweep_finish_update });
