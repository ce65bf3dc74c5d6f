// SPDX-License-Identifier: GPL-2.0-only
/*
 * KHO's memory map with entries that no kernel makes: the next one ignores them, says
 * so once, and has all that was preserved.
 *
 * The map is a tree of pages: five levels of tables, and bitmaps below them, see
 * include/linux/kho/abi/kexec_handover.h. Where an entry needs further nodes, they go
 * into the pages of a memfd, which the next kernel finds as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/handover.h"
#include "update.h"

#define PAGE		4096UL
#define HUGE		(2 * MIB)
#define HUGE_FLAGS	(MFD_HUGETLB | 21 << 26)

#define IN_PRESERVED	"/sys/kernel/debug/kho/in/preserved_pages"

/* Levels of tables, and what of a key they and the bitmaps stand for, in bits */
#define LEVELS		5
#define TABLE_BITS	9
#define BITMAP_BITS	15

/* Beyond all memory, and aligned */
#define NO_RAM		0x200000000000ULL

/* What an entry points to */
enum target {
	KEY,		/* the value is all of it, of no order that there is */
	ADDRESS,	/* the value */
	SCRATCH,	/* where the next kernel starts in */
	WITHIN,		/* the second page of a huge one */
};

struct entry {
	enum target target;
	unsigned int order;
	uint64_t value;
};

/* ---- The map ---- */

/* Pages for nodes: those from @next to @end, and extents, of which some are used up */
struct spare {
	uint64_t next, end;
	struct extent_ser extents[NEAR];
	unsigned int nr, used;
};

/* All of the first memfd of a session */
static void spare_find(const struct place *place, struct spare *spare)
{
	struct memfd_ser memfd;

	OK(memory_read(place->memfd, &memfd, sizeof(memfd)));
	memset(spare, 0, sizeof(*spare));
	spare->nr = memfd.near_count;
	CHECK_BETWEEN(1, spare->nr, NEAR);
	OK(memory_read(place->near, spare->extents,
		       spare->nr * sizeof(spare->extents[0])));
}

static uint64_t spare_take(struct spare *spare)
{
	static const char zeros[PAGE];
	const struct extent_ser *extent;

	if (spare->next == spare->end) {
		CHECK(spare->used < spare->nr);
		extent = &spare->extents[spare->used++];
		spare->next = extent->phys & ~(PAGE - 1);
		spare->end = spare->next + extent->pages * PAGE;
	}
	spare->next += PAGE;
	OK(memory_write(spare->next - PAGE, zeros, PAGE));
	return spare->next - PAGE;
}

/* The node that an entry of a table leads to, a new one if there is none */
static uint64_t node_below(uint64_t at, struct spare *spare)
{
	uint64_t node;

	OK(memory_read(at, &node, sizeof(node)));
	if (!node) {
		node = spare_take(spare);
		OK(memory_write(at, &node, sizeof(node)));
	}
	return node;
}

/*
 * Where the table that is on the way to @key, and has @level levels below it, points to
 * the next node; tables that are missing are made.
 */
static uint64_t map_slot(uint64_t node, uint64_t key, int level,
			 struct spare *spare)
{
	uint64_t slot;

	for (int above = LEVELS - 1;; above--) {
		slot = key >> (BITMAP_BITS + above * TABLE_BITS);
		slot = node + slot % (1 << TABLE_BITS) * sizeof(node);
		if (above == level)
			return slot;
		node = node_below(slot, spare);
	}
}

static void map_add(uint64_t map, uint64_t key, struct spare *spare)
{
	uint64_t node = node_below(map_slot(map, key, 0, spare), spare);
	uint64_t index = key % (1 << BITMAP_BITS);
	uint8_t bits;

	OK(memory_read(node + index / 8, &bits, 1));
	bits |= 1 << index % 8;
	OK(memory_write(node + index / 8, &bits, 1));
}

/* ---- Before and after ---- */

