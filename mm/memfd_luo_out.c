// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds: preserving pages
 *
 * Pages are listed as extents. The session has a reference to each folio that is
 * listed: it can neither be freed, nor move, nor be swapped out.
 */

#include <linux/crc32.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/folio_batch.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#include "internal.h"
#include "memfd_luo.h"
#include "memfd_luo_move.h"

/* Small folios that are let go between two times of giving others a turn */
#define PUT_BATCH		512

/* ---- Extents ---- */

static void extents_init(struct memfd_luo_out_extents *extents,
			 struct memfd_luo_extent *near, u64 room)
{
	memset(extents, 0, sizeof(*extents));
	extents->near = near;
	extents->room = room;
	kho_block_set_init(&extents->blocks, sizeof(struct memfd_luo_extent));
}

/* A walk over extents, in the order in which they were added */
struct extents_it {
	struct memfd_luo_out_extents *extents;
	struct kho_block_set_it far;
	u64 done;
};

static void extents_start(struct extents_it *it,
			  struct memfd_luo_out_extents *extents)
{
	it->extents = extents;
	it->done = 0;
	kho_block_set_it_init(&it->far, &extents->blocks);
}

static const struct memfd_luo_extent *extents_next(struct extents_it *it)
{
	if (it->done == it->extents->nr)
		return NULL;
	if (it->done++ < it->extents->room)
		return &it->extents->near[it->done - 1];

	return kho_block_set_it_read_entry(&it->far);
}

/* KHO restores a preserved range as one only if it is all on one node */
static bool extent_takes(const struct memfd_luo_extent *extent,
			 const struct folio *folio)
{
	return extent_order(extent) == folio_order(folio) &&
	       extent_end(extent) == folio->index &&
	       extent_phys(extent) + (extent->pages << PAGE_SHIFT) ==
			PFN_PHYS(folio_pfn(folio)) &&
	       pfn_to_nid(PHYS_PFN(extent_phys(extent))) == folio_nid(folio);
}

/* Room for one more */
static struct memfd_luo_extent *
extents_reserve(struct memfd_luo_out_extents *extents)
{
	u64 far;
	int err;

	if (extents->nr < extents->room)
		return &extents->near[extents->nr++];

	far = extents->nr - extents->room;
	err = kho_block_set_grow(&extents->blocks, far + 1);
	if (err)
		return ERR_PTR(err);
	/* A set without blocks has no place to go on from */
	if (!far)
		kho_block_set_it_init(&extents->it, &extents->blocks);
	extents->nr++;

	return kho_block_set_it_reserve_entry(&extents->it);
}

static int extents_add(struct memfd_luo_out_extents *extents,
		       const struct folio *folio)
{
	struct memfd_luo_extent *extent = extents->last;

	if (!extent || !extent_takes(extent, folio)) {
		extent = extents_reserve(extents);
		if (IS_ERR(extent))
			return PTR_ERR(extent);
		extent->phys = PFN_PHYS(folio_pfn(folio)) | folio_order(folio);
		extent->index = folio->index;
		extent->pages = 0;
		extents->last = extent;
	}
	extent->pages += folio_nr_pages(folio);
	extents->pages += folio_nr_pages(folio);

	return 0;
}

static void extent_unpreserve(const struct memfd_luo_extent *extent, u64 pages)
{
	unsigned long pfn = PHYS_PFN(extent_phys(extent));
	unsigned int order = extent_order(extent);
	u64 done;

	if (!order) {
		kho_unpreserve_pages(pfn_to_page(pfn), pages);
		return;
	}

	for (done = 0; done < pages; done += 1UL << order)
		kho_unpreserve_folio(pfn_folio(pfn + done));
}

static int extent_preserve(const struct memfd_luo_extent *extent)
{
	unsigned long pfn = PHYS_PFN(extent_phys(extent));
	unsigned int order = extent_order(extent);
	u64 done;
	int err;

	/* Scratch memory is the next kernel's: nothing of it is pinnable */
	if (kho_scratch_overlap(PFN_PHYS(pfn), extent->pages << PAGE_SHIFT))
		return -ENOMEM;
	if (!order)
		return kho_preserve_pages(pfn_to_page(pfn), extent->pages);

	for (done = 0; done < extent->pages; done += 1UL << order) {
		err = kho_preserve_folio(pfn_folio(pfn + done));
		if (err) {
			extent_unpreserve(extent, done);
			return err;
		}
	}

	return 0;
}

