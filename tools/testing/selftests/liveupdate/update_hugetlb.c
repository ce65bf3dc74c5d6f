// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memfds of huge pages go through live updates. In each kernel the counters of the
 * pool have to be exact: tests run one after the other, nobody else uses it, and in
 * the next kernel each closes what it got: pages of the pool that are freed while
 * there are surplus ones, whosever, are freed in their place.
 *
 * The sets: "hugetlb" with pages of 2 MiB, "scratch" with much memory that the
 * next kernel starts in, "gigantic" with pages of 1 GiB, "giant_pool", where the next
 * kernel asks for these, too, and "nosize", where it has none of them.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "huge.h"
#include "lib/handover.h"
#include "update.h"

#define PAGE		4096UL
#define HUGE		(2 * MIB)
#define SIZE_FLAG(_shift)	((_shift) << 26)
#define POOLS		"/sys/kernel/mm/hugepages/hugepages-%lukB/%s"
#define SWEEP_MAX	500

/* ---- The pool ---- */

static long pool_number(uint64_t size, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), POOLS, size / KIB, name);
	return number_in(path);
}

void pool_resize(uint64_t size, long nr)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), POOLS, size / KIB, "nr_hugepages");
	snprintf(text, sizeof(text), "%ld", nr);
	OK(text_write(path, text));
}

struct pool pool_now(uint64_t size)
{
	return (struct pool) {
		.nr = pool_number(size, "nr_hugepages"),
		.free = pool_number(size, "free_hugepages"),
		.reserved = pool_number(size, "resv_hugepages"),
		.surplus = pool_number(size, "surplus_hugepages"),
	};
}

static void check_number(int line, const char *name, long want, long have)
{
	if (want != have)
		test_fail(__FILE__, line, "%s pages are %ld, not %ld", name,
			  have, want);
}

void check_pool(int line, uint64_t size, const struct pool *before,
		const struct pool *change)
{
	struct pool now = pool_now(size);

	check_number(line, "all", before->nr + change->nr, now.nr);
	check_number(line, "free", before->free + change->free, now.free);
	check_number(line, "reserved", before->reserved + change->reserved,
		     now.reserved);
	check_number(line, "surplus", before->surplus + change->surplus,
		     now.surplus);
}

/*
 * Claim a session where the pool waits for no pages, as there are as many as were asked
 * for: pages that come are on top of it then. See update_pool.c for pools that wait.
 */
static int claim(struct note *note, const char *suffix, uint64_t size)
{
	struct pool now = pool_now(size);

	pool_resize(size, now.nr - now.surplus);
	return session_claim(note, suffix);
}

static int huge_claim(struct note *note)
{
	return claim(note, "", HUGE);
}

/*
 * So much memory more is free than it was. Where struct pages of huge pages are
 * freed, the kernel gives back the pages themselves a little later.
 */
static void check_freed(long before, long kib)
{
	for (int i = 0; i < 50; i++) {
		if (memory_free_kib() >= before + kib - kib / 16)
			break;
		usleep(100000);
	}
	CHECK_BETWEEN(before + kib - kib / 16, memory_free_kib(),
		      before + kib + kib / 16);
}

/* ---- Files ---- */

int huge_memfd(unsigned int flags, uint64_t size)
{
	int fd = SYS(memfd_create("huge", MFD_HUGETLB | SIZE_FLAG(21) | flags));

	SYS(ftruncate(fd, size));
	return fd;
}

char *huge_map(int fd, uint64_t page_size, uint64_t index)
{
	void *map = mmap(NULL, page_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE, fd, index * page_size);

	CHECK(map != MAP_FAILED);
	return map;
}

static void fill_page(int fd, uint64_t index, uint64_t seed)
{
	char *map = huge_map(fd, HUGE, index);

	content_generate(map, index * HUGE, HUGE, seed);
	munmap(map, HUGE);
}

int huge_filled(unsigned int flags, uint64_t pages, uint64_t seed)
{
	int fd = huge_memfd(flags, pages * HUGE);

	for (uint64_t i = 0; i < pages; i++)
		fill_page(fd, i, seed);
	return fd;
}

static uint64_t blocks_of(int fd)
{
	struct stat st;

	SYS(fstat(fd, &st));
	return st.st_blocks * 512UL;
}

/* ---- Shapes ---- */

struct shape {
	int (*make)(void);
	void (*change)(int fd);
};

static void shape_before(struct note *note)
{
	const struct shape *shape = test_data();
	int session = session_new(note, "");
	int fd = shape->make();
	struct pool before = pool_now(HUGE);

	OK(luo_preserve(session, fd, 1));
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
	if (shape->change)
		shape->change(fd);
	snapshot_take(fd, (struct snapshot *)note->value);
}

static void shape_after(struct note *note)
{
	const struct snapshot *want = (struct snapshot *)note->value;
	struct pool before = pool_now(HUGE);
	int session = huge_claim(note);
	int fd = OK(luo_restore(session, 1));
	long pages = want->blocks * 512 / HUGE;
	struct snapshot have;

	CHECK_POOL(HUGE, &before, pages, 0, 0, pages);
	snapshot_take(fd, &have);
	snapshot_compare(want, &have);
	OK(luo_finish(session));
	close(session);
	snapshot_take(fd, &have);
	snapshot_compare(want, &have);
	close(fd);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

#define SHAPE(_name, _make, _change)					\
	UPDATE_TEST(hugetlb, huge_##_name,				\
		    .stage = { shape_before, shape_after },		\
		    .data = &(const struct shape){ _make, _change })

static int make_empty(void)
{
	return huge_memfd(0, 0);
}

static int make_all_hole(void)
{
	return huge_memfd(0, 9 * HUGE);
}

static int make_dense(void)
{
	return huge_filled(0, 3, 1);
}

static int make_sparse(void)
{
	int fd = huge_memfd(0, 9 * HUGE);

	fill_page(fd, 1, 2);
	fill_page(fd, 4, 3);
	fill_page(fd, 5, 4);
	return fd;
}

/* fallocate() can leave a size that is no multiple of the page's */
static int make_unaligned(void)
{
	int fd = huge_memfd(0, 0);

	SYS(fallocate(fd, 0, 0, HUGE + 12345));
	fill_page(fd, 0, 5);
	return fd;
}

static int make_terabytes(void)
{
	int fd = huge_memfd(0, 64 * TIB);

	fill_page(fd, 0, 6);
	SYS(ftruncate(fd, 4 * HUGE));
	fill_page(fd, 3, 6);
	return fd;
}

static int make_dressed(void)
{
	int fd = huge_filled(0, 1, 7);

	SYS(fchmod(fd, 0640));
	SYS(fchown(fd, 12, 34));
	SYS(lseek(fd, 4711, SEEK_SET));
	SYS(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND));
	return fd;
}

