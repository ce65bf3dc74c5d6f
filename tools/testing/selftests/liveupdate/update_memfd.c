// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memfds of every shape go through a live update, and have to come out as
 * they went in. Each test makes one, and may change it once it is preserved;
 * what is compared is the state at the very end.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "update.h"

#define PAGE	4096UL
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

/* Another description of the same file, which moves no position */
static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

static uint64_t fold(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *byte = data;

	while (len--)
		hash = (hash ^ *byte++) * 0x100000001b3ULL;
	return hash;
}

static uint64_t fold_range(uint64_t hash, int fd, off_t from, off_t to)
{
	static unsigned char buf[64 * KIB];

	while (from < to) {
		size_t n = to - from < (off_t)sizeof(buf) ? to - from :
			   (off_t)sizeof(buf);

		CHECK_EQ(n, SYS(pread(fd, buf, n, from)));
		hash = fold(hash, buf, n);
		from += n;
	}
	return hash;
}

/* Where data is, and what it is */
static void hash_data(int fd, struct snapshot *snap)
{
	off_t from = 0, to;

	snap->map = 0;
	snap->content = 0;
	while ((from = lseek(fd, from, SEEK_DATA)) >= 0) {
		to = SYS(lseek(fd, from, SEEK_HOLE));
		snap->map = fold(snap->map, &from, sizeof(from));
		snap->map = fold(snap->map, &to, sizeof(to));
		snap->content = fold_range(snap->content, fd, from, to);
		from = to;
	}
	CHECK_EQ(ENXIO, errno);
}

void snapshot_take(int fd, struct snapshot *snap)
{
	int reader = SYS(reopen(fd, O_RDONLY));
	struct stat st;

	SYS(fstat(fd, &st));
	memset(snap, 0, sizeof(*snap));
	snap->size = st.st_size;
	snap->blocks = st.st_blocks;
	snap->mode = st.st_mode;
	snap->uid = st.st_uid;
	snap->gid = st.st_gid;
	snap->seals = SYS(fcntl(fd, F_GET_SEALS));
	snap->position = SYS(lseek(fd, 0, SEEK_CUR));
	snap->flags = SYS(fcntl(fd, F_GETFL));
	OK(fd_link(fd, snap->link, sizeof(snap->link)));
	hash_data(reader, snap);
	close(reader);
}

void snapshot_compare(const struct snapshot *want, const struct snapshot *have)
{
	CHECK_EQ(want->size, have->size);
	CHECK_EQ(want->position, have->position);
	CHECK_EQ(want->mode, have->mode);
	CHECK_EQ(want->uid, have->uid);
	CHECK_EQ(want->gid, have->gid);
	CHECK_EQ(want->seals, have->seals);
	CHECK_EQ(want->flags, have->flags);
	CHECK(!strcmp(want->link, have->link));
	CHECK_EQ(want->map, have->map);
	CHECK_EQ(want->content, have->content);
	CHECK_EQ(want->blocks, have->blocks);
}

static void shape_before(struct note *note, int (*make)(void),
			 void (*change)(int fd))
{
	int session = session_new(note, "");
	int fd = SYS(make());

	OK(luo_preserve(session, fd, 1));
	if (change)
		change(fd);
	snapshot_take(fd, (struct snapshot *)note->value);
}

static void shape_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));
	struct snapshot have;

	snapshot_take(fd, &have);
	snapshot_compare((struct snapshot *)note->value, &have);
	CHECK_EQ(FD_CLOEXEC, SYS(fcntl(fd, F_GETFD)));
	OK(luo_finish(session));
	close(session);
	snapshot_take(fd, &have);
	snapshot_compare((struct snapshot *)note->value, &have);
}

