// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files in which every aligned 64-bit word is another one, and in which each of
 * them is compared. This goes through mappings: it takes no memory but page tables,
 * little time even for all the memory of a machine, and memfds of huge pages, to
 * which nobody can write(2).
 *
 * Offsets and lengths are multiples of 8.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "luo_lib.h"

#define PAGE		4096UL

/* As much of a file is mapped at a time, if its pages are not larger */
#define WINDOW		(32 * MIB)

/* Odd: no two places get the same word, however large the file */
#define PLACES		0x9e3779b97f4a7c15ULL
#define SEEDS		0xbf58476d1ce4e5b9ULL

/* What belongs at @offset of a file with this seed */
uint64_t words_at(uint64_t offset, uint64_t seed)
{
	return ((offset / 8 + 1) * PLACES) ^ (seed * SEEDS);
}

void words_write(uint64_t *to, uint64_t offset, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len / 8; i++)
		to[i] = words_at(offset + 8 * i, seed);
}

static void note_wrong(struct words_wrong *wrong, uint64_t offset, uint64_t have,
		       uint64_t want)
{
	if (!wrong->count++) {
		wrong->offset = offset;
		wrong->have = have;
		wrong->want = want;
	}
	wrong->last = offset;
}

/* Adds to @wrong those that are not as words_write() left them */
void words_compare(const uint64_t *have, uint64_t offset, size_t len,
		   uint64_t seed, struct words_wrong *wrong)
{
	for (size_t i = 0; i < len / 8; i++) {
		uint64_t want = words_at(offset + 8 * i, seed);

		if (have[i] != want)
			note_wrong(wrong, offset + 8 * i, have[i], want);
	}
}

/* Part of a file that is mapped, whole pages of it */
struct window {
	uint64_t start, size;
	char *map;
};

/* No page more than is asked for: a mapping of huge pages reserves all that it is of */
static int window_open(struct window *window, int fd, uint64_t offset,
		       uint64_t len, int prot)
{
	uint64_t page, end;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	/* Of huge pages, this is their size */
	page = st.st_blksize;
	window->start = offset / page * page;
	end = (offset + len + page - 1) / page * page;
	window->size = end - window->start;
	if (window->size > WINDOW)
		window->size = page > WINDOW ? page : WINDOW;
	window->map = mmap(NULL, window->size, prot, MAP_SHARED, fd, window->start);
	return window->map == MAP_FAILED ? -errno : 0;
}

/* An error, and no SIGBUS, where there is no memory or no file */
static int window_populate(struct window *window, uint64_t offset, uint64_t len,
			   int advice)
{
	uint64_t from = (offset - window->start) / PAGE * PAGE;
	uint64_t to = offset - window->start + len;

	return madvise(window->map + from, to - from, advice) ? -errno : 0;
}

static uint64_t in_window(const struct window *window, uint64_t offset,
			  uint64_t len)
{
	uint64_t left = window->start + window->size - offset;

	return len < left ? len : left;
}

static int window_fill(struct window *window, uint64_t offset, uint64_t len,
		       uint64_t seed)
{
	int err = window_populate(window, offset, len, MADV_POPULATE_WRITE);

	if (!err)
		words_write((uint64_t *)(window->map + offset - window->start),
			    offset, len, seed);
	return err;
}

/* What does not fit any more is an error; how far it came before is not told */
int words_fill(int fd, uint64_t offset, uint64_t len, uint64_t seed)
{
	struct window window;
	int err = 0;

	while (len && !err) {
		uint64_t n;

		err = window_open(&window, fd, offset, len, PROT_READ | PROT_WRITE);
		if (err)
			return err;
		n = in_window(&window, offset, len);
		err = window_fill(&window, offset, n, seed);
		munmap(window.map, window.size);
		offset += n;
		len -= n;
	}
	return err;
}

static int window_check(struct window *window, uint64_t offset, uint64_t len,
			uint64_t seed, struct words_wrong *wrong)
{
	int err = window_populate(window, offset, len, MADV_POPULATE_READ);

	if (!err)
		words_compare((uint64_t *)(window->map + offset - window->start),
			      offset, len, seed, wrong);
	return err;
}

static void tell(const struct words_wrong *wrong)
{
	printf("# %llu words are wrong, from offset 0x%llx to 0x%llx\n",
	       (unsigned long long)wrong->count, (unsigned long long)wrong->offset,
	       (unsigned long long)wrong->last);
	printf("# the first is 0x%016llx, not 0x%016llx\n",
	       (unsigned long long)wrong->have, (unsigned long long)wrong->want);
}

/*
 * 0, or -EILSEQ where words are not those of words_fill(): all of them are looked at
 * and counted in @wrong, which may be NULL. Holes would be filled: there must be none.
 */
int words_check(int fd, uint64_t offset, uint64_t len, uint64_t seed,
		struct words_wrong *wrong)
{
	struct words_wrong found = {};
	struct window window;
	int err = 0;

	while (len && !err) {
		uint64_t n;

		err = window_open(&window, fd, offset, len, PROT_READ);
		if (err)
			return err;
		n = in_window(&window, offset, len);
		err = window_check(&window, offset, n, seed, &found);
		munmap(window.map, window.size);
		offset += n;
		len -= n;
	}
	if (wrong)
		*wrong = found;
	if (found.count)
		tell(&found);
	return err ?: found.count ? -EILSEQ : 0;
}
