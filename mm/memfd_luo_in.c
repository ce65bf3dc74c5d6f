// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds: restoring pages
 *
 * Pages are taken out of KHO piece by piece, and wait in a new file until they are
 * used. If not all can, the file is emptied, so that it can be tried again later.
 */

#include <linux/errno.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <uapi/linux/memfd.h>

#include "memfd_luo.h"
#include "memfd_luo_lazy.h"

/* Pages after which a run ends: what they are charged for, and can fail with */
#define RUN			(SZ_64M >> PAGE_SHIFT)

/* ---- What came ---- */

static int take_extents(const struct memfd_luo_extents *extents,
			struct luo_chain *chain)
{
	*chain = LUO_CHAIN(extents->first, extents->count,
			   struct memfd_luo_extent);
	if (luo_chain_take(chain) || luo_chain_crc(chain) != extents->crc)
		return -EUCLEAN;

	return 0;
}

/**
 * memfd_luo_in_try_label - see whether a memfd that came can have its label here
 * @phys: where its head should be
 *
 * Nothing is taken out of KHO, so that it can go on as it came.
 *
 * Context: May sleep.
 * Return: 0, also when it is damaged: memfd_luo_in_init() tells; or as
 * memfd_luo_label_try().
 */
int memfd_luo_in_try_label(u64 phys)
{
	const struct memfd_luo_ser *ser;

	if (!phys || kho_preserved_whole(phys) != 0)
		return 0;

	ser = phys_to_virt(phys);
	/* Most have none, and what is done here is done for thousands */
	if (!memfd_luo_label_of(ser)->text[0] || !memfd_luo_ser_ok(ser) ||
	    !memfd_luo_may_have_label(ser))
		return 0;

	return memfd_luo_label_try(memfd_luo_label_of(ser), MFD_ALLOW_SEALING);
}

/**
 * memfd_luo_in_init - take up a memfd that came
 * @in:   to be filled
 * @phys: where its head should be
 *
 * The metadata is taken out of KHO before memory that it refers to is looked at,
 * so that it cannot refer to itself. What is found damaged stays allocated.
 *
 * Context: May sleep.
 * Return: 0, or -EUCLEAN when there is none, or none that can be relied on.
 */
int memfd_luo_in_init(struct memfd_luo_in *in, u64 phys)
{
	memset(in, 0, sizeof(*in));
	if (!phys || !kho_try_restore_folio(phys, 0))
		return -EUCLEAN;

	in->ser = phys_to_virt(phys);
	if (!memfd_luo_ser_ok(in->ser) || take_extents(&in->ser->kept, &in->kept) ||
	    take_extents(&in->ser->late, &in->late))
		return -EUCLEAN;
	if (!memfd_luo_extents_ok(in->ser, &in->kept, &in->late))
		return -EUCLEAN;

	return 0;
}

/**
 * memfd_luo_in_destroy - free the metadata of a memfd that came
 * @in: its pages are in a file, or discarded
 */
void memfd_luo_in_destroy(struct memfd_luo_in *in)
{
	luo_chain_free(&in->kept);
	luo_chain_free(&in->late);
	folio_put(virt_to_folio(in->ser));
}

/* ---- Going through its folios ---- */

/* Where a walk gets its next extent from */
enum walk_in { WALK_NEAR, WALK_KEPT, WALK_LATE };

/**
 * struct walk - a walk over the folios of an incoming memfd
 * @in:     the memfd
 * @where:  the extents that it is in
 * @near:   those that are behind, while it is in those near the head
 * @far:    the next extent, while it is in the others
 * @extent: the one that the next folio is in
 * @done:   pages of it that are behind
 * @total:  pages of all extents that are behind
 */
struct walk {
	struct memfd_luo_in *in;
	enum walk_in where;
	u32 near;
	struct luo_chain_it far;
	const struct memfd_luo_extent *extent;
	u64 done;
	u64 total;
};

static const struct memfd_luo_extent *next_extent(struct walk *walk)
{
	const struct memfd_luo_ser *ser = walk->in->ser;
	const struct memfd_luo_extent *extent;

	if (walk->where == WALK_NEAR) {
		if (walk->near < ser->near_count)
			return &memfd_luo_near(ser)[walk->near++];
		walk->where = WALK_KEPT;
		luo_chain_start(&walk->far, &walk->in->kept);
	}

	extent = luo_chain_next(&walk->far);
	if (!extent && walk->where == WALK_KEPT) {
		walk->where = WALK_LATE;
		luo_chain_start(&walk->far, &walk->in->late);
		extent = luo_chain_next(&walk->far);
	}

	return extent;
}

static void walk_start(struct walk *walk, struct memfd_luo_in *in)
{
	memset(walk, 0, sizeof(*walk));
	walk->in = in;
	walk->extent = next_extent(walk);
}

/**
 * struct run - adjacent memory of an incoming memfd, taken out of KHO
 * @index: its place in the file, in pages
 * @nr:    pages, of one extent and of one node
 * @folio: the first folio; references to all of them are ours
 */
struct run {
	pgoff_t index;
	unsigned long nr;
	struct folio *folio;
};

