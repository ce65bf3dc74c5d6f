// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether scratch areas are such as a kernel makes.
 *
 * The next kernel starts in scratch areas, long before it can know anything else. Its
 * allocator believes them to be free memory, so what the previous kernel says about
 * them is looked at before it is used. Nothing in here depends on the running kernel.
 */

#include <linux/align.h>
#include <linux/overflow.h>

#include "kexec_handover_internal.h"

static bool scratch_area_possible(const struct kho_scratch *area, u64 align,
				  bool (*is_memory)(phys_addr_t phys, u64 size))
{
	phys_addr_t end;

	return IS_ALIGNED(area->addr, align) && IS_ALIGNED(area->size, align) &&
	       !check_add_overflow(area->addr, area->size, &end) &&
	       is_memory(area->addr, area->size);
}

static bool scratch_area_overlaps(const struct kho_scratch *area,
				  const struct kho_scratch *others,
				  unsigned int cnt)
{
	for (unsigned int i = 0; i < cnt; i++)
		if (others[i].size && area->addr < others[i].addr + others[i].size &&
		    others[i].addr < area->addr + area->size)
			return true;

	return false;
}

/**
 * kho_scratch_check - see whether scratch areas are such as a kernel makes
 * @scratch: the areas, as the previous kernel tells of them
 * @cnt: how many there are
 * @align: what their addresses and sizes are multiples of
 * @is_memory: whether all of a range, which is not empty and does not wrap around, is
 *             memory
 *
 * An area may be empty, and then be anywhere: a machine whose memory is all low has no
 * use for one that is not. All may be called that early that only what is mapped by
 * hand can be read.
 *
 * Return: true when there is an area that is not empty, and all of these are aligned,
 * in memory, and apart.
 */
bool kho_scratch_check(const struct kho_scratch *scratch, unsigned int cnt,
		       u64 align, bool (*is_memory)(phys_addr_t phys, u64 size))
{
	bool any = false;

	for (unsigned int i = 0; i < cnt; i++) {
		if (!scratch[i].size)
			continue;
		if (!scratch_area_possible(&scratch[i], align, is_memory) ||
		    scratch_area_overlaps(&scratch[i], scratch, i))
			return false;
		any = true;
	}

	return any;
}