static int make_read_only(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", huge_filled(0, 1, 8));
	return SYS(open(path, O_RDONLY | O_CLOEXEC));
}

static int make_sealed(unsigned int flags, int seals)
{
	int fd = huge_filled(flags | MFD_ALLOW_SEALING, 1, 9);

	SYS(fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

static int make_sealed_size(void)
{
	return make_sealed(0, F_SEAL_SHRINK | F_SEAL_GROW);
}

static int make_sealed_write(void)
{
	return make_sealed(0, F_SEAL_WRITE);
}

static int make_sealed_future_write(void)
{
	return make_sealed(0, F_SEAL_FUTURE_WRITE);
}

static int make_sealed_all(void)
{
	return make_sealed(MFD_NOEXEC_SEAL, F_SEAL_SEAL | F_SEAL_SHRINK |
					    F_SEAL_GROW | F_SEAL_WRITE);
}

/* Hugetlbfs lets the mode change, whatever the seals */
static int make_executable_again(void)
{
	int fd = huge_filled(MFD_NOEXEC_SEAL, 1, 10);

	SYS(fchmod(fd, 0755));
	CHECK_EQ(F_SEAL_EXEC, SYS(fcntl(fd, F_GET_SEALS)));
	return fd;
}

/* Filled, and written to, when it is preserved already */
static void change_late(int fd)
{
	fill_page(fd, 0, 100);
	fill_page(fd, 4, 101);
	fill_page(fd, 8, 102);
}

SHAPE(empty, make_empty, NULL);
SHAPE(all_hole, make_all_hole, NULL);
SHAPE(dense, make_dense, NULL);
SHAPE(sparse, make_sparse, NULL);
SHAPE(unaligned_size, make_unaligned, NULL);
SHAPE(shrunk, make_terabytes, NULL);
SHAPE(attributes, make_dressed, NULL);
SHAPE(read_only, make_read_only, NULL);
SHAPE(sealed_size, make_sealed_size, NULL);
SHAPE(sealed_write, make_sealed_write, NULL);
SHAPE(sealed_future_write, make_sealed_future_write, NULL);
SHAPE(sealed_all, make_sealed_all, NULL);
SHAPE(executable_again, make_executable_again, NULL);
SHAPE(filled_late, make_sparse, change_late);
SHAPE(filled_only_late, make_all_hole, change_late);

/* The same against what was written, and then it is a file like any other */
static void content_before(struct note *note)
{
	OK(luo_preserve(session_new(note, ""), huge_filled(0, 3, 42), 1));
}

static void content_after(struct note *note)
{
	int session = huge_claim(note);
	int fd = OK(luo_restore(session, 1));
	struct pool before = pool_now(HUGE);

	OK(content_check(fd, 0, 3 * HUGE, 42));
	SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HUGE,
		      HUGE));
	CHECK_POOL(HUGE, &before, -1, 0, 0, -1);
	SYS(ftruncate(fd, 4 * HUGE));
	fill_page(fd, 3, 43);
	CHECK_POOL(HUGE, &before, -1, -1, 0, -1);
	OK(content_check(fd, 0, HUGE, 42));
	OK(content_check_zero(fd, HUGE, HUGE));
	OK(content_check(fd, 2 * HUGE, HUGE, 42));
	OK(content_check(fd, 3 * HUGE, HUGE, 43));
	OK(luo_finish(session));
	close(fd);
}

UPDATE_TEST(hugetlb, huge_content, .stage = { content_before, content_after });

/* ---- What may not be done meanwhile ---- */

static void check_refused(int fd, uint64_t size, int want)
{
	CHECK_EQ(want ? -1 : 0, fallocate(fd, FALLOC_FL_PUNCH_HOLE |
					  FALLOC_FL_KEEP_SIZE, 0, HUGE));
	CHECK(!want || errno == want);
	CHECK_EQ(want ? -1 : 0, fallocate(fd, 0, 0, HUGE));
	CHECK(!want || errno == want);
	CHECK_EQ(want ? -1 : 0, ftruncate(fd, size + HUGE));
	CHECK(!want || errno == want);
	CHECK_EQ(want ? -1 : 0, ftruncate(fd, size - HUGE));
	CHECK(!want || errno == want);
}

static void check_growing(int fd, uint64_t size, int want)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE, fd, 0);

	CHECK_EQ(want, map == MAP_FAILED ? errno : 0);
	if (map != MAP_FAILED)
		munmap(map, size);
}

static void frozen_before(struct note *note)
{
	int session = session_new(note, "");
	struct pool before = pool_now(HUGE);
	long preserved = kho_preserved_pages();
	int fd = huge_filled(0, 2, 11);

	OK(luo_preserve(session, fd, 1));
	CHECK_POOL(HUGE, &before, 0, -2, 0, 0);
	CHECK_BETWEEN(preserved + 2 * 512, kho_preserved_pages(),
		      preserved + 2 * 512 + 16);
	check_refused(fd, 2 * HUGE, EPERM);
	check_growing(fd, 3 * HUGE, EPERM);
	check_growing(fd, 2 * HUGE, 0);
	OK(content_check(fd, 0, 2 * HUGE, 11));
	OK(luo_unpreserve(session, 1));
	CHECK_EQ(preserved, kho_preserved_pages());
	check_growing(fd, 3 * HUGE, 0);
	check_refused(fd, 3 * HUGE, 0);
	close(fd);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_refuses_changes, .stage = { frozen_before });

#define ALLOCATORS	4

/* Has the inode's lock nearly all the time, to clear pages */
static void allocate_for_ever(int fd)
{
	for (;;) {
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HUGE,
			  3 * HUGE);
		fallocate(fd, 0, 0, 4 * HUGE);
	}
}

