// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds: checking what comes from the previous kernel
 *
 * Nothing here changes anything, or needs more than the records and what KHO
 * says of an address, so that it can be tested with any input.
 */

#include <linux/crc32.h>
#include <linux/fs.h>
#include <linux/kexec_handover.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/memblock.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "memfd_luo.h"

/* Seals that there are; others would mean something that is not known here */
#define MEMFD_SEALS		(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | \
				 F_SEAL_WRITE | F_SEAL_FUTURE_WRITE |	     \
				 F_SEAL_EXEC)

/**
 * memfd_luo_piece_order - how pages of an extent were preserved
 * @extent: the extent, of good shape
 * @done:   pages of it that are behind, all of them in whole pieces; not all
 *
 * Pages of an extent are preserved in pieces: an extent of order 0 in powers of
 * two, as kho_preserve_pages() makes them, others folio by folio. Where nodes of
 * this kernel meet, KHO gives them back in smaller pieces.
 *
 * Return: the order of the next piece, as it was preserved.
 */
unsigned int memfd_luo_piece_order(const struct memfd_luo_extent *extent,
				   u64 done)
{
	unsigned long pfn = PHYS_PFN(extent_phys(extent)) + done;
	u64 left = extent->pages - done;

	if (extent_order(extent))
		return extent_order(extent);

	return min_t(unsigned int, pfn ? __ffs(pfn) : BITS_PER_LONG - 1,
		     ilog2(left));
}

/* A kernel without large folios takes them page by page */
static unsigned int max_order(void)
{
	return IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) ? MAX_PAGECACHE_ORDER :
							 MAX_PAGE_ORDER;
}

static bool extent_shape_ok(const struct memfd_luo_extent *extent, u64 size)
{
	const u64 folio_pages = 1ULL << extent_order(extent);
	u64 end;

	if (extent->phys & ~PAGE_MASK & ~MEMFD_LUO_EXTENT_ORDER ||
	    extent_order(extent) > max_order())
		return false;
	if (!extent->pages || extent->pages % folio_pages ||
	    extent->index % folio_pages)
		return false;

	/* The last folio can reach behind the end of the file */
	end = round_up(DIV_ROUND_UP_ULL(size, PAGE_SIZE), folio_pages);
	return extent->index < end && extent->pages <= end - extent->index;
}

/**
 * memfd_luo_piece_ok - see whether KHO's next piece can be that of an extent
 * @extent: the extent, of good shape
 * @done:   pages of it that are behind; not all
 * @order:  what kho_preserved_order() says, or any other number
 *
 * Return: true if it does not reach beyond what was preserved as one, and has a place
 * in the file as a folio of its own, where the extent is of folios.
 */
bool memfd_luo_piece_ok(const struct memfd_luo_extent *extent, u64 done, int order)
{
	if (order < 0 || order > (int)memfd_luo_piece_order(extent, done) ||
	    1ULL << order > extent->pages - done)
		return false;

	return !extent_order(extent) || (extent->index + done) % (1ULL << order) == 0;
}

static bool extent_memory_ok(const struct memfd_luo_extent *extent)
{
	u64 done, phys = extent_phys(extent);
	int order;

	for (done = 0; done < extent->pages; done += 1ULL << order) {
		order = kho_preserved_order(phys + (done << PAGE_SHIFT));
		if (!memfd_luo_piece_ok(extent, done, order))
			return false;
		cond_resched();
	}

	return true;
}

/*
 * *@pages is the sum of all extents so far. No page can be in two of them, so it is
 * never more than there is: else many extents of the same memory would keep us busy
 * for hours.
 */
static bool extent_ok(const struct memfd_luo_extent *extent, u64 size, u64 *pages)
{
	if (!extent_shape_ok(extent, size))
		return false;

	*pages += extent->pages;
	return *pages <= max_pfn && extent_memory_ok(extent);
}

static bool near_ok(const struct memfd_luo_ser *ser, u64 *pages)
{
	const struct memfd_luo_extent *near = memfd_luo_near(ser);
	u32 i;

	if (crc32c(0, near, ser->near_count * sizeof(*near)) != ser->near_crc)
		return false;
	for (i = 0; i < ser->near_count; i++) {
		if (!extent_ok(&near[i], ser->attrs.size, pages))
			return false;
	}

	return true;
}

