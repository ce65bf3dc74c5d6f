// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation that a call makes fails once, the first, the second, and
 * so on until the call comes through. Each time, the call has to say so,
 * change nothing, and work when it is made again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "uapi.h"

/* More allocations than any call here makes; a sweep that gets there hangs */
#define SWEEP_MAX	2000

#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define MEMCG		"luo-faults"

/* What a call works on. Token 0 is that of the file that it is about. */
struct work {
	int dev;
	int session;
	int file;
	int made;
};

/* ---- Files ---- */

static int make_small(void)
{
	return memfd_filled("small", 0, 4096, 1);
}

static int make_medium(void)
{
	return memfd_filled("medium", 0, 2 * MIB, 2);
}

static int make_empty(void)
{
	return memfd_create("empty", 0);
}

static int make_with_holes(const char *name, uint64_t size, int pages,
			   uint64_t distance)
{
	int fd = memfd_create(name, 0);

	if (fd < 0 || ftruncate(fd, size))
		return -1;
	for (int i = 0; i < pages; i++)
		if (content_fill(fd, i * distance, 4096, i))
			return -1;
	return fd;
}

/* Every page an extent of its own */
static int make_scattered(void)
{
	return make_with_holes("scattered", 1024 * 4096, 300, 3 * 4096);
}

static int make_sparse(void)
{
	return make_with_holes("sparse", 8 * 1024 * TIB - 4096, 3, 1024 * TIB);
}

/* Folios of 2 MiB; one of them was never written to */
static int make_large_folios(void)
{
	int fd;

	if (text_write(SHMEM_ENABLED, "always"))
		return -1;
	fd = memfd_filled("large", 0, 6 * MIB, 3);
	if (fd >= 0 && fallocate(fd, 0, 6 * MIB, 2 * MIB))
		fd = -1;
	return text_write(SHMEM_ENABLED, "never") ? -1 : fd;
}

static int make_mock(void)
{
	return mock_file("swept");
}

static int truncate_to(int fd, off_t size)
{
	return ftruncate(fd, size) ? -errno : 0;
}

/* A memfd can change its size unless it is preserved; others have none */
static bool is_frozen(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	       truncate_to(fd, st.st_size) == -EPERM;
}

/* ---- Calls, and what they need before ---- */

static int create(void *arg)
{
	struct work *work = arg;

	work->made = luo_create(work->dev, "made");
	return work->made < 0 ? work->made : 0;
}

static int close_made(void *arg)
{
	return close(((struct work *)arg)->made) ? -errno : 0;
}

static int preserve(void *arg)
{
	struct work *work = arg;

	return luo_preserve(work->session, work->file, 0);
}

static int unpreserve(void *arg)
{
	return luo_unpreserve(((struct work *)arg)->session, 0);
}

static int announce(void *arg)
{
	struct work *work = arg;

	return luo_announce(work->session, work->file, 0);
}

/* All kinds, the FLBs among what they bring along */
static int preserve_nine(void *arg)
{
	struct work *work = arg;
	static int (* const makes[])(void) = {
		make_small, make_mock, make_empty,
	};
	int err = 0;

	for (int i = 0; i < 9 && !err; i++) {
		int fd = makes[i % ARRAY_SIZE(makes)]();

		err = luo_preserve(work->session, fd, i + 1);
		close(fd);
	}
	return err;
}

/* Two more files go with the one that it is about */
static int extra[2];

static int make_extra(void *arg)
{
	extra[0] = make_mock();
	extra[1] = make_small();
	return extra[0] < 0 || extra[1] < 0 ? -EIO : 0;
}

static int close_extra(void *arg)
{
	return close(extra[0]) || close(extra[1]) ? -errno : 0;
}

static int unpreserve_first(int session, unsigned int count)
{
	int err = 0;

	for (unsigned int i = 0; i < count && !err; i++)
		err = luo_unpreserve(session, i);
	return err;
}

/* What came through when some did not is given back, for the sake of the sweep */
static int preserve_fds(void *arg)
{
	struct work *work = arg;
	struct liveupdate_session_fd entries[] = {
		{ .fd = work->file, .token = 0 },
		{ .fd = extra[0], .token = 1 },
		{ .fd = extra[1], .token = 2 },
	};
	struct liveupdate_session_fds fds;
	int err = luo_preserve_fds(work->session, entries, ARRAY_SIZE(entries),
				   &fds);

	if (err)
		return err;
	if (!luo_has_files(work->session, fds.done))
		return -EBADE;
	if (fds.done == ARRAY_SIZE(entries))
		return -(int)fds.error;
	return unpreserve_first(work->session, fds.done) ?: -(int)fds.error;
}

