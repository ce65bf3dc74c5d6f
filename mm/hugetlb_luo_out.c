// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds of huge pages: preserving pages and reservations
 */

#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/kexec_handover.h>
#include <linux/kho_block.h>
#include <linux/migrate.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "hugetlb_luo.h"
#include "memfd_luo_move.h"

/* ---- Records ---- */

static void records_init(struct hugetlb_luo_records *records, size_t size)
{
	memset(records, 0, sizeof(*records));
	kho_block_set_init(&records->blocks, size);
}

static void records_drop(struct hugetlb_luo_records *records)
{
	size_t size = records->blocks.entry_size;

	kho_block_set_destroy(&records->blocks);
	records_init(records, size);
}

/* A new record at the end, not filled; NULL when there is no memory */
static void *records_add(struct hugetlb_luo_records *records)
{
	if (kho_block_set_grow(&records->blocks, records->nr + 1))
		return NULL;
	/* A set without blocks has no place to go on from */
	if (!records->nr)
		kho_block_set_it_init(&records->it, &records->blocks);

	records->last = kho_block_set_it_reserve_entry(&records->it);
	records->nr++;
	return records->last;
}

static void records_seal(struct hugetlb_luo_records *records, struct hugetlb_luo_chain *ser)
{
	struct kho_block_set_it it;
	const void *record;
	u32 crc = 0;

	kho_block_set_it_init(&it, &records->blocks);
	while ((record = kho_block_set_it_read_entry(&it)))
		crc = crc32c(crc, record, records->blocks.entry_size);

	ser->first = kho_block_set_head_pa(&records->blocks);
	ser->count = records->nr;
	ser->crc = crc;
	ser->pad = 0;
}

/* ---- Pages ---- */

/* Huge pages that are held while a better one is looked for */
struct hugetlb_luo_held {
	struct folio *folios[512];
	unsigned int nr;
};

static u64 pages_of_file(const struct hugetlb_luo_out *out, struct file *file)
{
	return DIV_ROUND_UP_ULL(i_size_read(file_inode(file)),
				huge_page_size(out->h));
}

static struct folio *extent_folio(const struct hugetlb_luo_extent *extent,
				  const struct hstate *h, u64 nr)
{
	return pfn_folio(PHYS_PFN(extent->phys + nr * huge_page_size(h)));
}

static bool extent_takes(const struct hugetlb_luo_extent *extent,
			 const struct hstate *h, const struct folio *folio)
{
	return extent->index + extent->count == folio->index >> h->order &&
	       extent->phys + extent->count * huge_page_size(h) ==
			PFN_PHYS(folio_pfn(folio)) &&
	       pfn_to_nid(PHYS_PFN(extent->phys)) == folio_nid(folio);
}

static int list_folio(struct hugetlb_luo_out *out, struct hugetlb_luo_records *extents,
		      const struct folio *folio)
{
	struct hugetlb_luo_extent *extent = extents->last;

	if (extent && extent_takes(extent, out->h, folio)) {
		extent->count++;
	} else {
		extent = records_add(extents);
		if (!extent)
			return -ENOMEM;
		extent->phys = PFN_PHYS(folio_pfn(folio));
		extent->index = folio->index >> out->h->order;
		extent->count = 1;
	}
	out->pages++;

	return 0;
}

/*
 * Preserve and list a pinned folio. Migration can have been at work on it until it
 * was pinned; what took its place is found the next time.
 */
static int preserve_pinned(struct hugetlb_luo_out *out, struct hugetlb_luo_records *extents,
			   struct address_space *mapping, struct folio *folio)
{
	int err;

	if (READ_ONCE(folio->mapping) != mapping)
		return -EAGAIN;
	if (folio_test_hwpoison(folio))
		return -EHWPOISON;
	if (kho_scratch_overlap(PFN_PHYS(folio_pfn(folio)), folio_size(folio)))
		return -ENOMEM;

	err = kho_preserve_folio(folio);
	if (err)
		return err;
	err = list_folio(out, extents, folio);
	if (err)
		kho_unpreserve_folio(folio);

	return err;
}

/* Why there is no better place for a page: some cannot cross, wherever they are */
static int move_error(struct folio *folio, int err)
{
	return err == -ENOMEM && folio_test_hugetlb_cma(folio) ? -EOPNOTSUPP : err;
}

/* What pinning would not move again */
static bool folio_can_stay(struct folio *folio)
{
	return folio_is_longterm_pinnable(folio) &&
	       kho_memory_is_told(PFN_PHYS(folio_pfn(folio)), folio_size(folio));
}

/* A new page takes memory that others may need more */
static bool folio_is_affordable(struct folio *folio)
{
	return !folio_test_hugetlb_temporary(folio) || !memfd_luo_make_room(0);
}