static bool chain_ok(const struct luo_chain *chain, u64 size, u64 *pages)
{
	const struct memfd_luo_extent *extent;
	struct luo_chain_it it;

	luo_chain_start(&it, chain);
	while ((extent = luo_chain_next(&it))) {
		if (!extent_ok(extent, size, pages))
			return false;
	}

	return true;
}

/**
 * memfd_luo_label_crc - reckon the checksum of a label
 * @label: the record
 *
 * Most files have none, and all that is done for one is done for each of thousands.
 *
 * Return: what its @crc has to be; for a text that does not end, that of all of it.
 */
u32 memfd_luo_label_crc(const struct memfd_luo_label *label)
{
	size_t len = strnlen(label->text, sizeof(label->text));

	return len ? crc32c(0, label->text, min(len + 1, sizeof(label->text))) : 0;
}

/**
 * memfd_luo_label_ok - see whether the label of a memfd is one
 * @label: the record, which is not trusted
 *
 * Return: true if so, or if there is none.
 */
bool memfd_luo_label_ok(const struct memfd_luo_label *label)
{
	return label->crc == memfd_luo_label_crc(label) &&
	       strnlen(label->text, sizeof(label->text)) < sizeof(label->text);
}

/**
 * memfd_luo_may_have_label - see whether there is room for a label
 * @ser: the memfd's record, which passed memfd_luo_ser_ok()
 *
 * Return: false if there are extents where it would be: who wrote this knew of none.
 */
bool memfd_luo_may_have_label(const struct memfd_luo_ser *ser)
{
	return ser->near_count <= MEMFD_LUO_NEAR_BESIDE_LABEL;
}

static bool label_beside_ok(const struct memfd_luo_ser *ser)
{
	return !memfd_luo_may_have_label(ser) ||
	       memfd_luo_label_ok(memfd_luo_label_of(ser));
}

/**
 * memfd_luo_extents_ok - see whether all that belongs to a memfd's head can be used
 * @ser:  its head, which passed memfd_luo_ser_ok(); the records near it, and its
 *        label, are not trusted
 * @kept: of struct memfd_luo_extent, taken; the records are not trusted
 * @late: likewise
 *
 * Two extents can still be of the same memory, or of the same place in the file:
 * whoever takes them finds out.
 *
 * Context: May sleep. Takes no longer than memory is large.
 * Return: true if each extent is a place in the file, and all its memory preserved as
 * the extent says; and the label is one, if there is any.
 */
bool memfd_luo_extents_ok(const struct memfd_luo_ser *ser,
			  const struct luo_chain *kept,
			  const struct luo_chain *late)
{
	u64 pages = 0;

	return near_ok(ser, &pages) && label_beside_ok(ser) &&
	       chain_ok(kept, ser->attrs.size, &pages) &&
	       chain_ok(late, ser->attrs.size, &pages);
}

/**
 * memfd_luo_attrs_ok - see whether what a memfd has is something that it can have
 * @attrs: that, which is not trusted
 *
 * Return: true if so.
 */
bool memfd_luo_attrs_ok(const struct memfd_luo_attrs *attrs)
{
	return attrs->size <= MAX_LFS_FILESIZE &&
	       attrs->pos <= MAX_LFS_FILESIZE &&
	       !(attrs->seals & ~MEMFD_SEALS) &&
	       !(attrs->flags & ~MEMFD_FLAGS) &&
	       !(attrs->mode & ~S_IALLUGO) && attrs->reopened <= 1 &&
	       strnlen(attrs->name, sizeof(attrs->name)) < sizeof(attrs->name) &&
	       !strncmp(attrs->name, MEMFD_PREFIX, strlen(MEMFD_PREFIX));
}

/**
 * memfd_luo_ser_ok - see whether what is known of a memfd but its pages is right
 * @ser: the record, which is not trusted
 *
 * Return: true if so.
 */
bool memfd_luo_ser_ok(const struct memfd_luo_ser *ser)
{
	return ser->crc == crc32c(0, ser, offsetof(struct memfd_luo_ser, crc)) &&
	       memfd_luo_attrs_ok(&ser->attrs) &&
	       ser->near_count <= MEMFD_LUO_NEAR;
}
