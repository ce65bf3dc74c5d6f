// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds: bringing pages to where they can stay
 *
 * What crosses must be in memory, not in swap; out of memory that is not for long, as
 * scratch memory is, as the next kernel starts in there; and out of what that kernel is
 * not told of. Where others need the memory for that more, or use a page, the caller is
 * told. Nobody is killed for it.
 */

#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/list.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/sizes.h>
#include <linux/swap.h>
#include <linux/topology.h>
#include <linux/vmstat.h>
#include <linux/xarray.h>

#include "internal.h"
#include "memfd_luo_lazy.h"
#include "memfd_luo_move.h"

/* Folios that are moved at once, and pages of them, about */
#define MOVE_BATCH		512
#define MOVE_PAGES		(SZ_8M >> PAGE_SHIFT)

/* Who uses a page for a moment gets so much time, and is looked at so often */
#define USE_TIME		HZ
#define USE_LOOK		(HZ / 50 + 1)

/* What is left free for others, at most, and as a part of the memory */
#define ROOM_KEPT		((unsigned long)SZ_64M >> PAGE_SHIFT)
#define ROOM_PART		64

/* Reclaim that frees none of it is given up: soon if it frees nothing at all */
#define ROOM_TRIES		1024
#define ROOM_TRIES_OF_NONE	16

/* ---- Room ---- */

/* Memory of a zone that can be pinned: free, and not kept for emergencies */
static long room_in_zone(struct zone *zone)
{
	long free = zone_page_state(zone, NR_FREE_PAGES);

	free -= zone_page_state(zone, NR_FREE_CMA_PAGES);
	free -= high_wmark_pages(zone) + zone->lowmem_reserve[gfp_zone(GFP_USER)];

	return max(free, 0L);
}

/* The same of the machine, beside what is left for others */
static long room_now(void)
{
	unsigned long present = 0;
	struct zone *zone;
	long free = 0;

	for_each_populated_zone(zone) {
		if (zone_idx(zone) >= ZONE_MOVABLE)
			continue;
		present += READ_ONCE(zone->present_pages);
		free += room_in_zone(zone);
	}

	return free - (long)min(present / ROOM_PART, ROOM_KEPT);
}

/* Returns for how many of ROOM_TRIES that counts */
static int room_reclaim(void)
{
	struct zonelist *zonelist = node_zonelist(numa_node_id(), GFP_USER);
	unsigned int flags = memalloc_noreclaim_save();
	unsigned long nr = try_to_free_pages(zonelist, 0, GFP_USER, NULL);

	memalloc_noreclaim_restore(flags);
	return nr ? 1 : ROOM_TRIES / ROOM_TRIES_OF_NONE;
}

/**
 * memfd_luo_make_room - see that there is memory to move pages to
 * @nr: how many
 *
 * What can be freed without harm is. But memory that can be pinned is also what the
 * kernel itself lives on, scratch memory is none for it: some is left, so that others
 * are not killed for want of it.
 *
 * Context: May sleep, and reclaims memory.
 * Return: 0, -ENOMEM, or -EINTR when the task is killed.
 */
int memfd_luo_make_room(unsigned long nr)
{
	long now = room_now(), best = now;
	int tries = 0;

	while (now < (long)nr) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (tries >= ROOM_TRIES)
			return -ENOMEM;
		tries += room_reclaim();
		cond_resched();
		now = room_now();
		if (now > best) {
			best = now;
			tries = 0;
		}
	}

	return 0;
}

/* ---- Pages in use ---- */

/* false when time is up for this call, or for all of a transition */
static bool patience_spend(struct memfd_luo_patience *patience, unsigned int time)
{
	if (patience->waited)
		return liveupdate_count_wait(patience->waited, time);
	if (patience->spent >= LIVEUPDATE_WAIT_MAX)
		return false;

	patience->spent += time;
	return true;
}

