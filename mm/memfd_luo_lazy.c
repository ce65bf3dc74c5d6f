// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds: pages that wait
 *
 * A file has entries for them in its page cache, much as for pages that are swapped
 * out, and they count as such in what it knows about itself. An entry is for a row
 * of small pages, or for a large folio.
 *
 * An entry has a reference to each of its folios. A row comes in under the lock of
 * its first folio; truncation does not wait for that, but only takes the entry.
 */

/**
 * DOC: Pages that wait
 *
 * Most of what it takes to bring a page back is to charge it, and to put it into the
 * page cache and on the lists for reclaim. Retrieving a memfd does not wait for
 * that: pages come in when they are first used, together with those next to them,
 * up to 64. Ten seconds after the memfd was retrieved a worker begins to bring in
 * what is left. Memfds of up to 64 pages come in at once.
 *
 * A page is used when it is read, written to, mapped and touched, locked, truncated
 * in part, or preserved for a further update. Who wants all of a memfd now asks by
 * ``MADV_POPULATE_READ``.
 *
 * Nothing else tells pages that wait from others, except for these:
 *
 * - All are charged when the memfd is retrieved, to the memory cgroup of whoever
 *   does that. If its limit is too low, this fails with ENOMEM, and the memfd can be
 *   retrieved again, by anyone, as if nothing had been tried. While they wait they
 *   are memory of the kernel (``kernel`` in ``memory.stat``); when they have come
 *   in, they are shared memory of the same cgroup, whoever used them.
 * - They cannot be swapped out until they have come in.
 * - mincore(2) says that they are not resident; ``Swap`` in ``/proc/PID/smaps`` and
 *   the like has them, and so has ``nr_evicted`` of cachestat(2).
 */

#include <linux/bitops.h>
#include <linux/log2.h>
#include <linux/memcontrol.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rcupdate_wait.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "internal.h"
#include "memfd_luo.h"
#include "memfd_luo_lazy.h"

/* Small pages of a row, at most: as many as a node of the page cache's tree can hold */
#define ROW_ORDER		XA_CHUNK_SHIFT
#define ROW			BIT(ROW_ORDER)

/* Pages up to which a file is not worth an entry that waits and a worker */
#define FEW			ROW

/* Time that a file is left to those who use it, before the worker comes */
#define WORK_DELAY		(10 * HZ)

/**
 * struct memfd_luo_lazy - a file of which pages wait
 * @inode: its inode
 * @objcg: who is charged for them; NULL when there is no charging
 * @work:  brings in all that wait
 * @stop:  tells it to end, as the file goes away
 *
 * It is there from before anybody else has the file until it is evicted.
 */
struct memfd_luo_lazy {
	struct inode *inode;
	struct obj_cgroup *objcg;
	struct delayed_work work;
	bool stop;
};

static struct memfd_luo_lazy *lazy_of(struct inode *inode)
{
	return SHMEM_I(inode)->lazy;
}

/* ---- Who pays ---- */

/* A row of small pages will need a node of the page cache's tree when it comes in */
static size_t entry_bytes(unsigned int order)
{
	return (PAGE_SIZE << order) +
	       (order == ROW_ORDER ? sizeof(struct xa_node) : 0);
}

#ifdef CONFIG_MEMCG

static void payer_get(struct memfd_luo_lazy *lazy)
{
	if (!mem_cgroup_disabled())
		lazy->objcg = get_obj_cgroup_from_current();
}

static void payer_put(struct memfd_luo_lazy *lazy)
{
	if (lazy->objcg)
		obj_cgroup_put(lazy->objcg);
}

static int payer_charge(struct memfd_luo_lazy *lazy, unsigned int order, gfp_t gfp)
{
	if (!lazy->objcg)
		return 0;

	return obj_cgroup_charge(lazy->objcg, gfp, entry_bytes(order));
}

static void payer_uncharge(struct memfd_luo_lazy *lazy, unsigned int order)
{
	if (lazy->objcg)
		obj_cgroup_uncharge(lazy->objcg, entry_bytes(order));
}

#else

static void payer_get(struct memfd_luo_lazy *lazy) { }
static void payer_put(struct memfd_luo_lazy *lazy) { }
static void payer_uncharge(struct memfd_luo_lazy *lazy, unsigned int order) { }

static int payer_charge(struct memfd_luo_lazy *lazy, unsigned int order, gfp_t gfp)
{
	return 0;
}

#endif /* CONFIG_MEMCG */

/* ---- Entries ---- */

static void *entry_of(struct folio *folio)
{
	return swp_to_radix_entry(swp_entry(SWP_WAITING, folio_pfn(folio)));
}

static struct folio *first_folio(void *entry)
{
	return pfn_folio(swp_offset(radix_to_swp_entry(entry)));
}