static void allocators_before(struct note *note)
{
	int session = session_new(note, "");
	struct pool before = pool_now(HUGE);
	int fd = huge_filled(0, 4, 12);
	pid_t pids[ALLOCATORS];

	for (int i = 0; i < ALLOCATORS; i++) {
		pids[i] = SYS(fork());
		if (!pids[i])
			allocate_for_ever(fd);
	}
	usleep(500000);
	for (int i = 0; i < 10; i++) {
		OK(luo_preserve(session, fd, 1));
		OK(luo_unpreserve(session, 1));
	}
	for (int i = 0; i < ALLOCATORS; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < ALLOCATORS; i++)
		SYS(waitpid(pids[i], NULL, 0));
	OK(content_check(fd, 0, HUGE, 12));
	close(fd);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_allocators_keep_nobody, .stage = { allocators_before });

/* Frozen, it can be written to, but who touches a hole waits, until killed */

static void holes_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = make_sparse();

	OK(luo_preserve(session, fd, 1));
	note->value[0] = getpid();
	note->value[1] = fd;
}

static pid_t touch_hole(int fd)
{
	pid_t pid = SYS(fork());

	if (pid)
		return pid;
	*huge_map(fd, HUGE, 0) = 1;
	_exit(0);
}

static void holes_frozen(struct note *note)
{
	char path[64];
	int fd, status;
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)note->value[0],
		 (int)note->value[1]);
	fd = SYS(open(path, O_RDWR | O_CLOEXEC));
	fill_page(fd, 4, 201);
	pid = touch_hole(fd);
	usleep(500000 * slower());
	CHECK_EQ(0, SYS(waitpid(pid, &status, WNOHANG)));
	SYS(kill(pid, SIGKILL));
	SYS(waitpid(pid, &status, 0));
	CHECK(WIFSIGNALED(status));
	note->value[2] = blocks_of(fd);
}

static void holes_after(struct note *note)
{
	int session = huge_claim(note);
	int fd = OK(luo_restore(session, 1));

	CHECK_EQ(3 * HUGE, note->value[2]);
	CHECK_EQ(3 * HUGE, blocks_of(fd));
	OK(content_check_zero(fd, 0, HUGE));
	OK(content_check(fd, HUGE, HUGE, 2));
	OK(content_check(fd, 4 * HUGE, HUGE, 201));
	OK(content_check(fd, 5 * HUGE, HUGE, 4));
	OK(luo_finish(session));
	close(fd);
}

UPDATE_TEST(hugetlb, huge_holes_are_frozen, .frozen = holes_frozen,
	    .stage = { holes_before, holes_after });

/* Files of hugetlbfs that have a name, or had one, are no memfds */
static void named_before(struct note *note)
{
	int session = session_new(note, "");
	char dir[] = "/tmp/huge.XXXXXX", path[64];
	int fd;

	CHECK(mkdtemp(dir));
	SYS(mount("none", dir, "hugetlbfs", 0, NULL));
	snprintf(path, sizeof(path), "%s/memfd:file", dir);
	fd = SYS(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	CHECK_EQ(-EOPNOTSUPP, luo_preserve(session, fd, 1));
	SYS(unlink(path));
	CHECK_EQ(-EOPNOTSUPP, luo_preserve(session, fd, 1));
	fd = SYS(open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
	CHECK_EQ(-EOPNOTSUPP, luo_preserve(session, fd, 1));
	SYS(umount2(dir, MNT_DETACH));
}

UPDATE_TEST(hugetlb, huge_named_file_is_refused, .stage = { named_before });

/* ---- Reservations ---- */

#define RESERVED	6

/* Six pages are reserved, from the second on; two of them are filled */
static int make_reserved(void)
{
	int fd = huge_memfd(0, 8 * HUGE);
	struct pool before = pool_now(HUGE);
	void *map = mmap(NULL, RESERVED * HUGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED, fd, HUGE);

	CHECK(map != MAP_FAILED);
	munmap(map, RESERVED * HUGE);
	CHECK_POOL(HUGE, &before, 0, 0, RESERVED, 0);
	fill_page(fd, 2, 21);
	fill_page(fd, 3, 21);
	CHECK_POOL(HUGE, &before, 0, -2, RESERVED - 2, 0);
	return fd;
}

static void reserved_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = make_reserved();

	OK(luo_preserve(session, fd, 1));
	fill_page(fd, 5, 21);
}

/* @fd is one of so many @files of this kind, and there are no others */
static void check_reserved_of(int fd, const struct pool *before, int files)
{
	long reserved = files * (RESERVED - 3);

	CHECK_POOL(HUGE, before, 3 * files, 0, reserved, 3 * files);
	OK(content_check(fd, 2 * HUGE, 2 * HUGE, 21));
	OK(content_check(fd, 5 * HUGE, HUGE, 21));
	/* What is reserved is taken, and what is not, is not */
	fill_page(fd, 6, 22);
	CHECK_POOL(HUGE, before, 3 * files, -1, reserved - 1, 3 * files);
	fill_page(fd, 7, 22);
	CHECK_POOL(HUGE, before, 3 * files, -2, reserved - 1, 3 * files);
}

static void check_reserved(int fd, const struct pool *before)
{
	check_reserved_of(fd, before, 1);
}

static void reserved_after(struct note *note)
{
	int session = huge_claim(note);
	struct pool before = pool_now(HUGE);
	int fd = OK(luo_restore(session, 1));

	check_reserved(fd, &before);
	OK(luo_finish(session));
	close(fd);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_reserved,
	    .stage = { reserved_before, reserved_after });

/* With so few free pages, the file cannot be retrieved, and the pool stays as it is */
static void check_too_small(int session, const struct pool *before, long free)
{
	struct pool small;

	pool_resize(HUGE, before->nr - before->free + free);
	small = pool_now(HUGE);
	CHECK_EQ(free, small.free);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(-ENOMEM, luo_restore(session, 1));
		CHECK_POOL(HUGE, &small, 0, 0, 0, 0);
	}
	pool_resize(HUGE, before->nr);
	CHECK_POOL(HUGE, before, 0, 0, 0, 0);
}