/* Of a session's second file, a memfd of huge pages, the first page */
static uint64_t huge_address(const struct place *place)
{
	struct hugetlb_extent_ser extent;
	struct hugetlb_ser huge;
	struct file_ser file;

	OK(memory_read(place->file + sizeof(file), &file, sizeof(file)));
	OK(memory_read(file.data, &huge, sizeof(huge)));
	OK(memory_read(huge.kept.first + sizeof(struct block_ser), &extent,
		       sizeof(extent)));
	return extent.phys;
}

static uint64_t address_of(const struct entry *entry, const struct place *place,
			   const struct kho_place *kho)
{
	switch (entry->target) {
	case SCRATCH:
		return kho->scratch;
	case WITHIN:
		return huge_address(place) + PAGE;
	default:
		return entry->value;
	}
}

/* A bit that stands for the order, and the address in units of its size */
static uint64_t key_of(const struct entry *entry, uint64_t phys)
{
	if (entry->target == KEY)
		return entry->value;
	return 1ULL << (52 - entry->order) | phys >> (12 + entry->order);
}

static void find_all(struct note *note, struct kho_place *kho,
		     struct place *place, struct spare *spare)
{
	OK(kho_find(kho));
	OK(place_find(session_name(note, ""), place));
	spare_find(place, spare);
}

static void add_entry(struct note *note)
{
	const struct entry *entry = test_data();
	struct kho_place kho = {};
	struct place place = {};
	struct spare spare;
	uint64_t phys;

	find_all(note, &kho, &place, &spare);
	phys = address_of(entry, &place, &kho);
	map_add(kho.map, key_of(entry, phys), &spare);
}

static int huge_filled(void)
{
	int fd = SYS(memfd_create("huge", HUGE_FLAGS));
	void *map;

	SYS(ftruncate(fd, HUGE));
	map = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	content_generate(map, 0, HUGE, 2);
	munmap(map, HUGE);
	return fd;
}

/* The first file is for nodes */
static void preserve_with(struct note *note, int fd)
{
	int session = session_new(note, "");

	OK(luo_preserve(session, OK(memfd_filled("nodes", 0, LEVELS * PAGE, 1)),
			1));
	OK(luo_preserve(session, fd, 2));
}

static void preserve(struct note *note)
{
	preserve_with(note, OK(memfd_filled("map", 0, HUGE, 2)));
}

static void preserve_huge(struct note *note)
{
	preserve_with(note, huge_filled());
}

static void check(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 2));

	OK(content_check(fd, 0, HUGE, 2));
	OK(luo_finish(session));
	close(session);
	close(fd);
	CHECK_EQ(0, number_in(LUO_SYSFS "quarantined"));
}

/* ---- How much there is: looked at first, while no entry has been added ---- */

static void nothing(struct note *note)
{
}

static void count(struct note *note)
{
	note->value[0] = OK(kho_preserved_pages());
}

static void check_count(struct note *note)
{
	CHECK_EQ(note->value[0], number_in(IN_PRESERVED));
}

UPDATE_TEST(map, map_pages, .stage = { nothing, check_count },
	    .frozen = count);

/* ---- What is said of all entries together ---- */

static void check_reported(struct note *note)
{
	check(note);
	CHECK_EQ(1, times_logged("KHO: the memory map has impossible entries"));
}

static const struct entry entry_reported = { ADDRESS, 9, NO_RAM };

UPDATE_TEST(map, map_is_reported, .stage = { preserve, check_reported },
	    .frozen = add_entry, .data = &entry_reported);

/* ---- Memory that somebody has in the next kernel ---- */

/* Each kernel reserves the first MiB, which has no page that anybody preserves */
#define TAKEN		0x10000ULL

/* As KHO preserves pages: in pieces that are as large as their places let them be */
static void add_taken(uint64_t map, uint64_t pages, struct spare *spare)
{
	struct entry entry = { ADDRESS, 0, 0 };

	for (uint64_t i = 0; i < pages; i += 1ULL << entry.order) {
		uint64_t at = TAKEN / PAGE + i;

		entry.order = __builtin_ctzll(at);
		while (1ULL << entry.order > pages - i)
			entry.order--;
		map_add(map, key_of(&entry, at * PAGE), spare);
	}
}