#define SHAPE(_name, _make, _change)					\
	static void _name##_before(struct note *note)			\
	{								\
		shape_before(note, _make, _change);			\
	}								\
	UPDATE_TEST(base, _name, .stage = { _name##_before, shape_after })

/*
 * Content and size
 */

static int make_size(uint64_t size)
{
	return memfd_filled("size", 0, size, size);
}

static int make_empty(void)
{
	return make_size(0);
}

static int make_one_byte(void)
{
	return make_size(1);
}

static int make_one_page(void)
{
	return make_size(PAGE);
}

static int make_unaligned(void)
{
	return make_size(5 * PAGE + 1234);
}

static int make_dense(void)
{
	return make_size(8 * MIB);
}

SHAPE(memfd_empty, make_empty, NULL);
SHAPE(memfd_one_byte, make_one_byte, NULL);
SHAPE(memfd_one_page, make_one_page, NULL);
SHAPE(memfd_unaligned_size, make_unaligned, NULL);
SHAPE(memfd_dense, make_dense, NULL);

/* The same against what was written, not against what a hash says of it */
static void content_before(struct note *note)
{
	int session = session_new(note, "");

	OK(luo_preserve(session, OK(memfd_filled("c", 0, 3 * MIB + 77, 42)), 1));
}

static void content_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	CHECK_EQ(3 * MIB + 77, SYS(lseek(fd, 0, SEEK_END)));
	OK(content_check(fd, 0, 3 * MIB + 77, 42));
	SYS(ftruncate(fd, 4 * MIB));
	OK(content_check_zero(fd, 3 * MIB + 77, MIB - 77));
}

UPDATE_TEST(base, memfd_content, .stage = { content_before, content_after });

/* Nobody but the kexec preserves it, when it has got its size and its content */
static void announced_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = SYS(memfd_create("announced", MFD_ALLOW_SEALING));

	OK(luo_announce(session, fd, 1));
	SYS(ftruncate(fd, 3 * MIB + 5));
	OK(content_fill(fd, 0, MIB, 1));
	OK(content_fill(fd, 2 * MIB, MIB + 5, 1));
	SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	snapshot_take(fd, (struct snapshot *)note->value);
}

UPDATE_TEST(base, memfd_announced_only, .stage = { announced_before, shape_after });

/*
 * Holes
 */

static int make_holes(uint64_t size, const uint64_t *data, size_t count)
{
	int fd = memfd_create("holes", 0);

	if (fd < 0 || ftruncate(fd, size))
		return -1;
	for (size_t i = 0; i < count; i++)
		if (content_fill(fd, data[i], PAGE, i))
			return -1;
	return fd;
}

static int make_all_hole(void)
{
	return make_holes(16 * MIB, NULL, 0);
}

static int make_hole_first(void)
{
	static const uint64_t data[] = { MIB - PAGE };

	return make_holes(MIB, data, 1);
}

static int make_hole_last(void)
{
	static const uint64_t data[] = { 0, PAGE };

	return make_holes(MIB + 5, data, 2);
}

static int make_every_other(void)
{
	uint64_t data[512];

	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		data[i] = 2 * i * PAGE;
	return make_holes(4 * MIB, data, ARRAY_SIZE(data));
}

static int make_terabyte(void)
{
	static const uint64_t data[] = { 0, 512 * GIB + PAGE, TIB - PAGE };

	return make_holes(TIB, data, 3);
}

/* The largest size that there is, with pages as far out as they go */
static int make_largest(void)
{
	static const uint64_t data[] = {
		3 * PAGE, 1UL << 60, 0x7fffffffffff0000UL,
	};

	return make_holes(0x7fffffffffffffffUL, data, 3);
}

static int make_punched(void)
{
	int fd = memfd_filled("punched", 0, MIB, 9);

	if (fd >= 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 16 * PAGE, 32 * PAGE))
		return -1;
	return fd;
}

SHAPE(memfd_all_hole, make_all_hole, NULL);
SHAPE(memfd_hole_first, make_hole_first, NULL);
SHAPE(memfd_hole_last, make_hole_last, NULL);
SHAPE(memfd_every_other_page, make_every_other, NULL);
SHAPE(memfd_terabyte, make_terabyte, NULL);
SHAPE(memfd_largest_size, make_largest, NULL);
SHAPE(memfd_punched_hole, make_punched, NULL);

/* Space that was allocated stays allocated, and reads as zero */
static void allocated_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = OK(memfd_filled("allocated", 0, PAGE, 5));
	struct stat st;

	SYS(fallocate(fd, 0, 0, 64 * PAGE));
	OK(luo_preserve(session, fd, 1));
	SYS(fstat(fd, &st));
	note->value[0] = st.st_blocks;
}

static void allocated_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));
	struct stat st;

	SYS(fstat(fd, &st));
	CHECK_EQ(64 * PAGE, st.st_size);
	CHECK_EQ(note->value[0], st.st_blocks);
	OK(content_check(fd, 0, PAGE, 5));
	OK(content_check_zero(fd, PAGE, 63 * PAGE));
}

UPDATE_TEST(base, memfd_allocated_unwritten,
	    .stage = { allocated_before, allocated_after });