/* With a pool that is too small, the file waits until it is larger */
static void waiting_after(struct note *note)
{
	int session = huge_claim(note);
	struct pool before = pool_now(HUGE);
	int fd;

	check_too_small(session, &before, RESERVED - 4);
	fd = OK(luo_restore(session, 1));
	check_reserved(fd, &before);
	OK(luo_finish(session));
	close(fd);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_reserved_waits,
	    .stage = { reserved_before, waiting_after });

static void reserve(int fd, unsigned int from, unsigned int nr)
{
	void *map = mmap(NULL, nr * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, from * HUGE);

	CHECK(map != MAP_FAILED);
	munmap(map, nr * HUGE);
}

static void two_regions_before(struct note *note)
{
	int fd = huge_memfd(0, 32 * HUGE);

	reserve(fd, 1, 10);
	reserve(fd, 16, 8);
	for (int i = 1; i <= 4; i++)
		fill_page(fd, i, 31);
	OK(luo_preserve(session_new(note, ""), fd, 1));
}

/* There is room for the first one: to give that back must not take from the pool */
static void two_regions_after(struct note *note)
{
	int session = huge_claim(note), fd;
	struct pool before = pool_now(HUGE);

	check_too_small(session, &before, 10);
	fd = OK(luo_restore(session, 1));
	CHECK_POOL(HUGE, &before, 4, 0, 6 + 8, 4);
	OK(content_check(fd, HUGE, 4 * HUGE, 31));
	OK(luo_finish(session));
	close(fd);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_two_regions_wait,
	    .stage = { two_regions_before, two_regions_after });

/* In the set whose jumps are refused until nothing is left to fail */
static void refused_before(struct note *note)
{
	pool_resize(HUGE, 8);
	reserved_before(note);
}

static void refused_after(struct note *note)
{
	pool_resize(HUGE, 8);
	reserved_after(note);
}

UPDATE_TEST(refused, refused_huge_memfd,
	    .stage = { refused_before, refused_after });

/* ---- The pool of the next kernel ---- */

static void three_before(struct note *note)
{
	OK(luo_preserve(session_new(note, ""), huge_filled(0, 3, 31), 1));
}

/* The administrator takes over what came */
static void raised_after(struct note *note)
{
	int session = huge_claim(note);
	struct pool before = pool_now(HUGE);
	int fd = OK(luo_restore(session, 1));

	CHECK_POOL(HUGE, &before, 3, 0, 0, 3);
	pool_resize(HUGE, before.nr + 3);
	CHECK_POOL(HUGE, &before, 3, 0, 0, 0);
	OK(content_check(fd, 0, 3 * HUGE, 31));
	OK(luo_finish(session));
	close(session);
	close(fd);
	CHECK_POOL(HUGE, &before, 3, 3, 0, 0);
	pool_resize(HUGE, before.nr);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_pool_raised, .stage = { three_before, raised_after });

/* Nobody asks for it: the pool never sees it, and its memory is free again */
static void unasked_before(struct note *note)
{
	OK(luo_preserve(session_new(note, ""), huge_filled(0, 16, 32), 1));
}

static void unasked_after(struct note *note)
{
	int session = huge_claim(note);
	struct pool before = pool_now(HUGE);
	long free = memory_free_kib();

	OK(luo_finish(session));
	check_freed(free, 16 * 2048);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_finished_unasked,
	    .stage = { unasked_before, unasked_after });

static void hugetlb_total_after(struct note *note)
{
	int session = huge_claim(note);
	long huge = meminfo_kib("Hugetlb"), free = memory_free_kib();
	int fd = OK(luo_restore(session, 1));

	CHECK_EQ(huge + 16 * 2048, meminfo_kib("Hugetlb"));
	OK(luo_finish(session));
	close(session);
	close(fd);
	CHECK_EQ(huge, meminfo_kib("Hugetlb"));
	check_freed(free, 16 * 2048);
}

UPDATE_TEST(hugetlb, huge_meminfo,
	    .stage = { unasked_before, hugetlb_total_after });

/* ---- Memory that the next kernel starts in ---- */

static uint64_t huge_phys(void *address)
{
	SYS(madvise(address, HUGE, MADV_POPULATE_READ));
	return pfn_of(address) * PAGE;
}

static bool overlaps_scratch(uint64_t phys, uint64_t size)
{
	char starts[512], sizes[512], *start = starts, *len = sizes;

	OK(text_read("/sys/kernel/debug/kho/out/scratch_phys", starts,
		     sizeof(starts)));
	OK(text_read("/sys/kernel/debug/kho/out/scratch_len", sizes,
		     sizeof(sizes)));
	while (*start && *len) {
		uint64_t from = strtoull(start, &start, 16);
		uint64_t bytes = strtoull(len, &len, 16);

		if (phys < from + bytes && phys + size > from)
			return true;
		start += strspn(start, "\n");
		len += strspn(len, "\n");
	}
	return false;
}

static unsigned int pages_in_scratch(int fd, unsigned int pages)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < pages; i++) {
		char *map = huge_map(fd, HUGE, i);

		found += overlaps_scratch(huge_phys(map), HUGE);
		munmap(map, HUGE);
	}
	return found;
}

/* So many that the kernel takes memory that it would leave free otherwise */
static unsigned int take_pages(int *fd)
{
	unsigned int pages;

	while (meminfo_kib("MemFree") > 256 * 1024)
		pool_resize(HUGE, pool_now(HUGE).nr + 16);
	pages = pool_now(HUGE).free;
	*fd = huge_memfd(0, pages * HUGE);
	for (unsigned int i = 0; i < pages; i++) {
		char *map = huge_map(*fd, HUGE, i);

		*map = 1;
		munmap(map, HUGE);
	}
	return pages;
}

/* A pipe holds on to a page that has to move */
static void hold_in_scratch(int fd, unsigned int pages, const int *ends)
{
	struct iovec iov = { .iov_len = PAGE };
	unsigned int i = 0;
	bool bad;

	do {
		CHECK(i < pages);
		iov.iov_base = huge_map(fd, HUGE, i++);
		bad = overlaps_scratch(huge_phys(iov.iov_base), HUGE);
		if (bad)
			CHECK_EQ(PAGE, SYS(vmsplice(ends[1], &iov, 1, 0)));
		munmap(iov.iov_base, HUGE);
	} while (!bad);
}