/* The first extent of the first file is there, and the map says so */
static void move_there(struct note *note)
{
	struct kho_place kho = {};
	struct place place = {};
	struct extent_ser extent;
	struct spare spare;

	find_all(note, &kho, &place, &spare);
	/* What it had is for nodes, and nobody's afterwards */
	OK(memory_read(place.near, &extent, sizeof(extent)));
	add_taken(kho.map, extent.pages, &spare);
	extent.phys = TAKEN | (extent.phys & (PAGE - 1));
	OK(memory_write(place.near, &extent, sizeof(extent)));
	place_fix_memfd(&place);
}

static void check_taken(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 2));

	CHECK_EQ(-EUCLEAN, luo_restore(session, 1));
	OK(content_check(fd, 0, HUGE, 2));
	OK(luo_finish(session));
	CHECK_EQ(1, number_in(LUO_SYSFS "quarantined"));
	CHECK_EQ(1, times_logged("KHO: preserved memory is in use by this kernel"));
}

UPDATE_TEST(taken, map_taken, .stage = { preserve, check_taken },
	    .frozen = move_there);

/* ---- Entries ---- */

#define MAP(_name, ...)							\
	static const struct entry entry_##_name = { __VA_ARGS__ };	\
	UPDATE_TEST(map, map_##_name, .stage = { preserve, check },	\
		    .frozen = add_entry, .data = &entry_##_name)

MAP(no_key, KEY, .value = 0);
MAP(order_52, KEY, .value = 1);
MAP(order_51, KEY, .value = 2);
MAP(order_31, KEY, .value = 1ULL << 21);
MAP(order_negative, KEY, .value = 1ULL << 53);
MAP(order_most_negative, KEY, .value = 1ULL << 59);
MAP(no_ram, ADDRESS, 0, NO_RAM);
MAP(no_ram_large, ADDRESS, 18, NO_RAM);
MAP(last_page, ADDRESS, 0, ~0ULL);
/* Where the screen of a PC is */
MAP(hole, ADDRESS, 0, 0xa0000);
MAP(around_hole, ADDRESS, 8, 0);
MAP(beyond_ram, ADDRESS, 30, 0);
MAP(scratch, .target = SCRATCH);
MAP(scratch_large, .target = SCRATCH, .order = 11);
MAP(scratch_and_more, .target = SCRATCH, .order = 12);

static const struct entry entry_within = { .target = WITHIN };

UPDATE_TEST(map, map_within, .stage = { preserve_huge, check },
	    .frozen = add_entry, .data = &entry_within);

/* ---- Nodes ---- */

/* What stands where the address of a node is to be */
enum node {
	WRONG,		/* the value */
	IN_SCRATCH,
	MISALIGNED,	/* a node, and something */
	SELF,		/* a table of nothing but its own address */
	ROOT,		/* the node that all begins with */
};

/* The way to keys of order @order, and the level that the node is on */
struct pointer {
	enum node node;
	int order;
	int level;
	uint64_t value;
};

static uint64_t table_of_itself(struct spare *spare)
{
	uint64_t phys = spare_take(spare), table[PAGE / sizeof(uint64_t)];

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		table[i] = phys;
	OK(memory_write(phys, table, sizeof(table)));
	return phys;
}

static uint64_t value_of(const struct pointer *pointer,
			 const struct kho_place *kho, struct spare *spare)
{
	switch (pointer->node) {
	case IN_SCRATCH:
		return kho->scratch;
	case MISALIGNED:
		return spare_take(spare) + 8;
	case SELF:
		return table_of_itself(spare);
	case ROOT:
		return kho->map;
	default:
		return pointer->value;
	}
}

static void add_pointer(struct note *note)
{
	const struct pointer *pointer = test_data();
	uint64_t key = 1ULL << (52 - pointer->order), slot, value;
	struct kho_place kho = {};
	struct place place = {};
	struct spare spare;

	find_all(note, &kho, &place, &spare);
	slot = map_slot(kho.map, key, pointer->level, &spare);
	OK(memory_read(slot, &value, sizeof(value)));
	CHECK_EQ(0, value);
	value = value_of(pointer, &kho, &spare);
	OK(memory_write(slot, &value, sizeof(value)));
}

#define NODE(_name, ...)						\
	static const struct pointer pointer_##_name = { __VA_ARGS__ };	\
	UPDATE_TEST(map, map_node_##_name, .stage = { preserve, check }, \
		    .frozen = add_pointer, .data = &pointer_##_name)

/* Of these orders nothing else is preserved, so that the way there is free */
NODE(no_order, WRONG, -2, 4, NO_RAM);
NODE(no_ram_3, WRONG, 10, 3, NO_RAM);
NODE(no_ram_2, WRONG, 16, 2, NO_RAM);
NODE(no_ram_1, WRONG, 25, 1, NO_RAM);
NODE(no_ram_0, WRONG, 29, 0, NO_RAM);
NODE(last_page, WRONG, 17, 2, ~PAGE + 1);
NODE(max, WRONG, 22, 1, ~0ULL);
NODE(hole, WRONG, 26, 1, 0xa0000);
NODE(scratch, .node = IN_SCRATCH, .order = 27, .level = 1);
NODE(misaligned, .node = MISALIGNED, .order = 28, .level = 1);
NODE(itself, .node = SELF, .order = 19, .level = 2);
/* What it tells of, taken for a leaf, is beyond all memory */
NODE(root, .node = ROOT, .order = 21, .level = 1);

static void check_node_reported(struct note *note)
{
	check(note);
	CHECK_EQ(1, times_logged("KHO: the memory map has impossible nodes"));
}

static const struct pointer pointer_reported = { WRONG, 14, 2, NO_RAM };

UPDATE_TEST(map, map_node_is_reported,
	    .stage = { preserve, check_node_reported },
	    .frozen = add_pointer, .data = &pointer_reported);

/* ---- Sets "lost", "lost_tree" and "hidden": nothing to begin with ---- */

/* Where KHO's tree has a value of so many bytes */
static uint64_t in_tree(const struct kho_place *kho, const void *value, size_t size)
{
	unsigned char tree[PAGE];
	size_t at = 0;

	OK(memory_read(kho->tree, tree, sizeof(tree)));
	while (memcmp(tree + at, value, size))
		CHECK(++at + size < sizeof(tree));
	return kho->tree + at;
}

static void lose_map(struct note *note)
{
	static const uint64_t nowhere = NO_RAM;
	struct kho_place kho = {};

	OK(kho_find(&kho));
	OK(memory_write(in_tree(&kho, &kho.map, sizeof(kho.map)), &nowhere,
			sizeof(nowhere)));
}

/* As a KHO would that is of another version */
static void lose_tree(struct note *note)
{
	static const char version[] = "kho-v";
	struct kho_place kho = {};

	OK(kho_find(&kho));
	OK(memory_write(in_tree(&kho, version, strlen(version)), "KHO", 3));
}

static void lost_before(struct note *note)
{
	OK(luo_preserve(session_new(note, ""),
			OK(memfd_filled("lost", 0, HUGE, 2)), 1));
}

/* Nothing came, and it is told. But the kernel can be replaced by a next one. */
static void lost_after(struct note *note)
{
	check_handover_lost();
	CHECK_EQ(1, times_logged("liveupdate: handover"));
	OK(luo_preserve(session_new(note, ""),
			OK(memfd_filled("found", 0, HUGE, 3)), 1));
}

static void found_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, HUGE, 3));
	OK(luo_finish(session));
	CHECK_EQ(0, number_in(LUO_SYSFS "quarantined"));
}

UPDATE_TEST(lost, map_lost, .stage = { lost_before, lost_after, found_after },
	    .frozen = lose_map);

UPDATE_TEST(lost_tree, tree_lost,
	    .stage = { lost_before, lost_after, found_after },
	    .frozen = lose_tree);

/*
 * From a kernel that loads whatever is asked for: memory is hidden from the next one. It
 * ends there, as no other can be loaded with the same words: this one runs in memory
 * that they hide.
 */
UPDATE_TEST(hidden, memory_hidden, .stage = { lost_before, lost_after });