/* The folio that is @nr pages behind another one of its row */
static struct folio *folio_behind(struct folio *first, unsigned long nr)
{
	return pfn_folio(folio_pfn(first) + nr);
}

static int entry_store(struct inode *inode, pgoff_t index, struct folio *folio,
		       unsigned int order, gfp_t gfp)
{
	XA_STATE_ORDER(xas, &inode->i_mapping->i_pages, index, order);
	int err;

	err = payer_charge(lazy_of(inode), order, gfp);
	if (err)
		return err;

	do {
		xas_lock_irq(&xas);
		if (xas_find_conflict(&xas))
			xas_set_err(&xas, -EEXIST);
		else
			xas_store(&xas, entry_of(folio));
		xas_unlock_irq(&xas);
	} while (xas_nomem(&xas, gfp));
	if (xas_error(&xas))
		payer_uncharge(lazy_of(inode), order);

	return xas_error(&xas);
}

/* How much of it one entry can tell of */
static unsigned int entry_order(pgoff_t index, struct folio *folio,
				unsigned long left)
{
	if (folio_test_large(folio))
		return folio_order(folio);
	if (!IS_ENABLED(CONFIG_XARRAY_MULTI))
		return 0;

	/* Not beyond a row, nor beyond what is left, and aligned */
	return min_t(unsigned int, __ffs(index | ROW), ilog2(left));
}

static int entries_store(struct inode *inode, pgoff_t index,
			 struct folio *folio, unsigned long nr, gfp_t gfp)
{
	unsigned int order;
	unsigned long done;
	int err;

	for (done = 0; done < nr; done += 1UL << order) {
		struct folio *first = folio_behind(folio, done);

		order = entry_order(index + done, first, nr - done);
		err = fatal_signal_pending(current) ? -EINTR :
		      entry_store(inode, index + done, first, order, gfp);
		if (err)
			return err;
		cond_resched();
	}

	return 0;
}

/* Uncharge what all entries tell of; there is nothing else in the page cache */
static void entries_uncharge(struct inode *inode)
{
	XA_STATE(xas, &inode->i_mapping->i_pages, 0);
	void *entry;

	guard(rcu)();
	xas_for_each(&xas, entry, ULONG_MAX) {
		payer_uncharge(lazy_of(inode), xas_get_order(&xas));
		if (need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}
	}
}

/* ---- Bringing in ---- */

/**
 * struct row - pages that come in together
 * @entry:  tells of them
 * @index:  place of the first
 * @order:  how many pages, as a power of two
 * @nr:     how many folios: one large one, or small ones
 * @folios: they themselves
 */
struct row {
	void *entry;
	pgoff_t index;
	unsigned int order;
	unsigned int nr;
	struct folio *folios[ROW];
};

/* Find what waits at a place, and hold the first folio. False: nothing does */
static bool row_find(struct address_space *mapping, pgoff_t index,
		     struct row *row)
{
	XA_STATE(xas, &mapping->i_pages, index);

	guard(spinlock_irq)(&mapping->i_pages.xa_lock);
	row->entry = xas_load(&xas);
	if (!memfd_luo_lazy_entry(row->entry))
		return false;

	row->order = xas_get_order(&xas);
	row->index = round_down(index, 1UL << row->order);
	row->nr = 1;
	row->folios[0] = first_folio(row->entry);
	folio_get(row->folios[0]);

	return true;
}

/*
 * Hold the others, too, unless somebody else brought them in, or they went away,
 * before the first was locked.
 */
static bool row_hold(struct address_space *mapping, struct row *row)
{
	struct folio *first = row->folios[0];

	guard(spinlock_irq)(&mapping->i_pages.xa_lock);
	if (xa_load(&mapping->i_pages, row->index) != row->entry)
		return false;

	if (!folio_test_large(first)) {
		while (row->nr < 1U << row->order) {
			row->folios[row->nr] = folio_behind(first, row->nr);
			folio_get(row->folios[row->nr++]);
		}
	}

	return true;
}

/*
 * Memory that breaks while it waits is marked page by page only; who reads a large
 * folio looks at one mark for all of it, under its lock. True for a large folio that
 * is broken.
 */
static bool folio_mark_broken(struct folio *folio)
{
	if (!folio_test_large(folio) || !memfd_luo_broken_pages())
		return false;

	for (unsigned long i = 0; i < folio_nr_pages(folio); i++) {
		if (PageHWPoison(folio_page(folio, i))) {
			folio_set_has_hwpoisoned(folio);
			return true;
		}
	}

	return false;
}

/*
 * They are charged already, as memory that waits, and for a moment will be twice.
 * Nobody is to be killed for that, so it is forced, which works at once.
 */
