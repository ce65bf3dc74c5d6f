// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds of huge pages: restoring pages and reservations
 */

#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate_chain.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/xarray.h>
#include <uapi/linux/memfd.h>

#include "hugetlb_luo.h"
#include "internal.h"
#include "memfd_luo.h"

static bool take_chain(const struct hugetlb_luo_chain *ser,
		       struct luo_chain *chain, size_t size)
{
	chain->first = ser->first;
	chain->count = ser->count;
	chain->entry_size = size;
	return !luo_chain_take(chain) && luo_chain_crc(chain) == ser->crc;
}

static bool take_chains(struct hugetlb_luo_in *in)
{
	const struct hugetlb_luo_ser *ser = in->ser;

	return take_chain(&ser->kept, &in->kept,
			  sizeof(struct hugetlb_luo_extent)) &&
	       take_chain(&ser->late, &in->late,
			  sizeof(struct hugetlb_luo_extent)) &&
	       take_chain(&ser->regions, &in->regions,
			  sizeof(struct hugetlb_luo_region));
}

/**
 * hugetlb_luo_in_try_label - see whether a file that came can have its label here
 * @phys: physical address of its record, which is not trusted
 *
 * Nothing is taken out of KHO, so that it can go on as it came.
 *
 * Context: May sleep.
 * Return: 0, also when it is damaged: hugetlb_luo_in_init() tells; or as
 * memfd_luo_label_try().
 */
int hugetlb_luo_in_try_label(u64 phys)
{
	const struct hugetlb_luo_ser *ser;
	struct hstate *h;

	if (!phys || kho_preserved_whole(phys) != 0)
		return 0;

	ser = phys_to_virt(phys);
	/* Most have none, and what is done here is done for thousands */
	if (!memfd_luo_label_of(ser)->text[0])
		return 0;
	h = hugetlb_luo_ser_ok(ser) ? size_to_hstate(hugetlb_luo_page_size(ser)) :
				      NULL;
	/* That there are no such pages is told by who makes the file */
	if (!h)
		return 0;

	return memfd_luo_label_try(memfd_luo_label_of(ser), MFD_HUGETLB |
				   huge_page_shift(h) << MFD_HUGE_SHIFT);
}

/**
 * hugetlb_luo_in_init - take up a file that came
 * @in:   to fill
 * @phys: physical address of its record, which is not trusted
 *
 * The metadata is taken out of KHO before memory that it refers to is looked at,
 * so that it cannot refer to itself. What is found damaged stays allocated.
 *
 * Context: May sleep.
 * Return: 0, or -EUCLEAN when it is damaged.
 */
int hugetlb_luo_in_init(struct hugetlb_luo_in *in, u64 phys)
{
	memset(in, 0, sizeof(*in));
	xa_init(&in->moved);
	if (!phys || !kho_try_restore_folio(phys, 0))
		return -EUCLEAN;

	in->ser = phys_to_virt(phys);
	if (!hugetlb_luo_ser_ok(in->ser) ||
	    !memfd_luo_label_ok(memfd_luo_label_of(in->ser)) || !take_chains(in) ||
	    !hugetlb_luo_extents_ok(in->ser, &in->kept, &in->late) ||
	    !hugetlb_luo_regions_ok(&in->regions, in->ser))
		return -EUCLEAN;

	return 0;
}

/**
 * hugetlb_luo_in_destroy - give up the records of a file, which are read no more
 * @in: the file; its pages are in a file, or discarded
 */
void hugetlb_luo_in_destroy(struct hugetlb_luo_in *in)
{
	luo_chain_free(&in->kept);
	luo_chain_free(&in->late);
	luo_chain_free(&in->regions);
	xa_destroy(&in->moved);
	folio_put(virt_to_folio(in->ser));
}

/**
 * struct walk - a walk over the pages of an incoming file
 * @in:     the file
 * @it:     the next extent
 * @extent: the one that the next page is in
 * @done:   pages of it that are behind
 * @total:  pages of all extents that are behind
 * @late:   in the late extents, after the others
 * @drop:   nobody wants the pages
 */
struct walk {
	struct hugetlb_luo_in *in;
	struct luo_chain_it it;
	const struct hugetlb_luo_extent *extent;
	u64 done;
	u64 total;
	bool late;
	bool drop;
};

static void walk_enter(struct walk *walk, const struct luo_chain *chain)
{
	luo_chain_start(&walk->it, chain);
	walk->extent = luo_chain_next(&walk->it);
	walk->done = 0;
}

static void walk_start(struct walk *walk, struct hugetlb_luo_in *in)
{
	memset(walk, 0, sizeof(*walk));
	walk->in = in;
	walk_enter(walk, &in->kept);
}

static u64 walk_phys(const struct walk *walk)
{
	return walk->extent->phys +
	       walk->done * hugetlb_luo_page_size(walk->in->ser);
}

/* ---- Pages that were one of a node, and are on more than one now ---- */

static struct folio *folio_new(unsigned int order, int nid)
{
	const gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_COMP | __GFP_RETRY_MAYFAIL |
			  __GFP_NOWARN;
	struct page *page = NULL;