static int unpreserve_fds(void *arg)
{
	return unpreserve_first(((struct work *)arg)->session, 3);
}

static int nine_and_one(void *arg)
{
	return preserve_nine(arg) ?: preserve(arg);
}

static int create_with_nine(void *arg)
{
	struct work *work = arg;
	int err = create(work);

	return err ?: preserve_nine(&(struct work){ .session = work->made });
}

static int prepare(void *arg)
{
	return luo_event(((struct work *)arg)->dev, LIVEUPDATE_EVENT_PREPARE);
}

static int cancel(void *arg)
{
	return luo_event(((struct work *)arg)->dev, LIVEUPDATE_EVENT_CANCEL);
}

static int prepare_with_nine(void *arg)
{
	return preserve_nine(arg) ?: prepare(arg);
}

static int get_info(void *arg)
{
	struct liveupdate_ioctl_get_info info;

	return luo_info(((struct work *)arg)->dev, &info);
}

static int get_name(void *arg)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];

	return luo_get_name(((struct work *)arg)->session, name);
}

static int get_session_info(void *arg)
{
	struct liveupdate_session_get_info info = { .size = sizeof(info) };

	return luo_ioctl(((struct work *)arg)->session,
			 LIVEUPDATE_SESSION_GET_INFO, &info);
}

static int next_session(void *arg)
{
	struct liveupdate_ioctl_next_session next = { .size = sizeof(next) };

	return luo_ioctl(((struct work *)arg)->dev,
			 LIVEUPDATE_IOCTL_NEXT_SESSION, &next);
}

/* No image is loaded: that is what is found where no memory is missing */
static int rehearse(void *arg)
{
	struct liveupdate_ioctl_rehearse result;
	int err = luo_rehearse(((struct work *)arg)->dev, &result);

	if (err)
		return err;

	return strcmp((char *)result.participant, "step image") ?
	       -(int)result.error : 0;
}

static int next_file(void *arg)
{
	struct liveupdate_session_next_file next = { .size = sizeof(next) };

	return luo_ioctl(((struct work *)arg)->session,
			 LIVEUPDATE_SESSION_NEXT_FILE, &next);
}

FIXTURE(faults) {
	struct work work;
};

/*
 * @call is swept, and undone by @undo. @file makes the file that it is about, and
 * @before what else it needs, which @after undoes. What @never fails does not do so
 * for want of memory, either. There is a session already, unless it is @alone.
 */
struct swept {
	const char *name;
	int (*file)(void);
	int (*before)(void *arg);
	int (*call)(void *arg);
	int (*undo)(void *arg);
	int (*after)(void *arg);
	bool never;
	bool alone;
};

FIXTURE_VARIANT(faults) {
	struct swept swept;
};

FIXTURE_VARIANT_ADD(faults, create_first) { .swept = {
	.name = "CREATE_SESSION, the first", .call = create,
	.undo = close_made, .alone = true,
} };

FIXTURE_VARIANT_ADD(faults, create_session) { .swept = {
	.name = "CREATE_SESSION", .call = create,
	.undo = close_made,
} };

FIXTURE_VARIANT_ADD(faults, preserve_small) { .swept = {
	.name = "PRESERVE_FD of a page", .file = make_small,
	.call = preserve, .undo = unpreserve,
} };

FIXTURE_VARIANT_ADD(faults, preserve_medium) { .swept = {
	.name = "PRESERVE_FD of 2 MiB", .file = make_medium,
	.call = preserve, .undo = unpreserve,
} };

FIXTURE_VARIANT_ADD(faults, preserve_empty) { .swept = {
	.name = "PRESERVE_FD of nothing", .file = make_empty,
	.call = preserve, .undo = unpreserve,
} };

FIXTURE_VARIANT_ADD(faults, preserve_scattered) { .swept = {
	.name = "PRESERVE_FD of 300 extents",
	.file = make_scattered, .call = preserve, .undo = unpreserve,
} };

FIXTURE_VARIANT_ADD(faults, preserve_sparse) { .swept = {
	.name = "PRESERVE_FD of 8 PiB with three pages",
	.file = make_sparse, .call = preserve, .undo = unpreserve,
} };