static void check_in_use(int session, int fd, unsigned int pages)
{
	uint64_t start = now_ms();
	char page[PAGE];
	int ends[2];

	SYS(pipe(ends));
	hold_in_scratch(fd, pages, ends);
	CHECK_EQ(-EBUSY, luo_preserve(session, fd, 1));
	CHECK_BETWEEN(900, now_ms() - start, 20000UL * slower());
	CHECK(luo_has_files(session, 0));
	CHECK_EQ(PAGE, SYS(read(ends[0], page, PAGE)));
	close(ends[0]);
	close(ends[1]);
}

static void punch(int fd, unsigned int page)
{
	SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      page * HUGE, HUGE));
}

/*
 * Let some go that the next kernel does not start in: as many as are in scratch memory.
 * That can be the greater part, of which some go as well then. How many have to move.
 */
static unsigned int make_room(int fd, unsigned int pages, unsigned int bad)
{
	unsigned int moved = bad < pages - bad ? bad : pages - bad;
	bool *in_scratch = calloc(pages, sizeof(*in_scratch));
	unsigned int good = 0, kept = 0;

	CHECK(in_scratch);
	for (unsigned int i = 0; i < pages; i++) {
		char *map = huge_map(fd, HUGE, i);

		in_scratch[i] = overlaps_scratch(huge_phys(map), HUGE);
		munmap(map, HUGE);
	}
	/* From the end, as whoever looks for one in scratch comes from the beginning */
	for (unsigned int i = pages; i-- > 0;) {
		if (!in_scratch[i] && good++ < moved)
			punch(fd, i);
	}
	for (unsigned int i = 0; i < pages; i++) {
		if (in_scratch[i] && kept++ >= moved)
			punch(fd, i);
	}
	free(in_scratch);
	CHECK_EQ(bad, kept);
	CHECK_EQ(pages, good + kept);
	return moved;
}

/* Pinning has to move them, where to there is room; KHO warns of others */
static void scratch_before(struct note *note)
{
	long nr = pool_now(HUGE).nr;
	int session = session_new(note, "");
	unsigned int pages;
	int fd;

	pages = take_pages(&fd);
	note->value[0] = pages_in_scratch(fd, pages);
	if (!note->value[0]) {
		close(fd);
		pool_resize(HUGE, nr);
		test_skip("no huge page in scratch memory");
	}
	note->value[0] = make_room(fd, pages, note->value[0]);
	check_in_use(session, fd, pages);
	OK(luo_preserve(session, fd, 1));
	close(session);
	close(fd);
	pool_resize(HUGE, nr);
	snprintf(note->text, sizeof(note->text), "%lu of %u pages were moved",
		 (unsigned long)note->value[0], pages);
}

UPDATE_TEST(scratch, huge_leaves_scratch, .timeout = 180,
	    .stage = { scratch_before });

/* ---- Allocations that fail ---- */

/* Where a failure does not matter, the call works, and the sweep needs another copy */
#define COPIES	20

struct swept {
	int session[COPIES], fd[COPIES];
	unsigned int copy;
};

static const char *copy_name(unsigned int copy)
{
	static char name[4];

	snprintf(name, sizeof(name), "%u", copy);
	return name;
}

static int preserve_call(void *arg)
{
	struct swept *swept = arg;

	return luo_preserve(swept->session[swept->copy], swept->fd[swept->copy],
			    1);
}

static int restore_call(void *arg)
{
	struct swept *swept = arg;

	return luo_restore(swept->session[swept->copy], 1);
}

/* One call without its @nth allocation: it changes nothing, or works */
static bool try_without(struct swept *swept, unsigned int nth,
			int (*call)(void *arg), unsigned int *failures)
{
	struct pool before = pool_now(HUGE);
	long preserved = kho_preserved_pages();
	int hit, ret;

	hit = OK(fault_try(nth, call, swept, &ret));
	if (ret >= 0) {
		if (ret)
			swept->fd[swept->copy] = ret;
		swept->copy++;
		return hit;
	}
	/* hugetlbfs says ENOSPC where it finds no memory for an inode */
	CHECK(hit && (ret == -ENOMEM || ret == -ENOSPC));
	CHECK_EQ(preserved, kho_preserved_pages());
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
	(*failures)++;
	return true;
}

static void sweep(struct note *note, struct swept *swept, int (*call)(void *arg))
{
	unsigned int nth = 0, failures = 0;

	OK(fault_arm(0));
	do {
		CHECK(++nth < SWEEP_MAX);
		CHECK(swept->copy < COPIES);
	} while (try_without(swept, nth, call, &failures));
	CHECK_BETWEEN(3, failures, SWEEP_MAX);
	snprintf(note->text, sizeof(note->text), "%u points, %u make it fail",
		 nth - 1, failures);
}

static void failing_before(struct note *note)
{
	struct swept swept = {};

	for (unsigned int i = 0; i < COPIES; i++) {
		swept.session[i] = session_new(note, copy_name(i));
		swept.fd[i] = make_reserved();
	}
	sweep(note, &swept, preserve_call);
	for (; swept.copy < COPIES; swept.copy++)
		OK(preserve_call(&swept));
	for (unsigned int i = 0; i < COPIES; i++)
		fill_page(swept.fd[i], 5, 21);
}

static void failing_after(struct note *note)
{
	struct pool before = pool_now(HUGE);
	struct swept swept = {};

	for (unsigned int i = 0; i < COPIES; i++)
		swept.session[i] = claim(note, copy_name(i), HUGE);
	sweep(note, &swept, restore_call);
	for (; swept.copy < COPIES; swept.copy++)
		swept.fd[swept.copy] = OK(restore_call(&swept));
	check_reserved_of(swept.fd[0], &before, COPIES);
	for (unsigned int i = 0; i < COPIES; i++) {
		OK(content_check(swept.fd[i], 2 * HUGE, 2 * HUGE, 21));
		OK(content_check(swept.fd[i], 5 * HUGE, HUGE, 21));
		OK(luo_finish(swept.session[i]));
		close(swept.fd[i]);
	}
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_failing_allocations,
	    .stage = { failing_before, failing_after });

/* ---- Control groups ---- */

#define GROUP	"huge"
#define GROUP_FILE(_name)	"/sys/fs/cgroup/" GROUP "/" _name

static void limit_before(struct note *note)
{
	OK(luo_preserve(session_new(note, ""), huge_filled(0, 3, 51), 1));
}