/*
 * A huge page of the pool, or a new one, where it can stay. New ones come when the
 * pool has no more; a lower zone is asked for one when they are no better.
 */
static struct folio *alloc_better(struct folio *folio, unsigned long private)
{
	struct hugetlb_luo_held *held = (void *)private;
	gfp_t gfp = GFP_USER | __GFP_COMP | __GFP_NOWARN;
	struct folio *to;

	while (held->nr < ARRAY_SIZE(held->folios)) {
		to = alloc_hugetlb_folio_nodemask(folio_hstate(folio), folio_nid(folio),
						  NULL, gfp, true);
		if (!to || (folio_can_stay(to) && folio_is_affordable(to)))
			return to;
		held->folios[held->nr++] = to;
		if (!folio_test_hugetlb_temporary(to))
			continue;
		if (gfp & __GFP_DMA32)
			return NULL;
		gfp |= __GFP_DMA32;
	}

	return NULL;
}

static int migrate_to_better(struct list_head *list)
{
	struct hugetlb_luo_held *held __free(kfree) = kzalloc_obj(*held);
	unsigned int flags;
	int ret;

	if (!held)
		return -ENOMEM;

	flags = memalloc_pin_save();
	ret = migrate_pages(list, alloc_better, NULL, (unsigned long)held, MIGRATE_SYNC,
			    MR_LONGTERM_PIN, NULL);
	memalloc_pin_restore(flags);
	while (held->nr)
		folio_put(held->folios[--held->nr]);

	return ret;
}

/*
 * Move a folio, of which the reference is given up, to where it can stay: out of
 * scratch memory, of hugetlb's CMA, and of what the next kernel is not told of.
 * -EAGAIN when it has moved, or somebody was using it or at work on it.
 */
static int move_folio(struct folio *folio, struct memfd_luo_patience *patience)
{
	LIST_HEAD(list);
	int ret = 1;

	folio_isolate_hugetlb(folio, &list);
	folio_put(folio);
	if (!list_empty(&list)) {
		ret = migrate_to_better(&list);
		if (ret < 0)
			ret = move_error(folio, ret);
		putback_movable_pages(&list);
	}
	if (ret > 0)
		ret = memfd_luo_await_use(patience);

	return ret ?: -EAGAIN;
}

/* 0 when a page is where it can stay, or an error as above */
static int settle_page(struct address_space *mapping, pgoff_t index,
		       struct memfd_luo_patience *patience)
{
	struct folio *folio = filemap_get_folio(mapping, index);
	int err = 0;

	/* Broken memory can go away; pinning finds that out */
	if (IS_ERR(folio))
		return 0;
	if (folio_test_hwpoison(folio))
		err = -EHWPOISON;
	else if (!folio_can_stay(folio))
		return move_folio(folio, patience);
	folio_put(folio);

	return err;
}

static int pin_page(struct file *file, struct hugetlb_luo_out *out,
		    struct hugetlb_luo_records *extents, pgoff_t index)
{
	loff_t pos = (loff_t)index << PAGE_SHIFT;
	struct folio *folio;
	pgoff_t offset;
	long nr;
	int err;

	nr = memfd_pin_folios(file, pos, pos, &folio, 1, &offset);
	if (nr <= 0)
		return nr ?: -EAGAIN;
	err = preserve_pinned(out, extents, file->f_mapping, folio);
	if (err)
		unpin_folio(folio);

	return err;
}

static int preserve_page(struct file *file, struct hugetlb_luo_out *out,
			 struct hugetlb_luo_records *extents, pgoff_t index,
			 struct memfd_luo_patience *patience)
{
	int err;

	memfd_luo_renew_patience(patience);
	do {
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		err = settle_page(file->f_mapping, index, patience);
		if (err)
			continue;
		err = pin_page(file, out, extents, index);
		if (err == -EAGAIN)
			err = memfd_luo_await_use(patience) ?: -EAGAIN;
	} while (err == -EAGAIN);

	return err;
}

static void release_extents(struct hugetlb_luo_out *out, struct hugetlb_luo_records *extents)
{
	const struct hugetlb_luo_extent *extent;
	struct kho_block_set_it it;
	struct folio *folio;
	u64 i;

	kho_block_set_it_init(&it, &extents->blocks);
	while ((extent = kho_block_set_it_read_entry(&it))) {
		for (i = 0; i < extent->count; i++) {
			folio = extent_folio(extent, out->h, i);
			kho_unpreserve_folio(folio);
			unpin_folio(folio);
			cond_resched();
		}
		out->pages -= extent->count;
	}
	records_drop(extents);
}