FIXTURE_VARIANT_ADD(faults, preserve_large_folios) { .swept = {
	.name = "PRESERVE_FD of large folios",
	.file = make_large_folios, .call = preserve, .undo = unpreserve,
} };

FIXTURE_VARIANT_ADD(faults, preserve_mock) { .swept = {
	.name = "PRESERVE_FD with two FLBs", .file = make_mock,
	.call = preserve, .undo = unpreserve,
} };

FIXTURE_VARIANT_ADD(faults, preserve_tenth) { .swept = {
	.name = "PRESERVE_FD of a tenth file", .file = make_small,
	.before = preserve_nine, .call = preserve, .undo = unpreserve,
} };

FIXTURE_VARIANT_ADD(faults, preserve_tenth_mock) { .swept = {
	.name = "PRESERVE_FD of a tenth file, with FLBs",
	.file = make_mock, .before = preserve_nine, .call = preserve,
	.undo = unpreserve,
} };

FIXTURE_VARIANT_ADD(faults, announce) { .swept = {
	.name = "ANNOUNCE_FD", .file = make_medium,
	.call = announce, .undo = unpreserve,
} };

FIXTURE_VARIANT_ADD(faults, preserve_fds) { .swept = {
	.name = "PRESERVE_FDS of three", .file = make_medium,
	.before = make_extra, .call = preserve_fds, .undo = unpreserve_fds,
	.after = close_extra,
} };

FIXTURE_VARIANT_ADD(faults, unpreserve) { .swept = {
	.name = "UNPRESERVE_FD", .file = make_medium,
	.before = nine_and_one, .call = unpreserve, .undo = preserve,
	.never = true,
} };

FIXTURE_VARIANT_ADD(faults, unpreserve_mock) { .swept = {
	.name = "UNPRESERVE_FD with two FLBs", .file = make_mock,
	.before = preserve, .call = unpreserve, .undo = preserve, .never = true,
} };

FIXTURE_VARIANT_ADD(faults, close) { .swept = {
	.name = "close of ten files", .before = create_with_nine,
	.call = close_made, .undo = create_with_nine,
	.after = close_made, .never = true,
} };

FIXTURE_VARIANT_ADD(faults, prepare) { .swept = {
	.name = "SET_EVENT(PREPARE)", .before = preserve_nine,
	.call = prepare, .undo = cancel,
} };

FIXTURE_VARIANT_ADD(faults, cancel) { .swept = {
	.name = "SET_EVENT(CANCEL)", .before = prepare_with_nine,
	.call = cancel, .undo = prepare, .after = cancel, .never = true,
} };

FIXTURE_VARIANT_ADD(faults, get_info) { .swept = {
	.name = "GET_INFO", .call = get_info, .never = true,
} };

FIXTURE_VARIANT_ADD(faults, get_name) { .swept = {
	.name = "GET_NAME", .call = get_name, .never = true,
} };

FIXTURE_VARIANT_ADD(faults, get_session_info) { .swept = {
	.name = "GET_INFO of a session",
	.before = preserve_nine, .call = get_session_info, .never = true,
} };

FIXTURE_VARIANT_ADD(faults, next_session) { .swept = {
	.name = "NEXT_SESSION", .call = next_session, .never = true,
} };

FIXTURE_VARIANT_ADD(faults, rehearse) { .swept = {
	.name = "REHEARSE", .before = preserve_nine, .call = rehearse,
} };

FIXTURE_VARIANT_ADD(faults, next_file) { .swept = {
	.name = "NEXT_FILE", .before = preserve_nine,
	.call = next_file, .never = true,
} };

FIXTURE_SETUP(faults)
{
	ASSERT_EQ(0, setup_system());
	ASSERT_EQ(0, fault_setup());
	ASSERT_EQ(0, fault_arm(0));
	ASSERT_EQ(0, mock_load(""));
	ASSERT_EQ(0, stay_on_cpu(0));
	if (memcg_exists()) {
		ASSERT_EQ(0, memcg_create(MEMCG, "max"));
		ASSERT_EQ(0, memcg_enter(MEMCG));
	}
	self->work.dev = luo_open();
	ASSERT_LE(0, self->work.dev);
}

FIXTURE_TEARDOWN(faults)
{
	close(self->work.dev);
	if (memcg_exists())
		ASSERT_EQ(0, memcg_enter("."));
	/* No file, no FLB and no lookup of a handler holds it any more */
	ASSERT_EQ(0, mock_unload());
}