/* Who retrieves is charged, and a limit that is too low loses nothing */
static void limit_after(struct note *note)
{
	int session = huge_claim(note);
	struct pool before = pool_now(HUGE);
	int fd;

	text_write("/sys/fs/cgroup/cgroup.subtree_control", "+hugetlb");
	SYS(mkdir("/sys/fs/cgroup/" GROUP, 0755));
	if (access(GROUP_FILE("hugetlb.2MB.max"), W_OK))
		test_skip("no cgroup controller of huge pages");
	OK(memcg_enter(GROUP));
	OK(text_write(GROUP_FILE("hugetlb.2MB.max"), "4194304"));
	CHECK_EQ(-ENOMEM, luo_restore(session, 1));
	CHECK_EQ(0, number_in(GROUP_FILE("hugetlb.2MB.current")));
	CHECK_EQ(0, number_in(GROUP_FILE("hugetlb.2MB.rsvd.current")));
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
	OK(text_write(GROUP_FILE("hugetlb.2MB.max"), "max"));
	fd = OK(luo_restore(session, 1));
	CHECK_EQ(3 * HUGE, number_in(GROUP_FILE("hugetlb.2MB.current")));
	CHECK_EQ(3 * HUGE, number_in(GROUP_FILE("hugetlb.2MB.rsvd.current")));
	OK(content_check(fd, 0, 3 * HUGE, 51));
	OK(luo_finish(session));
	close(fd);
	CHECK_EQ(0, number_in(GROUP_FILE("hugetlb.2MB.current")));
	CHECK_EQ(0, number_in(GROUP_FILE("hugetlb.2MB.rsvd.current")));
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_cgroup_limit, .stage = { limit_before, limit_after });

/* The memory controller counts huge pages only if it is told to */
static void memcg_after(struct note *note)
{
	int session = huge_claim(note);
	struct pool before = pool_now(HUGE);
	int fd;

	need_memcg();
	if (mount("none", "/sys/fs/cgroup", NULL, MS_REMOUNT,
		  "memory_hugetlb_accounting"))
		test_skip("the memory controller does not count huge pages");
	OK(memcg_create(GROUP "-memory", "4194304"));
	OK(memcg_enter(GROUP "-memory"));
	CHECK_EQ(-ENOMEM, luo_restore(session, 1));
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
	OK(text_write("/sys/fs/cgroup/" GROUP "-memory/memory.max", "max"));
	fd = OK(luo_restore(session, 1));
	CHECK_EQ(3 * HUGE, memcg_stat(GROUP "-memory", "hugetlb"));
	OK(content_check(fd, 0, 3 * HUGE, 51));
	OK(luo_finish(session));
	close(fd);
	CHECK_EQ(0, memcg_stat(GROUP "-memory", "hugetlb"));
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_memcg_limit, .stage = { limit_before, memcg_after });

/* ---- Memory that is broken ---- */

static void poisoned_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = huge_filled(0, 2, 61);
	char *map = huge_map(fd, HUGE, 1);

	if (page_break(map))
		test_skip("no way to make memory look broken");
	CHECK_EQ(-EHWPOISON, luo_preserve(session, fd, 1));
	SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HUGE,
		      HUGE));
	OK(luo_preserve(session, fd, 1));
}

static void poisoned_after(struct note *note)
{
	int session = huge_claim(note);
	int fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, HUGE, 61));
	OK(content_check_zero(fd, HUGE, HUGE));
	OK(luo_finish(session));
	close(fd);
}

UPDATE_TEST(hugetlb, huge_poisoned,
	    .stage = { poisoned_before, poisoned_after });

/* The small page that breaks, of the second huge one */
#define BROKEN	5

static void breaks_before(struct note *note)
{
	int fd = huge_filled(0, 3, 62);
	char *map = huge_map(fd, HUGE, 1);

	note->value[0] = huge_phys(map) / PAGE + BROKEN;
	munmap(map, HUGE);
	OK(luo_preserve(session_new(note, ""), fd, 1));
}

/* Of memory that has no user yet, the kernel says EBUSY */
static void break_preserved(uint64_t frame)
{
	char pfn[32];

	snprintf(pfn, sizeof(pfn), "%#lx", (unsigned long)frame);
	CHECK_EQ(-EBUSY, text_write("/sys/kernel/debug/hwpoison/corrupt-pfn", pfn));
}

/* Whoever reads what broke before the file was retrieved is told, and has the rest */
static void breaks_after(struct note *note)
{
	int session = huge_claim(note), fd;
	char byte;

	break_preserved(note->value[0]);
	fd = OK(luo_restore(session, 1));
	OK(content_check(fd, 0, HUGE + BROKEN * PAGE, 62));
	CHECK_EQ(-1, pread(fd, &byte, 1, HUGE + BROKEN * PAGE));
	CHECK_EQ(EIO, errno);
	OK(content_check(fd, 2 * HUGE, HUGE, 62));
	OK(luo_finish(session));
	/* Nor can it go on to another kernel, as that would not know */
	CHECK_EQ(-EHWPOISON, luo_preserve(session_new(note, "next"), fd, 1));
	close(fd);
}

UPDATE_TEST(hugetlb, huge_breaks, .stage = { breaks_before, breaks_after });

/* What nobody asks for is free memory but for the small page that broke */
static void breaks_unasked(struct note *note)
{
	int session = huge_claim(note);
	struct pool before = pool_now(HUGE);
	long free = memory_free_kib();

	break_preserved(note->value[0]);
	OK(luo_finish(session));
	check_freed(free, 3 * 2048 - 4);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_breaks_unasked,
	    .stage = { breaks_before, breaks_unasked });

/* ---- Nodes ---- */

static long node_pages(unsigned int node, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path),
		 "/sys/devices/system/node/node%u/hugepages/hugepages-2048kB/%s",
		 node, name);
	return number_in(path);
}

#define BIND	2

static void bind_to(unsigned int node)
{
	unsigned long mask = 1UL << node;

	SYS(syscall(SYS_set_mempolicy, BIND, &mask, 8 * sizeof(mask)));
}

