// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the next kernel is not told of: DIMMs that ACPI knows of, and virtio-mem.
 * It is used as all other memory is, but nothing that crosses may stay there.
 *
 * Set "hotplug" runs with less than 3 GiB of memory that was there at boot, which is
 * below 4 GiB, and much of the other kind above. Set "told" runs with a kernel that was
 * told of a DIMM on its command line.
 */
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/handover.h"
#include "update.h"

#define PAGE		4096UL
#define HUGE		(2 * MIB)
#define HOT		(4 * GIB)
#define HOT_PFN		(HOT / PAGE)
#define BLOCKS		"/sys/devices/system/memory/"
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define HUGE_POOL	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

/* ---- Memory of either kind ---- */

/* As if it were added now, where the kernel has not brought it online by itself */
static void online_all(void)
{
	char state[16];
	glob_t found;

	CHECK_EQ(0, glob(BLOCKS "memory*/state", 0, NULL, &found));
	for (size_t i = 0; i < found.gl_pathc; i++) {
		OK(text_read(found.gl_pathv[i], state, sizeof(state)));
		if (!strcmp(state, "offline"))
			OK(text_write(found.gl_pathv[i], "online_kernel"));
	}
	globfree(&found);
}

static char *map_all(int fd, uint64_t len)
{
	char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(map != MAP_FAILED);
	SYS(madvise(map, len, MADV_POPULATE_READ));
	return map;
}

