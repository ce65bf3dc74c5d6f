// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds
 *
 * The format of what crosses is in include/linux/kho/abi/memfd.h.
 */

/**
 * DOC: Live update of memfds
 *
 * A memfd crosses a live update with its content, size, name, seals, permission
 * bits, owner and group; its descriptor with position, access mode and status
 * flags. Folios stay where they are in memory, and as large as they are. Holes
 * stay holes, and cost nothing.
 *
 * While a memfd is in a session its pages are pinned, so that they neither move
 * nor get swapped out. It can be read, written and mapped as before, and holes
 * can be filled; what is written until the kexec crosses. What would take pages
 * away or change the size is refused with EPERM: truncation, fallocate() of any
 * kind, and writing past the end.
 *
 * Not kept are extended attributes, time stamps and NUMA policies. Reserved
 * space behind the end of the file (``FALLOC_FL_KEEP_SIZE``) is given up.
 * Memfds of huge pages (``MFD_HUGETLB``) and files of tmpfs that are no memfds
 * are refused with EOPNOTSUPP.
 */

#define pr_fmt(fmt) "memfd_luo: " fmt

#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/memfd.h>
#include <linux/kho_block.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_chain.h>
#include <linux/memcontrol.h>
#include <linux/memfd.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <uapi/linux/memfd.h>

#include "internal.h"
#include "memfd_luo.h"

/* Folios that are pinned at once: how far it is between two looks at signals */
#define MEMFD_BATCH		512

/* ---- Outgoing: extents ---- */

/**
 * struct extents - extents of a memfd that is being preserved
 * @blocks: their records, as they cross
 * @it:     where the next record goes
 * @last:   the last record, which may still grow, or NULL
 * @nr:     number of records
 * @pages:  sum of their pages
 */
struct extents {
	struct kho_block_set blocks;
	struct kho_block_set_it it;
	struct memfd_luo_extent *last;
	u64 nr;
	u64 pages;
};