/* Pages beyond the size are nobody's, and must not shine through later */
static void beyond_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = OK(memfd_filled("beyond", 0, 2 * PAGE + 100, 6));

	SYS(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 16 * PAGE));
	OK(luo_preserve(session, fd, 1));
}

static void beyond_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	CHECK_EQ(2 * PAGE + 100, SYS(lseek(fd, 0, SEEK_END)));
	OK(luo_finish(session));
	SYS(ftruncate(fd, 16 * PAGE));
	OK(content_check(fd, 0, 2 * PAGE + 100, 6));
	OK(content_check_zero(fd, 2 * PAGE + 100, 14 * PAGE - 100));
}

UPDATE_TEST(base, memfd_allocated_beyond_size,
	    .stage = { beyond_before, beyond_after });

/*
 * Large folios
 */

static int make_huge(const char *when, bool advise, uint64_t size)
{
	uint64_t area = (size + 2 * MIB - 1) & ~(2 * MIB - 1);
	int fd = memfd_create("huge", 0);
	char *map;

	if (fd < 0 || ftruncate(fd, size) || text_write(SHMEM_ENABLED, when))
		return -1;
	map = mmap(NULL, area, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || (advise && madvise(map, area, MADV_HUGEPAGE)))
		return -1;
	for (uint64_t i = 0; advise && i < size; i += PAGE)
		map[i] = 1;
	munmap(map, area);
	if (content_fill(fd, 0, size, size) || text_write(SHMEM_ENABLED, "never"))
		return -1;
	return fd;
}

static int make_huge_always(void)
{
	return make_huge("always", false, 6 * MIB);
}

static int make_huge_unaligned(void)
{
	return make_huge("always", false, 3 * MIB + 12345);
}

static int make_huge_advised(void)
{
	return make_huge("advise", true, 4 * MIB);
}

SHAPE(memfd_huge_always, make_huge_always, NULL);
SHAPE(memfd_huge_unaligned, make_huge_unaligned, NULL);
SHAPE(memfd_huge_advised, make_huge_advised, NULL);

/* Large folios stay large: the counter knows */
static void huge_stays_before(struct note *note)
{
	int session = session_new(note, "");
	long before = meminfo_kib("ShmemHugePages");
	int fd = SYS(make_huge("always", false, 16 * MIB));

	note->value[0] = meminfo_kib("ShmemHugePages") - before;
	if (!note->value[0])
		test_skip("no huge page to be had");
	OK(luo_preserve(session, fd, 1));
}

static void huge_stays_after(struct note *note)
{
	int session = session_claim(note, "");
	long before = meminfo_kib("ShmemHugePages");
	int fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, 16 * MIB, 16 * MIB));
	CHECK_EQ(note->value[0], meminfo_kib("ShmemHugePages") - before);
	OK(luo_finish(session));
	/* They can be split and freed as any other */
	SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE,
		      PAGE));
	OK(content_check_zero(fd, PAGE, PAGE));
	OK(content_check(fd, 2 * PAGE, 16 * MIB - 2 * PAGE, 16 * MIB));
	close(session);
	close(fd);
	CHECK_EQ(before, meminfo_kib("ShmemHugePages"));
}

UPDATE_TEST(base, memfd_huge_stays_huge,
	    .stage = { huge_stays_before, huge_stays_after });

/*
 * Mode, owner, name, seals
 */

static int make_mode(unsigned int flags, mode_t mode)
{
	int fd = memfd_filled("mode", flags, 2 * PAGE, mode);

	if (fd >= 0 && fchmod(fd, mode))
		return -1;
	return fd;
}

static int make_mode_0600(void)
{
	return make_mode(0, 0600);
}

static int make_mode_0000(void)
{
	return make_mode(MFD_ALLOW_SEALING, 0000);
}

static int make_mode_04711(void)
{
	return make_mode(0, 04711);
}

static int make_noexec_seal(void)
{
	return memfd_filled("noexec", MFD_NOEXEC_SEAL, 2 * PAGE, 3);
}

static int make_exec(void)
{
	return memfd_filled("exec", MFD_EXEC | MFD_ALLOW_SEALING, 2 * PAGE, 4);
}

static int make_exec_sealed(void)
{
	int fd = make_exec();

	if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC))
		return -1;
	return fd;
}

static int make_owner(void)
{
	int fd = memfd_filled("owner", 0, PAGE, 1);

	if (fd >= 0 && fchown(fd, 1000, 2001))
		return -1;
	return fd;
}