	if (order <= MAX_PAGE_ORDER)
		return __folio_alloc_node(gfp, order, nid);

#ifdef CONFIG_CONTIG_ALLOC
	page = alloc_contig_frozen_pages(1UL << order, gfp, nid, NULL);
#endif
	if (!page)
		return NULL;

	set_page_refcounted(page);
	return page_folio(page);
}

static struct page *nth(struct page *page, unsigned long n)
{
	return pfn_to_page(page_to_pfn(page) + n);
}

/* Free all pages, after they are copied to a folio, if any */
static void pages_leave(struct page *page, unsigned int order, struct folio *to)
{
	for (unsigned long i = 0; i < 1UL << order; i++) {
		if (to)
			copy_highpage(folio_page(to, i), nth(page, i));
		__free_page(nth(page, i));
		cond_resched();
	}
}

/* No folio is of several nodes: have another one for the content */
static int page_move(struct hugetlb_luo_in *in, u64 nr, u64 phys)
{
	unsigned int order = in->ser->order;
	struct folio *folio = folio_new(order, pfn_to_nid(PHYS_PFN(phys)));
	struct page *page;
	int err;

	if (!folio)
		return -ENOMEM;

	err = xa_err(xa_store(&in->moved, nr, folio, GFP_KERNEL));
	if (err)
		goto put;

	page = kho_try_restore_pages(phys, order);
	if (page) {
		pages_leave(page, order, folio);
		return 0;
	}
	xa_erase(&in->moved, nr);
	err = -EUCLEAN;
put:
	folio_put(folio);
	return err;
}

/* Nobody wants it, so it need not move. -ENODATA tells that it is gone. */
static int page_drop(struct hugetlb_luo_in *in, u64 phys)
{
	struct page *page = kho_try_restore_pages(phys, in->ser->order);

	if (!page)
		return -EUCLEAN;

	pages_leave(page, in->ser->order, NULL);
	return -ENODATA;
}

/* ---- Going through all pages ---- */

static int walk_take(struct walk *walk)
{
	unsigned int order = walk->in->ser->order;
	u64 phys = walk_phys(walk);
	bool broken = memfd_luo_is_broken(PHYS_PFN(phys), 1UL << order);

	/* Of what nobody wants, small pages that are not broken can be freed */
	if (kho_preserved_order(phys) == order && !(broken && walk->drop))
		return kho_try_restore_folio(phys, order) ? 0 : -EUCLEAN;
	/* Another file can have claimed the same memory since it was checked */
	if (kho_preserved_whole(phys) != order)
		return -EUCLEAN;
	if (walk->drop)
		return page_drop(walk->in, phys);

	/* What is broken cannot be copied */
	return broken ? -EHWPOISON : page_move(walk->in, walk->total, phys);
}

/* Take the next page out of KHO, unless that is done */
static int walk_restore(struct walk *walk)
{
	int err;

	if (walk->total < walk->in->restored)
		return 0;

	err = walk_take(walk);
	if (!err || err == -ENODATA)
		walk->in->restored++;

	return err;
}

static struct folio *walk_folio(const struct walk *walk)
{
	struct folio *moved = xa_load(&walk->in->moved, walk->total);

	return moved ?: pfn_folio(PHYS_PFN(walk_phys(walk)));
}

static void walk_on(struct walk *walk)
{
	walk->total++;
	if (++walk->done == walk->extent->count) {
		walk->extent = luo_chain_next(&walk->it);
		walk->done = 0;
	}
}

/*
 * The next page, which belongs to us; its place in the file goes to @index. NULL at
 * the end; -EUCLEAN when KHO does not have it (any more), -ENOMEM when there is no
 * memory for it to move to, and -EHWPOISON when it would have to move and is broken,
 * after which the walk does not go on. -ENODATA stands for a page that was dropped.
 */
static struct folio *walk_next(struct walk *walk, pgoff_t *index)
{
	struct folio *folio;
	int err;

	if (!walk->extent && !walk->late) {
		walk->late = true;
		walk_enter(walk, &walk->in->late);
	}
	if (!walk->extent)
		return NULL;

	err = walk_restore(walk);
	if (err && err != -ENODATA)
		return ERR_PTR(err);

	folio = err ? ERR_PTR(err) : walk_folio(walk);
	*index = walk->extent->index + walk->done;
	walk_on(walk);

	return folio;
}

static bool folio_is_broken(const struct folio *folio)
{
	return memfd_luo_is_broken(folio_pfn(folio), folio_nr_pages(folio));
}

static int fill_one(struct inode *inode, struct folio *folio, pgoff_t index)
{
	int err;

	if (IS_ERR(folio))
		return PTR_ERR(folio);
	if (fatal_signal_pending(current))
		return -EINTR;

	err = hugetlb_adopt_folio(inode, folio, index);
	/* Two extents for one place: the previous kernel told nonsense */
	return err == -EEXIST ? -EUCLEAN : err;
}