static void extents_init(struct extents *extents)
{
	memset(extents, 0, sizeof(*extents));
	kho_block_set_init(&extents->blocks, sizeof(struct memfd_luo_extent));
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

static int extents_add(struct extents *extents, const struct folio *folio)
{
	struct memfd_luo_extent *extent = extents->last;
	int err;

	if (extent && extent_takes(extent, folio)) {
		extent->pages += folio_nr_pages(folio);
		extents->pages += folio_nr_pages(folio);
		return 0;
	}

	err = kho_block_set_grow(&extents->blocks, extents->nr + 1);
	if (err)
		return err;
	/* A set without blocks has no place to go on from */
	if (!extents->nr)
		kho_block_set_it_init(&extents->it, &extents->blocks);

	extent = kho_block_set_it_reserve_entry(&extents->it);
	extent->phys = PFN_PHYS(folio_pfn(folio)) | folio_order(folio);
	extent->index = folio->index;
	extent->pages = folio_nr_pages(folio);
	extents->last = extent;
	extents->nr++;
	extents->pages += folio_nr_pages(folio);

	return 0;
}

static u32 extents_crc(struct extents *extents)
{
	const struct memfd_luo_extent *extent;
	struct kho_block_set_it it;
	u32 crc = 0;

	kho_block_set_it_init(&it, &extents->blocks);
	while ((extent = kho_block_set_it_read_entry(&it)))
		crc = crc32c(crc, extent, sizeof(*extent));

	return crc;
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

static void extent_unpin(const struct memfd_luo_extent *extent)
{
	unsigned long pfn = PHYS_PFN(extent_phys(extent));
	unsigned int order = extent_order(extent);
	u64 done;

	/* Without its pin, a folio is not to be looked at */
	for (done = 0; done < extent->pages; done += 1UL << order) {
		unpin_folio(pfn_folio(pfn + done));
		if (!(done % MEMFD_BATCH))
			cond_resched();
	}
}

/* Undo extents_preserve(), up to but without @end */
static void extents_unpreserve_until(struct extents *extents,
				     const struct memfd_luo_extent *end)
{
	const struct memfd_luo_extent *extent;
	struct kho_block_set_it it;

	kho_block_set_it_init(&it, &extents->blocks);
	while ((extent = kho_block_set_it_read_entry(&it))) {
		if (extent == end)
			return;
		extent_unpreserve(extent, extent->pages);
		cond_resched();
	}
}

static int extents_preserve(struct extents *extents)
{
	const struct memfd_luo_extent *extent;
	struct kho_block_set_it it;
	int err;

	kho_block_set_it_init(&it, &extents->blocks);
	while ((extent = kho_block_set_it_read_entry(&it))) {
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

/* Unpin what is in the extents, and forget it */
static void extents_drop(struct extents *extents)
{
	const struct memfd_luo_extent *extent;
	struct kho_block_set_it it;

	kho_block_set_it_init(&it, &extents->blocks);
	while ((extent = kho_block_set_it_read_entry(&it)))
		extent_unpin(extent);
	kho_block_set_destroy(&extents->blocks);
	extents_init(extents);
}

static void extents_release(struct extents *extents)
{
	extents_unpreserve_until(extents, NULL);
	extents_drop(extents);
}

/* ---- Outgoing: collecting folios ---- */

/**
 * struct outgoing - a memfd that is preserved
 * @ser:     what crosses
 * @kept:    the pages that it had when it was preserved, in ascending order
 * @late:    those that came after, found when it is frozen
 * @batch:   folios that are being pinned, while there is a search
 *
 * All is protected by the lock of the file's session.
 */
struct outgoing {
	struct memfd_luo_ser *ser;
	struct extents kept;
	struct extents late;
	struct folio **batch;
};

/*
 * Find the first pages that exist at or after *@start, and where they end. A
 * page that is swapped out exists. The search ends at @limit, and a row of pages
 * after a batch.
 */
static bool find_row(struct address_space *mapping, pgoff_t *start,
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
		if (++nr == MEMFD_BATCH)
			break;
	}
	*end = min(next, limit);

	return nr;
}

/*
 * Folios that are allocated but were never written to hold anything, so they
 * have to be cleared; all of them have to be dirty, or the next kernel takes
 * them for clean ones and drops them. False if the folio is not in the file any
 * more: khugepaged and reclaim can have been at work on it when it was pinned.
 * From here on the pin keeps them away.
 */
static bool folio_settle(struct folio *folio, struct address_space *mapping)
{
	bool in_file;

	folio_lock(folio);
	in_file = folio->mapping == mapping;
	if (in_file && !folio_test_uptodate(folio)) {
		folio_zero_range(folio, 0, folio_size(folio));
		flush_dcache_folio(folio);
		folio_mark_uptodate(folio);
	}
	if (in_file)
		folio_mark_dirty(folio);
	folio_unlock(folio);

	return in_file;
}

/* Scratch memory is the next kernel's: pinning has moved folios out of it */
static bool folio_in_scratch(const struct folio *folio)
{
	return kho_scratch_overlap(PFN_PHYS(folio_pfn(folio)),
				   folio_size(folio));
}

/*
 * Take over the pins of a batch, and go on in *@start behind what is listed.
 * Pins of folios that are not listed are undone: the rest of the batch, from the
 * first on that is not in the file. There can be a GiB to clear.
 */
static int batch_add(struct outgoing *out, struct extents *extents,
		     struct address_space *mapping, long nr, pgoff_t *start)
{
	struct folio *folio;
	int err = 0;
	long i;

	for (i = 0; i < nr; i++) {
		folio = out->batch[i];
		err = fatal_signal_pending(current) ? -EINTR : 0;
		if (err || !folio_settle(folio, mapping))
			break;
		err = folio_in_scratch(folio) ? -ENOMEM :
						extents_add(extents, folio);
		if (err)
			break;
		*start = folio_next_index(folio);
		cond_resched();
	}
	unpin_folios(out->batch + i, nr - i);

	return err;
}

/*
 * Pin the pages from *@start to @end, all of which exist, and list them. *@start
 * goes to the end, or behind it when the last folio does.
 */
static int collect_row(struct file *file, struct outgoing *out,
		       struct extents *extents, pgoff_t *start, pgoff_t end)
{
	loff_t size = i_size_read(file_inode(file));
	loff_t last_byte = size - 1;
	pgoff_t offset;
	long nr;
	int err;

	if (end <= last_byte >> PAGE_SHIFT)
		last_byte = ((loff_t)end << PAGE_SHIFT) - 1;

	while (*start < end) {
		if (fatal_signal_pending(current))
			return -EINTR;
		nr = memfd_pin_folios(file, (loff_t)*start << PAGE_SHIFT,
				      last_byte, out->batch, MEMFD_BATCH,
				      &offset);
		if (nr <= 0)
			return nr ?: -EAGAIN;
		err = batch_add(out, extents, file->f_mapping, nr, start);
		if (err)
			return err;
		cond_resched();
	}

	return 0;
}

/* List all pages that exist from @start to @end; both are in pages */
static int collect_range(struct file *file, struct outgoing *out,
			 struct extents *extents, pgoff_t start, pgoff_t end)
{
	pgoff_t row_end;
	int err;

	while (start < end &&
	       find_row(file->f_mapping, &start, &row_end, end)) {
		err = collect_row(file, out, extents, &start, row_end);
		if (err)
			return err;
	}

	return 0;
}

static pgoff_t end_of_file(struct file *file)
{
	return DIV_ROUND_UP_ULL(i_size_read(file_inode(file)), PAGE_SIZE);
}

/* List and preserve all pages between the extents that are kept */
static int collect_gaps(struct file *file, struct outgoing *out)
{
	const struct memfd_luo_extent *extent;
	struct kho_block_set_it it;
	pgoff_t start = 0;
	int err = 0;

	kho_block_set_it_init(&it, &out->kept.blocks);
	while ((extent = kho_block_set_it_read_entry(&it))) {
		err = collect_range(file, out, &out->late, start,
				    extent->index);
		if (err)
			return err;
		start = extent_end(extent);
	}

	return collect_range(file, out, &out->late, start, end_of_file(file));
}

static int collect_all(struct file *file, struct outgoing *out)
{
	return collect_range(file, out, &out->kept, 0, end_of_file(file));
}

/* Let @collect find folios for @extents, and preserve these */
static int collect(struct file *file, struct outgoing *out,
		   struct extents *extents,
		   int (*collect)(struct file *file, struct outgoing *out))
{
	int err;

	out->batch = kmalloc_objs(*out->batch, MEMFD_BATCH, GFP_KERNEL_ACCOUNT);
	if (!out->batch)
		return -ENOMEM;

	err = collect(file, out) ?: extents_preserve(extents);
	if (err)
		extents_drop(extents);
	kfree(out->batch);
	out->batch = NULL;

	return err;
}

/* ---- Outgoing: the handler's callbacks ---- */

/*
 * A memfd as memfd_create(2) makes it: without a directory, on shmem's internal
 * mount, and with the prefix that users cannot choose. Other files of tmpfs, if
 * deleted, look similar but have a parent.
 */
static bool is_memfd(const struct file *file)
{
	const struct dentry *dentry = file->f_path.dentry;

	return IS_ROOT(dentry) && d_unhashed(dentry) &&
	       !strncmp(dentry->d_name.name, MEMFD_PREFIX,
			strlen(MEMFD_PREFIX));
}

/* In charge of all that looks like shared memory, to refuse with a reason */
static bool memfd_luo_can_preserve(struct liveupdate_file_handler *handler,
				   struct file *file)
{
	return shmem_file(file) || is_file_hugepages(file);
}

static unsigned long memfd_luo_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
}

/* All but the pages; it can change until the end */
static void ser_fill(struct memfd_luo_ser *ser, struct file *file)
{
	const struct inode *inode = file_inode(file);

	ser->size = i_size_read(inode);
	ser->pos = READ_ONCE(file->f_pos);
	ser->flags = READ_ONCE(file->f_flags) & MEMFD_FLAGS;
	ser->reopened = !!(file->f_mode & FMODE_WRITER);
	ser->mode = READ_ONCE(inode->i_mode) & S_IALLUGO;
	ser->uid = from_kuid(&init_user_ns, inode->i_uid);
	ser->gid = from_kgid(&init_user_ns, inode->i_gid);
	ser->seals = memfd_get_seals(file);
	strscpy_pad(ser->name, file->f_path.dentry->d_name.name);
}

static struct outgoing *outgoing_new(void)
{
	struct outgoing *out;

	out = kvzalloc_obj(*out, GFP_KERNEL_ACCOUNT);
	if (!out)
		return ERR_PTR(-ENOMEM);

	out->ser = kho_alloc_preserve(sizeof(*out->ser));
	if (IS_ERR(out->ser)) {
		int err = PTR_ERR(out->ser);

		kvfree(out);
		return ERR_PTR(err);
	}

	extents_init(&out->kept);
	extents_init(&out->late);
	return out;
}

static void outgoing_free(struct outgoing *out)
{
	kho_unpreserve_free(out->ser);
	kvfree(out);
}

static int memfd_luo_preserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct outgoing *out;
	int err;

	if (!shmem_file(args->file) || !is_memfd(args->file))
		return -EOPNOTSUPP;

	out = outgoing_new();
	if (IS_ERR(out))
		return PTR_ERR(out);

	/* Pages neither go away nor does a call begin that takes some away */
	err = shmem_freeze_size(inode, true);
	if (err)
		goto free;
	err = collect(args->file, out, &out->kept, collect_all);
	if (err)
		goto thaw;

	args->private_data = out;
	args->serialized_data = virt_to_phys(out->ser);
	return 0;

thaw:
	shmem_freeze_size(inode, false);
free:
	outgoing_free(out);
	return err;
}

static void memfd_luo_unpreserve(struct liveupdate_file_op_args *args)
{
	struct outgoing *out = args->private_data;

	extents_release(&out->kept);
	shmem_freeze_size(file_inode(args->file), false);
	outgoing_free(out);
}

static u64 memfd_luo_get_bytes(struct liveupdate_file_op_args *args)
{
	const struct outgoing *out = args->private_data;

	return (out->kept.pages + out->late.pages) << PAGE_SHIFT;
}

static void extents_seal(struct extents *extents,
			 struct memfd_luo_extents *ser)
{
	ser->first = kho_block_set_head_pa(&extents->blocks);
	ser->count = extents->nr;
	ser->crc = extents_crc(extents);
	ser->pad = 0;
}

/*
 * From here on nobody can fill a hole: those who try wait, until the kexec or
 * until it is called off. What filled holes since the file was preserved is found
 * between the extents; where two of them meet there is nothing to look for.
 */
static int memfd_luo_freeze(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct outgoing *out = args->private_data;
	struct memfd_luo_ser *ser = out->ser;
	int err;

	shmem_freeze_holes(inode, true);
	err = collect(args->file, out, &out->late, collect_gaps);
	if (err) {
		shmem_freeze_holes(inode, false);
		return err;
	}

	ser_fill(ser, args->file);
	extents_seal(&out->kept, &ser->kept);
	extents_seal(&out->late, &ser->late);
	ser->crc = crc32c(0, ser, offsetof(struct memfd_luo_ser, crc));
	return 0;
}

static void memfd_luo_unfreeze(struct liveupdate_file_op_args *args)
{
	struct outgoing *out = args->private_data;

	extents_release(&out->late);
	shmem_freeze_holes(file_inode(args->file), false);
}

/* ---- Incoming: pages ---- */

/**
 * struct incoming - a memfd that is being restored, or could not be at first
 * @ser:      what crossed; taken out of KHO and checked, as are the next two
 * @kept:     extents
 * @late:     likewise
 * @restored: pages that KHO has given back, counted in the order of extents;
 *            those that are in no file belong to us
 *
 * Kept between two tries to restore it, protected by the lock of the file's
 * session.
 */
struct incoming {
	const struct memfd_luo_ser *ser;
	struct luo_chain kept;
	struct luo_chain late;
	u64 restored;
};

static int take_extents(const struct memfd_luo_extents *extents,
			struct luo_chain *chain)
{
	*chain = LUO_CHAIN(extents->first, extents->count,
			   struct memfd_luo_extent);
	if (luo_chain_take(chain) || luo_chain_crc(chain) != extents->crc)
		return -EUCLEAN;

	return 0;
}

/*
 * The metadata is taken out of KHO before memory that it refers to is looked at,
 * so that it cannot refer to itself. What is found damaged stays allocated.
 */
static int incoming_init(struct incoming *in, u64 phys)
{
	memset(in, 0, sizeof(*in));
	if (!phys || !kho_try_restore_folio(phys, 0))
		return -EUCLEAN;

	in->ser = phys_to_virt(phys);
	if (!memfd_luo_ser_ok(in->ser) || take_extents(&in->ser->kept, &in->kept) ||
	    take_extents(&in->ser->late, &in->late))
		return -EUCLEAN;
	if (!memfd_luo_extents_ok(&in->kept, in->ser->size) ||
	    !memfd_luo_extents_ok(&in->late, in->ser->size))
		return -EUCLEAN;

	return 0;
}

static struct incoming *incoming_new(u64 phys)
{
	struct incoming *in;
	int err;

	in = kzalloc_obj(*in, GFP_KERNEL_ACCOUNT);
	if (!in)
		return ERR_PTR(-ENOMEM);

	err = incoming_init(in, phys);
	if (err) {
		kfree(in);
		return ERR_PTR(err);
	}

	return in;
}

/* The metadata is read no more */
static void incoming_release(struct incoming *in)
{
	luo_chain_free(&in->kept);
	luo_chain_free(&in->late);
	folio_put(virt_to_folio(in->ser));
}

/**
 * struct walk - a walk over the folios of an incoming memfd
 * @in:     the memfd
 * @it:     the next extent
 * @extent: the one that the next folio is in
 * @done:   pages of it that are behind
 * @total:  pages of all extents that are behind
 * @late:   in the late extents, after the others
 */
struct walk {
	struct incoming *in;
	struct luo_chain_it it;
	const struct memfd_luo_extent *extent;
	u64 done;
	u64 total;
	bool late;
};

static void walk_enter(struct walk *walk, const struct luo_chain *chain)
{
	luo_chain_start(&walk->it, chain);
	walk->extent = luo_chain_next(&walk->it);
	walk->done = 0;
}

static void walk_start(struct walk *walk, struct incoming *in)
{
	memset(walk, 0, sizeof(*walk));
	walk->in = in;
	walk_enter(walk, &in->kept);
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

	if (!walk->extent && !walk->late) {
		walk->late = true;
		walk_enter(walk, &walk->in->late);
	}
	if (!walk->extent)
		return NULL;
	if (!walk_restore(walk))
		return ERR_PTR(-EUCLEAN);

	folio = pfn_folio(PHYS_PFN(extent_phys(walk->extent)) + walk->done);
	*index = walk->extent->index + walk->done;
	walk->done += folio_nr_pages(folio);
	walk->total += folio_nr_pages(folio);
	if (walk->done == walk->extent->pages) {
		walk->extent = luo_chain_next(&walk->it);
		walk->done = 0;
	}

	return folio;
}

/*
 * Put a folio into the page cache of a file that nobody else has yet. Where
 * memory is short, or a memcg small, the caller is told, and nobody killed.
 */
static int cache_add(struct inode *inode, struct folio *folio, pgoff_t index)
{
	struct address_space *mapping = inode->i_mapping;
	gfp_t gfp = mapping_gfp_mask(mapping) | __GFP_RETRY_MAYFAIL;
	int err;

	__folio_set_locked(folio);
	__folio_set_swapbacked(folio);
	err = mem_cgroup_charge(folio, NULL, gfp);
	if (!err)
		err = shmem_add_to_page_cache(folio, mapping, index, NULL, gfp);
	if (!err) {
		folio_mark_uptodate(folio);
		folio_mark_dirty(folio);
	}
	folio_unlock(folio);

	/* Two extents for one place: the previous kernel told nonsense */
	return err == -EEXIST ? -EUCLEAN : err;
}

/* Count pages for the file, as if they had been allocated for it */
static int cache_account(struct inode *inode, long pages)
{
	int err = shmem_inode_acct_blocks(inode, pages);

	if (!err)
		shmem_recalc_inode(inode, pages, 0);

	return err;
}

static void cache_remove(struct folio *folio)
{
	folio_lock(folio);
	folio_cancel_dirty(folio);
	filemap_remove_folio(folio);
	folio_unlock(folio);
}

/* Make a folio what it was when KHO gave it back; it is in no cache */
static void folio_reset(struct folio *folio)
{
	mem_cgroup_uncharge(folio);
	folio_clear_uptodate(folio);
	folio_clear_referenced(folio);
	__folio_clear_swapbacked(folio);
}

static int fill_one(struct inode *inode, struct folio *folio, pgoff_t index)
{
	int err = cache_add(inode, folio, index);

	if (!err) {
		err = cache_account(inode, folio_nr_pages(folio));
		if (err)
			cache_remove(folio);
	}
	if (err)
		folio_reset(folio);

	return err;
}

/* Take the first @nr folios out of the file again */
static void empty_file(struct inode *inode, struct incoming *in, u64 nr)
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
static void commit_file(struct incoming *in)
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

static int fill_file(struct inode *inode, struct incoming *in)
{
	struct folio *folio;
	struct walk walk;
	pgoff_t index;
	u64 nr = 0;
	int err = 0;

	walk_start(&walk, in);
	while ((folio = walk_next(&walk, &index))) {
		if (IS_ERR(folio))
			err = PTR_ERR(folio);
		else if (fatal_signal_pending(current))
			err = -EINTR;
		else
			err = fill_one(inode, folio, index);
		if (err)
			break;
		nr++;
		cond_resched();
	}

	if (err)
		empty_file(inode, in, nr);
	else
		commit_file(in);

	return err;
}

/* ---- Incoming: the handler's callbacks ---- */

/* Seals come first: some of them wait until no page is in use, and here is none */
static int dress_file(struct file *file, const struct memfd_luo_ser *ser)
{
	struct inode *inode = file_inode(file);
	int err;

	inode->i_mode = (inode->i_mode & ~S_IALLUGO) | ser->mode;
	inode->i_uid = make_kuid(&init_user_ns, ser->uid);
	inode->i_gid = make_kgid(&init_user_ns, ser->gid);
	err = memfd_add_seals(file, ser->seals);
	if (!err)
		i_size_write(inode, ser->size);

	return err;
}

/* As memfd_create(2) has made it, and not opened a second time by its path */
static bool is_original(const struct memfd_luo_ser *ser)
{
	return !ser->reopened && (ser->flags & O_ACCMODE) == O_RDWR;
}

/* The same file, opened the way that it was */
static struct file *open_as_was(struct file *file,
				const struct memfd_luo_ser *ser)
{
	struct file *as_was;

	if (is_original(ser)) {
		file->f_flags |= ser->flags;
		file->f_pos = ser->pos;
		return get_file(file);
	}

	as_was = dentry_open(&file->f_path, ser->flags | O_LARGEFILE,
			     current_cred());
	if (!IS_ERR(as_was)) {
		as_was->f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
		as_was->f_pos = ser->pos;
	}

	return as_was;
}

static struct file *restore_file(struct incoming *in)
{
	struct file *file __free(fput) =
		memfd_alloc_file(in->ser->name, MFD_ALLOW_SEALING);
	struct file *as_was;
	int err;

	if (IS_ERR(file))
		return file;

	err = dress_file(file, in->ser);
	if (err)
		return ERR_PTR(err);

	/* Before the pages, as it can fail and needs none */
	as_was = open_as_was(file, in->ser);
	if (IS_ERR(as_was))
		return as_was;

	err = fill_file(file_inode(file), in);
	if (err) {
		fput(as_was);
		return ERR_PTR(err);
	}

	return as_was;
}

static int memfd_luo_retrieve(struct liveupdate_file_op_args *args)
{
	struct incoming *in = args->private_data;
	struct file *file;

	if (!in) {
		in = incoming_new(args->serialized_data);
		if (IS_ERR(in))
			return PTR_ERR(in);
		args->private_data = in;
	}

	file = restore_file(in);
	if (IS_ERR(file))
		return PTR_ERR(file);

	incoming_release(in);
	kfree(in);
	args->private_data = NULL;
	args->file = file;
	return 0;
}

static void discard_pages(struct incoming *in)
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

/*
 * What was retrieved needs nothing more, and what was not, nobody wants. Of what
 * is damaged, memory that could not be taken stays reserved.
 */
static void memfd_luo_finish(struct liveupdate_file_op_args *args)
{
	struct incoming *in = args->private_data;
	struct incoming unasked;

	if (in) {
		discard_pages(in);
		incoming_release(in);
		kfree(in);
	} else if (!args->retrieve_status) {
		if (incoming_init(&unasked, args->serialized_data)) {
			pr_warn("a damaged memfd is discarded, its memory stays reserved\n");
			return;
		}
		discard_pages(&unasked);
		incoming_release(&unasked);
	}
}

static const struct liveupdate_file_ops memfd_luo_ops = {
	.can_preserve		= memfd_luo_can_preserve,
	.preserve		= memfd_luo_preserve,
	.unpreserve		= memfd_luo_unpreserve,
	.freeze			= memfd_luo_freeze,
	.unfreeze		= memfd_luo_unfreeze,
	.retrieve		= memfd_luo_retrieve,
	.finish			= memfd_luo_finish,
	.get_id			= memfd_luo_get_id,
	.get_bytes		= memfd_luo_get_bytes,
	.owner			= THIS_MODULE,
	.retrieve_can_retry	= true,
};

static struct liveupdate_file_handler memfd_luo_handler = {
	.ops		= &memfd_luo_ops,
	.compatible	= MEMFD_LUO_COMPATIBLE,
};

static int __init memfd_luo_init(void)
{
	int err = liveupdate_register_file_handler(&memfd_luo_handler);

	/* Live update being off is no failure */
	return err == -EOPNOTSUPP ? 0 : err;
}
late_initcall(memfd_luo_init);
