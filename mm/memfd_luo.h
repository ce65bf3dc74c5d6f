/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live update of memfds: what is shared by memfd_luo.c, which preserves and
 * restores them, and memfd_luo_check.c, which looks at what comes from the
 * previous kernel.
 */
#ifndef _MM_MEMFD_LUO_H
#define _MM_MEMFD_LUO_H

#include <linux/fcntl.h>
#include <linux/kho/abi/memfd.h>
#include <linux/liveupdate_chain.h>
#include <linux/types.h>

/* Name that memfd_create(2) puts in front of the caller's */
#define MEMFD_PREFIX		"memfd:"

/* What of a descriptor's flags crosses */
#define MEMFD_FLAGS		(O_ACCMODE | O_APPEND | O_NONBLOCK | O_NOATIME)

static inline unsigned int extent_order(const struct memfd_luo_extent *extent)
{
	return extent->phys & MEMFD_LUO_EXTENT_ORDER;
}

static inline u64 extent_phys(const struct memfd_luo_extent *extent)
{
	return extent->phys & PAGE_MASK;
}

static inline u64 extent_end(const struct memfd_luo_extent *extent)
{
	return extent->index + extent->pages;
}

unsigned int memfd_luo_piece_order(const struct memfd_luo_extent *extent,
				   u64 done);
bool memfd_luo_ser_ok(const struct memfd_luo_ser *ser);
bool memfd_luo_extents_ok(const struct luo_chain *chain, u64 size);

#endif /* _MM_MEMFD_LUO_H */