/**
 * memfd_luo_await_use - wait a moment for those who use a page
 * @patience: how long that may go on
 *
 * A pipe, a socket or a disk that works on a page keeps it where it is, mostly not for
 * long.
 *
 * Context: May sleep.
 * Return: 0: look again; -EBUSY after a second for a page, or %LIVEUPDATE_WAIT_MAX in
 * all; -EINTR when the task is killed.
 */
int memfd_luo_await_use(struct memfd_luo_patience *patience)
{
	if (!patience->until)
		patience->until = (jiffies + USE_TIME) | 1;
	else if (time_after(jiffies, patience->until))
		return -EBUSY;
	if (!patience_spend(patience, USE_LOOK))
		return -EBUSY;

	schedule_timeout_killable(USE_LOOK);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/* ---- Rows of pages ---- */

static bool folio_is_told(const struct folio *folio)
{
	return kho_memory_is_told(PFN_PHYS(folio_pfn(folio)), folio_size(folio));
}

/**
 * memfd_luo_can_stay - whether a folio is in memory where it can stay
 * @folio: the folio, with a reference
 * @block: ULONG_MAX at first; the pageblock of the last one that can
 *
 * Small ones, of which there are many, share the answer with their pageblock, as what
 * it depends on does.
 *
 * Context: Any.
 * Return: true if it can.
 */
bool memfd_luo_can_stay(const struct folio *folio, unsigned long *block)
{
	unsigned long now = folio_pfn(folio) >> pageblock_order;

	if (now == *block && !folio_test_large(folio))
		return true;
	if (!folio_is_longterm_pinnable((struct folio *)folio) ||
	    !folio_is_told(folio))
		return false;

	*block = now;
	return true;
}

/*
 * Find the first pages that exist at or after *@start, and where they end. A
 * page that is swapped out exists. The search ends at @limit, and a row of pages
 * after a batch.
 */
static bool row_find(struct address_space *mapping, pgoff_t *start,
		     pgoff_t *end, pgoff_t limit)
{
	XA_STATE(xas, &mapping->i_pages, *start);
	pgoff_t first, next = *start;
	unsigned int nr = 0;
	void *entry;

	guard(rcu)();
	xas_for_each(&xas, entry, limit - 1) {
		if (xas_retry(&xas, entry))
			continue;
		first = round_down(xas.xa_index, 1UL << xas_get_order(&xas));
		if (!nr)
			*start = max(*start, first);
		else if (first != next)
			break;
		next = first + (1UL << xas_get_order(&xas));
		if (++nr == MOVE_BATCH || next - *start >= MOVE_PAGES)
			break;
	}
	*end = min(next, limit);

	return nr;
}

/* What it takes to bring a page in; nothing while it is in memory, and only waits */
static unsigned long row_needs(struct address_space *mapping, pgoff_t index)
{
	void *entry = xa_load(&mapping->i_pages, index);

	if (!xa_is_value(entry) || memfd_luo_lazy_entry(entry))
		return 0;

	return 1UL << xa_get_order(&mapping->i_pages, index);
}

/* The folio of a page, if that exists, with a reference: brought in, if it is not */
static struct folio *row_folio(struct address_space *mapping, pgoff_t index)
{
	gfp_t gfp = mapping_gfp_mask(mapping) | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	unsigned int flags = memalloc_pin_save();
	struct folio *folio = shmem_existing_folio_gfp(mapping, index, gfp);

	memalloc_pin_restore(flags);
	return folio;
}

/* ---- Moving ---- */

/**
 * struct move - folios that cannot stay where they are
 * @list:    those that can be moved, off their lists
 * @pages:   of these
 * @used:    how many others there are, which somebody else is at work on
 * @block:   see memfd_luo_can_stay()
 * @drained: see lru_cache_drain_for_folio()
 */
struct move {
	struct list_head list;
	unsigned long pages;
	int used;
	unsigned long block;
	enum lru_cache_drained drained;
};

static int move_add(struct move *move, struct folio *folio)
{
	unsigned long nr = folio_nr_pages(folio);
	int err;

	if (folio_contain_hwpoisoned_page(folio))
		return -EHWPOISON;
	if (memfd_luo_can_stay(folio, &move->block))
		return 0;
	err = memfd_luo_make_room(move->pages + nr);
	if (err)
		return err;

	lru_cache_drain_for_folio(folio, 1, &move->drained);
	if (!folio_isolate_lru(folio)) {
		move->used++;
		return 0;
	}
	list_add_tail(&folio->lru, &move->list);
	node_stat_mod_folio(folio, NR_ISOLATED_ANON + folio_is_file_lru(folio), nr);
	move->pages += nr;

	return 0;
}

static int move_collect(struct move *move, struct address_space *mapping,
			pgoff_t start, pgoff_t end)
{
	struct folio *folio;
	unsigned long nr;
	int err = 0;

	while (!err && start < end) {
		if (fatal_signal_pending(current))
			return -EINTR;
		nr = row_needs(mapping, start);
		err = nr ? memfd_luo_make_room(move->pages + nr) : 0;
		if (err)
			return err;
		folio = row_folio(mapping, start);
		/* A clean one, which reclaim has taken meanwhile */
		if (folio == ERR_PTR(-ENOENT)) {
			start++;
			continue;
		}
		if (IS_ERR(folio))
			return PTR_ERR(folio);
		start = folio_next_index(folio);
		err = move_add(move, folio);
		folio_put(folio);
	}

	return err;
}

static struct folio *move_alloc(struct folio *folio, unsigned long unused)
{
	gfp_t gfp = folio_test_large(folio) ? GFP_TRANSHUGE : GFP_USER;

	gfp &= ~(__GFP_MOVABLE | __GFP_HIGHMEM);
	/* Where it is hard to have a larger one, it is split instead */
	if (folio_order(folio) <= PAGE_ALLOC_COSTLY_ORDER)
		gfp |= __GFP_RETRY_MAYFAIL;

	return kho_folio_alloc(gfp | __GFP_NOWARN, folio_order(folio), folio_nid(folio));
}

/* Returns how many are in use and cannot be moved, or an error */
static int move_row(struct address_space *mapping, pgoff_t start, pgoff_t end)
{
	struct move move = {
		.list = LIST_HEAD_INIT(move.list),
		.block = ULONG_MAX,
		.drained = LRU_CACHE_NOT_DRAINED,
	};
	int ret;

	ret = move_collect(&move, mapping, start, end);
	if (!ret && !list_empty(&move.list))
		ret = migrate_pages(&move.list, move_alloc, NULL, 0, MIGRATE_SYNC,
				    MR_LONGTERM_PIN, NULL);
	putback_movable_pages(&move.list);

	return ret < 0 ? ret : ret + move.used;
}

/**
 * memfd_luo_settle - bring pages to where they can stay
 * @file:     a memfd
 * @start:    of the first page
 * @limit:    where to end, at most
 * @patience: with those who use pages
 *
 * These are the pages from the first one on that exists, as far as they exist one after
 * the other, or a batch of them. They are not held there: the caller has to look again.
 *
 * Context: May sleep, reclaims memory, and takes locks of folios.
 * Return: 0; -ENOMEM; -EBUSY when somebody has been using one for a second; -EHWPOISON
 * when memory of one is broken; -EINTR when the task is killed; or why a page could not
 * be brought in from swap.
 */
int memfd_luo_settle(struct file *file, pgoff_t start, pgoff_t limit,
		     struct memfd_luo_patience *patience)
{
	struct address_space *mapping = file->f_mapping;
	pgoff_t end;
	int ret;

	if (!row_find(mapping, &start, &end, limit))
		return 0;

	ret = move_row(mapping, start, end);
	return ret > 0 ? memfd_luo_await_use(patience) : ret;
}