/* What is made anew each time: a session, a file, and what the call needs */
static void begin(struct __test_metadata *_metadata, struct work *work,
		  const struct swept *swept)
{
	work->session = swept->alone ? -1 : luo_create(work->dev, "swept");
	ASSERT_TRUE(swept->alone || work->session >= 0);
	work->file = swept->file ? swept->file() : -1;
	ASSERT_TRUE(!swept->file || work->file >= 0);
	work->made = -1;
	if (swept->before)
		ASSERT_EQ(0, swept->before(work));
}

static void end(struct work *work, const struct swept *swept)
{
	if (swept->after)
		swept->after(work);
	if (work->file >= 0)
		close(work->file);
	if (work->session >= 0)
		close(work->session);
}

static void check_unchanged(struct __test_metadata *_metadata,
			    const struct work *work,
			    const struct census *before)
{
	const char *what;
	struct census now;

	ASSERT_EQ(0, census_take(work->dev, &now));
	what = census_differs(before, &now);
	ASSERT_EQ(NULL, what)
		TH_LOG("not as before: %s", what);
}

/* The call with its @nth allocation failing, and again if that made it fail */
static int try_one(struct __test_metadata *_metadata, struct work *work,
		   const struct swept *swept, unsigned int nth,
		   unsigned int *failed)
{
	struct census before;
	bool frozen = is_frozen(work->file);
	int hit, err;

	ASSERT_EQ(0, census_take(work->dev, &before));
	hit = fault_try(nth, swept->call, work, &err);
	ASSERT_LE(0, hit);
	if (err) {
		ASSERT_EQ(1, hit);
		ASSERT_FALSE(swept->never);
		ASSERT_EQ(-ENOMEM, err)
			TH_LOG("allocation %u", nth);
		ASSERT_EQ(frozen, is_frozen(work->file));
		check_unchanged(_metadata, work, &before);
		ASSERT_EQ(0, swept->call(work));
		(*failed)++;
	}
	if (swept->undo) {
		ASSERT_EQ(0, swept->undo(work));
		check_unchanged(_metadata, work, &before);
	}
	return hit;
}

/*
 * The call with so much memory and no more. Where an allocation is tried twice, or
 * there is something to fall back to, one failure alone does not show what comes of
 * it. True if the call works.
 */
static bool try_with(struct __test_metadata *_metadata, struct work *work,
		     const struct swept *swept,
		     int (*exhaust)(unsigned long space), unsigned long space)
{
	struct census before;
	int err;

	begin(_metadata, work, swept);
	ASSERT_EQ(0, census_take(work->dev, &before));
	ASSERT_EQ(0, exhaust(space));
	err = swept->call(work);
	ASSERT_EQ(0, fault_relieve());
	if (err) {
		ASSERT_FALSE(swept->never);
		ASSERT_EQ(-ENOMEM, err)
			TH_LOG("with %lu", space);
		check_unchanged(_metadata, work, &before);
		ASSERT_EQ(0, swept->call(work));
	}
	if (swept->undo) {
		ASSERT_EQ(0, swept->undo(work));
		check_unchanged(_metadata, work, &before);
	}
	end(work, swept);
	return !err;
}

/* More than any call here takes of slab, and objects are larger than a step */
#define EXHAUST_MAX	(64 * KIB)
#define EXHAUST_STEP	96

static void exhaust(struct __test_metadata *_metadata, struct work *work,
		    const struct swept *swept)
{
	unsigned long space = 0;

	while (!try_with(_metadata, work, swept, fault_exhaust_slab, space)) {
		space += EXHAUST_STEP;
		ASSERT_GT(EXHAUST_MAX, space);
	}
	for (space = 0; !try_with(_metadata, work, swept,
				  fault_exhaust_pages, space); space++)
		ASSERT_GT(SWEEP_MAX, space);
}

static unsigned int sweep(struct __test_metadata *_metadata, struct work *work,
			  const struct swept *swept,
			  unsigned int *failed)
{
	unsigned int nth = 0;
	int hit;

	*failed = 0;
	do {
		ASSERT_GT(SWEEP_MAX, ++nth);
		begin(_metadata, work, swept);
		hit = try_one(_metadata, work, swept, nth, failed);
		end(work, swept);
	} while (hit);
	return nth - 1;
}

/* What there is: bytes of slab that the calls were charged for, and free memory */
struct held {
	long slab;
	long free_kib;
};

