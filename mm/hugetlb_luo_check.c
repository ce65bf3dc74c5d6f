// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds of huge pages: checking what comes from the previous
 * kernel
 *
 * As memfd_luo_check.c: nothing here changes anything, so that it can be tested
 * with any input. Whether this kernel has pages of the size is not asked here;
 * that it has not is no damage.
 */

#include <linux/crc32.h>
#include <linux/kexec_handover.h>
#include <linux/math.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "hugetlb_luo.h"
#include "memfd_luo.h"

static u64 pages_of_file(const struct hugetlb_luo_ser *ser)
{
	return DIV_ROUND_UP_ULL(ser->attrs.size, hugetlb_luo_page_size(ser));
}

static bool extent_place_ok(const struct hugetlb_luo_extent *extent, u64 pages)
{
	return extent->count && extent->index < pages &&
	       extent->count <= pages - extent->index;
}

/* What is not preserved ends the search, so an address does not overflow */
static bool extent_memory_ok(const struct hugetlb_luo_extent *extent,
			     const struct hugetlb_luo_ser *ser)
{
	u64 phys = extent->phys;
	u64 done;

	for (done = 0; done < extent->count; done++) {
		if (kho_preserved_whole(phys) != ser->order)
			return false;
		phys += hugetlb_luo_page_size(ser);
		cond_resched();
	}

	return true;
}

/*
 * *@pages is the sum of all extents so far, in small pages. No page can be in two of
 * them, so it is never more than there is, as with other memfds.
 */
static bool extent_ok(const struct hugetlb_luo_extent *extent,
		      const struct hugetlb_luo_ser *ser, u64 *pages)
{
	if (!extent_place_ok(extent, pages_of_file(ser)))
		return false;

	*pages += extent->count << ser->order;
	return *pages <= max_pfn && extent_memory_ok(extent, ser);
}

static bool extents_ok(const struct luo_chain *chain,
		       const struct hugetlb_luo_ser *ser, u64 *pages)
{
	const struct hugetlb_luo_extent *extent;
	struct luo_chain_it it;

	luo_chain_start(&it, chain);
	while ((extent = luo_chain_next(&it))) {
		if (!extent_ok(extent, ser, pages))
			return false;
	}

	return true;
}

/**
 * hugetlb_luo_extents_ok - see whether the extents of a file can be used
 * @ser:  the file's record, of good shape
 * @kept: of struct hugetlb_luo_extent, taken; the records are not trusted
 * @late: likewise
 *
 * Two extents can still be of the same memory, or of the same place in the file:
 * whoever takes them finds out.
 *
 * Context: May sleep. Takes no longer than memory is large.
 * Return: true if each is a place in the file, and all its memory preserved as
 * pages of the file's size.
 */
bool hugetlb_luo_extents_ok(const struct hugetlb_luo_ser *ser,
			    const struct luo_chain *kept,
			    const struct luo_chain *late)
{
	u64 pages = 0;

	return extents_ok(kept, ser, &pages) && extents_ok(late, ser, &pages);
}

/**
 * hugetlb_luo_regions_ok - see whether the regions of a file can be used
 * @chain: of struct hugetlb_luo_region, taken; the records are not trusted
 * @ser:   the file's record, of good shape
 *
 * Context: May sleep.
 * Return: true if they are in the file, in ascending order, and none is empty.
 */
bool hugetlb_luo_regions_ok(const struct luo_chain *chain,
			    const struct hugetlb_luo_ser *ser)
{
	const struct hugetlb_luo_region *region;
	u64 pages = pages_of_file(ser);
	struct luo_chain_it it;
	u64 last = 0;

	luo_chain_start(&it, chain);
	while ((region = luo_chain_next(&it))) {
		if (region->from < last || region->from >= region->to ||
		    region->to > pages)
			return false;
		last = region->to;
		cond_resched();
	}

	return true;
}

/**
 * hugetlb_luo_ser_ok - see whether what is known of a file but its pages is right
 * @ser: the record, which is not trusted
 *
 * Return: true if so.
 */
bool hugetlb_luo_ser_ok(const struct hugetlb_luo_ser *ser)
{
	return ser->crc == crc32c(0, ser,
				  offsetof(struct hugetlb_luo_ser, crc)) &&
	       ser->order && ser->order <= HUGETLB_LUO_MAX_ORDER &&
	       memfd_luo_attrs_ok(&ser->attrs);
}

/**
 * hugetlb_luo_pool_ok - see whether the numbers of huge pages that came can be read
 * @pool: a copy of them, which is not trusted
 *
 * The numbers themselves can still be any.
 *
 * Return: true if so.
 */
bool hugetlb_luo_pool_ok(const struct hugetlb_luo_pool *pool)
{
	return pool->version == HUGETLB_LUO_POOL_VERSION &&
	       pool->nr <= HUGETLB_LUO_POOL_ENTRIES &&
	       pool->crc == crc32c(0, pool->entries,
				   pool->nr * sizeof(*pool->entries));
}
