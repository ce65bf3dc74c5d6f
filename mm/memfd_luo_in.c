// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds: restoring pages
 *
 * Folios are taken out of KHO one after the other, and put into the page cache of
 * a new file. We keep a reference to each until all are there, so that all can be
 * taken out again, and tried again later.
 */

#include <linux/errno.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/string.h>
#include <linux/swap.h>

#include "internal.h"
#include "memfd_luo.h"

/* Small folios that go into the page cache at once, with interrupts off */
#define ROW			64

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
	if (!memfd_luo_near_ok(in->ser) ||
	    !memfd_luo_extents_ok(&in->kept, in->ser->attrs.size) ||
	    !memfd_luo_extents_ok(&in->late, in->ser->attrs.size))
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

static bool restore_piece(u64 phys, unsigned int order, bool large)
{
	struct folio *folio;

	if (!large || !IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		return kho_try_restore_pages(phys, order);

	folio = kho_try_restore_folio(phys, order);
	if (folio)
		folio_set_large_rmappable(folio);

	return folio;
}

/* Take the next pages out of KHO, unless that is done. False: they are not there */
static bool walk_restore(struct walk *walk)
{
	u64 phys = extent_phys(walk->extent) + (walk->done << PAGE_SHIFT);
	unsigned int order;

	if (walk->total < walk->in->restored)
		return true;

	/* Another file can have claimed the same memory since it was checked */
	order = memfd_luo_piece_order(walk->extent, walk->done);
	if (!restore_piece(phys, order, extent_order(walk->extent)))
		return false;

	walk->in->restored = walk->total + (1UL << order);
	return true;
}

/*
 * The next folio, which belongs to us; its place in the file goes to @index.
 * NULL at the end, an error when KHO does not have it (any more).
 */
static struct folio *walk_next(struct walk *walk, pgoff_t *index)
{
	struct folio *folio;

	if (!walk->extent)
		return NULL;
	if (!walk_restore(walk))
		return ERR_PTR(-EUCLEAN);

	folio = pfn_folio(PHYS_PFN(extent_phys(walk->extent)) + walk->done);
	*index = walk->extent->index + walk->done;
	walk->done += folio_nr_pages(folio);
	walk->total += folio_nr_pages(folio);
	if (walk->done == walk->extent->pages) {
		walk->extent = next_extent(walk);
		walk->done = 0;
	}

	return folio;
}

/**
 * struct row - folios that go into the page cache together
 * @index:  place of the first
 * @nr:     how many: one of any size, or small ones that are adjacent in the file
 * @folios: they themselves
 */
struct row {
	pgoff_t index;
	unsigned int nr;
	struct folio *folios[ROW];
};

/* 0 when there is one more, with all that fits of the same extent; or an error */
static int walk_next_row(struct walk *walk, struct row *row)
{
	struct folio *folio = walk_next(walk, &row->index);
	pgoff_t index;

	row->nr = 0;
	if (IS_ERR_OR_NULL(folio))
		return PTR_ERR_OR_ZERO(folio);

	row->folios[row->nr++] = folio;
	if (folio_order(folio))
		return 0;
	/* The first of another extent would begin another row */
	while (walk->done && row->nr < ROW) {
		folio = walk_next(walk, &index);
		if (IS_ERR(folio))
			break;
		row->folios[row->nr++] = folio;
	}

	return 0;
}

/* ---- Putting them into a file ---- */

/* Where memory is short, or a memcg small, the caller is told, and nobody killed */
static gfp_t fill_gfp(const struct inode *inode)
{
	return mapping_gfp_mask(inode->i_mapping) | __GFP_RETRY_MAYFAIL;
}

/* Make a folio what it was when KHO gave it back; it is in no cache */
static void folio_reset(struct folio *folio)
{
	mem_cgroup_uncharge(folio);
	folio_clear_uptodate(folio);
	folio_clear_referenced(folio);
	__folio_clear_swapbacked(folio);
}

static bool same_memcg(struct folio *a, struct folio *b)
{
	guard(rcu)();
	return folio_memcg(a) == folio_memcg(b);
}

/*
 * Charge folios and make them ready for the page cache. They are counted together,
 * so it ends where the caller was moved to another memcg, too. The number of those
 * that are ready is the result; when there is none, *@err says why.
 */
static unsigned int prepare_folios(struct folio **folios, unsigned int nr,
				   gfp_t gfp, int *err)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		*err = mem_cgroup_charge(folios[i], NULL, gfp);
		if (*err)
			break;
		if (!same_memcg(folios[i], folios[0])) {
			mem_cgroup_uncharge(folios[i]);
			break;
		}
		__folio_set_locked(folios[i]);
		__folio_set_swapbacked(folios[i]);
	}
	if (i)
		*err = 0;

	return i;
}