static bool restore_piece(u64 phys, unsigned int order, bool large)
{
	struct folio *folio;

	if (!large || !order || !IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		return kho_try_restore_pages(phys, order);

	folio = kho_try_restore_folio(phys, order);
	if (folio)
		folio_set_large_rmappable(folio);

	return folio;
}

static unsigned long walk_pfn(const struct walk *walk)
{
	return PHYS_PFN(extent_phys(walk->extent)) + walk->done;
}

/*
 * Take the next pages out of KHO, unless that is done. Returns the order of the piece,
 * or -EUCLEAN: they are not there. What is taken tells of no other piece than a folio.
 */
static int walk_restore(struct walk *walk)
{
	u64 phys = PFN_PHYS(walk_pfn(walk));
	int order;

	if (walk->total < walk->in->restored)
		return folio_order(pfn_folio(walk_pfn(walk)));

	/* Another file can have claimed the same memory since it was checked */
	order = kho_preserved_order(phys);
	if (!memfd_luo_piece_ok(walk->extent, walk->done, order) ||
	    !restore_piece(phys, order, extent_order(walk->extent)))
		return -EUCLEAN;

	walk->in->restored = walk->total + (1UL << order);
	return order;
}

/* Whether the next pages are on another node than the run */
static bool walk_leaves_node(const struct walk *walk, const struct run *run)
{
	return run->nr && pfn_to_nid(walk_pfn(walk)) != folio_nid(run->folio);
}

/* Take the next pages of the extent into a run. False: they are not there */
static bool walk_extend(struct walk *walk, struct run *run)
{
	int order = walk_restore(walk);

	if (order < 0)
		return false;

	run->nr += 1UL << order;
	walk->done += 1UL << order;
	walk->total += 1UL << order;
	return true;
}

/*
 * 1 when there is a next run, 0 at the end, an error when KHO does not have it. What
 * KHO gives back is aligned in memory, and what the page cache takes, in the file:
 * so that it can take much at once, a run is of many pieces. It ends where another
 * node begins, as shmem_add_row_to_page_cache() counts the pages of a row together.
 */
static int walk_next(struct walk *walk, struct run *run)
{
	if (!walk->extent)
		return 0;

	run->index = walk->extent->index + walk->done;
	run->folio = pfn_folio(walk_pfn(walk));
	run->nr = 0;
	while (walk->done < walk->extent->pages && run->nr < RUN &&
	       !walk_leaves_node(walk, run)) {
		if (!walk_extend(walk, run))
			return run->nr ? 1 : -EUCLEAN;
		cond_resched();
	}
	if (walk->done == walk->extent->pages) {
		walk->extent = next_extent(walk);
		walk->done = 0;
	}

	return 1;
}

/* ---- Putting them into a file ---- */

static int fill(struct inode *inode, struct memfd_luo_in *in)
{
	struct walk walk;
	struct run run;
	int err;

	walk_start(&walk, in);
	while ((err = walk_next(&walk, &run)) > 0) {
		err = memfd_luo_lazy_add(inode, run.index, run.folio, run.nr);
		if (err)
			return err;
	}

	return err;
}

/**
 * memfd_luo_fill - put the pages of a memfd that came into a file
 * @inode: of the file, which is empty, and which nobody else can use yet
 * @in:    the memfd, whose pages belong to the file afterwards
 *
 * They wait outside the page cache until they are used, see memfd_luo_lazy.c.
 *
 * Context: May sleep.
 * Return: 0; -ENOMEM, also when the memcg is too small; -ENOSPC; -EINTR when
 * killed; -EUCLEAN when what came is found to be damaged. The file is empty then,
 * and this can be called again.
 */
int memfd_luo_fill(struct inode *inode, struct memfd_luo_in *in)
{
	int err = memfd_luo_lazy_begin(inode);

	if (err)
		return err;

	err = fill(inode, in);
	if (err)
		memfd_luo_lazy_cancel(inode);
	else
		memfd_luo_lazy_commit(inode);

	/* Two extents for one place: the previous kernel told nonsense */
	return err == -EEXIST ? -EUCLEAN : err;
}

static void discard(const struct run *run)
{
	unsigned long done, nr;

	for (done = 0; done < run->nr; done += nr) {
		struct folio *folio = pfn_folio(folio_pfn(run->folio) + done);

		/* Without its reference, it is not to be looked at */
		nr = folio_nr_pages(folio);
		/* Only single pages are kept from others when they are freed */
		if (nr == 1 || !memfd_luo_is_broken(folio_pfn(folio), nr))
			folio_put(folio);
		cond_resched();
	}
}

/**
 * memfd_luo_discard - free the pages of a memfd that came
 * @in: the memfd, not in a file
 *
 * Of what is damaged, memory that cannot be taken out of KHO stays reserved. So does
 * memory that is broken.
 *
 * Context: May sleep.
 */
void memfd_luo_discard(struct memfd_luo_in *in)
{
	struct walk walk;
	struct run run;

	walk_start(&walk, in);
	while (walk_next(&walk, &run) > 0)
		discard(&run);
}
