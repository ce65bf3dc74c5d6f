// SPDX-License-Identifier: GPL-2.0
/*
 * Kexec Handover: which memory the next kernel is told of
 *
 * The next kernel gets the map that the firmware has made. Memory that came in
 * another way, as DIMMs that ACPI knows of, virtio-mem and DAX devices do, is in no
 * such map: the next kernel finds it late, after it has looked for all that is
 * preserved, and takes it for new. So nothing that it needs can be there.
 */

#define pr_fmt(fmt) "KHO: " fmt

#include <linux/cache.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/kho_radix_tree.h>
#include <linux/libfdt.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "kexec_handover_internal.h"

/* What exceeds it is as if it were not told. Maps of real machines have far less */
#define MAX_RANGES	512

struct told_range {
	phys_addr_t start;
	phys_addr_t end;
};

/* In ascending order, not adjacent. None when KHO is off */
static struct told_range ranges[MAX_RANGES] __ro_after_init;
static unsigned int nr_ranges __ro_after_init;

/* ---- The map ---- */

/**
 * arch_kho_next_told - the next range of memory that the next kernel is told of
 * @index: which one comes; 0 at first
 * @start: its address
 * @end:   its end
 *
 * Ranges come in the order of addresses. This is for architectures whose next
 * kernel finds what this one has found when it booted.
 *
 * Context: Boot, while memblock is there.
 * Return: whether there is one.
 */
bool __init __weak arch_kho_next_told(unsigned int *index, phys_addr_t *start,
				      phys_addr_t *end)
{
	const struct memblock_region *region;

	if (*index >= memblock.memory.cnt)
		return false;

	region = &memblock.memory.regions[(*index)++];
	*start = region->base;
	*end = region->base + region->size;
	return true;
}

static void __init told_add(phys_addr_t start, phys_addr_t end)
{
	struct told_range *last = nr_ranges ? &ranges[nr_ranges - 1] : NULL;

	start = PAGE_ALIGN(start);
	end = PAGE_ALIGN_DOWN(end);
	if (start >= end)
		return;
	if (last && start <= last->end)
		last->end = max(last->end, end);
	else if (nr_ranges < MAX_RANGES)
		ranges[nr_ranges++] = (struct told_range){ start, end };
}

/**
 * kho_told_init - find out which memory the next kernel will be told of
 *
 * Context: Boot, while memblock is there and before anything is preserved.
 */
void __init kho_told_init(void)
{
	phys_addr_t start, end;
	unsigned int index = 0;

	while (arch_kho_next_told(&index, &start, &end))
		told_add(start, end);
}

/* The last range that begins at or below @phys; there may be none */
static const struct told_range *told_find(phys_addr_t phys)
{
	unsigned int low = 0, high = nr_ranges, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (ranges[middle].start <= phys)
			low = middle + 1;
		else
			high = middle;
	}

	return low ? &ranges[low - 1] : NULL;
}

/**
 * kho_memory_is_told - whether the next kernel is told of memory
 * @phys: physical address
 * @size: in bytes
 *
 * What was added while this kernel runs, or was found in another way than by the
 * firmware's map, can be used, but not preserved.
 *
 * Context: Any.
 * Return: true if all of it is memory for the next kernel, too; always when KHO is off.
 */
bool kho_memory_is_told(phys_addr_t phys, size_t size)
{
	const struct told_range *range = told_find(phys);

	if (!nr_ranges)
		return true;

	return range && phys < range->end && size <= range->end - phys;
}
EXPORT_SYMBOL_GPL(kho_memory_is_told);

/**
 * kho_told_end - where the last memory ends that the next kernel is told of
 *
 * Context: Any.
 * Return: physical address; 0 when KHO is off.
 */
phys_addr_t kho_told_end(void)
{
	return nr_ranges ? ranges[nr_ranges - 1].end : 0;
}

/* ---- Getting such memory ---- */

static struct folio *folio_alloc_at(gfp_t gfp, unsigned int order, int nid)
{
	return nid == NUMA_NO_NODE ? folio_alloc(gfp, order) :
				     __folio_alloc(gfp, order, nid, NULL);
}

static bool folio_is_told(const struct folio *folio)
{
	return kho_memory_is_told(PFN_PHYS(folio_pfn(folio)), folio_size(folio));
}

/**
 * kho_folio_alloc - allocate memory that can be preserved
 * @gfp:   as for folio_alloc(), without a zone
 * @order: likewise
 * @nid:   node that is preferred, or NUMA_NO_NODE
 *
 * A zone can have memory of both kinds. But what was added lies above what was there
 * at boot: where a zone gives the wrong kind, a lower one gives the right one.
 *
 * Context: As @gfp says.
 * Return: the folio, or NULL.
 */
struct folio *kho_folio_alloc(gfp_t gfp, unsigned int order, int nid)
{
	static const gfp_t zones[] = { 0, __GFP_DMA32 | __GFP_NOWARN,
				       __GFP_DMA | __GFP_NOWARN };
	struct folio *folio;

	for (unsigned int i = 0; i < ARRAY_SIZE(zones); i++) {
		folio = folio_alloc_at(gfp | zones[i], order, nid);
		if (!folio || folio_is_told(folio))
			return folio;
		folio_put(folio);
	}

	return NULL;
}
EXPORT_SYMBOL_GPL(kho_folio_alloc);

/* ---- Whether all is told that has to be ---- */

static int told_check(phys_addr_t phys, size_t size, const char *what)
{
	if (kho_memory_is_told(phys, size))
		return 0;

	pr_err("%s at %pa lies in memory that the next kernel is not told of\n",
	       what, &phys);
	return -EADDRNOTAVAIL;
}

static int check_node(phys_addr_t phys, void *unused)
{
	return told_check(phys, PAGE_SIZE, "a node of the memory map");
}

static int check_preserved(unsigned long key, void *unused)
{
	unsigned int order;
	phys_addr_t phys = kho_decode_radix_key(key, &order);

	return told_check(phys, PAGE_SIZE << order, "preserved memory");
}

static int check_scratch(void)
{
	int err;

	for (unsigned int i = 0; i < kho_scratch_cnt; i++) {
		err = told_check(kho_scratch[i].addr, kho_scratch[i].size,
				 "scratch memory");
		if (err)
			return err;
	}

	return 0;
}

static int check_subtrees(const void *fdt)
{
	u64 phys, size;
	int node, err;

	fdt_for_each_subnode(node, fdt, 0) {
		if (!kho_tree_number(fdt, node, KHO_SUB_TREE_PROP_NAME, &phys) ||
		    !kho_tree_number(fdt, node, KHO_SUB_TREE_SIZE_PROP_NAME, &size))
			continue;
		err = told_check(phys, size, fdt_get_name(fdt, node, NULL));
		if (err)
			return err;
	}

	return 0;
}

/**
 * kho_told_check - whether the next kernel is told of all the memory that it needs
 * @fdt:  KHO's tree
 * @tree: the memory map
 *
 * Context: May sleep, takes the lock of @tree.
 * Return: 0, or -EADDRNOTAVAIL, and the log tells of the first that it is not told of.
 */
int kho_told_check(const void *fdt, struct kho_radix_tree *tree)
{
	static const struct kho_radix_walk_cb cb = {
		.node = check_node,
		.leaf = check_preserved,
	};

	return told_check(virt_to_phys((void *)fdt), PAGE_SIZE, "the tree") ?:
	       check_scratch() ?:
	       check_subtrees(fdt) ?:
	       kho_radix_walk_tree(tree, &cb, NULL);
}