/* Put all pages into the file; *@nr is how many are in it, also on failure */
static int fill_pages(struct inode *inode, struct hugetlb_luo_in *in, u64 *nr)
{
	struct folio *folio;
	struct walk walk;
	pgoff_t index;
	int err;

	*nr = 0;
	walk_start(&walk, in);
	while ((folio = walk_next(&walk, &index))) {
		err = fill_one(inode, folio, index);
		if (err)
			return err;
		(*nr)++;
		cond_resched();
	}

	return 0;
}

/* Of a region, what has a page needs no other */
static int reserve_regions(struct inode *inode, struct hugetlb_luo_in *in)
{
	const struct hugetlb_luo_region *region;
	struct luo_chain_it it;
	long nr;

	luo_chain_start(&it, &in->regions);
	while ((region = luo_chain_next(&it))) {
		nr = hugetlb_reserve_pages(inode, region->from, region->to, NULL,
					   EMPTY_VMA_FLAGS);
		if (nr < 0)
			return nr;
		cond_resched();
	}

	return 0;
}

static void for_pages(struct hugetlb_luo_in *in, u64 nr,
		      void (*act)(struct folio *folio))
{
	struct walk walk;
	pgoff_t index;

	walk_start(&walk, in);
	while (nr--) {
		act(walk_next(&walk, &index));
		cond_resched();
	}
}

#ifdef CONFIG_MEMORY_FAILURE
static void report_broken(struct folio *folio, unsigned long pfn)
{
	num_poisoned_pages_sub(pfn, 1);
	if (!memory_failure(pfn, 0))
		return;

	/* Others of it broke before, or it could not be dealt with: then all of it is bad */
	if (!folio_test_hwpoison(folio)) {
		folio_set_hugetlb_raw_hwp_unreliable(folio);
		folio_set_hwpoison(folio);
	}
}

/*
 * Memory that broke before a file had it is marked page by page only. Now that there is
 * somebody to ask, let it break again, as a huge page: who uses it is told, and it is
 * never freed. The mark of the first page is soon that of all.
 */
static void settle_broken(struct folio *folio)
{
	unsigned long pfn = folio_pfn(folio), nr = folio_nr_pages(folio);
	bool first = TestClearPageHWPoison(pfn_to_page(pfn));

	/* Marks are in struct pages that would be given back */
	hugetlb_settle_folio(folio, false);
	while (--nr) {
		if (TestClearPageHWPoison(pfn_to_page(pfn + nr)))
			report_broken(folio, pfn + nr);
	}
	if (first)
		report_broken(folio, pfn);
}
#else
static void settle_broken(struct folio *folio)
{
}
#endif

/* All went well: let the file alone have the pages */
static void commit_pages(struct hugetlb_luo_in *in)
{
	struct folio *folio;
	struct walk walk;
	pgoff_t index;

	walk_start(&walk, in);
	while ((folio = walk_next(&walk, &index))) {
		if (folio_is_broken(folio))
			settle_broken(folio);
		else
			hugetlb_settle_folio(folio, true);
		cond_resched();
	}
}

/**
 * hugetlb_luo_fill - give a new file the pages and reservations of one that came
 * @in:     the one that came; has no more pages, if all goes well
 * @file:   the new one, which is put in any case
 * @as_was: opened for the same inode, and the last one beside @file; put on failure
 *
 * Context: May sleep.
 * Return: 0; -EUCLEAN when pages are not there or have no place; -EINTR when the
 * task is killed; -ENOMEM, also when there is no memory for a page of several nodes;
 * -EHWPOISON when such a page is broken;
 * otherwise what hugetlb_adopt_folio() or hugetlb_reserve_pages() say. On failure,
 * @in is as before.
 */
int hugetlb_luo_fill(struct hugetlb_luo_in *in, struct file *file,
		     struct file *as_was)
{
	struct inode *inode = file_inode(file);
	u64 nr;
	int err;

	err = fill_pages(inode, in, &nr) ?: reserve_regions(inode, in);
	if (!err) {
		commit_pages(in);
		__fput_sync(file);
		return 0;
	}

	for_pages(in, nr, hugetlb_abandon_folio);
	/* At once: the first @nr pages are ours again then, as KHO gave them back */
	__fput_sync(as_was);
	__fput_sync(file);
	for_pages(in, nr, hugetlb_disown_folio);

	return err;
}

static void folio_drop(struct folio *folio)
{
	/* It broke since a try to restore the file took it: nobody shall have it */
	if (folio_is_broken(folio))
		return;
	if (!hugetlb_adopt_free_folio(folio))
		folio_put(folio);
}

/**
 * hugetlb_luo_discard - free the pages of a file that came
 * @in: the file
 *
 * The pool gets them first, if it has left out some, see hugetlb_adopt_free_folio().
 * Memory that is broken is not freed.
 */
void hugetlb_luo_discard(struct hugetlb_luo_in *in)
{
	struct folio *folio;
	struct walk walk;
	pgoff_t index;

	walk_start(&walk, in);
	walk.drop = true;
	while ((folio = walk_next(&walk, &index)) != ERR_PTR(-EUCLEAN) && folio) {
		if (!IS_ERR(folio))
			folio_drop(folio);
		cond_resched();
	}
}