static void row_prepare(struct row *row)
{
	for (unsigned int i = 0; i < row->nr; i++) {
		mem_cgroup_charge(row->folios[i], NULL,
				  GFP_NOWAIT | __GFP_HIGH);
		if (i)
			__folio_set_locked(row->folios[i]);
		__folio_set_swapbacked(row->folios[i]);
		folio_mark_uptodate(row->folios[i]);
	}
}

/* Make them what they were while they waited */
static void row_reset(struct row *row)
{
	for (unsigned int i = 0; i < row->nr; i++) {
		folio_clear_uptodate(row->folios[i]);
		__folio_clear_swapbacked(row->folios[i]);
		mem_cgroup_uncharge(row->folios[i]);
		if (i)
			folio_unlock(row->folios[i]);
	}
}

/* For those that are in the page cache; the lock of the first stays */
static void row_settle(struct row *row)
{
	for (unsigned int i = 0; i < row->nr; i++) {
		bool broken = folio_mark_broken(row->folios[i]);

		folio_mark_dirty(row->folios[i]);
		folio_add_lru(row->folios[i]);
		if (i)
			folio_unlock(row->folios[i]);
		/*
		 * The reference of the entry; there is ours, too. A broken large folio
		 * keeps it, as it would be freed whole, for anybody to use.
		 */
		if (!broken)
			folio_put(row->folios[i]);
	}
}

static void row_insert(struct inode *inode, struct row *row)
{
	struct address_space *mapping = inode->i_mapping;
	int err;

	row_prepare(row);
	if (folio_test_large(row->folios[0]))
		err = shmem_add_to_page_cache(row->folios[0], mapping,
					      row->index, row->entry,
					      mapping_gfp_mask(mapping));
	else
		err = shmem_add_row_to_page_cache(row->folios, row->order,
						  mapping, row->index,
						  row->entry);
	/* It went away meanwhile, and what is held is the last of it */
	if (err) {
		row_reset(row);
		return;
	}

	row_settle(row);
	shmem_recalc_inode(inode, 0, -(1L << row->order));
	payer_uncharge(lazy_of(inode), row->order);
}

/* Insert a row at the expense of who retrieved it */
static void row_insert_paid(struct inode *inode, struct row *row)
{
	struct obj_cgroup *objcg = lazy_of(inode)->objcg;
	struct mem_cgroup *memcg, *before;

	memcg = objcg ? get_mem_cgroup_from_objcg(objcg) : NULL;
	before = set_active_memcg(memcg);
	row_insert(inode, row);
	set_active_memcg(before);
	mem_cgroup_put(memcg);
}

/**
 * memfd_luo_lazy_bring_in - bring the pages that wait at a place into the file
 * @inode: of the file
 * @index: the place
 *
 * The caller looks again: they can have gone away instead. This cannot fail, as what
 * it needs most is there already.
 *
 * Context: May sleep, and takes locks of folios and of the page cache.
 */
void memfd_luo_lazy_bring_in(struct inode *inode, pgoff_t index)
{
	struct row row;

	if (!row_find(inode->i_mapping, index, &row))
		return;

	folio_lock(row.folios[0]);
	if (row_hold(inode->i_mapping, &row))
		row_insert_paid(inode, &row);
	folio_unlock(row.folios[0]);
	for (unsigned int i = 0; i < row.nr; i++)
		folio_put(row.folios[i]);
}

/* Whether something waits at @index or behind, and where */
static bool find_waiting(struct address_space *mapping, pgoff_t *index)
{
	XA_STATE(xas, &mapping->i_pages, *index);
	void *entry;

	guard(rcu)();
	xas_for_each(&xas, entry, ULONG_MAX) {
		if (!xas_retry(&xas, entry) && memfd_luo_lazy_entry(entry))
			break;
		if (need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}
	}
	*index = xas.xa_index;

	return entry;
}

/* Whether it came to the end */
static bool bring_in_all(struct memfd_luo_lazy *lazy)
{
	pgoff_t index = 0;

	while (find_waiting(lazy->inode->i_mapping, &index)) {
		if (READ_ONCE(lazy->stop) || fatal_signal_pending(current))
			return false;
		memfd_luo_lazy_bring_in(lazy->inode, index);
		cond_resched();
	}

	return true;
}

static void lazy_work(struct work_struct *work)
{
	bring_in_all(container_of(to_delayed_work(work), struct memfd_luo_lazy,
				  work));
}

/* ---- For retrieving a memfd ---- */

/**
 * memfd_luo_lazy_begin - make a file ready for pages that wait
 * @inode: of the file, which is empty, and which nobody else can use yet
 *
 * Whoever calls this pays for them.
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM. It ends with _cancel() or _commit().
 */