/* A page of the first node, two of the second one */
static void nodes_before(struct note *note)
{
	int session = session_new(note, ""), fd;

	if (access("/sys/devices/system/node/node1", F_OK))
		test_skip("one node only");
	fd = huge_memfd(0, 3 * HUGE);
	for (unsigned int i = 0; i < 3; i++) {
		bind_to(!!i);
		fill_page(fd, i, 71);
	}
	OK(luo_preserve(session, fd, 1));
}

static void nodes_after(struct note *note)
{
	int session = huge_claim(note);
	long before[2], surplus[2], fd;

	for (unsigned int node = 0; node < 2; node++) {
		before[node] = node_pages(node, "nr_hugepages");
		surplus[node] = node_pages(node, "surplus_hugepages");
	}
	fd = OK(luo_restore(session, 1));
	for (unsigned int node = 0; node < 2; node++) {
		CHECK_EQ(before[node] + 1 + node,
			 node_pages(node, "nr_hugepages"));
		CHECK_EQ(surplus[node] + 1 + node,
			 node_pages(node, "surplus_hugepages"));
	}
	OK(content_check(fd, 0, 3 * HUGE, 71));
	OK(luo_finish(session));
	close(fd);
	for (unsigned int node = 0; node < 2; node++)
		CHECK_EQ(before[node], node_pages(node, "nr_hugepages"));
}

UPDATE_TEST(hugetlb, huge_nodes, .stage = { nodes_before, nodes_after });

/* ---- Damage ---- */

struct damage {
	size_t offset;	/* of a word */
	bool of_extent;	/* in the first extent, not in the file's record */
	bool of_region;
	bool add;
	uint64_t value;
};

static void damaged_before(struct note *note)
{
	int session = session_new(note, "");

	OK(luo_preserve(session, huge_filled(0, 2, 81), 1));
	OK(luo_preserve(session, huge_filled(0, 1, 82), 2));
}

static uint64_t first_record(const struct extents_ser *chain)
{
	return chain->first + sizeof(struct block_ser);
}

/* Of @count records, all in one block */
static void fix_chain(struct extents_ser *chain, uint64_t count, size_t size)
{
	unsigned char records[256];

	CHECK_BETWEEN(1, count * size, sizeof(records));
	OK(memory_read(first_record(chain), records, count * size));
	chain->crc = crc32c(0, records, count * size);
}

static void damaged_frozen(struct note *note)
{
	const struct damage *damage = test_data();
	struct hugetlb_ser ser;
	struct place place = {};
	uint64_t at, value, extents, regions;

	OK(place_find(session_name(note, ""), &place));
	OK(memory_read(place.memfd, &ser, sizeof(ser)));
	extents = ser.kept.count;
	regions = ser.regions.count;
	at = damage->of_extent ? first_record(&ser.kept) :
	     damage->of_region ? first_record(&ser.regions) : place.memfd;
	OK(memory_read(at + damage->offset, &value, sizeof(value)));
	value = damage->add ? value + damage->value : damage->value;
	OK(memory_write(at + damage->offset, &value, sizeof(value)));
	/* A kernel that only compares checksums would take it */
	OK(memory_read(place.memfd, &ser, sizeof(ser)));
	fix_chain(&ser.kept, extents, sizeof(struct hugetlb_extent_ser));
	fix_chain(&ser.regions, regions, sizeof(struct hugetlb_region_ser));
	ser.crc = crc32c(0, &ser, offsetof(struct hugetlb_ser, crc));
	OK(memory_write(place.memfd, &ser, sizeof(ser)));
}

/* Found, and of no harm to the other file, or to the pool */
static void damaged_after(struct note *note)
{
	int session = huge_claim(note), fd;
	struct pool before = pool_now(HUGE);

	CHECK_EQ(-EUCLEAN, luo_restore(session, 1));
	CHECK_EQ(-EUCLEAN, luo_restore(session, 1));
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
	fd = OK(luo_restore(session, 2));
	OK(content_check(fd, 0, HUGE, 82));
	OK(luo_finish(session));
	close(session);
	close(fd);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

#define DAMAGE(_name, ...)						\
	UPDATE_TEST(hugetlb, huge_damaged_##_name,			\
		    .stage = { damaged_before, damaged_after },		\
		    .frozen = damaged_frozen,				\
		    .data = &(const struct damage){ __VA_ARGS__ })

#define SER(_member)	.offset = offsetof(struct hugetlb_ser, _member)
#define EXTENT(_member)	.of_extent = true,				\
			.offset = offsetof(struct hugetlb_extent_ser, _member)
#define REGION(_member)	.of_region = true,				\
			.offset = offsetof(struct hugetlb_region_ser, _member)

DAMAGE(size, SER(size), .value = HUGE);
DAMAGE(huge_size, SER(size), .value = 1UL << 63);
DAMAGE(position, SER(pos), .value = -1UL);
DAMAGE(order, SER(order), .value = 8);
DAMAGE(no_order, SER(order), .value = 0);
DAMAGE(large_order, SER(order), .value = 60);
DAMAGE(kept_count, SER(kept.count), .add = true, .value = 1);
DAMAGE(late_first, SER(late.first), .value = PAGE);
DAMAGE(extent_nowhere, EXTENT(phys), .value = 0);
DAMAGE(extent_out_of_memory, EXTENT(phys), .value = 1UL << 45);
DAMAGE(extent_unaligned, EXTENT(phys), .add = true, .value = PAGE);
DAMAGE(extent_beyond, EXTENT(index), .value = 2);
DAMAGE(extent_far, EXTENT(index), .value = -1UL);
DAMAGE(extent_long, EXTENT(count), .value = 3);
DAMAGE(extent_none, EXTENT(count), .value = 0);
DAMAGE(extent_overflow, EXTENT(count), .value = -1UL);
DAMAGE(region_beyond, REGION(to), .value = 3);
DAMAGE(region_empty, REGION(from), .value = 2);
DAMAGE(region_negative, REGION(from), .value = -1UL);

/* ---- Struct pages of huge pages ---- */

#define MEMMAP_FREED	7 /* pages of them, of the eight that 2 MiB have */

static long memmap_pages(void)
{
	static char text[16384];
	const char *dynamic, *boot;

	OK(text_read("/proc/vmstat", text, sizeof(text)));
	dynamic = strstr(text, "nr_memmap_pages ");
	boot = strstr(text, "nr_memmap_boot_pages ");
	CHECK(dynamic && boot);
	return atol(strchr(dynamic, ' ')) + atol(strchr(boot, ' '));
}

/* The kernel does without most of them, also for pages that came */
static void memmap_after(struct note *note)
{
	int session = huge_claim(note);
	long before = memmap_pages();
	int fd;

	if (number_in("/proc/sys/vm/hugetlb_optimize_vmemmap") != 1)
		test_skip("hugetlb_free_vmemmap is off");
	fd = OK(luo_restore(session, 1));
	CHECK_EQ(before - 3 * MEMMAP_FREED, memmap_pages());
	OK(content_check(fd, 0, 3 * HUGE, 31));
	OK(luo_finish(session));
	close(fd);
	for (int i = 0; i < 50 && memmap_pages() != before; i++)
		usleep(100000);
	CHECK_EQ(before, memmap_pages());
}

UPDATE_TEST(hugetlb, huge_struct_pages,
	    .stage = { three_before, memmap_after });

/* ---- Three kernels ---- */

/* The last tests of the set, as they leave a file open in the second kernel */

static void carried_last(struct note *note)
{
	int session = huge_claim(note);
	struct pool before = pool_now(HUGE);
	int fd = OK(luo_restore(session, 1));

	CHECK_POOL(HUGE, &before, 3, 0, 0, 3);
	OK(content_check(fd, 0, 3 * HUGE, 31));
	OK(luo_finish(session));
	close(fd);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

UPDATE_TEST(hugetlb, huge_carried_unasked,
	    .stage = { three_before, NULL, carried_last });

static void carried_open(struct note *note)
{
	int session = huge_claim(note);
	int fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, 3 * HUGE, 31));
}