/* Add folios, of which @nr are prepared; those that do not go in are reset */
static unsigned int add_folios(struct inode *inode, struct folio **folios,
			       unsigned int nr, pgoff_t index, int *err)
{
	struct address_space *mapping = inode->i_mapping;
	gfp_t gfp = fill_gfp(inode);
	unsigned int added, i;

	if (folio_order(folios[0])) {
		*err = shmem_add_to_page_cache(folios[0], mapping, index, NULL,
					       gfp);
		added = !*err;
	} else {
		added = shmem_add_row_to_page_cache(folios, nr, mapping, index,
						    gfp, err);
	}

	for (i = 0; i < nr; i++) {
		if (i < added) {
			folio_mark_uptodate(folios[i]);
			folio_mark_dirty(folios[i]);
		}
		folio_unlock(folios[i]);
		if (i >= added)
			folio_reset(folios[i]);
	}

	return added;
}

/* Put a row into the page cache of a file that nobody else has yet */
static int fill_row(struct inode *inode, struct row *row, u64 *done)
{
	unsigned int nr, at = 0;
	int err = 0;

	while (!err && at < row->nr) {
		struct folio **folios = row->folios + at;

		nr = prepare_folios(folios, row->nr - at, fill_gfp(inode), &err);
		if (nr)
			at += add_folios(inode, folios, nr, row->index + at,
					 &err);
	}
	*done += at;

	/* Two extents for one place: the previous kernel told nonsense */
	return err == -EEXIST ? -EUCLEAN : err;
}

/* Take the first @nr folios out of the file again */
static void empty_file(struct inode *inode, struct memfd_luo_in *in, u64 nr)
{
	struct folio *folio;
	struct walk walk;
	pgoff_t index;

	shmem_truncate_range(inode, 0, -1);
	walk_start(&walk, in);
	while (nr--) {
		folio = walk_next(&walk, &index);
		folio_reset(folio);
		cond_resched();
	}
}

/* All went well: let the file alone have the folios */
static void commit_file(struct memfd_luo_in *in)
{
	struct folio *folio;
	struct walk walk;
	pgoff_t index;

	walk_start(&walk, in);
	while ((folio = walk_next(&walk, &index))) {
		folio_add_lru(folio);
		folio_put(folio);
		cond_resched();
	}
}

/*
 * Fill the page cache row by row; @done goes up by the folios that are in. Pages are
 * counted for the file as if they had been allocated for it, and so many at a time:
 * memory that is still KHO's is none that the kernel would promise to anybody.
 */
static int fill_cache(struct inode *inode, struct walk *walk, u64 *done)
{
	struct row row;
	u64 counted = 0;
	int err;

	do {
		err = fatal_signal_pending(current) ?
			-EINTR : walk_next_row(walk, &row);
		if (!err && row.nr)
			err = shmem_inode_acct_blocks(inode,
						      walk->total - counted);
		if (err)
			break;
		counted = walk->total;
		err = fill_row(inode, &row, done);
		cond_resched();
	} while (!err && row.nr);
	shmem_recalc_inode(inode, counted, 0);

	return err;
}

/**
 * memfd_luo_fill - put the pages of a memfd that came into a file
 * @inode: of the file, which is empty, and which nobody else can use yet
 * @in:    the memfd, whose pages belong to the file afterwards
 *
 * Context: May sleep.
 * Return: 0; -ENOMEM, also when the memcg is too small; -ENOSPC; -EINTR when
 * killed; -EUCLEAN when what came is found to be damaged. The file is empty then,
 * and this can be called again.
 */
int memfd_luo_fill(struct inode *inode, struct memfd_luo_in *in)
{
	struct walk walk;
	u64 done = 0;
	int err;

	walk_start(&walk, in);
	err = fill_cache(inode, &walk, &done);
	if (err)
		empty_file(inode, in, done);
	else
		commit_file(in);

	return err;
}

/**
 * memfd_luo_discard - free the pages of a memfd that came
 * @in: the memfd, not in a file
 *
 * Of what is damaged, memory that cannot be taken out of KHO stays reserved.
 *
 * Context: May sleep.
 */
void memfd_luo_discard(struct memfd_luo_in *in)
{
	struct folio *folio;
	struct walk walk;
	pgoff_t index;

	walk_start(&walk, in);
	while ((folio = walk_next(&walk, &index)) && !IS_ERR(folio)) {
		folio_put(folio);
		cond_resched();
	}
}