static int make_name(const char *name)
{
	return memfd_filled(name, MFD_ALLOW_SEALING, PAGE, 1);
}

static int make_no_name(void)
{
	return make_name("");
}

static int make_odd_name(void)
{
	return make_name("a/b c\t%s \xc3\xa4 \x80 (deleted)");
}

SHAPE(memfd_mode_0600, make_mode_0600, NULL);
SHAPE(memfd_mode_0000, make_mode_0000, NULL);
SHAPE(memfd_mode_setuid, make_mode_04711, NULL);
SHAPE(memfd_noexec_seal, make_noexec_seal, NULL);
SHAPE(memfd_exec, make_exec, NULL);
SHAPE(memfd_exec_sealed, make_exec_sealed, NULL);
SHAPE(memfd_owner, make_owner, NULL);
SHAPE(memfd_no_name, make_no_name, NULL);
SHAPE(memfd_odd_name, make_odd_name, NULL);

/* The longest name that memfd_create() takes */
static void long_name_before(struct note *note)
{
	char name[250] = "";

	memset(name, 'n', sizeof(name) - 1);
	OK(luo_preserve(session_new(note, ""), OK(make_name(name)), 1));
}

static void long_name_after(struct note *note)
{
	int fd = OK(luo_restore(session_claim(note, ""), 1));
	char want[300], have[300];

	snprintf(want, sizeof(want), "/memfd:%0249d (deleted)", 0);
	memset(want + sizeof("/memfd:") - 1, 'n', 249);
	OK(fd_link(fd, have, sizeof(have)));
	CHECK(!strcmp(want, have));
}

UPDATE_TEST(base, memfd_longest_name,
	    .stage = { long_name_before, long_name_after });

/*
 * vm.memfd_noexec belongs to a PID namespace and can only be raised: a new
 * namespace has it raised without all other tests seeing it.
 */
