// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds of huge pages: the pool of the next kernel
 *
 * Pages of files that are preserved take the memory that they had in the pool of this
 * kernel. A next kernel with the same command line would take that much a second time,
 * and then may have nothing left to boot with. So it is told how many there are, and
 * leaves out as many.
 */

#define pr_fmt(fmt) "hugetlb_luo: " fmt

#include <linux/crc32.h>
#include <linux/err.h>
#include <linux/hugetlb.h>
#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/numa.h>
#include <linux/overflow.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "hugetlb_luo.h"

/* ---- What this kernel tells the next one ---- */

/* The numbers for the next kernel. There are none if there was no memory for them. */
struct pool_out {
	struct mutex lock;	/* protects the numbers */
	struct hugetlb_luo_pool *pool;
};

static struct pool_out pool_out = {
	.lock = __MUTEX_INITIALIZER(pool_out.lock),
};

/**
 * hugetlb_luo_pool_setup - have a place for the numbers that the next kernel reads
 *
 * Without it, the next kernel takes its pool as if nothing came.
 *
 * Context: Process context, at boot.
 */
void hugetlb_luo_pool_setup(void)
{
	struct hugetlb_luo_pool *pool = kho_alloc_preserve(sizeof(*pool));
	int err = PTR_ERR_OR_ZERO(pool);

	if (!err) {
		pool->version = HUGETLB_LUO_POOL_VERSION;
		err = kho_add_subtree(HUGETLB_LUO_POOL_SUBTREE, pool,
				      sizeof(*pool));
		if (err)
			kho_unpreserve_free(pool);
	}
	if (err) {
		pr_warn("the next kernel will not count preserved pages towards its pool: %pe\n",
			ERR_PTR(err));
		return;
	}

	pool_out.pool = pool;
}

/* NULL when there are too many: the next kernel allocates these pages, too */
static struct hugetlb_luo_pool_entry *pool_entry(struct hugetlb_luo_pool *pool,
						 unsigned int order, int nid)
{
	struct hugetlb_luo_pool_entry *entry = pool->entries;

	for (; entry < pool->entries + pool->nr; entry++) {
		if (entry->order == order && entry->nid == nid)
			return entry;
	}
	if (pool->nr == HUGETLB_LUO_POOL_ENTRIES)
		return NULL;

	pool->nr++;
	entry->order = order;
	entry->nid = nid;
	return entry;
}

static void pool_change(unsigned int order, int nid, u64 change)
{
	struct hugetlb_luo_pool *pool = pool_out.pool;
	struct hugetlb_luo_pool_entry *entry;

	if (!pool)
		return;

	guard(mutex)(&pool_out.lock);
	entry = pool_entry(pool, order, nid);
	if (!entry)
		return;

	entry->pages += change;
	pool->crc = crc32c(0, pool->entries, pool->nr * sizeof(*entry));
}

/**
 * hugetlb_luo_pool_add - count huge pages that go to the next kernel
 * @order: log2 of their size, in pages
 * @nid:   the node that they are on
 * @pages: how many they are
 *
 * Context: May sleep.
 */
void hugetlb_luo_pool_add(unsigned int order, int nid, u64 pages)
{
	pool_change(order, nid, pages);
}

/**
 * hugetlb_luo_pool_sub - undo hugetlb_luo_pool_add()
 * @order: as there
 * @nid:   likewise
 * @pages: likewise
 *
 * Context: May sleep.
 */
void hugetlb_luo_pool_sub(unsigned int order, int nid, u64 pages)
{
	pool_change(order, nid, -pages);
}

/* ---- What the previous kernel told ---- */

/* A copy, from before the first huge page is allocated until none is at boot */
static struct hugetlb_luo_pool pool_in __initdata;

static unsigned long __init pool_sum(unsigned int order, int nid)
{
	const struct hugetlb_luo_pool_entry *entry = pool_in.entries;
	unsigned long sum = 0;

	for (; entry < pool_in.entries + pool_in.nr; entry++) {
		if (entry->order == order &&
		    (nid == NUMA_NO_NODE || entry->nid == nid))
			sum = size_add(sum, entry->pages);
	}

	return sum;
}

/* Of one size, there are no more huge pages than KHO knows of preserved memory */
static void __init pool_bound(unsigned int order)
{
	unsigned long left = kho_count_early(order, pool_sum(order, NUMA_NO_NODE));
	struct hugetlb_luo_pool_entry *entry = pool_in.entries;

	for (; entry < pool_in.entries + pool_in.nr; entry++) {
		if (entry->order != order)
			continue;
		entry->pages = min(entry->pages, left);
		left -= entry->pages;
	}
}

/**
 * hugetlb_luo_pool_read - read how many huge pages the previous kernel preserved
 *
 * Numbers that are not true do no harm but that the pool is too small, by the pages of
 * that size which are preserved for others at most.
 *
 * Context: At boot, as kho_count_early().
 */
void __init hugetlb_luo_pool_read(void)
{
	struct hugetlb_luo_pool *pool = &pool_in;
	unsigned int order;
	phys_addr_t phys;
	size_t size;

	if (kho_retrieve_subtree(HUGETLB_LUO_POOL_SUBTREE, &phys, &size) ||
	    size < sizeof(*pool) || !kho_read_early(phys, pool, sizeof(*pool)))
		return;
	if (!hugetlb_luo_pool_ok(pool)) {
		pr_warn("cannot read how many pages are preserved, and takes the whole pool\n");
		pool->nr = 0;
		return;
	}

	for (order = 1; order <= HUGETLB_LUO_MAX_ORDER; order++)
		pool_bound(order);
}

/**
 * hugetlb_luo_pool_pages - how many huge pages of the pool are preserved ones
 * @order: log2 of their size, in pages
 * @nid:   a node, by this kernel's number; or NUMA_NO_NODE, for those of all nodes
 *
 * Context: At boot, after hugetlb_luo_pool_read().
 * Return: the number, which is no more than pages of that size can be there.
 */
unsigned long __init hugetlb_luo_pool_pages(unsigned int order, int nid)
{
	return pool_sum(order, nid);
}
