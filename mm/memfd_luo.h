/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live update of memfds: what its parts share. memfd_luo.c is the file handler,
 * memfd_luo_out.c preserves pages, memfd_luo_move.c brings them to where they can
 * stay, memfd_luo_in.c restores them, memfd_luo_attrs.c knows all of them but their
 * pages, and memfd_luo_check.c looks at what comes from the previous kernel.
 */
#ifndef _MM_MEMFD_LUO_H
#define _MM_MEMFD_LUO_H

#include <linux/fcntl.h>
#include <linux/kho/abi/memfd.h>
#include <linux/kho_block.h>
#include <linux/liveupdate_chain.h>
#include <linux/types.h>

#include "memfd_luo_move.h"

struct file;
struct inode;

/* Name that memfd_create(2) puts in front of the caller's */
#define MEMFD_PREFIX		"memfd:"

/* What of a descriptor's flags crosses */
#define MEMFD_FLAGS		(O_ACCMODE | O_APPEND | O_NONBLOCK | O_NOATIME | \
				 O_DIRECT | O_SYNC)

static inline unsigned int extent_order(const struct memfd_luo_extent *extent)
{
	return extent->phys & MEMFD_LUO_EXTENT_ORDER;
}

static inline u64 extent_phys(const struct memfd_luo_extent *extent)
{
	return extent->phys & PAGE_MASK;
}

static inline u64 extent_end(const struct memfd_luo_extent *extent)
{
	return extent->index + extent->pages;
}

/* The extents that are in the page of the head */
static inline struct memfd_luo_extent *
memfd_luo_near(const struct memfd_luo_ser *ser)
{
	return (struct memfd_luo_extent *)(ser + 1);
}

/* In the page that begins with the structure of a memfd, whatever its pages */
static inline struct memfd_luo_label *memfd_luo_label_of(const void *ser)
{
	return (struct memfd_luo_label *)((char *)ser + MEMFD_LUO_LABEL_OFFSET);
}

/**
 * struct memfd_luo_out_extents - extents of a memfd that is being preserved
 * @near:   place of the first ones
 * @room:   how many go there
 * @blocks: the others, as they cross
 * @it:     where the next of these goes
 * @last:   the last extent, which may still grow, or NULL
 * @nr:     number of extents
 * @pages:  sum of their pages
 * @patience: with those who use pages, while these are listed
 */
struct memfd_luo_out_extents {
	struct memfd_luo_extent *near;
	u64 room;
	struct kho_block_set blocks;
	struct kho_block_set_it it;
	struct memfd_luo_extent *last;
	u64 nr;
	u64 pages;
	struct memfd_luo_patience patience;
};

/**
 * struct memfd_luo_out - a memfd that is preserved
 * @ser:  the page that crosses, of which memfd_luo_out_seal() fills what tells of
 *        extents
 * @kept: the pages that it had when it was preserved, in ascending order
 * @late: those that came after, found when it is frozen
 * @broken: how many pages of the machine were known to be broken before
 *
 * All is protected by the lock of the file's session.
 */
struct memfd_luo_out {
	struct memfd_luo_ser *ser;
	struct memfd_luo_out_extents kept;
	struct memfd_luo_out_extents late;
	long broken;
};

/**
 * struct memfd_luo_in - a memfd that came, and is in no file yet
 * @ser:      its head; taken out of KHO and checked, as are the next two
 * @kept:     extents that are in blocks
 * @late:     likewise
 * @restored: pages that KHO has given back, counted in the order of extents;
 *            those that are in no file belong to us
 *
 * Kept between two tries to restore it, protected by the lock of the file's
 * session.
 */
struct memfd_luo_in {
	const struct memfd_luo_ser *ser;
	struct luo_chain kept;
	struct luo_chain late;
	u64 restored;
};

long memfd_luo_broken_pages(void);
bool memfd_luo_is_broken(unsigned long pfn, unsigned long nr);
int memfd_luo_out_init(struct memfd_luo_out *out);
void memfd_luo_out_destroy(struct memfd_luo_out *out);
int memfd_luo_keep(struct memfd_luo_out *out, struct file *file);
void memfd_luo_unkeep(struct memfd_luo_out *out);
int memfd_luo_keep_late(struct memfd_luo_out *out, struct file *file);
void memfd_luo_unkeep_late(struct memfd_luo_out *out);
void memfd_luo_out_seal(struct memfd_luo_out *out);

int memfd_luo_in_try_label(u64 phys);
int memfd_luo_in_init(struct memfd_luo_in *in, u64 phys);
void memfd_luo_in_destroy(struct memfd_luo_in *in);
int memfd_luo_fill(struct inode *inode, struct memfd_luo_in *in);
void memfd_luo_discard(struct memfd_luo_in *in);

bool memfd_luo_is_memfd(const struct file *file);
int memfd_luo_attrs_cross(struct inode *inode);
void memfd_luo_attrs_get(struct memfd_luo_attrs *attrs, struct file *file);
int memfd_luo_attrs_set(struct file *file, const struct memfd_luo_attrs *attrs);
int memfd_luo_label_get(struct memfd_luo_label *label, struct inode *inode);
int memfd_luo_label_set(struct inode *inode, const struct memfd_luo_label *label);
int memfd_luo_label_try(const struct memfd_luo_label *label, unsigned int flags);
struct file *memfd_luo_open_as_was(struct file *file,
				   const struct memfd_luo_attrs *attrs);

bool memfd_luo_attrs_ok(const struct memfd_luo_attrs *attrs);
u32 memfd_luo_label_crc(const struct memfd_luo_label *label);
bool memfd_luo_label_ok(const struct memfd_luo_label *label);
bool memfd_luo_may_have_label(const struct memfd_luo_ser *ser);
unsigned int memfd_luo_piece_order(const struct memfd_luo_extent *extent,
				   u64 done);
bool memfd_luo_piece_ok(const struct memfd_luo_extent *extent, u64 done, int order);
bool memfd_luo_ser_ok(const struct memfd_luo_ser *ser);
bool memfd_luo_extents_ok(const struct memfd_luo_ser *ser,
			  const struct luo_chain *kept,
			  const struct luo_chain *late);

#endif /* _MM_MEMFD_LUO_H */
