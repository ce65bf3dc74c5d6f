// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is on one node in a kernel and on several in the next, and the other
 * way round: nothing is lost for that, and nothing in quarantine.
 *
 * The sets: "nodes", of which each kernel sees nodes of its own, which meet where
 * 32 MiB begin; and "nodes_odd", where in the first kernel all is one node, and in the
 * second four nodes of 511 MiB meet: in the middle of folios and huge pages.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "update.h"

#define PAGE		4096UL
#define HUGE		(2 * MIB)
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define HUGE_PAGES	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

/* Nodes of the set "nodes_odd" */
#define ODD		(511 * MIB)

/* Of what pages a file is, its size, and around which address, if that matters */
struct kind {
	bool large, huge;
	uint64_t size;
	uint64_t around;
};

/* ---- Where the pages of a file are ---- */

struct view {
	unsigned long nr;
	uint64_t *frames;
	int *nodes;
	char *map;
};

/* As pfn_of(), of all at once */
static void view_frames(struct view *view)
{
	int fd = SYS(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	size_t size = view->nr * sizeof(*view->frames);
	off_t from = (uintptr_t)view->map / PAGE * sizeof(*view->frames);

	for (size_t done = 0; done < size;)
		done += SYS(pread(fd, (char *)view->frames + done, size - done,
				  from + done));
	close(fd);
	for (unsigned long i = 0; i < view->nr; i++) {
		CHECK(view->frames[i] >> 63);
		view->frames[i] &= (1ULL << 55) - 1;
	}
}

static void view_open(struct view *view, int fd, uint64_t size)
{
	void **pages;

	view->nr = size / PAGE;
	view->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(view->map != MAP_FAILED);
	SYS(madvise(view->map, size, MADV_POPULATE_READ));
	pages = calloc(view->nr, sizeof(*pages));
	view->frames = calloc(view->nr, sizeof(*view->frames));
	view->nodes = calloc(view->nr, sizeof(*view->nodes));
	CHECK(pages && view->frames && view->nodes);
	view_frames(view);
	for (unsigned long i = 0; i < view->nr; i++)
		pages[i] = view->map + i * PAGE;
	SYS(syscall(SYS_move_pages, 0, view->nr, pages, NULL, view->nodes, 0));
	free(pages);
}

static void view_close(struct view *view)
{
	munmap(view->map, view->nr * PAGE);
	free(view->frames);
	free(view->nodes);
}

/* How often memory goes on where the file does, and on another node */
static unsigned long crossings(const struct view *view)
{
	unsigned long nr = 0;

	for (unsigned long i = 1; i < view->nr; i++)
		nr += view->frames[i] == view->frames[i - 1] + 1 &&
		      view->nodes[i] != view->nodes[i - 1];
	return nr;
}

/* ---- Files ---- */

static int kind_memfd(const struct kind *kind, uint64_t size)
{
	int fd;

	OK(text_write(SHMEM_ENABLED, kind->large ? "force" : "never"));
	fd = SYS(memfd_create("nodes", kind->huge ? MFD_HUGETLB | 21 << 26 : 0));
	SYS(ftruncate(fd, size));
	return fd;
}

static void pool_resize(unsigned long pages)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", pages);
	OK(text_write(HUGE_PAGES, text));
}

/* Nearly all that is free, so that it is in there, wherever it is */
static int memfd_of_all(const struct kind *kind, uint64_t *size)
{
	int fd;

	*size = (meminfo_kib("MemFree") * KIB - 160 * MIB) / HUGE * HUGE;
	if (kind->huge) {
		pool_resize(*size / HUGE);
		*size = number_in(HUGE_PAGES) * HUGE;
	}
	fd = kind_memfd(kind, *size);
	SYS(fallocate(fd, 0, 0, *size));
	return fd;
}

/* What a note remembers; of huge pages, where they are, as nobody else can tell */
enum { SIZE, NR, CROSSINGS, INDEXES };

#define MAX_INDEXES	(ARRAY_SIZE(((struct note *)0)->value) - INDEXES)

static void keep_index(struct note *note, uint64_t index)
{
	if (note->value[NR] < MAX_INDEXES)
		note->value[INDEXES + note->value[NR]] = index;
	note->value[NR]++;
}

static void punch(int fd, uint64_t from, uint64_t to)
{
	if (from < to)
		SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      from * PAGE, (to - from) * PAGE));
}

