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
#include <linux/delay.h>
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

/* Name that memfd_create(2) puts in front of the caller's */
#define MEMFD_PREFIX		"memfd:"

/* What of a descriptor's flags crosses */
#define MEMFD_FLAGS		(O_ACCMODE | O_APPEND | O_NONBLOCK | O_NOATIME)

/* Seals that there are; others would mean something that is not known here */
#define MEMFD_SEALS		(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | \
				 F_SEAL_WRITE | F_SEAL_FUTURE_WRITE |	     \
				 F_SEAL_EXEC)

/* Folios that are pinned at once: how far it is between two looks at signals */
#define MEMFD_BATCH		512

/* How long to wait for the inode's lock: a second, in steps of 20 ms */
#define MEMFD_LOCK_TRIES	50
#define MEMFD_LOCK_STEP		20

/* ---- Outgoing: extents ---- */

/**
 * struct extents - extents of a memfd that is being preserved
 * @blocks: their records, as they cross
 * @it:     where the next record goes
 * @last:   the last record, which may still grow, or NULL
 * @nr:     number of records
 */
struct extents {
	struct kho_block_set blocks;
	struct kho_block_set_it it;
	struct memfd_luo_extent *last;
	u64 nr;
};

static unsigned int extent_order(const struct memfd_luo_extent *extent)
{
	return extent->phys & MEMFD_LUO_EXTENT_ORDER;
}

static u64 extent_phys(const struct memfd_luo_extent *extent)
{
	return extent->phys & PAGE_MASK;
}