UPDATE_TEST(hugetlb, huge_carried_open,
	    .stage = { three_before, carried_open, carried_last });

/* ---- Pages of 1 GiB ---- */

/* The first and the last bytes tell, and some between */
static const uint64_t marks[] = {
	0, 2 * MIB - PAGE, 511 * MIB, GIB - PAGE,
};

static int giant_filled(uint64_t pages, uint64_t seed)
{
	int fd = SYS(memfd_create("giant", MFD_HUGETLB | SIZE_FLAG(30)));

	SYS(ftruncate(fd, pages * GIB));
	for (uint64_t page = 0; page < pages; page += 2) {
		char *map = huge_map(fd, GIB, page);

		for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
			content_generate(map + marks[i], page * GIB + marks[i],
					 PAGE, seed);
		munmap(map, GIB);
	}
	return fd;
}

static void giant_check(int fd, uint64_t pages, uint64_t seed)
{
	CHECK_EQ((pages + 1) / 2 * GIB, blocks_of(fd));
	for (uint64_t page = 0; page < pages; page += 2)
		for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
			OK(content_check(fd, page * GIB + marks[i], PAGE, seed));
}

/* One page, and then a hole */
static void giant_before(struct note *note)
{
	int session = session_new(note, ""), fd;
	struct pool before;

	if (access("/sys/kernel/mm/hugepages/hugepages-1048576kB", F_OK))
		test_skip("no pages of 1 GiB");
	before = pool_now(GIB);
	if (!before.free)
		test_fail(__FILE__, __LINE__, "no page of 1 GiB is free");
	fd = giant_filled(2, 91);
	OK(luo_preserve(session, fd, 1));
	CHECK_POOL(GIB, &before, 0, -1, 0, 0);
	giant_check(fd, 2, 91);
}

static void giant_restored(struct note *note, bool finish)
{
	int session = claim(note, "", GIB);
	struct pool before = pool_now(GIB);
	int fd = OK(luo_restore(session, 1));

	CHECK_POOL(GIB, &before, 1, 0, 0, 1);
	giant_check(fd, 2, 91);
	if (!finish)
		return;
	OK(luo_finish(session));
	close(session);
	close(fd);
	CHECK_POOL(GIB, &before, 0, 0, 0, 0);
}

static void giant_between(struct note *note)
{
	giant_restored(note, false);
}

static void giant_last(struct note *note)
{
	long free = memory_free_kib();

	giant_restored(note, true);
	check_freed(free, GIB / KIB);
}

UPDATE_TEST(gigantic, giant_carried, .timeout = 120,
	    .stage = { giant_before, giant_between, giant_last });

/* Nobody asks for it: a page of 1 GiB is free memory again */
static void giant_unasked(struct note *note)
{
	int session = claim(note, "", GIB);
	long free = memory_free_kib();
	struct pool before = pool_now(GIB);

	OK(luo_finish(session));
	check_freed(free, GIB / KIB);
	CHECK_POOL(GIB, &before, 0, 0, 0, 0);
}

UPDATE_TEST(gigantic, giant_finished_unasked, .timeout = 120,
	    .stage = { giant_before, giant_unasked });

/* What is preserved counts towards the pool that is taken when the kernel boots */
static void giant_pool_before(struct note *note)
{
	note->value[0] = pool_now(GIB).nr;
	giant_before(note);
}

static void giant_pool_after(struct note *note)
{
	int session = session_claim(note, ""), fd;
	struct pool before = pool_now(GIB);

	CHECK_BETWEEN(0, before.nr, note->value[0] - 1);
	fd = OK(luo_restore(session, 1));
	CHECK_POOL(GIB, &before, 1, 0, 0, 0);
	giant_check(fd, 2, 91);
	OK(luo_finish(session));
	close(fd);
	CHECK_POOL(GIB, &before, 1, 1, 0, 0);
}

UPDATE_TEST(giant_pool, giant_pool_is_taken_once, .timeout = 120,
	    .stage = { giant_pool_before, giant_pool_after });

/* A kernel that has no such pages keeps the memory until it is told not to */
static void nosize_after(struct note *note)
{
	int session = session_claim(note, "");
	long free = memory_free_kib();

	CHECK(access("/sys/kernel/mm/hugepages/hugepages-1048576kB", F_OK));
	for (int i = 0; i < 2; i++)
		CHECK_EQ(-EOPNOTSUPP, luo_restore(session, 1));
	CHECK_BETWEEN(free - 4096, memory_free_kib(), free + 4096);
	OK(luo_finish(session));
	check_freed(free, GIB / KIB);
}

UPDATE_TEST(nosize, giant_unknown_size, .timeout = 120,
	    .stage = { giant_before, nosize_after });