static void enter_noexec(int level)
{
	const char text[] = { '0' + level, '\0' };
	pid_t pid;

	SYS(unshare(CLONE_NEWPID));
	pid = SYS(fork());
	if (pid) {
		int status;

		waitpid(pid, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
	OK(text_write("/proc/sys/vm/memfd_noexec", text));
}

static int make_default(void)
{
	return memfd_filled("default", 0, 3 * PAGE, 8);
}

/* The value after the snapshot; the level has to be the same in both kernels */
#define LEVEL	(sizeof(struct snapshot) / sizeof(uint64_t))

static void noexec_before(struct note *note, int level, int (*make)(void))
{
	note->value[LEVEL] = level;
	enter_noexec(level);
	shape_before(note, make, NULL);
}

static void noexec_after(struct note *note)
{
	enter_noexec(note->value[LEVEL]);
	shape_after(note);
}

#define NOEXEC(_level, _name, _make)					\
	static void _name##_before(struct note *note)			\
	{								\
		noexec_before(note, _level, _make);			\
	}								\
	UPDATE_TEST(base, _name, .stage = { _name##_before, noexec_after })

NOEXEC(1, memfd_noexec_1_default, make_default);
NOEXEC(1, memfd_noexec_1_exec, make_exec);
NOEXEC(1, memfd_noexec_1_sealed, make_noexec_seal);
NOEXEC(2, memfd_noexec_2_default, make_default);
NOEXEC(2, memfd_noexec_2_sealed, make_noexec_seal);

/* An executable file from a kernel that allowed it into one that does not */
static void exec_into_noexec_before(struct note *note)
{
	shape_before(note, make_exec, NULL);
}

static void exec_into_noexec_after(struct note *note)
{
	enter_noexec(2);
	shape_after(note);
}

UPDATE_TEST(base, memfd_exec_into_noexec_2,
	    .stage = { exec_into_noexec_before, exec_into_noexec_after });

/* Every combination of seals, each under itself as its token */
#define ALL_SEALS	0x3f

static void seals_before(struct note *note)
{
	int session = session_new(note, "");

	for (int seals = 0; seals <= ALL_SEALS; seals++) {
		int fd = OK(memfd_filled("seals", MFD_ALLOW_SEALING |
					 MFD_NOEXEC_SEAL, 2 * PAGE + 5, seals));

		SYS(fcntl(fd, F_ADD_SEALS, seals));
		OK(luo_preserve(session, fd, seals));
		close(fd);
	}
}

static int result(int ret)
{
	return ret < 0 ? -errno : ret;
}

/* Seals are in force, not just shown */
static void check_seals(int fd, int seals)
{
	int write = seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
	int have = SYS(fcntl(fd, F_GET_SEALS));

	CHECK_EQ(seals | F_SEAL_EXEC, have);
	CHECK_EQ(write ? -EPERM : 1, result(pwrite(fd, "x", 1, 0)));
	CHECK_EQ(seals & F_SEAL_GROW ? -EPERM : 0,
		 result(ftruncate(fd, 4 * PAGE)));
	CHECK_EQ(seals & F_SEAL_SHRINK ? -EPERM : 0,
		 result(ftruncate(fd, PAGE)));
	CHECK_EQ(seals & F_SEAL_SEAL ? -EPERM : 0,
		 result(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL)));
	CHECK_EQ(-EPERM, result(fchmod(fd, 0777)));
}

static void seals_after(struct note *note)
{
	int session = session_claim(note, "");
	int fds[ALL_SEALS + 1];

	for (int seals = 0; seals <= ALL_SEALS; seals++) {
		fds[seals] = OK(luo_restore(session, seals));
		OK(content_check(fds[seals], 0, 2 * PAGE + 5, seals));
	}
	OK(luo_finish(session));
	for (int seals = 0; seals <= ALL_SEALS; seals++)
		check_seals(fds[seals], seals);
}

UPDATE_TEST(base, memfd_every_seal, .stage = { seals_before, seals_after });

/*
 * Position and flags, which belong to the open description
 */

static int make_at(off_t position)
{
	int fd = memfd_filled("position", 0, 4 * PAGE, 1);

	if (fd >= 0 && lseek(fd, position, SEEK_SET) != position)
		return -1;
	return fd;
}

static int make_position_inside(void)
{
	return make_at(PAGE + 17);
}

static int make_position_beyond(void)
{
	return make_at(1L << 50);
}

static int make_reopened(int flags)
{
	int fd = memfd_filled("reopened", 0, 3 * PAGE, 2);
	int again;

	if (fd < 0)
		return -1;
	again = reopen(fd, flags);
	close(fd);
	return again;
}

static int make_read_only(void)
{
	return make_reopened(O_RDONLY);
}

static int make_write_only(void)
{
	return make_reopened(O_WRONLY);
}

static int make_append(void)
{
	int fd = memfd_filled("append", 0, 3 * PAGE, 2);

	if (fd >= 0 && fcntl(fd, F_SETFL, O_APPEND))
		return -1;
	return fd;
}

SHAPE(memfd_position_inside, make_position_inside, NULL);
SHAPE(memfd_position_beyond, make_position_beyond, NULL);
SHAPE(memfd_read_only, make_read_only, NULL);
SHAPE(memfd_write_only, make_write_only, NULL);
SHAPE(memfd_append, make_append, NULL);

static int make_direct(void)
{
	return make_reopened(O_RDWR | O_DIRECT);
}

static int make_direct_read_only(void)
{
	return make_reopened(O_RDONLY | O_DIRECT);
}

static int make_sync(void)
{
	return make_reopened(O_RDWR | O_SYNC);
}

SHAPE(memfd_direct, make_direct, NULL);
SHAPE(memfd_direct_read_only, make_direct_read_only, NULL);
SHAPE(memfd_sync, make_sync, NULL);

static void appends_before(struct note *note)
{
	OK(luo_preserve(session_new(note, ""), OK(make_append()), 1));
}

/* The flag is obeyed, wherever the position is */
static void appends_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(luo_finish(session));
	SYS(lseek(fd, 0, SEEK_SET));
	CHECK_EQ(5, SYS(write(fd, "added", 5)));
	CHECK_EQ(3 * PAGE + 5, SYS(lseek(fd, 0, SEEK_END)));
	OK(content_check(fd, 0, 3 * PAGE, 2));
	close(fd);
	close(session);
}

UPDATE_TEST(base, memfd_appends, .stage = { appends_before, appends_after });

/* Read-only is a promise to those the descriptor is given to */
static void read_only_before(struct note *note)
{
	OK(luo_preserve(session_new(note, ""), SYS(make_read_only()), 1));
}

static void read_only_after(struct note *note)
{
	int fd = OK(luo_restore(session_claim(note, ""), 1));

	CHECK_EQ(-1, write(fd, "x", 1));
	CHECK_EQ(EBADF, errno);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
	      MAP_FAILED);
	CHECK_EQ(EACCES, errno);
	OK(content_check(fd, 0, 3 * PAGE, 2));
}

UPDATE_TEST(base, memfd_read_only_cannot_be_written,
	    .stage = { read_only_before, read_only_after });

/*
 * Changes between PRESERVE_FD and the kexec
 */

static int make_sealable(void)
{
	return memfd_filled("change", MFD_ALLOW_SEALING, 16 * PAGE, 1);
}

static int make_sparse(void)
{
	static const uint64_t data[] = { 0, 8 * MIB };

	return make_holes(16 * MIB, data, 2);
}

static void change_content(int fd)
{
	OK(content_fill(fd, 3 * PAGE + 5, 7 * PAGE, 99));
}

static void change_holes(int fd)
{
	OK(content_fill(fd, PAGE, 3 * PAGE, 98));
	OK(content_fill(fd, 4 * MIB + 100, 17, 97));
	OK(content_fill(fd, 16 * MIB - 1, 1, 96));
}

/* Through a mapping that stays, with pages that nobody has touched before */
static void change_by_mapping(int fd)
{
	char *map = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 0);

	CHECK(map != MAP_FAILED);
	memset(map + 5 * MIB, 0x77, 100 * PAGE);
	map[0] = 1;
}