static void extent_put(const struct memfd_luo_extent *extent)
{
	unsigned long pfn = PHYS_PFN(extent_phys(extent));
	unsigned int order = extent_order(extent);
	u64 done;

	/* Without its reference, a folio is not to be looked at */
	for (done = 0; done < extent->pages; done += 1UL << order) {
		folio_put(pfn_folio(pfn + done));
		if (!(done % PUT_BATCH))
			cond_resched();
	}
}

/* Undo extents_preserve(), up to but without @end */
static void extents_unpreserve_until(struct memfd_luo_out_extents *extents,
				     const struct memfd_luo_extent *end)
{
	const struct memfd_luo_extent *extent;
	struct extents_it it;

	extents_start(&it, extents);
	while ((extent = extents_next(&it))) {
		if (extent == end)
			return;
		extent_unpreserve(extent, extent->pages);
		cond_resched();
	}
}

static int extents_preserve(struct memfd_luo_out_extents *extents)
{
	const struct memfd_luo_extent *extent;
	struct extents_it it;
	int err;

	extents_start(&it, extents);
	while ((extent = extents_next(&it))) {
		err = fatal_signal_pending(current) ? -EINTR :
						      extent_preserve(extent);
		if (err) {
			extents_unpreserve_until(extents, extent);
			return err;
		}
		cond_resched();
	}

	return 0;
}

/* Let go what is in the extents, and forget it */
static void extents_drop(struct memfd_luo_out_extents *extents)
{
	const struct memfd_luo_extent *extent;
	struct extents_it it;

	extents_start(&it, extents);
	while ((extent = extents_next(&it)))
		extent_put(extent);
	kho_block_set_destroy(&extents->blocks);
	extents_init(extents, extents->near, extents->room);
}

static void extents_release(struct memfd_luo_out_extents *extents)
{
	extents_unpreserve_until(extents, NULL);
	extents_drop(extents);
}

/* Checksum those in blocks; the others have one of their own */
static void extents_seal(struct memfd_luo_out_extents *extents,
			 struct memfd_luo_extents *ser)
{
	const struct memfd_luo_extent *extent;
	struct kho_block_set_it it;

	ser->first = kho_block_set_head_pa(&extents->blocks);
	ser->count = extents->nr - min(extents->nr, extents->room);
	ser->crc = 0;
	ser->pad = 0;
	kho_block_set_it_init(&it, &extents->blocks);
	while ((extent = kho_block_set_it_read_entry(&it)))
		ser->crc = crc32c(ser->crc, extent, sizeof(*extent));
}

/* ---- Finding folios ---- */

/*
 * Folios that are allocated but were never written to hold anything, so they
 * have to be cleared; all of them have to be dirty, or the next kernel takes
 * them for clean ones and drops them.
 */
static void folio_make_whole(struct folio *folio)
{
	if (!folio_test_uptodate(folio)) {
		folio_zero_range(folio, 0, folio_size(folio));
		flush_dcache_folio(folio);
		folio_mark_uptodate(folio);
		cond_resched();
	}
	if (!folio_test_dirty(folio))
		folio_mark_dirty(folio);
}

/*
 * -EAGAIN if the folio is not in the file any more, as khugepaged and reclaim can
 * have been at work on it, or cannot stay where it is. Once it was locked, our
 * reference keeps them away. The next kernel would not know of broken memory.
 */
static int folio_settle(struct folio *folio, struct address_space *mapping,
			unsigned long *block)
{
	int err = 0;

	folio_lock(folio);
	if (folio->mapping != mapping)
		err = -EAGAIN;
	else if (folio_contain_hwpoisoned_page(folio))
		err = -EHWPOISON;
	else if (!memfd_luo_can_stay(folio, block))
		err = -EAGAIN;
	else
		folio_make_whole(folio);
	folio_unlock(folio);

	return err;
}

/* List a folio, with the caller's reference to it; or an error as above */
static int entry_add(struct memfd_luo_out_extents *extents, struct folio *folio,
		     struct address_space *mapping, unsigned long *block)
{
	int err;

	err = xa_is_value(folio) ? -EAGAIN : folio_settle(folio, mapping, block);
	return err ?: extents_add(extents, folio);
}