/* How many of a file's pages the next kernel would not be told of */
static uint64_t pages_hot(int fd, uint64_t len)
{
	int pagemap = SYS(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	uint64_t nr = len / PAGE, hot = 0;
	uint64_t *entries = calloc(nr, sizeof(*entries));
	char *map = map_all(fd, len);

	CHECK(entries);
	CHECK_EQ(nr * 8, SYS(pread(pagemap, entries, nr * 8,
				   (uintptr_t)map / PAGE * 8)));
	for (uint64_t i = 0; i < nr; i++) {
		CHECK(entries[i] >> 63);
		hot += (entries[i] & ((1ULL << 55) - 1)) >= HOT_PFN;
	}
	munmap(map, len);
	close(pagemap);
	free(entries);
	return hot;
}

static int memfd_words(unsigned int flags, uint64_t len, uint64_t seed)
{
	int fd = SYS(memfd_create("hot", flags));

	SYS(ftruncate(fd, len));
	OK(words_fill(fd, 0, len, seed));
	return fd;
}

/* A file that is of use to a test: half of it lies in memory that was added */
static int memfd_hot(unsigned int flags, uint64_t len, uint64_t seed)
{
	int fd;

	online_all();
	fd = memfd_words(flags, len, seed);
	CHECK_BETWEEN(len / PAGE / 2, pages_hot(fd, len), len / PAGE);
	return fd;
}

/* ---- Files move out ---- */

#define LEN		(96 * MIB)

static void preserve_hot(struct note *note)
{
	int fd = memfd_hot(0, LEN, 1), session = session_new(note, "");

	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(0, pages_hot(fd, LEN));
	OK(words_check(fd, 0, LEN, 1, NULL));
}

/* The next kernel has the same memory, and the file goes on from there */
static void check_and_preserve(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(words_check(fd, 0, LEN, 1, NULL));
	OK(luo_finish(session));
	close(session);
	OK(words_fill(fd, 0, LEN / 2, 2));
	SYS(ftruncate(fd, 2 * LEN));
	OK(words_fill(fd, LEN, LEN, 3));
	session = session_new(note, "");
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(0, pages_hot(fd, 2 * LEN));
}

static void check_again(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(words_check(fd, 0, LEN / 2, 2, NULL));
	OK(words_check(fd, LEN / 2, LEN / 2, 1, NULL));
	OK(words_check(fd, LEN, LEN, 3, NULL));
	OK(luo_finish(session));
}

UPDATE_TEST(hotplug, hot_files_move,
	    .stage = { preserve_hot, check_and_preserve, check_again });

/* Of a file of large folios, they stay large where there is room for them */
static void preserve_large(struct note *note)
{
	int fd, session = session_new(note, "");

	online_all();
	fd = SYS(memfd_create("large", 0));
	SYS(ftruncate(fd, 16 * HUGE));
	OK(text_write(SHMEM_ENABLED, "force"));
	OK(words_fill(fd, 0, 16 * HUGE, 4));
	OK(text_write(SHMEM_ENABLED, "never"));
	CHECK_BETWEEN(1, pages_hot(fd, 16 * HUGE), LONG_MAX);
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(0, pages_hot(fd, 16 * HUGE));
}

static void check_large(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(words_check(fd, 0, 16 * HUGE, 4, NULL));
	OK(luo_finish(session));
}

UPDATE_TEST(hotplug, hot_large_folios_move, .stage = { preserve_large, check_large });

/* Pages that come after the file was preserved move when it is frozen */
static void preserve_and_grow(struct note *note)
{
	int fd = memfd_hot(0, HUGE, 5), session = session_new(note, "");

	SYS(ftruncate(fd, 8 * HUGE));
	OK(luo_preserve(session, fd, 1));
	OK(words_fill(fd, HUGE, 7 * HUGE, 5));
	CHECK_BETWEEN(1, pages_hot(fd, 8 * HUGE), LONG_MAX);
}

static void check_grown(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(words_check(fd, 0, 8 * HUGE, 5, NULL));
	OK(luo_finish(session));
}

UPDATE_TEST(hotplug, hot_late_pages_move, .stage = { preserve_and_grow, check_grown });

/* ---- Or are refused ---- */

/* A page that somebody else holds on to cannot move */
static void preserve_held(struct note *note)
{
	int fd = memfd_hot(0, HUGE, 6), session = session_new(note, "");
	char *map = map_all(fd, HUGE), page[PAGE];
	struct iovec iov = { .iov_len = PAGE };
	uint64_t i = 0;
	int ends[2];

	while (pfn_of(map + i * PAGE) < HOT_PFN)
		CHECK(++i < HUGE / PAGE);
	iov.iov_base = map + i * PAGE;
	SYS(pipe(ends));
	CHECK_EQ(PAGE, SYS(vmsplice(ends[1], &iov, 1, 0)));
	CHECK_EQ(-EBUSY, luo_preserve(session, fd, 1));
	OK(words_check(fd, 0, HUGE, 6, NULL));
	CHECK(luo_has_files(session, 0));
	CHECK_EQ(PAGE, SYS(read(ends[0], page, PAGE)));
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(0, pages_hot(fd, HUGE));
}

static void check_held(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(words_check(fd, 0, HUGE, 6, NULL));
	OK(luo_finish(session));
}

UPDATE_TEST(hotplug, hot_held_page_is_refused, .stage = { preserve_held, check_held });

/* ---- All else that crosses ---- */

#define SESSIONS	60
#define FILES		8

static void preserve_many(struct note *note)
{
	char suffix[16];
	int session;

	online_all();
	for (unsigned int i = 0; i < SESSIONS; i++) {
		snprintf(suffix, sizeof(suffix), "%u", i);
		session = session_new(note, suffix);
		for (unsigned int j = 0; j < FILES; j++)
			OK(luo_preserve(session, memfd_words(0, PAGE, i * FILES + j),
					j));
	}
}

/* All that is found by an address; whatever is not would be lost with it */
static void check_places(struct note *note)
{
	struct kho_place kho = {};
	struct place place = {};
	char suffix[16];

	OK(kho_find(&kho));
	CHECK_BETWEEN(1, kho.tree, HOT - 1);
	CHECK_BETWEEN(1, kho.map, HOT - 1);
	for (unsigned int i = 0; i < SESSIONS; i++) {
		snprintf(suffix, sizeof(suffix), "%u", i);
		OK(place_find(session_name(note, suffix), &place));
		CHECK_BETWEEN(1, place.session, HOT - 1);
		CHECK_BETWEEN(1, place.block, HOT - 1);
		CHECK_BETWEEN(1, place.memfd, HOT - 1);
	}
}

static void check_many(struct note *note)
{
	char suffix[16];
	int session, fd;

	for (unsigned int i = 0; i < SESSIONS; i++) {
		snprintf(suffix, sizeof(suffix), "%u", i);
		session = session_claim(note, suffix);
		for (unsigned int j = 0; j < FILES; j++) {
			fd = OK(luo_restore(session, j));
			OK(words_check(fd, 0, PAGE, i * FILES + j, NULL));
			close(fd);
		}
		OK(luo_finish(session));
		close(session);
	}
	CHECK_EQ(0, number_in(LUO_SYSFS "quarantined"));
}

UPDATE_TEST(hotplug, hot_records, .stage = { preserve_many, check_many },
	    .frozen = check_places);

/* ---- Huge pages ---- */

/* Those of the pool that was there at boot can stay, which the others move to */
static void preserve_huge(struct note *note)
{
	unsigned int flags = MFD_HUGETLB | 21 << 26;
	int fd, session = session_new(note, "");
	long nr = number_in(HUGE_POOL);
	char text[32];

	online_all();
	snprintf(text, sizeof(text), "%ld", nr + 8);
	OK(text_write(HUGE_POOL, text));
	CHECK_EQ(nr + 8, number_in(HUGE_POOL));
	fd = memfd_words(flags, 4 * HUGE, 7);
	CHECK_BETWEEN(1, pages_hot(fd, 4 * HUGE), LONG_MAX);
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(0, pages_hot(fd, 4 * HUGE));
	OK(words_check(fd, 0, 4 * HUGE, 7, NULL));
	CHECK_EQ(nr + 8, number_in(HUGE_POOL));
}

static void check_huge(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(words_check(fd, 0, 4 * HUGE, 7, NULL));
	OK(luo_finish(session));
}

UPDATE_TEST(hotplug, hot_huge_pages_move, .stage = { preserve_huge, check_huge });

/* ---- Loading, and the jump ---- */

#define LEVELS		5
#define TABLE_BITS	9
#define BITMAP_BITS	15

static int load_directly(void)
{
	static const char cmdline[] = "liveupdate=1 kho=on";
	char path[64];
	int image, err;

	snprintf(path, sizeof(path), "/build/bzImage%s%s-b",
		 *(getenv("KERNEL") ?: "") ? "-" : "", getenv("KERNEL") ?: "");
	image = SYS(open(path, O_RDONLY | O_CLOEXEC));
	/* 4: there is no initramfs */
	err = syscall(SYS_kexec_file_load, image, -1, sizeof(cmdline), cmdline, 4UL) ?
	      -errno : 0;
	close(image);
	return err;
}

/* For nodes: a file that is preserved, and so in the right memory; and the other kind */
static char *nodes, *hot;

static void preserve_nodes(struct note *note)
{
	int fd = memfd_hot(0, HUGE, 8);

	hot = map_all(fd, HUGE);
	while (pfn_of(hot) < HOT_PFN)
		hot += PAGE;
	fd = OK(memfd_filled("nodes", 0, LEVELS * PAGE, 1));
	OK(luo_preserve(session_new(note, ""), fd, 1));
	nodes = map_all(fd, LEVELS * PAGE);
}

static void check_nodes(struct note *note)
{
	OK(luo_finish(session_claim(note, "")));
}

static void check_refused(void)
{
	CHECK_EQ(-EADDRNOTAVAIL, try_jump());
	CHECK_EQ(-EADDRNOTAVAIL, load_directly());
}

/* A word of the map, and what was there before it was changed */
struct change {
	uint64_t at, old;
};

static void change_word(struct change *change, uint64_t at, uint64_t value)
{
	/* The first change alone has to be undone: it leads to the others */
	if (!change->at) {
		change->at = at;
		OK(memory_read(at, &change->old, 8));
	}
	OK(memory_write(at, &value, 8));
}

static void change_undo(const struct change *change)
{
	OK(memory_write(change->at, &change->old, 8));
}

static void map_add(uint64_t node, uint64_t key, struct change *change)
{
	uint64_t at, next;

	for (int level = LEVELS - 1; level >= 0; level--) {
		at = key >> (BITMAP_BITS + level * TABLE_BITS);
		at = node + at % (1 << TABLE_BITS) * 8;
		OK(memory_read(at, &next, sizeof(next)));
		if (!next) {
			char *page = nodes + level * PAGE;

			memset(page, 0, PAGE);
			next = pfn_of(page) * PAGE;
			change_word(change, at, next);
		}
		node = next;
	}
	at = node + key % (1 << BITMAP_BITS) / 64 * 8;
	OK(memory_read(at, &next, sizeof(next)));
	change_word(change, at, next | 1ULL << key % 64);
}

/* Somebody has preserved what nobody can */
static void refuse_preserved(struct note *note)
{
	uint64_t phys = pfn_of(hot) * PAGE;
	struct kho_place kho = {};
	struct change change = {};

	OK(kho_find(&kho));
	map_add(kho.map, 1ULL << 52 | phys >> 12, &change);
	check_refused();
	change_undo(&change);
}

/* A node of the map */
static void refuse_node(struct note *note)
{
	uint64_t node, at;
	struct kho_place kho = {};
	struct change change = {};

	OK(kho_find(&kho));
	for (at = kho.map;; at += 8) {
		CHECK(at < kho.map + PAGE);
		OK(memory_read(at, &node, sizeof(node)));
		if (node)
			break;
	}
	OK(memory_read(node, hot, PAGE));
	change_word(&change, at, pfn_of(hot) * PAGE);
	check_refused();
	change_undo(&change);
}

/* What a subtree points to */
static void refuse_subtree(struct note *note)
{
	static unsigned char tree[PAGE];
	static struct root root;
	struct kho_place kho = {};
	struct change change = {};
	size_t at = 0;

	OK(kho_find(&kho));
	OK(root_read(&root));
	OK(memory_read(kho.tree, tree, sizeof(tree)));
	while (memcmp(tree + at, &root.phys, 8))
		CHECK(++at + 8 < sizeof(tree));
	change_word(&change, kho.tree + at, pfn_of(hot) * PAGE);
	check_refused();
	change_undo(&change);
}

static void refuse_all(struct note *note)
{
	refuse_preserved(note);
	refuse_node(note);
	refuse_subtree(note);
}

UPDATE_TEST(hotplug, hot_jump_is_refused, .stage = { preserve_nodes, check_nodes },
	    .late = { refuse_all });

/* Memory that a command line has told of, but the next kernel's may not tell of */
static void load_untold(struct note *note)
{
	CHECK_EQ(-EADDRNOTAVAIL, load_directly());
}

UPDATE_TEST(told, told_load_is_refused, .stage = { load_untold });

/* ---- What crosses stays ---- */

static void no_handler(int signal)
{
}

static int block_offline(uint64_t phys)
{
	struct sigaction action = { .sa_handler = no_handler };
	uint64_t size;
	char text[64];
	int err;

	OK(text_read(BLOCKS "block_size_bytes", text, sizeof(text)));
	size = strtoull(text, NULL, 16);
	snprintf(text, sizeof(text), BLOCKS "memory%lu/state", phys / size);
	/* The kernel tries on until it is told that this is enough */
	SYS(sigaction(SIGALRM, &action, NULL));
	alarm(2 * slower());
	err = text_write(text, "offline");
	alarm(0);
	check_text(text, "online");
	return err;
}

/* Memory of a file, and what the next kernel starts in, cannot be taken away */
static void preserve_and_remove(struct note *note)
{
	int fd = memfd_hot(0, HUGE, 9), session = session_new(note, "");
	int err;

	OK(luo_preserve(session, fd, 1));
	err = block_offline(pfn_of(map_all(fd, HUGE)) * PAGE);
	/* Low memory has a hole, and no block with one can be taken away */
	CHECK(err == -EBUSY || err == -EINTR || err == -EINVAL);
	OK(words_check(fd, 0, HUGE, 9, NULL));
}

static void remove_scratch(struct note *note)
{
	struct kho_place kho = {};
	int err;

	OK(kho_find(&kho));
	err = block_offline(kho.scratch);
	/* As above: where it is depends on how much the kernel wants of it */
	CHECK(err == -EBUSY || err == -EINVAL);
}

static void check_not_removed(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(words_check(fd, 0, HUGE, 9, NULL));
	OK(luo_finish(session));
}

UPDATE_TEST(hotplug, hot_memory_stays,
	    .stage = { preserve_and_remove, check_not_removed },
	    .late = { remove_scratch });