/**
 * struct kept_walk - which pages are preserved already, asked in ascending order
 * @it:     the next extent
 * @extent: the first one that ends behind the last page asked for, or NULL
 */
struct kept_walk {
	struct kho_block_set_it it;
	const struct hugetlb_luo_extent *extent;
};

static void kept_start(struct kept_walk *walk, struct hugetlb_luo_out *out)
{
	kho_block_set_it_init(&walk->it, &out->kept.blocks);
	walk->extent = kho_block_set_it_read_entry(&walk->it);
}

static u64 extent_end(const struct hugetlb_luo_extent *extent)
{
	return extent->index + extent->count;
}

static bool is_kept(struct kept_walk *walk, u64 index)
{
	while (walk->extent && extent_end(walk->extent) <= index)
		walk->extent = kho_block_set_it_read_entry(&walk->it);

	return walk->extent && walk->extent->index <= index;
}

/* The first page that exists at or after *@index, up to but without @end */
static bool find_page(struct address_space *mapping, pgoff_t *index, pgoff_t end)
{
	XA_STATE(xas, &mapping->i_pages, *index);
	void *entry;

	if (*index >= end)
		return false;

	guard(rcu)();
	do {
		entry = xas_find(&xas, end - 1);
	} while (xas_retry(&xas, entry));
	if (entry)
		*index = round_down(xas.xa_index, 1UL << xas_get_order(&xas));

	return entry;
}

/* Preserve all pages that exist and are not kept, and list them in @extents */
static int collect(struct file *file, struct hugetlb_luo_out *out,
		   struct hugetlb_luo_records *extents)
{
	unsigned int order = out->h->order;
	pgoff_t end = pages_of_file(out, file) << order;
	struct memfd_luo_patience patience = {
		.in_all = extents != &out->kept,
		.waited = out->waited,
	};
	struct kept_walk kept = {};
	pgoff_t index = 0;
	int err;

	if (extents != &out->kept)
		kept_start(&kept, out);

	while (find_page(file->f_mapping, &index, end)) {
		if (is_kept(&kept, index >> order)) {
			index = extent_end(kept.extent) << order;
			continue;
		}
		err = preserve_page(file, out, extents, index, &patience);
		if (err) {
			release_extents(out, extents);
			return err;
		}
		index += 1UL << order;
	}

	return 0;
}

/* Nothing tells the next kernel which memory is broken */
static int check_kept(struct hugetlb_luo_out *out)
{
	const struct hugetlb_luo_extent *extent;
	struct kho_block_set_it it;
	u64 i;

	kho_block_set_it_init(&it, &out->kept.blocks);
	while ((extent = kho_block_set_it_read_entry(&it))) {
		for (i = 0; i < extent->count; i++) {
			if (folio_test_hwpoison(extent_folio(extent, out->h, i)))
				return -EHWPOISON;
			cond_resched();
		}
	}

	return 0;
}

/* Kept pages are all there: if these are as many, there is nothing to look for */
static int collect_late(struct file *file, struct hugetlb_luo_out *out)
{
	int err = check_kept(out);

	if (err || file->f_mapping->nrpages == out->pages << out->h->order)
		return err;

	return collect(file, out, &out->late);
}

static void count_extents(struct hugetlb_luo_out *out,
			  struct hugetlb_luo_records *extents,
			  void (*count)(unsigned int order, int nid, u64 pages))
{
	const struct hugetlb_luo_extent *extent;
	struct kho_block_set_it it;

	kho_block_set_it_init(&it, &extents->blocks);
	while ((extent = kho_block_set_it_read_entry(&it))) {
		count(out->h->order, pfn_to_nid(PHYS_PFN(extent->phys)),
		      extent->count);
		cond_resched();
	}
}

/* Tell the pool of the next kernel of all pages, or take that back */
static void count_pages(struct hugetlb_luo_out *out,
			void (*count)(unsigned int order, int nid, u64 pages))
{
	count_extents(out, &out->kept, count);
	count_extents(out, &out->late, count);
}

/* ---- Regions ---- */

static struct resv_map *regions_of(struct file *file)
{
	return HUGETLBFS_I(file_inode(file))->resv_map;
}

static u64 count_regions(struct resv_map *map)
{
	guard(spinlock)(&map->lock);
	return list_count_nodes(&map->regions);
}

/* Returns how many there were, or -EAGAIN when there are more than @max */
static s64 copy_regions(struct resv_map *map, struct hugetlb_luo_region *to,
			u64 max)
{
	const struct file_region *region;
	u64 nr = 0;

	guard(spinlock)(&map->lock);
	list_for_each_entry(region, &map->regions, link) {
		if (nr == max)
			return -EAGAIN;
		to[nr].from = region->from;
		to[nr].to = region->to;
		nr++;
	}

	return nr;
}