/* List a batch, up to one that cannot be: entries[nr], or an error */
static int batch_add(struct memfd_luo_out_extents *extents,
		     struct folio_batch *batch, struct address_space *mapping,
		     unsigned int *nr)
{
	int err = fatal_signal_pending(current) ? -EINTR : 0;
	unsigned long block = ULONG_MAX;

	*nr = 0;
	while (!err && *nr < batch->nr) {
		err = entry_add(extents, batch->folios[*nr], mapping, &block);
		if (!err)
			++*nr;
	}
	cond_resched();
	for (unsigned int i = *nr; i < batch->nr; i++) {
		if (!xa_is_value(batch->folios[i]))
			folio_put(batch->folios[i]);
	}

	return err;
}

/* List all pages that exist from @start to @end; both are in pages */
static int collect_range(struct file *file, struct memfd_luo_out_extents *extents,
			 pgoff_t start, pgoff_t end)
{
	struct address_space *mapping = file->f_mapping;
	pgoff_t indices[FOLIO_BATCH_SIZE];
	struct folio_batch batch;
	unsigned int nr;
	int err;

	while (start < end) {
		folio_batch_init(&batch);
		if (!find_get_entries(mapping, &start, end - 1, &batch, indices))
			break;
		err = batch_add(extents, &batch, mapping, &nr);
		if (nr)
			memfd_luo_renew_patience(&extents->patience);
		if (err == -EAGAIN) {
			start = indices[nr];
			err = memfd_luo_settle(file, start, end, &extents->patience);
		}
		if (err)
			return err;
	}

	return 0;
}

static pgoff_t end_of_file(struct file *file)
{
	return DIV_ROUND_UP_ULL(i_size_read(file_inode(file)), PAGE_SIZE);
}

/* List all pages between those that are kept */
static int collect_gaps(struct file *file, struct memfd_luo_out *out)
{
	const struct memfd_luo_extent *extent;
	struct extents_it it;
	pgoff_t start = 0;
	int err;

	extents_start(&it, &out->kept);
	while ((extent = extents_next(&it))) {
		err = collect_range(file, &out->late, start, extent->index);
		if (err)
			return err;
		start = extent_end(extent);
	}

	return collect_range(file, &out->late, start, end_of_file(file));
}

/*
 * Whether the file has no page but those that are kept, which cannot go away. On
 * its way to swap or back a page can be counted twice, which does no harm. One that
 * was lost there is still something that the file has.
 */
static bool nothing_new(struct file *file, const struct memfd_luo_out *out)
{
	struct shmem_inode_info *info = SHMEM_I(file_inode(file));

	guard(spinlock_irq)(&info->lock);
	return READ_ONCE(file->f_mapping->nrpages) + info->swapped + info->lost ==
	       out->kept.pages;
}

static bool extent_is_broken(const struct memfd_luo_extent *extent)
{
	unsigned long pfn = PHYS_PFN(extent_phys(extent));
	u64 i;

	for (i = 0; i < extent->pages; i++) {
		if (PageHWPoison(pfn_to_page(pfn + i)))
			return true;
		cond_resched();
	}

	return false;
}

/* Pages that are kept were looked at: look again if any page broke since then */
static int check_kept(struct memfd_luo_out *out)
{
	const struct memfd_luo_extent *extent;
	struct extents_it it;

	if (memfd_luo_broken_pages() == out->broken)
		return 0;

	extents_start(&it, &out->kept);
	while ((extent = extents_next(&it))) {
		if (extent_is_broken(extent))
			return -EHWPOISON;
	}

	return 0;
}

/* Preserve what was listed; if that, or listing it, failed, forget it */
static int collected(struct memfd_luo_out_extents *extents, int err)
{
	err = err ?: extents_preserve(extents);
	if (err)
		extents_drop(extents);

	return err;
}

/* ---- For the file handler ---- */

/**
 * memfd_luo_broken_pages - how many pages of this machine are known to be broken
 *
 * Context: Any.
 * Return: the number, from which nothing is taken but when a page is mended.
 */
long memfd_luo_broken_pages(void)
{
#ifdef CONFIG_MEMORY_FAILURE
	return atomic_long_read(&num_poisoned_pages);
#else
	return 0;
#endif
}

/**
 * memfd_luo_is_broken - whether memory is known to be broken
 * @pfn: its first page, of memory that has struct pages
 * @nr:  how many pages it is
 *
 * For memory of no user, or of one that broken memory is told of page by page.
 *
 * Context: May sleep.
 * Return: true when one of the pages is.
 */
