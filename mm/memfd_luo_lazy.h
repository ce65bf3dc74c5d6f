/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live update of memfds: pages that wait outside the page cache, for shmem
 */
#ifndef _MM_MEMFD_LUO_LAZY_H
#define _MM_MEMFD_LUO_LAZY_H

#include <linux/shmem_fs.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/types.h>

struct folio;
struct inode;

#ifdef CONFIG_LIVEUPDATE_MEMFD

/*
 * The entry of pages that wait, in place of them, with the pfn of the first. It is of a
 * type of its own: what goes through entries of swap passes over those that are none,
 * as over the marker of a page that could not be read.
 */
static inline bool memfd_luo_lazy_entry(const void *entry)
{
	return xa_is_value(entry) &&
	       swp_type(radix_to_swp_entry((void *)entry)) == SWP_WAITING;
}

/* They count as swapped out, so the first that really is cannot be told by count */
static inline bool memfd_luo_lazy_file(struct inode *inode)
{
	return READ_ONCE(SHMEM_I(inode)->lazy);
}

int memfd_luo_lazy_begin(struct inode *inode);
int memfd_luo_lazy_add(struct inode *inode, pgoff_t index, struct folio *folio,
		       unsigned long nr);
void memfd_luo_lazy_cancel(struct inode *inode);
void memfd_luo_lazy_commit(struct inode *inode);

void memfd_luo_lazy_bring_in(struct inode *inode, pgoff_t index);
void memfd_luo_lazy_free(struct inode *inode, void *entry, unsigned long nr);
void memfd_luo_lazy_stop(struct inode *inode);
void memfd_luo_lazy_end(struct inode *inode);

#else

static inline bool memfd_luo_lazy_entry(const void *entry)
{
	return false;
}

static inline bool memfd_luo_lazy_file(struct inode *inode)
{
	return false;
}

static inline void memfd_luo_lazy_bring_in(struct inode *inode, pgoff_t index) { }

static inline void memfd_luo_lazy_free(struct inode *inode, void *entry,
				       unsigned long nr) { }
static inline void memfd_luo_lazy_stop(struct inode *inode) { }
static inline void memfd_luo_lazy_end(struct inode *inode) { }

#endif /* CONFIG_LIVEUPDATE_MEMFD */

#endif /* _MM_MEMFD_LUO_LAZY_H */