/* Objects go a grace period after the call */
static struct held held_now(void)
{
	struct held held;

	usleep(200 * 1000 * slower());
	/* It lets caches give up what they keep, so it comes first */
	held.free_kib = memory_free_kib();
	held.slab = memcg_stat(MEMCG, "slab_unreclaimable");
	return held;
}

/*
 * Each of two CPUs keeps up to a page of what it has to charge or to give back for
 * itself, before and after; a leak in each sweep is more
 */
#define SLAB_NOISE	(2 * 2 * 4 * KIB)
#define FREE_NOISE_KIB	1024
#define LEAK_ROUNDS	4

/* Once more and again, so that what one failure leaves behind adds up */
static unsigned int repeat(struct __test_metadata *_metadata, struct work *work,
			   const struct swept *swept,
			   void (*fail)(struct __test_metadata *_metadata,
					struct work *work,
					const struct swept *swept))
{
	uint64_t end_ms = now_ms() + 1500;
	unsigned int passes;

	for (passes = 0; now_ms() < end_ms && passes < 100; passes++)
		fail(_metadata, work, swept);
	return passes;
}

static void sweep_again(struct __test_metadata *_metadata, struct work *work,
			const struct swept *swept)
{
	unsigned int failed;

	sweep(_metadata, work, swept, &failed);
}

static bool grows(struct __test_metadata *_metadata, struct work *work,
		  const struct swept *swept)
{
	struct held before = held_now(), now;
	unsigned int sweeps, exhausts;

	sweeps = repeat(_metadata, work, swept, sweep_again);
	exhausts = repeat(_metadata, work, swept, exhaust);
	now = held_now();
	if (now.slab - before.slab <= (long)SLAB_NOISE &&
	    before.free_kib - now.free_kib <= FREE_NOISE_KIB)
		return false;
	ksft_print_msg("%u sweeps and %u exhaustions took %ld bytes of slab, %ld KiB of memory\n",
		       sweeps, exhausts, now.slab - before.slab,
		       before.free_kib - now.free_kib);
	return true;
}

/*
 * A leak shows each time. What the kernel charges in its own time, or does
 * meanwhile for itself, does not.
 */
static void check_leaks(struct __test_metadata *_metadata, struct work *work,
			const struct swept *swept)
{
	int round = 0;

	while (round < LEAK_ROUNDS && grows(_metadata, work, swept))
		round++;
	EXPECT_GT(LEAK_ROUNDS, round);
}

TEST_F_TIMEOUT(faults, sweep, 120)
{
	const struct swept *swept = &variant->swept;
	unsigned int points, failed;

	points = sweep(_metadata, &self->work, swept, &failed);
	ksft_print_msg("%s: %u points, %u make it fail\n", swept->name,
		       points, failed);
	EXPECT_EQ(swept->never, !failed);
	exhaust(_metadata, &self->work, swept);
	check_leaks(_metadata, &self->work, swept);
}

static long memcg_current(const char *name)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/memory.current", name);
	return text_read(path, text, sizeof(text)) ? -1 : atol(text);
}

/*
 * What preserving takes is charged to who asks for it: there must be no way
 * to use up the memory of others.
 */
TEST(preserving_is_charged_to_the_caller)
{
	enum { FILES = 2000 };
	static int fds[FILES];
	long charged, used;
	int session;

	ASSERT_EQ(0, setup_system());
	if (!memcg_exists())
		SKIP(return, "no memory cgroups");
	session = luo_session_new("charged");
	ASSERT_LE(0, session);
	ASSERT_EQ(0, fd_limit(FILES + 100));
	for (int i = 0; i < FILES; i++) {
		fds[i] = memfd_filled("charged", 0, 4096, i);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, memcg_create("luo-charged", "max"));
	ASSERT_EQ(0, memcg_enter("luo-charged"));
	charged = memcg_current("luo-charged");
	used = memory_free_kib();
	for (int i = 0; i < FILES; i++)
		ASSERT_EQ(0, luo_preserve(session, fds[i], i));
	used -= memory_free_kib();
	charged = memcg_current("luo-charged") - charged;
	TH_LOG("%ld KiB of %ld KiB are charged", charged / 1024, used);
	EXPECT_LT(used / 2, charged / 1024);
	ASSERT_EQ(0, memcg_enter("."));
	close(session);
}

TEST_HARNESS_MAIN