bool memfd_luo_is_broken(unsigned long pfn, unsigned long nr)
{
	if (!memfd_luo_broken_pages())
		return false;

	while (nr--) {
		if (PageHWPoison(pfn_to_page(pfn + nr)))
			return true;
		cond_resched();
	}

	return false;
}

/* Extents are written when there are some, so there is no need to clear all of it */
static int out_alloc_ser(struct memfd_luo_out *out)
{
	struct folio *folio;
	int err;

	folio = kho_folio_alloc(GFP_KERNEL_ACCOUNT, 0, NUMA_NO_NODE);
	if (!folio)
		return -ENOMEM;
	err = kho_preserve_folio(folio);
	if (err) {
		folio_put(folio);
		return err;
	}

	out->ser = folio_address(folio);
	memset(out->ser, 0, sizeof(*out->ser));
	memset(memfd_luo_label_of(out->ser), 0, sizeof(struct memfd_luo_label));
	return 0;
}

/**
 * memfd_luo_out_init - begin to preserve a memfd, of which no page is listed yet
 * @out: to be filled
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int memfd_luo_out_init(struct memfd_luo_out *out)
{
	int err = out_alloc_ser(out);

	if (err)
		return err;

	extents_init(&out->kept, memfd_luo_near(out->ser),
		     MEMFD_LUO_NEAR_BESIDE_LABEL);
	extents_init(&out->late, NULL, 0);
	return 0;
}

/**
 * memfd_luo_out_destroy - undo memfd_luo_out_init()
 * @out: has no pages
 */
void memfd_luo_out_destroy(struct memfd_luo_out *out)
{
	kho_unpreserve_free(out->ser);
}

/**
 * memfd_luo_keep - preserve all pages of a memfd
 * @out:  to be filled
 * @file: the memfd; pages can be added to it, but not taken away
 *
 * Context: May sleep, and takes locks of folios.
 * Return: 0; -ENOMEM; -EINTR when killed; -EHWPOISON when memory of a page is
 * broken; -EBUSY when somebody has been using a page for a second that has to move; or
 * why pages could not be brought in from swap. Nothing is preserved then.
 */
int memfd_luo_keep(struct memfd_luo_out *out, struct file *file)
{
	out->broken = memfd_luo_broken_pages();
	return collected(&out->kept, collect_range(file, &out->kept, 0,
						   end_of_file(file)));
}

/**
 * memfd_luo_unkeep - undo memfd_luo_keep()
 * @out: what it has filled
 */
void memfd_luo_unkeep(struct memfd_luo_out *out)
{
	extents_release(&out->kept);
}

/**
 * memfd_luo_keep_late - preserve the pages that came after memfd_luo_keep()
 * @out:  what it has filled
 * @file: the memfd, whose holes are frozen
 *
 * Where two extents meet there is nothing to look for, and when no page came
 * there is nothing to do.
 *
 * Context: May sleep, and takes locks of folios.
 * Return: as memfd_luo_keep().
 */
int memfd_luo_keep_late(struct memfd_luo_out *out, struct file *file)
{
	int err = check_kept(out);

	if (err || nothing_new(file, out))
		return err;

	out->late.patience.in_all = true;
	return collected(&out->late, collect_gaps(file, out));
}

/**
 * memfd_luo_unkeep_late - undo memfd_luo_keep_late()
 * @out: what it has filled
 */
void memfd_luo_unkeep_late(struct memfd_luo_out *out)
{
	/* Mostly no page came, and a rehearsal does this for each file */
	if (out->late.nr)
		extents_release(&out->late);
}

/**
 * memfd_luo_out_seal - write down which extents there are, all else is there
 * @out: of the memfd
 */
void memfd_luo_out_seal(struct memfd_luo_out *out)
{
	struct memfd_luo_ser *ser = out->ser;

	ser->near_count = min(out->kept.nr, out->kept.room);
	ser->near_crc = crc32c(0, memfd_luo_near(ser),
			       ser->near_count *
			       sizeof(struct memfd_luo_extent));
	extents_seal(&out->kept, &ser->kept);
	extents_seal(&out->late, &ser->late);
	ser->crc = crc32c(0, ser, offsetof(struct memfd_luo_ser, crc));
}
