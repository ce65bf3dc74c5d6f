// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the benchmark measures.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define PAGE		4096UL
#define SESSION		"bench"
#define THP		"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

/*
 * Free memory, with what each processor keeps, when all has been freed that is
 * let go: by RCU, and by lists of pages that move or come to the LRU.
 */
static int64_t free_bytes(void)
{
	int64_t pages = 0, n;
	char line[128];
	FILE *zones;

	NEED(text_write("/proc/sys/vm/drop_caches", "1"));
	usleep(300000);
	text_write("/proc/sys/vm/stat_refresh", "1");
	zones = fopen("/proc/zoneinfo", "re");
	if (!zones)
		bench_fail("zoneinfo", -errno);
	while (fgets(line, sizeof(line), zones))
		if (sscanf(line, " pages free %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	fclose(zones);
	return pages * PAGE;
}

/* ---- Sessions ---- */

static const char *numbered(uint64_t i)
{
	static char name[32];

	snprintf(name, sizeof(name), "bench %llu", (unsigned long long)i);
	return name;
}

/* Looking at the time would take some, too */
static bool over(const char *measure, uint64_t n, uint64_t i, uint64_t start)
{
	return !(i % 64) && bench_over(measure, n, start);
}

static bool create_sessions(uint64_t n)
{
	int dev = NEED(luo_open());
	int64_t free = free_bytes();
	uint64_t start = now_us();

	for (uint64_t i = 0; i < n; i++) {
		int err = luo_create(dev, numbered(i));

		if (err < 0) {
			bench_cannot("create", n, err);
			return false;
		}
		if (over("create", n, i, start))
			return false;
	}
	bench_time("create", n, now_us() - start);
	bench_bytes("session_memory", n, (free - free_bytes()) / (int64_t)n);
	return true;
}

static void claim_sessions(uint64_t n)
{
	int dev = NEED(luo_open());
	int *sessions = calloc(n, sizeof(*sessions));
	uint64_t start = now_us();

	for (uint64_t i = 0; i < n; i++) {
		sessions[i] = NEED(luo_retrieve(dev, numbered(i)));
		if (over("claim", n, i, start))
			return;
	}
	bench_time("claim", n, now_us() - start);
	for (uint64_t i = 0; i < n; i++)
		NEED(luo_finish(sessions[i]));
}

/* ---- Files in one session ---- */

static int empty_file(void)
{
	return NEED_SYS(memfd_create("bench", MFD_CLOEXEC));
}

static int *small_files(uint64_t n)
{
	int *fds = calloc(n, sizeof(*fds));

	for (uint64_t i = 0; i < n; i++) {
		fds[i] = empty_file();
		if (pwrite(fds[i], &i, sizeof(i), 0) != sizeof(i))
			bench_fail("pwrite", -errno);
	}
	return fds;
}

static void check_small_files(const int *fds, uint64_t n)
{
	uint64_t have;

	for (uint64_t i = 0; i < n; i++)
		if (pread(fds[i], &have, sizeof(have), 0) != sizeof(have) ||
		    have != i)
			bench_fail("content of a small file", -EILSEQ);
}

static bool preserve_files(uint64_t n)
{
	int session = NEED(luo_session_new(SESSION));
	int *fds = small_files(n);
	int64_t free = free_bytes();
	uint64_t start = now_us();

	for (uint64_t i = 0; i < n; i++) {
		int err = luo_preserve(session, fds[i], i);

		if (err) {
			bench_cannot("preserve_files", n, err);
			return false;
		}
		if (over("preserve_files", n, i, start))
			return false;
	}
	bench_time("preserve_files", n, now_us() - start);
	bench_bytes("file_memory", n, (free - free_bytes()) / (int64_t)n);
	return true;
}

static void retrieve_files(uint64_t n)
{
	int session = NEED(luo_session_claim(SESSION));
	int *fds = calloc(n, sizeof(*fds));
	uint64_t start = now_us();

	for (uint64_t i = 0; i < n; i++) {
		fds[i] = NEED(luo_restore(session, i));
		if (over("retrieve_files", n, i, start))
			return;
	}
	bench_time("retrieve_files", n, now_us() - start);
	check_small_files(fds, n);
	NEED(luo_finish(session));
}

/* Many files in one call. Where the header has none, the kernel has none either. */
#ifdef LIVEUPDATE_SESSION_PRESERVE_FDS
static int batch(int session, unsigned long cmd,
		 struct liveupdate_session_fd *files, uint64_t n)
{
	struct liveupdate_session_fds arg = {
		.size = sizeof(arg),
		.count = n,
		.entries = (uintptr_t)files,
	};
	int err = luo_ioctl(session, cmd, &arg);

	if (!err && arg.done != n)
		bench_fail("one of many files", -(int)arg.error);
	return err;
}
#else
#define LIVEUPDATE_SESSION_PRESERVE_FDS	0
#define LIVEUPDATE_SESSION_RETRIEVE_FDS	0

struct liveupdate_session_fd {
	int fd;
	uint64_t token;
};

static int batch(int session, unsigned long cmd,
		 struct liveupdate_session_fd *files, uint64_t n)
{
	return -ENOTTY;
}
#endif

static struct liveupdate_session_fd *batch_of(const int *fds, uint64_t n)
{
	struct liveupdate_session_fd *files = calloc(n, sizeof(*files));

	for (uint64_t i = 0; i < n; i++) {
		files[i].token = i;
		if (fds)
			files[i].fd = fds[i];
	}
	return files;
}

static bool preserve_batch(uint64_t n)
{
	int session = NEED(luo_session_new(SESSION));
	struct liveupdate_session_fd *files = batch_of(small_files(n), n);
	uint64_t start = now_us();
	int err = batch(session, LIVEUPDATE_SESSION_PRESERVE_FDS, files, n);

	if (err) {
		bench_cannot("preserve_batch", n, err);
		return false;
	}
	bench_time("preserve_batch", n, now_us() - start);
	return true;
}

static void retrieve_batch(uint64_t n)
{
	int session = NEED(luo_session_claim(SESSION));
	struct liveupdate_session_fd *files = batch_of(NULL, n);
	int *fds = calloc(n, sizeof(*fds));
	uint64_t start = now_us();

	NEED(batch(session, LIVEUPDATE_SESSION_RETRIEVE_FDS, files, n));
	bench_time("retrieve_batch", n, now_us() - start);
	for (uint64_t i = 0; i < n; i++)
		fds[i] = files[i].fd;
	check_small_files(fds, n);
	NEED(luo_finish(session));
}

/* ---- One large memfd ---- */

static uint64_t *map_file(int fd, uint64_t size)
{
	return (void *)NEED_SYS(mmap(NULL, size, PROT_READ | PROT_WRITE,
				     MAP_SHARED, fd, 0));
}

/* A word in each page tells which one it is */
static int fill_large_file(int fd, uint64_t size)
{
	uint64_t *map;

	NEED_SYS(ftruncate(fd, size));
	if (!size)
		return fd;
	map = map_file(fd, size);
	for (uint64_t at = 0; at < size; at += PAGE)
		map[at / sizeof(*map)] = at + 1;
	munmap(map, size);
	return fd;
}

static int large_file(uint64_t size)
{
	return fill_large_file(empty_file(), size);
}

static void check_large_file(int fd, uint64_t size)
{
	uint64_t *map;

	if (lseek(fd, 0, SEEK_END) != (off_t)size)
		bench_fail("size of a large file", -EILSEQ);
	if (!size)
		return;
	map = map_file(fd, size);
	for (uint64_t at = 0; at < size; at += PAGE)
		if (map[at / sizeof(*map)] != at + 1)
			bench_fail("content of a large file", -EILSEQ);
	munmap(map, size);
}

static uint64_t preserve_timed(int session, int fd)
{
	uint64_t start = now_us();

	NEED(luo_preserve(session, fd, 0));
	return now_us() - start;
}

/*
 * Pages in memory where the next kernel starts are moved the first time. The
 * second time nothing moves, and what is taken then is all for the preservation.
 */
static bool preserve_memfd(uint64_t mib)
{
	int fd = large_file(mib * MIB);
	int session = NEED(luo_session_new(SESSION));
	int64_t free;

	bench_time("preserve_memfd", mib, preserve_timed(session, fd));
	close(session);
	session = NEED(luo_session_new(SESSION));
	free = free_bytes();
	bench_time("preserve_again", mib, preserve_timed(session, fd));
	bench_bytes("memfd_metadata", mib, free - free_bytes());
	return true;
}

static void retrieve_memfd(uint64_t mib)
{
	int session = NEED(luo_session_claim(SESSION));
	uint64_t start = now_us();
	int fd = NEED(luo_restore(session, 0));

	bench_time("retrieve_memfd", mib, now_us() - start);
	/* Pages may come in when they are used, so that counts, too */
	check_large_file(fd, mib * MIB);
	bench_time("use_memfd", mib, now_us() - start);
	NEED(luo_finish(session));
}

static bool preserve_announced(uint64_t mib)
{
	int session = NEED(luo_session_new(SESSION));
	int fd = empty_file();
	int err = luo_announce(session, fd, 0);

	if (err) {
		bench_cannot("preserve_announced", mib, err);
		return false;
	}
	fill_large_file(fd, mib * MIB);
	bench_time("preserve_announced", mib, preserve_timed(session, fd));
	return false;
}

/* In huge pages, each of which is one piece */
static bool preserve_contiguous(uint64_t mib)
{
	int session = NEED(luo_session_new(SESSION));
	int64_t free;
	int fd;

	NEED(text_write(THP, "always"));
	fd = large_file(mib * MIB);
	bench_time("preserve_contiguous", mib, preserve_timed(session, fd));
	close(session);
	session = NEED(luo_session_new(SESSION));
	free = free_bytes();
	preserve_timed(session, fd);
	bench_bytes("contiguous_metadata", mib, free - free_bytes());
	return false;
}

/* 64 times as large as what it holds, in 16 pieces */
static bool preserve_sparse(uint64_t mib)
{
	uint64_t size = 64 * mib * MIB, piece = mib * MIB / 16;
	int session = NEED(luo_session_new(SESSION));
	int fd = empty_file();
	int64_t free;

	NEED_SYS(ftruncate(fd, size));
	for (uint64_t at = 0; at < size; at += size / 16)
		NEED(content_fill(fd, at, piece, at));
	free = free_bytes();
	bench_time("preserve_sparse", mib, preserve_timed(session, fd));
	bench_bytes("sparse_memory", mib, free - free_bytes());
	return false;
}

/* ---- Boot, and blackout ---- */

/* Two files grow in turn, so that each gets every other page */
static bool preserve_fragmented(uint64_t mib)
{
	int session = NEED(luo_session_new(SESSION));
	uint64_t size = mib * MIB;
	int fds[2];
	uint64_t *map[2];

	for (int i = 0; i < 2; i++) {
		fds[i] = empty_file();
		NEED_SYS(ftruncate(fds[i], size));
		map[i] = map_file(fds[i], size);
	}
	for (uint64_t at = 0; at < size; at += PAGE)
		for (int i = 0; i < 2; i++)
			map[i][at / sizeof(**map)] = at + 1;
	NEED(luo_preserve(session, fds[0], 0));
	return true;
}

static void boot_fragmented(uint64_t mib)
{
	int session;

	bench_time("boot_fragmented", mib, bench_away_start());
	session = NEED(luo_session_claim(SESSION));
	check_large_file(NEED(luo_restore(session, 0)), mib * MIB);
	NEED(luo_finish(session));
}

static bool preserve_for_blackout(uint64_t mib)
{
	int fd = large_file(mib * MIB);

	NEED(luo_preserve(NEED(luo_session_new(SESSION)), fd, 0));
	return true;
}

static void blackout_until(uint64_t mib, uint64_t end)
{
	bench_time("blackout", mib, end);
	bench_stages("blackout_kernel", "blackout_init", mib);
	bench_time("blackout_boot", mib, bench_away_start());
}

static void blackout(uint64_t mib)
{
	long long freeze = sysfs_number("blackout", "freeze");
	int session = NEED(luo_session_claim(SESSION));
	int fd = NEED(luo_restore(session, 0));

	blackout_until(mib, bench_away());
	if (freeze >= 0)
		bench_time("blackout_freeze", mib, freeze);
	check_large_file(fd, mib * MIB);
	NEED(luo_finish(session));
}

/* The same memory in use, and nothing of it kept */
static bool fill_for_blackout(uint64_t mib)
{
	large_file(mib * MIB);
	return true;
}

static void blackout_plain(uint64_t mib)
{
	blackout_until(mib, bench_away_start());
}

const struct bench_case bench_cases[] = {
	{ "sessions",	create_sessions,	claim_sessions },
	{ "files",	preserve_files,		retrieve_files },
	{ "batch",	preserve_batch,		retrieve_batch },
	{ "memfd",	preserve_memfd,		retrieve_memfd },
	{ "announced",	preserve_announced,	NULL },
	{ "contiguous",	preserve_contiguous,	NULL },
	{ "sparse",	preserve_sparse,	NULL },
	{ "fragmented",	preserve_fragmented,	boot_fragmented },
	{ "blackout",	preserve_for_blackout,	blackout },
	{ "plain",	fill_for_blackout,	blackout_plain },
};

const unsigned int bench_nr_cases = ARRAY_SIZE(bench_cases);