static int list_regions(struct hugetlb_luo_out *out,
			const struct hugetlb_luo_region *regions, u64 nr,
			u64 pages)
{
	struct hugetlb_luo_region *region;
	u64 i;

	for (i = 0; i < nr && regions[i].from < pages; i++) {
		region = records_add(&out->regions);
		if (!region)
			return -ENOMEM;
		region->from = regions[i].from;
		region->to = min(regions[i].to, pages);
		cond_resched();
	}

	return 0;
}

/*
 * Pages do not come or go now, but who maps the file can still reserve some. That
 * is for a mapping that does not survive the kexec, and of no account here.
 */
static int collect_regions(struct file *file, struct hugetlb_luo_out *out)
{
	struct hugetlb_luo_region *regions = NULL;
	struct resv_map *map = regions_of(file);
	s64 nr;
	u64 max;
	int err;

	do {
		kvfree(regions);
		max = count_regions(map) + 16;
		regions = kvmalloc_objs(*regions, max, GFP_KERNEL_ACCOUNT);
		if (!regions)
			return -ENOMEM;
		nr = copy_regions(map, regions, max);
	} while (nr < 0 && !fatal_signal_pending(current));

	err = nr < 0 ? -EINTR :
		       list_regions(out, regions, nr, pages_of_file(out, file));
	if (err)
		records_drop(&out->regions);
	kvfree(regions);

	return err;
}

/* ---- What the handler calls ---- */

/**
 * hugetlb_luo_out_init - begin to preserve a file
 * @out:  to fill
 * @file: the file
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int hugetlb_luo_out_init(struct hugetlb_luo_out *out, struct file *file)
{
	memset(out, 0, sizeof(*out));
	out->ser = kho_alloc_preserve(PAGE_SIZE);
	if (IS_ERR(out->ser))
		return PTR_ERR(out->ser);

	out->h = hstate_file(file);
	records_init(&out->kept, sizeof(struct hugetlb_luo_extent));
	records_init(&out->late, sizeof(struct hugetlb_luo_extent));
	records_init(&out->regions, sizeof(struct hugetlb_luo_region));
	return 0;
}

/**
 * hugetlb_luo_out_destroy - undo hugetlb_luo_out_init()
 * @out: the file, with no pages preserved
 */
void hugetlb_luo_out_destroy(struct hugetlb_luo_out *out)
{
	kho_unpreserve_free(out->ser);
}

/**
 * hugetlb_luo_keep - pin and preserve the pages that a file has
 * @out:  the file
 * @file: the same; no page of it can go away
 *
 * Context: May sleep.
 * Return: 0; -ENOMEM, also when there is nowhere to move a page to; -EOPNOTSUPP when
 * that one lies in hugetlb's CMA; -EBUSY when somebody has been using one for a second
 * that has to move; -EHWPOISON when one is broken; -EINTR when the task is killed.
 * Nothing is preserved then.
 */
int hugetlb_luo_keep(struct hugetlb_luo_out *out, struct file *file)
{
	return collect(file, out, &out->kept);
}

/**
 * hugetlb_luo_unkeep - undo hugetlb_luo_keep()
 * @out: the file
 */
void hugetlb_luo_unkeep(struct hugetlb_luo_out *out)
{
	release_extents(out, &out->kept);
}

/**
 * hugetlb_luo_keep_late - preserve what came since the file was preserved
 * @out:  the file
 * @file: the same; no page can come any more
 *
 * Notes what is reserved, too, and makes the record of the file whole but for its
 * attributes and its checksum. The pool of the next kernel is told of the pages.
 *
 * Context: May sleep.
 * Return: as hugetlb_luo_keep().
 */
int hugetlb_luo_keep_late(struct hugetlb_luo_out *out, struct file *file)
{
	int err = collect_late(file, out);

	if (err)
		return err;
	err = collect_regions(file, out);
	if (err) {
		release_extents(out, &out->late);
		return err;
	}

	records_seal(&out->kept, &out->ser->kept);
	records_seal(&out->late, &out->ser->late);
	records_seal(&out->regions, &out->ser->regions);
	out->ser->order = out->h->order;
	count_pages(out, hugetlb_luo_pool_add);
	return 0;
}

/**
 * hugetlb_luo_unkeep_late - undo hugetlb_luo_keep_late()
 * @out: the file
 */
void hugetlb_luo_unkeep_late(struct hugetlb_luo_out *out)
{
	count_pages(out, hugetlb_luo_pool_sub);
	records_drop(&out->regions);
	release_extents(out, &out->late);
}
