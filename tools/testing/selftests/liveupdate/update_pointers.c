// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses in KHO's tree, and in the one of reserve_mem=, that lead elsewhere: the
 * next kernel says so, follows none of them, and has all the rest.
 *
 * The sets: "pointers", where what is damaged is not live update's; and
 * "pointers_lost", where it is its handover.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "area.h"
#include "lib/handover.h"
#include "update.h"

#define PAGE		4096UL
#define HUGE		(2 * MIB)
#define IN_SUBTREES	"/sys/kernel/debug/kho/in/sub_fdts/"

/* Beyond all memory, and aligned */
#define NO_RAM		0x200000000000ULL

static void number_read(struct root *tree, const char *node, const char *name,
			uint64_t *value)
{
	size_t size;
	void *at = root_property(tree, node, name, &size);

	CHECK(at && size == sizeof(*value));
	memcpy(value, at, sizeof(*value));
}

/* Set a number of a tree that is a page at @phys; nodes are known by their names */
static void number_set(uint64_t phys, const char *node, const char *name,
		       uint64_t value)
{
	static struct root tree;
	uint64_t old;
	unsigned char *at;

	OK(memory_read(phys, tree.fdt, PAGE));
	number_read(&tree, node, name, &old);
	at = root_property(&tree, node, name, NULL);
	OK(memory_write(phys + (at - tree.fdt), &value, sizeof(value)));
}

/* A page of our own that nobody preserves */
static uint64_t page_not_preserved(void)
{
	static char page[2 * PAGE] __attribute__((aligned(4096)));

	memset(page, 0xff, sizeof(page));
	return pfn_of(page) * PAGE;
}

static void preserve(struct note *note)
{
	OK(luo_preserve(session_new(note, ""),
			OK(memfd_filled("pointers", 0, HUGE, 1)), 1));
}

/* ---- Set "pointers" ---- */

/* Areas of reserve_mem=, each of which is damaged in its way, but for the first */
static const char *const areas[] = { "good", "twice", "scratch", "nowhere", "free" };

static void pointers_before(struct note *note)
{
	preserve(note);
	for (unsigned int i = 0; i < ARRAY_SIZE(areas); i++) {
		const struct area area = area_find(areas[i]);

		note->value[i] = area.start;
		area_fill(&area, i);
	}
}

static void pointers_damage(struct note *note)
{
	struct kho_place kho = {};
	uint64_t memblock;

	OK(kho_find(&kho));
	OK(kho_find_subtree("memblock", &memblock));
	number_set(memblock, "twice", "start", note->value[0]);
	number_set(memblock, "scratch", "start", kho.scratch);
	number_set(memblock, "nowhere", "start", NO_RAM);
	number_set(memblock, "free", "start", page_not_preserved());
	number_set(kho.tree, "kexec-metadata", "preserved-data", NO_RAM);
}

static void areas_are_apart(void)
{
	struct area all[ARRAY_SIZE(areas)];

	for (unsigned int i = 0; i < ARRAY_SIZE(areas); i++) {
		all[i] = area_find(areas[i]);
		CHECK(!area_in_scratch(&all[i]));
		for (unsigned int k = 0; k < i; k++)
			CHECK(all[i].start >= all[k].start + all[k].size ||
			      all[k].start >= all[i].start + all[i].size);
	}
}

static void pointers_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));
	const struct area good = area_find("good");

	OK(content_check(fd, 0, HUGE, 1));
	OK(luo_finish(session));
	CHECK_EQ(0, number_in(LUO_SYSFS "quarantined"));
	CHECK_EQ(1, times_logged("KHO: subtree 'kexec-metadata' is not in memory"));
	CHECK(access(IN_SUBTREES "kexec-metadata", F_OK));
	CHECK(!access(IN_SUBTREES "liveupdate", F_OK));
	CHECK_EQ(1, times_logged("Revived memory reservation"));
	CHECK_EQ(4, times_logged("is not in memory that was preserved for it"));
	CHECK_EQ(note->value[0], good.start);
	area_check(&good, 0);
	areas_are_apart();
	OK(memory_use_up(1));
	area_check(&good, 0);
}

UPDATE_TEST(pointers, pointers_of_others,
	    .stage = { pointers_before, pointers_after },
	    .frozen = pointers_damage);

/* ---- Set "pointers_lost" ---- */

/* The blob begins in memory that is preserved, and does not end there */
static void lose_pointers(struct note *note)
{
	struct kho_place kho = {};

	OK(kho_find(&kho));
	number_set(kho.tree, "liveupdate", "preserved-data", kho.scratch);
	number_set(kho.tree, "memblock", "blob-size", ~0ULL);
	number_set(kho.tree, "kexec-metadata", "blob-size", GIB);
}

static void lost_after(struct note *note)
{
	check_handover_lost();
	CHECK_EQ(1, times_logged("liveupdate: handover"));
	CHECK_EQ(3, times_logged("is not in memory that was preserved, and"));
	CHECK_EQ(0, times_logged("Revived memory reservation"));
	OK(luo_preserve(session_new(note, ""),
			OK(memfd_filled("found", 0, HUGE, 2)), 1));
}

static void found_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, HUGE, 2));
	OK(luo_finish(session));
	CHECK_EQ(0, number_in(LUO_SYSFS "quarantined"));
	CHECK_EQ(1, times_logged("Revived memory reservation"));
}

UPDATE_TEST(pointers_lost, pointers_to_the_handover,
	    .stage = { preserve, lost_after, found_after },
	    .frozen = lose_pointers);