static u64 extent_end(const struct memfd_luo_extent *extent)
{
	return extent->index + extent->pages;
}

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
	struct folio *folio;
	u64 done;

	for (done = 0; done < extent->pages; done += folio_nr_pages(folio)) {
		folio = pfn_folio(pfn + done);
		unpin_folio(folio);
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
 * @present: pages that it had, in memory and swap, at the latest when the search
 *           for @kept began
 * @batch:   folios that are being pinned, while there is a search
 *
 * All is protected by the lock of the file's session.
 */
struct outgoing {
	struct memfd_luo_ser *ser;
	struct extents kept;
	struct extents late;
	unsigned long present;
	struct folio **batch;
};

/*
 * Pages in memory and in swap. While a page goes from one to the other it is
 * counted twice: never too few, which is what matters.
 */
static unsigned long pages_present(struct inode *inode)
{
	return READ_ONCE(inode->i_mapping->nrpages) +
	       READ_ONCE(SHMEM_I(inode)->swapped);
}

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
 * them for clean ones and drops them.
 */
static void folio_settle(struct folio *folio)
{
	folio_lock(folio);
	if (!folio_test_uptodate(folio)) {
		folio_zero_range(folio, 0, folio_size(folio));
		flush_dcache_folio(folio);
		folio_mark_uptodate(folio);
	}
	folio_mark_dirty(folio);
	folio_unlock(folio);
}

/* Scratch memory is the next kernel's: pinning has moved folios out of it */
static bool folio_in_scratch(const struct folio *folio)
{
	return kho_scratch_overlap(PFN_PHYS(folio_pfn(folio)),
				   folio_size(folio));
}

/* Take over the pins of a batch: those that are in no extent are undone */
static int batch_add(struct outgoing *out, struct extents *extents, long nr)
{
	long i;
	int err = 0;

	for (i = 0; i < nr; i++) {
		folio_settle(out->batch[i]);
		err = folio_in_scratch(out->batch[i]) ? -ENOMEM :
			extents_add(extents, out->batch[i]);
		if (err)
			break;
	}
	unpin_folios(out->batch + i, nr - i);

	return err;
}

/* Pin the pages from @start to @end, all of which exist, and list them */
static int collect_row(struct file *file, struct outgoing *out,
		       struct extents *extents, pgoff_t start, pgoff_t end)
{
	loff_t size = i_size_read(file_inode(file));
	struct folio *last;
	loff_t last_byte;
	pgoff_t offset;
	long nr;
	int err;

	while (start < end) {
		last_byte = min((loff_t)end << PAGE_SHIFT, size) - 1;
		nr = memfd_pin_folios(file, (loff_t)start << PAGE_SHIFT,
				      last_byte, out->batch, MEMFD_BATCH,
				      &offset);
		if (nr <= 0)
			return nr ?: -EAGAIN;

		last = out->batch[nr - 1];
		start = folio_next_index(last);
		err = batch_add(out, extents, nr);
		if (err)
			return err;
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
		if (fatal_signal_pending(current))
			return -EINTR;
		err = collect_row(file, out, extents, start, row_end);
		if (err)
			return err;
		start = row_end;
		cond_resched();
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
	out->present = pages_present(file_inode(file));
	return collect_range(file, out, &out->kept, 0, end_of_file(file));
}

/* Let @collect find folios for @extents, and preserve these */
static int collect(struct file *file, struct outgoing *out,
		   struct extents *extents,
		   int (*collect)(struct file *file, struct outgoing *out))
{
	int err;

	out->batch = kmalloc_objs(*out->batch, MEMFD_BATCH);
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

/*
 * The lock can be held by a write that waits for a page of user memory, and
 * such a page may never come. Nobody must wait for it here, as a kexec may be
 * waiting for us.
 */
static int lock_inode(struct inode *inode)
{
	int tries;

	for (tries = 0; tries < MEMFD_LOCK_TRIES; tries++) {
		if (inode_trylock(inode))
			return 0;
		if (fatal_signal_pending(current))
			return -EINTR;
		msleep(MEMFD_LOCK_STEP);
	}

	return -EAGAIN;
}

/* Pages neither go away nor does the size change while this is set */
static void set_mapping_frozen(struct inode *inode, bool frozen)
{
	struct shmem_inode_info *info = SHMEM_I(inode);

	guard(spinlock_irq)(&info->lock);
	if (frozen)
		info->flags |= SHMEM_F_MAPPING_FROZEN;
	else
		info->flags &= ~SHMEM_F_MAPPING_FROZEN;
}

static int freeze_mapping(struct inode *inode)
{
	int err = lock_inode(inode);

	if (err)
		return err;

	set_mapping_frozen(inode, true);
	inode_unlock(inode);
	return 0;
}

static void ser_fill(struct memfd_luo_ser *ser, struct file *file)
{
	const struct inode *inode = file_inode(file);

	ser->size = i_size_read(inode);
	ser->flags = file->f_flags & MEMFD_FLAGS;
	ser->uid = from_kuid(&init_user_ns, inode->i_uid);
	ser->gid = from_kgid(&init_user_ns, inode->i_gid);
	strscpy_pad(ser->name, file->f_path.dentry->d_name.name);
}

/* What can change until the end */
static void ser_update(struct memfd_luo_ser *ser, struct file *file)
{
	const struct inode *inode = file_inode(file);

	ser->pos = READ_ONCE(file->f_pos);
	ser->flags = READ_ONCE(file->f_flags) & MEMFD_FLAGS;
	ser->mode = READ_ONCE(inode->i_mode) & S_IALLUGO;
	ser->uid = from_kuid(&init_user_ns, inode->i_uid);
	ser->gid = from_kgid(&init_user_ns, inode->i_gid);
	ser->seals = memfd_get_seals(file);
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

	err = freeze_mapping(inode);
	if (err)
		goto free;
	err = collect(args->file, out, &out->kept, collect_all);
	if (err)
		goto thaw;

	ser_fill(out->ser, args->file);
	args->private_data = out;
	args->serialized_data = virt_to_phys(out->ser);
	return 0;

thaw:
	set_mapping_frozen(inode, false);
free:
	outgoing_free(out);
	return err;
}

static void memfd_luo_unpreserve(struct liveupdate_file_op_args *args)
{
	struct outgoing *out = args->private_data;

	extents_release(&out->kept);
	set_mapping_frozen(file_inode(args->file), false);
	outgoing_free(out);
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
 * until it is called off. Holes that were filled since the file was preserved
 * are looked for only if there are more pages than then.
 */
static int memfd_luo_freeze(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct outgoing *out = args->private_data;
	struct memfd_luo_ser *ser = out->ser;
	int err = 0;

	shmem_freeze_holes(inode, true);
	if (pages_present(inode) != out->present)
		err = collect(args->file, out, &out->late, collect_gaps);
	if (err) {
		shmem_freeze_holes(inode, false);
		return err;
	}

	ser_update(ser, args->file);
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

/* ---- Incoming: checking ---- */

static struct luo_chain extents_chain(const struct memfd_luo_extents *extents)
{
	return LUO_CHAIN(extents->first, extents->count,
			 struct memfd_luo_extent);
}

/*
 * Pages of an extent are preserved in pieces: an extent of order 0 in powers of
 * two, as kho_restore_pages() puts them together again, others folio by folio.
 */
static unsigned int piece_order(const struct memfd_luo_extent *extent,
				u64 done)
{
	unsigned long pfn = PHYS_PFN(extent_phys(extent)) + done;
	u64 left = extent->pages - done;

	if (extent_order(extent))
		return extent_order(extent);

	return min_t(unsigned int, pfn ? __ffs(pfn) : BITS_PER_LONG - 1,
		     ilog2(left));
}

static bool extent_shape_ok(const struct memfd_luo_extent *extent, u64 size)
{
	const u64 folio_pages = 1ULL << min(extent_order(extent), 51);
	const u64 max_index = round_up(DIV_ROUND_UP_ULL(size, PAGE_SIZE),
				       folio_pages);

	if (extent->phys & ~PAGE_MASK & ~MEMFD_LUO_EXTENT_ORDER ||
	    extent_order(extent) > MAX_PAGE_ORDER)
		return false;
	if (!extent->pages || extent->pages % folio_pages ||
	    extent->index % folio_pages)
		return false;

	return extent->index < max_index &&
	       extent->pages <= max_index - extent->index;
}

static bool extent_memory_ok(const struct memfd_luo_extent *extent)
{
	u64 phys = extent_phys(extent);
	unsigned int order;
	u64 done;

	for (done = 0; done < extent->pages; done += 1ULL << order) {
		order = piece_order(extent, done);
		if (kho_preserved_order(phys + (done << PAGE_SHIFT)) != order)
			return false;
		cond_resched();
	}

	return true;
}

static bool extents_ok(const struct memfd_luo_extents *extents, u64 size)
{
	const struct luo_chain chain = extents_chain(extents);
	const struct memfd_luo_extent *extent;
	struct luo_chain_it it;

	if (luo_chain_check(&chain) || luo_chain_crc(&chain) != extents->crc)
		return false;

	luo_chain_start(&it, &chain);
	while ((extent = luo_chain_next(&it))) {
		if (!extent_shape_ok(extent, size) || !extent_memory_ok(extent))
			return false;
	}

	return true;
}

static bool ser_ok(const struct memfd_luo_ser *ser)
{
	return ser->crc == crc32c(0, ser, offsetof(struct memfd_luo_ser, crc)) &&
	       ser->size <= MAX_LFS_FILESIZE && ser->pos <= MAX_LFS_FILESIZE &&
	       !(ser->seals & ~MEMFD_SEALS) && !(ser->flags & ~MEMFD_FLAGS) &&
	       !(ser->mode & ~S_IALLUGO) &&
	       strnlen(ser->name, sizeof(ser->name)) < sizeof(ser->name) &&
	       !strncmp(ser->name, MEMFD_PREFIX, strlen(MEMFD_PREFIX));
}

static const struct memfd_luo_ser *ser_at(u64 phys)
{
	const struct memfd_luo_ser *ser;

	if (!phys || phys % PAGE_SIZE || kho_preserved_order(phys) != 0)
		return NULL;

	ser = phys_to_virt(phys);
	return ser_ok(ser) ? ser : NULL;
}

/* ---- Incoming: pages ---- */

/**
 * struct incoming - a memfd that is being restored, or could not be at first
 * @ser:      what crossed, checked
 * @restored: pages that KHO has given back, counted in the order of extents;
 *            those that are in no file belong to us
 *
 * Kept between two tries to restore it, protected by the lock of the file's
 * session.
 */
struct incoming {
	const struct memfd_luo_ser *ser;
	u64 restored;
};

static struct incoming *incoming_new(u64 phys)
{
	const struct memfd_luo_ser *ser = ser_at(phys);
	struct incoming *in;

	if (!ser || !extents_ok(&ser->kept, ser->size) ||
	    !extents_ok(&ser->late, ser->size))
		return ERR_PTR(-EUCLEAN);

	in = kzalloc_obj(*in, GFP_KERNEL_ACCOUNT);
	if (!in)
		return ERR_PTR(-ENOMEM);

	in->ser = ser;
	return in;
}

/* The metadata is read no more */
static void incoming_free(struct incoming *in)
{
	const struct luo_chain kept = extents_chain(&in->ser->kept);
	const struct luo_chain late = extents_chain(&in->ser->late);

	luo_chain_free(&kept);
	luo_chain_free(&late);
	kho_restore_free((void *)in->ser);
	kfree(in);
}

/**
 * struct walk - a walk over the folios of an incoming memfd
 * @in:     the memfd
 * @chain:  the extents that the walk is in
 * @it:     the next extent
 * @extent: the one that the next folio is in
 * @done:   pages of it that are behind
 * @total:  pages of all extents that are behind
 * @late:   in the late extents, after the others
 */
struct walk {
	struct incoming *in;
	struct luo_chain chain;
	struct luo_chain_it it;
	const struct memfd_luo_extent *extent;
	u64 done;
	u64 total;
	bool late;
};

static void walk_enter(struct walk *walk, const struct memfd_luo_extents *ser)
{
	walk->chain = extents_chain(ser);
	luo_chain_start(&walk->it, &walk->chain);
	walk->extent = luo_chain_next(&walk->it);
	walk->done = 0;
}

static void walk_start(struct walk *walk, struct incoming *in)
{
	memset(walk, 0, sizeof(*walk));
	walk->in = in;
	walk_enter(walk, &in->ser->kept);
}

/* Take the next pages out of KHO, unless that is done. @false: it has them not */
static bool walk_restore(struct walk *walk)
{
	u64 phys = extent_phys(walk->extent) + (walk->done << PAGE_SHIFT);
	unsigned int order = piece_order(walk->extent, walk->done);

	if (walk->total < walk->in->restored)
		return true;
	/* Another file can have claimed the same memory since it was checked */
	if (kho_preserved_order(phys) != order)
		return false;

	if (extent_order(walk->extent))
		folio_set_large_rmappable(kho_restore_folio(phys));
	else
		kho_restore_pages(phys, 1UL << order);
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
		walk_enter(walk, &walk->in->ser->late);
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

	return err;
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

/* The same file, opened the way that it was */
static struct file *open_as_was(struct file *file,
				const struct memfd_luo_ser *ser)
{
	struct file *as_was;

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

	incoming_free(in);
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

/* What was retrieved needs nothing more; what was not, nobody wants */
static void memfd_luo_finish(struct liveupdate_file_op_args *args)
{
	struct incoming *in = args->private_data;

	if (args->retrieve_status)
		return;

	if (!in)
		in = incoming_new(args->serialized_data);
	if (IS_ERR(in)) {
		pr_warn("memory of a memfd stays reserved: %pe\n", in);
		return;
	}

	discard_pages(in);
	incoming_free(in);
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