int memfd_luo_lazy_begin(struct inode *inode)
{
	struct memfd_luo_lazy *lazy = kzalloc_obj(*lazy, GFP_KERNEL_ACCOUNT);

	if (!lazy)
		return -ENOMEM;

	lazy->inode = inode;
	INIT_DELAYED_WORK(&lazy->work, lazy_work);
	payer_get(lazy);
	SHMEM_I(inode)->lazy = lazy;

	return 0;
}

/* shmem_recalc_inode() would take them for pages that leave the page cache */
static void count_waiting(struct inode *inode, unsigned long nr)
{
	struct shmem_inode_info *info = SHMEM_I(inode);

	guard(spinlock)(&info->lock);
	info->alloced += nr;
	info->swapped += nr;
}

/**
 * memfd_luo_lazy_add - let pages wait
 * @inode: of the file
 * @index: place of the first
 * @folio: the first one; all are adjacent in memory, and of one size
 * @nr:    pages of all of them
 *
 * Each folio's reference goes to the file.
 *
 * Context: May sleep.
 * Return: 0; -ENOMEM, also when the memory cgroup is too small; -ENOSPC; -EINTR when
 * killed; -EEXIST when there is something already. Only _cancel() is possible then.
 */
int memfd_luo_lazy_add(struct inode *inode, pgoff_t index, struct folio *folio,
		       unsigned long nr)
{
	/* Where memory is short the caller is told, and nobody killed */
	gfp_t gfp = (mapping_gfp_mask(inode->i_mapping) & GFP_RECLAIM_MASK) |
		    __GFP_RETRY_MAYFAIL;
	int err;

	err = shmem_inode_acct_blocks(inode, nr);
	if (err)
		return err;
	count_waiting(inode, nr);

	return entries_store(inode, index, folio, nr, gfp);
}

/**
 * memfd_luo_lazy_cancel - undo memfd_luo_lazy_begin() and _add()
 * @inode: of the file, which is empty afterwards
 *
 * The folios belong to the caller again.
 *
 * Context: May sleep.
 */
void memfd_luo_lazy_cancel(struct inode *inode)
{
	long waiting = SHMEM_I(inode)->swapped;

	entries_uncharge(inode);
	xa_destroy(&inode->i_mapping->i_pages);
	shmem_recalc_inode(inode, 0, -waiting);
	memfd_luo_lazy_end(inode);
}

/**
 * memfd_luo_lazy_commit - hand over a file with the pages that wait
 * @inode: of the file
 *
 * Context: May sleep.
 */
void memfd_luo_lazy_commit(struct inode *inode)
{
	struct memfd_luo_lazy *lazy = lazy_of(inode);

	if (SHMEM_I(inode)->swapped <= FEW && bring_in_all(lazy))
		memfd_luo_lazy_end(inode);
	else
		queue_delayed_work(system_dfl_long_wq, &lazy->work, WORK_DELAY);
}

/* ---- For shmem ---- */

/**
 * memfd_luo_lazy_free - free pages that wait no more
 * @inode: of the file
 * @entry: told of them, and was taken out of the page cache by the caller
 * @nr:    pages
 *
 * A large folio with broken memory is given to nobody, as it would be given whole.
 *
 * Context: May sleep.
 */
void memfd_luo_lazy_free(struct inode *inode, void *entry, unsigned long nr)
{
	struct folio *first = first_folio(entry);
	bool large = folio_test_large(first);
	unsigned long folios = large ? 1 : nr;

	if (large && memfd_luo_is_broken(folio_pfn(first), nr))
		folios = 0;
	/* Without its reference, a folio is not to be looked at */
	for (unsigned long i = 0; i < folios; i++)
		folio_put(folio_behind(first, i));
	payer_uncharge(lazy_of(inode), ilog2(nr));
}

/**
 * memfd_luo_lazy_stop - let no worker come to a file any more
 * @inode: of a file that is about to be evicted
 *
 * Context: May sleep.
 */
void memfd_luo_lazy_stop(struct inode *inode)
{
	struct memfd_luo_lazy *lazy = lazy_of(inode);

	if (!lazy)
		return;

	WRITE_ONCE(lazy->stop, true);
	cancel_delayed_work_sync(&lazy->work);
}

/**
 * memfd_luo_lazy_end - forget that pages could wait in a file
 * @inode: of the file, where none does, and that nobody else can use
 *
 * Context: Any.
 */
void memfd_luo_lazy_end(struct inode *inode)
{
	struct memfd_luo_lazy *lazy = lazy_of(inode);

	if (!lazy)
		return;

	/* The file can be in use by reclaim already */
	WRITE_ONCE(SHMEM_I(inode)->lazy, NULL);
	payer_put(lazy);
	kfree(lazy);
}