static void change_position(int fd)
{
	SYS(lseek(fd, 12345, SEEK_SET));
}

/* These may be refused while the file is preserved, but not lost */
static void change_seals(int fd)
{
	fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL);
}

static void change_mode(int fd)
{
	fchmod(fd, 0640);
	fchown(fd, 7, 8);
}

static void change_flags(int fd)
{
	fcntl(fd, F_SETFL, O_APPEND);
}

SHAPE(memfd_changed_content, make_sealable, change_content);
SHAPE(memfd_changed_holes, make_sparse, change_holes);
SHAPE(memfd_changed_by_mapping, make_sparse, change_by_mapping);
SHAPE(memfd_changed_position, make_sealable, change_position);
SHAPE(memfd_changed_seals, make_sealable, change_seals);
SHAPE(memfd_changed_mode, make_sealable, change_mode);
SHAPE(memfd_changed_flags, make_sealable, change_flags);

/*
 * The kernel itself moves pages about. Whatever it does between PRESERVE_FD
 * and the kexec, the content that counts is what the file has at the end.
 */

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

static int make_small_pages(void)
{
	return memfd_filled("move", 0, 8 * MIB, 3);
}

static char *map_all(int fd, size_t size)
{
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(map != MAP_FAILED);
	return map;
}

static void change_by_collapse(int fd)
{
	char *map = map_all(fd, 8 * MIB);

	OK(text_write(SHMEM_ENABLED, "advise"));
	madvise(map, 8 * MIB, MADV_HUGEPAGE);
	/* May well be refused: the pages are spoken for */
	madvise(map, 8 * MIB, MADV_COLLAPSE);
	OK(text_write(SHMEM_ENABLED, "never"));
	OK(content_fill(fd, MIB, 6 * MIB, 4));
}

static void change_by_compaction(int fd)
{
	text_write("/proc/sys/vm/compact_memory", "1");
	OK(content_fill(fd, MIB, 6 * MIB, 4));
	text_write("/proc/sys/vm/compact_memory", "1");
}

static void change_by_split(int fd)
{
	text_write("/sys/kernel/debug/split_huge_pages", "1");
	OK(content_fill(fd, MIB, 4 * MIB, 4));
}

/* Large folios that come late, around small ones that were there before */
static void change_by_huge_fill(int fd)
{
	OK(text_write(SHMEM_ENABLED, "always"));
	OK(content_fill(fd, PAGE, 12 * MIB, 5));
	OK(text_write(SHMEM_ENABLED, "never"));
}

static void change_by_lock(int fd)
{
	SYS(mlock(map_all(fd, 8 * MIB), 8 * MIB));
	OK(content_fill(fd, 0, MIB, 6));
}

SHAPE(memfd_collapsed, make_small_pages, change_by_collapse);
SHAPE(memfd_compacted, make_small_pages, change_by_compaction);
SHAPE(memfd_locked, make_small_pages, change_by_lock);
SHAPE(memfd_huge_split, make_huge_always, change_by_split);
SHAPE(memfd_huge_filled_late, make_sparse, change_by_huge_fill);