/* Leave only what is near the address; memory on both sides of it is of one page */
static void keep_around(struct note *note, int fd, const struct view *view)
{
	const struct kind *kind = test_data();
	const uint64_t at = kind->around / PAGE, near = 8 * MIB / PAGE;
	const uint64_t step = kind->large || kind->huge ? HUGE / PAGE : 1;
	unsigned int sides = 0;
	uint64_t kept = 0;

	for (unsigned long i = 0; i < view->nr; i += step) {
		uint64_t first = view->frames[i], end = first + step;

		if (end + near <= at || first >= at + near)
			continue;
		sides |= (first < at) | (end > at) << 1;
		sides |= (first < at && end > at) << 2;
		keep_index(note, i / step);
		punch(fd, kept, i);
		kept = i + step;
	}
	punch(fd, kept, view->nr);
	CHECK_EQ(step > 1 ? 7 : 3, sides);
}

typedef int (*act_fn)(int fd, uint64_t from, uint64_t len, uint64_t seed);

static void each_index(const struct note *note, int fd, act_fn act)
{
	CHECK_BETWEEN(1, note->value[NR], (long)MAX_INDEXES);
	for (unsigned int i = 0; i < note->value[NR]; i++)
		OK(act(fd, note->value[INDEXES + i] * HUGE, HUGE, 1));
}

static void each_data(const struct note *note, int fd, act_fn act)
{
	const struct kind *kind = test_data();
	off_t from = 0, to;

	if (kind->around && kind->huge) {
		each_index(note, fd, act);
		return;
	}
	while ((from = lseek(fd, from, SEEK_DATA)) >= 0) {
		to = SYS(lseek(fd, from, SEEK_HOLE));
		OK(act(fd, from, to - from, 1));
		from = to;
	}
}

static int compare(int fd, uint64_t from, uint64_t len, uint64_t seed)
{
	return words_check(fd, from, len, seed, NULL);
}

static int make_around(struct note *note)
{
	const struct kind *kind = test_data();
	int fd = memfd_of_all(kind, &note->value[SIZE]);
	struct view view;

	view_open(&view, fd, note->value[SIZE]);
	keep_around(note, fd, &view);
	view_close(&view);
	each_data(note, fd, words_fill);
	if (kind->huge)
		pool_resize(0);
	return fd;
}

static int make(struct note *note)
{
	const struct kind *kind = test_data();
	int fd;

	note->value[SIZE] = kind->size;
	if (kind->huge)
		pool_resize(kind->size / HUGE);
	fd = kind_memfd(kind, kind->size);
	OK(words_fill(fd, 0, kind->size, 1));
	return fd;
}

/* ---- From kernel to kernel ---- */

static void nodes_before(struct note *note)
{
	const struct kind *kind = test_data();
	int fd = kind->around ? make_around(note) : make(note);

	OK(luo_preserve(session_new(note, ""), fd, 1));
}

/* All is there */
static void look(struct note *note, int fd)
{
	const struct kind *kind = test_data();
	struct view view;

	CHECK_EQ(0, number_in(LUO_SYSFS "quarantined"));
	each_data(note, fd, compare);
	if (kind->around)
		return;
	CHECK_EQ(kind->size, SYS(lseek(fd, 0, SEEK_HOLE)));
	view_open(&view, fd, kind->size);
	note->value[CROSSINGS] += crossings(&view);
	view_close(&view);
}

static int take(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	look(note, fd);
	OK(luo_finish(session));
	close(session);
	return fd;
}

/* Those of the set "nodes_odd" are there in the second kernel only */
static void check_nodes(void)
{
	const struct kind *kind = test_data();

	CHECK(!kind->around ||
	      !access("/sys/devices/system/node/node3", F_OK));
}

static void nodes_between(struct note *note)
{
	check_nodes();
	OK(luo_preserve(session_new(note, ""), take(note), 1));
}

/* Nobody claims it: the kernel carries it to the next one */
static void nodes_carried(struct note *note)
{
	check_nodes();
}

static void nodes_after(struct note *note)
{
	int fd = take(note);

	/* Also when all other memory has been used */
	OK(memory_use_up(2));
	look(note, fd);
	snprintf(note->text, sizeof(note->text),
		 "neighbours are on two nodes %lu times",
		 (unsigned long)note->value[CROSSINGS]);
}

#define NODES(_set, _name, _between, ...)				\
	static const struct kind kind_##_name = { __VA_ARGS__ };	\
	UPDATE_TEST(_set, nodes_##_name,				\
		    .stage = { nodes_before, _between, nodes_after },	\
		    .data = &kind_##_name, .timeout = 200)

/* Huge pages first, while every node has some that can be pinned */
NODES(nodes, huge, nodes_between, .huge = true, .size = 128 * MIB);
NODES(nodes, large, nodes_between, .large = true, .size = 300 * MIB);
NODES(nodes, small, nodes_between, .size = 400 * MIB);

/* Two of the three places where the nodes meet are odd, and for one file each */
NODES(nodes_odd, odd_huge, nodes_between, .huge = true, .around = 3 * ODD);
NODES(nodes_odd, odd_large, nodes_between, .large = true, .around = ODD);
NODES(nodes_odd, odd_small, nodes_carried, .around = 2 * ODD);
