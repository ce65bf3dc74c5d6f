/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live update of memfds of huge pages: what its parts share. hugetlb_luo.c is the
 * file handler, hugetlb_luo_out.c preserves pages, hugetlb_luo_in.c restores them,
 * hugetlb_luo_pool.c sees to it that the pool of the next kernel leaves them out, and
 * hugetlb_luo_check.c looks at what comes from the previous kernel.
 */
#ifndef _MM_HUGETLB_LUO_H
#define _MM_HUGETLB_LUO_H

#include <linux/kho/abi/hugetlb.h>
#include <linux/kho_block.h>
#include <linux/liveupdate_chain.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct file;
struct hstate;

/* Larger pages than any machine has, but sums of sizes do not overflow */
#define HUGETLB_LUO_MAX_ORDER	30

/* Bytes of a huge page of this file */
static inline u64 hugetlb_luo_page_size(const struct hugetlb_luo_ser *ser)
{
	return PAGE_SIZE << ser->order;
}

/**
 * struct hugetlb_luo_records - records that cross, of one kind
 * @blocks: they
 * @it:     where the next one goes
 * @last:   the last one, or NULL
 * @nr:     how many there are
 */
struct hugetlb_luo_records {
	struct kho_block_set blocks;
	struct kho_block_set_it it;
	void *last;
	u64 nr;
};

/**
 * struct hugetlb_luo_out - a file that is preserved
 * @ser:     what crosses
 * @h:       of its pages
 * @kept:    the pages that it had when it was preserved, in ascending order
 * @late:    those that came after, found when it is frozen
 * @regions: where it has pages or reserved some, filled when it is frozen
 * @pages:   sum of kept and late
 * @waited:  of the callback under way, see struct liveupdate_file_op_args
 *
 * All is protected by the lock of the file's session.
 */
struct hugetlb_luo_out {
	struct hugetlb_luo_ser *ser;
	struct hstate *h;
	struct hugetlb_luo_records kept;
	struct hugetlb_luo_records late;
	struct hugetlb_luo_records regions;
	u64 pages;
	struct liveupdate_waited *waited;
};

/**
 * struct hugetlb_luo_in - a file that is being restored, or could not be at first
 * @ser:      what crossed; taken out of KHO and checked, as are the next three
 * @kept:     extents
 * @late:     likewise
 * @regions:  regions
 * @restored: pages that KHO has given back, counted in the order of extents; those
 *            that are in no file belong to us
 * @moved:    folios that pages were copied to, because they are on several nodes, by
 *            the number of the page in the order of extents
 *
 * Kept between two tries to restore it, protected by the lock of the file's
 * session.
 */
struct hugetlb_luo_in {
	const struct hugetlb_luo_ser *ser;
	struct luo_chain kept;
	struct luo_chain late;
	struct luo_chain regions;
	u64 restored;
	struct xarray moved;
};

int hugetlb_luo_out_init(struct hugetlb_luo_out *out, struct file *file);
void hugetlb_luo_out_destroy(struct hugetlb_luo_out *out);
int hugetlb_luo_keep(struct hugetlb_luo_out *out, struct file *file);
void hugetlb_luo_unkeep(struct hugetlb_luo_out *out);
int hugetlb_luo_keep_late(struct hugetlb_luo_out *out, struct file *file);
void hugetlb_luo_unkeep_late(struct hugetlb_luo_out *out);

int hugetlb_luo_in_try_label(u64 phys);
int hugetlb_luo_in_init(struct hugetlb_luo_in *in, u64 phys);
void hugetlb_luo_in_destroy(struct hugetlb_luo_in *in);
int hugetlb_luo_fill(struct hugetlb_luo_in *in, struct file *file,
		     struct file *as_was);
void hugetlb_luo_discard(struct hugetlb_luo_in *in);

void hugetlb_luo_pool_setup(void);
void hugetlb_luo_pool_add(unsigned int order, int nid, u64 pages);
void hugetlb_luo_pool_sub(unsigned int order, int nid, u64 pages);

bool hugetlb_luo_pool_ok(const struct hugetlb_luo_pool *pool);
bool hugetlb_luo_ser_ok(const struct hugetlb_luo_ser *ser);
bool hugetlb_luo_extents_ok(const struct hugetlb_luo_ser *ser,
			    const struct luo_chain *kept,
			    const struct luo_chain *late);
bool hugetlb_luo_regions_ok(const struct luo_chain *chain,
			    const struct hugetlb_luo_ser *ser);

#endif /* _MM_HUGETLB_LUO_H */
