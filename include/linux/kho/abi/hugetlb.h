/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_KHO_ABI_HUGETLB_H
#define _LINUX_KHO_ABI_HUGETLB_H

#include <linux/kho/abi/block.h>
#include <linux/kho/abi/memfd.h>
#include <linux/stddef.h>
#include <linux/types.h>

/**
 * DOC: Handover format of a memfd of huge pages
 *
 * The data word of the file record is the physical address of one page that holds
 * a struct hugetlb_luo_ser, and ends with a struct memfd_luo_label, of zeroes where
 * the file has no label. Version 1 of the format has none, so that kernels that know no
 * other do not give a file back without its label. A file that came in that version is
 * handed on in it.
 *
 * The pages of the file are listed as extents in two chains of KHO blocks: those that it
 * had when it was preserved, in ascending order, and those that filled its holes after
 * that. What no extent covers is a hole. Each page is preserved with
 * kho_preserve_folio().
 *
 * A third chain has the regions that the file reserved or has pages in, in
 * ascending order: a page of a region that no extent covers is reserved.
 *
 * Places in the file and lengths are counted in huge pages.
 */

/* Compatible string of the file record, and that of version 1, which is read, too */
#define HUGETLB_LUO_COMPATIBLE		"liveupdate-hugetlb-v2"
#define HUGETLB_LUO_OLD_COMPATIBLE	"liveupdate-hugetlb-v1"

/**
 * struct hugetlb_luo_extent - huge pages that are adjacent in file and memory
 * @phys:  physical address of the first
 * @index: where the first one is in the file
 * @count: how many there are
 */
struct hugetlb_luo_extent {
	u64	phys;
	u64	index;
	u64	count;
};

static_assert(sizeof(struct hugetlb_luo_extent) == 24);

/**
 * struct hugetlb_luo_region - a part of the file that is reserved or has pages
 * @from: its first page
 * @to:   the first page behind it
 */
struct hugetlb_luo_region {
	u64	from;
	u64	to;
};

static_assert(sizeof(struct hugetlb_luo_region) == 16);

/**
 * struct hugetlb_luo_chain - one chain of records
 * @first: physical address of its first block, or 0
 * @count: records in the chain
 * @crc:   CRC-32C of all of them, in their order
 * @pad:   zero
 */
struct hugetlb_luo_chain {
	u64	first;
	u64	count;
	u32	crc;
	u32	pad;
};

static_assert(sizeof(struct hugetlb_luo_chain) == 24);

/**
 * struct hugetlb_luo_ser - a memfd of huge pages but for the pages
 * @attrs:   what it has in common with other memfds
 * @kept:    extents that it had when it was preserved
 * @late:    extents that came after that
 * @regions: regions
 * @order:   log2 of the size of a huge page, in pages
 * @crc:     CRC-32C of this structure up to here
 */
struct hugetlb_luo_ser {
	struct memfd_luo_attrs attrs;
	struct hugetlb_luo_chain kept;
	struct hugetlb_luo_chain late;
	struct hugetlb_luo_chain regions;
	u32	order;
	u32	crc;
};

static_assert(sizeof(struct hugetlb_luo_ser) == 376);
static_assert(offsetof(struct hugetlb_luo_ser, kept) == 296);
static_assert(offsetof(struct hugetlb_luo_ser, crc) == 372);

/**
 * DOC: Huge pages that the pool of the next kernel is to leave out
 *
 * The next kernel allocates the pool that its command line asks for long before it can
 * look at files. So the number of huge pages that files bring is in a subtree of KHO's
 * tree of its own, by size and node: one page that holds a struct hugetlb_luo_pool. It
 * is a hint. Without it, or with wrong numbers in it, the pool is larger or smaller.
 */

/* Name of the subtree */
#define HUGETLB_LUO_POOL_SUBTREE	"hugetlb-pool"

/* A kernel that knows another one takes all pages to be missing */
#define HUGETLB_LUO_POOL_VERSION	1

/**
 * struct hugetlb_luo_pool_entry - huge pages of one size on one node
 * @order: log2 of the size of a huge page, in pages
 * @nid:   the node, by the previous kernel's number
 * @pages: how many are preserved
 */
struct hugetlb_luo_pool_entry {
	u32	order;
	u32	nid;
	u64	pages;
};

static_assert(sizeof(struct hugetlb_luo_pool_entry) == 16);

#define HUGETLB_LUO_POOL_ENTRIES	255

/**
 * struct hugetlb_luo_pool - how many huge pages are preserved
 * @version: HUGETLB_LUO_POOL_VERSION
 * @nr:      how many entries there are; no two are of the same size and node
 * @crc:     CRC-32C of these entries
 * @pad:     zero
 * @entries: they
 */
struct hugetlb_luo_pool {
	u32	version;
	u32	nr;
	u32	crc;
	u32	pad;
	struct hugetlb_luo_pool_entry entries[HUGETLB_LUO_POOL_ENTRIES];
};

static_assert(sizeof(struct hugetlb_luo_pool) == 4096);

#endif /* _LINUX_KHO_ABI_HUGETLB_H */
