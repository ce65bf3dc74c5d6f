// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kexec Handover: how much room is left beside what is preserved
 */

#include <linux/align.h>
#include <linux/bitmap.h>
#include <linux/cleanup.h>
#include <linux/kexec_handover.h>
#include <linux/kho_radix_tree.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "kexec_handover_internal.h"
#include "kho_load.h"

/* Memory is looked at in units of that size, which are taken as a whole */
#define UNIT		SZ_2M
#define UNIT_SHIFT	ilog2(UNIT)

struct room {
	/* One bit per unit: not for the next kernel to take */
	unsigned long *taken;
	unsigned long nr;
};

static void room_take(struct room *room, u64 phys, u64 size)
{
	unsigned long first = phys >> UNIT_SHIFT;
	unsigned long last = (phys + size - 1) >> UNIT_SHIFT;

	if (first < room->nr)
		bitmap_set(room->taken, first,
			   min(last, room->nr - 1) - first + 1);
}

static int room_take_preserved(unsigned long key, void *data)
{
	unsigned int order;
	phys_addr_t phys = kho_decode_radix_key(key, &order);

	room_take(data, phys, PAGE_SIZE << order);
	return 0;
}

static void room_take_all(struct room *room, struct kho_radix_tree *tree)
{
	static const struct kho_radix_walk_cb cb = { .leaf = room_take_preserved };

	for (unsigned long i = 0; i < room->nr; i++) {
		if (!kho_memory_is_told((u64)i << UNIT_SHIFT, UNIT))
			__set_bit(i, room->taken);
		if (!(i % SZ_4K))
			cond_resched();
	}

	for (unsigned int i = 0; i < kho_scratch_cnt; i++)
		room_take(room, kho_scratch[i].addr, kho_scratch[i].size);

	kho_radix_walk_tree(tree, &cb, room);
}

/**
 * kho_room_find - how much room there is in one piece for what the next kernel sets aside
 * @tree: the memory map, of what is preserved so far
 * @align: what the piece begins at a multiple of, in bytes
 *
 * Scratch memory is not room: the next kernel runs in there.
 *
 * Context: May sleep, takes the lock of @tree.
 * Return: the size of the largest piece in bytes, less by up to 4 MiB than it is;
 * U64_MAX when there is no memory to find that out.
 */
u64 kho_room_find(struct kho_radix_tree *tree, u64 align)
{
	unsigned long *taken __free(kvfree) = NULL;
	struct room room = { .nr = kho_told_end() >> UNIT_SHIFT };
	unsigned long first, end;
	u64 largest = 0, start;

	taken = kvcalloc(BITS_TO_LONGS(room.nr), sizeof(*taken), GFP_KERNEL);
	if (!taken)
		return U64_MAX;

	room.taken = taken;
	room_take_all(&room, tree);
	for_each_clear_bitrange(first, end, taken, room.nr) {
		start = ALIGN((u64)first << UNIT_SHIFT, align);
		if (start < (u64)end << UNIT_SHIFT)
			largest = max(largest, ((u64)end << UNIT_SHIFT) - start);
	}

	return largest;
}
