// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kexec Handover: memory that is known to be broken
 *
 * The next kernel is loaded to scratch memory, and starts there, with no way to know that
 * some of it has uncorrected errors. So what is broken is left out: of the scratch areas
 * that an image is told of, and with them of what it is loaded to. Memory that breaks
 * after that is noticed before the jump.
 */

#define pr_fmt(fmt) "KHO: " fmt

#include <linux/align.h>
#include <linux/errno.h>
#include <linux/hugetlb.h>
#include <linux/kexec.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pfn.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "../kexec_internal.h"
#include "kexec_handover_internal.h"
#include "kho_load.h"

static bool any_broken(void)
{
#ifdef CONFIG_MEMORY_FAILURE
	return atomic_long_read(&num_poisoned_pages);
#else
	return false;
#endif
}

/* A huge page can have one mark for all of its pages */
static bool page_is_broken(const struct page *page)
{
	return page && (PageHWPoison(page) ||
			(PageHuge(page) && folio_test_hwpoison(page_folio(page))));
}

/* The first broken page of a range of whole pages, or the end of the range */
static phys_addr_t broken_find(phys_addr_t start, phys_addr_t end)
{
	unsigned long pfn;

	for (pfn = PHYS_PFN(start); pfn < PHYS_PFN(end); pfn++) {
		if (page_is_broken(pfn_to_online_page(pfn)))
			return PFN_PHYS(pfn);
		cond_resched();
	}

	return end;
}

/**
 * struct areas - scratch areas, in the making
 * @to:  where they go, or NULL to count them
 * @max: for how many there is room
 * @nr:  how many there are
 */
struct areas {
	struct kho_scratch *to;
	unsigned int max;
	unsigned int nr;
};

static void areas_add(struct areas *areas, phys_addr_t start, phys_addr_t end)
{
	if (areas->to && areas->nr < areas->max)
		areas->to[areas->nr] = (struct kho_scratch){
			.addr = start, .size = end - start,
		};
	areas->nr++;
}

/* Of one area, what is left without blocks of KHO_SCRATCH_ALIGN that have broken pages */
static void areas_add_intact(struct areas *areas, const struct kho_scratch *area)
{
	phys_addr_t end = area->addr + area->size;
	phys_addr_t start, broken;

	for (start = area->addr; start < end;
	     start = ALIGN_DOWN(broken, KHO_SCRATCH_ALIGN) + KHO_SCRATCH_ALIGN) {
		broken = broken_find(start, end);
		if (broken == end) {
			areas_add(areas, start, end);
			return;
		}
		if (ALIGN_DOWN(broken, KHO_SCRATCH_ALIGN) > start)
			areas_add(areas, start,
				  ALIGN_DOWN(broken, KHO_SCRATCH_ALIGN));
	}
}

static void areas_fill(struct areas *areas)
{
	const struct kho_scratch *area;

	areas->nr = 0;
	for (area = kho_scratch; area < kho_scratch + kho_scratch_cnt; area++) {
		if (any_broken())
			areas_add_intact(areas, area);
		else
			areas_add(areas, area->addr, area->addr + area->size);
	}
}

/**
 * kho_areas_make - find the scratch areas that an image is to be told of
 * @image: the image, which is being loaded; has them until kho_areas_free()
 *
 * They are this kernel's, but for blocks in which memory is broken. What breaks from now
 * on, kho_check_broken() finds.
 *
 * Context: Process context, with the lock of kexec.
 * Return: 0, also when it is done already; -ENOMEM; -EHWPOISON when nothing is left, or
 * there are more areas than the next kernel can read.
 */
int kho_areas_make(struct kimage *image)
{
	struct areas areas = {};

	if (image->kho.areas)
		return 0;

	areas_fill(&areas);
	if (!areas.nr || areas.nr > KHO_SCRATCH_MAX) {
		pr_err("not loaded: there is too much broken memory where the next kernel would start\n");
		return -EHWPOISON;
	}

	areas.max = areas.nr;
	areas.to = kzalloc_objs(*areas.to, areas.max);
	if (!areas.to)
		return -ENOMEM;

	/* Should more have broken meanwhile, there can be more areas: these do as well */
	areas_fill(&areas);
	image->kho.areas = areas.to;
	image->kho.nr_areas = min(areas.nr, areas.max);
	return 0;
}

/**
 * kho_areas_free - forget the scratch areas of an image
 * @image: the image
 */
void kho_areas_free(struct kimage *image)
{
	kfree(image->kho.areas);
	image->kho.areas = NULL;
	image->kho.nr_areas = 0;
}

static bool areas_find_broken(const struct kimage *image, phys_addr_t *phys)
{
	const struct kho_scratch *area = image->kho.areas;

	for (unsigned int i = 0; i < image->kho.nr_areas; i++, area++) {
		*phys = broken_find(area->addr, area->addr + area->size);
		if (*phys < area->addr + area->size)
			return true;
	}

	return false;
}

/**
 * kho_check_broken - whether an image can start, for all that is known of memory
 * @image: the image, loaded to take a handover
 *
 * Context: May sleep. The image cannot change: the caller holds the lock of kexec.
 * Return: 0; or -EHWPOISON when memory is broken that the image is in, or will start in,
 * and the log tells where.
 */
int kho_check_broken(struct kimage *image)
{
	phys_addr_t broken;

	if (!any_broken() || (!areas_find_broken(image, &broken) &&
			      !kimage_find_broken(image, &broken)))
		return 0;

	pr_err("memory at %pa has an uncorrected error, and the next kernel needs it: load it again\n",
	       &broken);
	return -EHWPOISON;
}
