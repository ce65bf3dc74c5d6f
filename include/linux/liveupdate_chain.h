/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Incoming chains of KHO blocks, for live update's file handlers.
 *
 * struct kho_block_set writes such chains and trusts what it reads. What comes
 * from the previous kernel is not trusted here: a chain is taken out of KHO while
 * it is checked, so that nobody else can be given its memory, then read where it
 * lies, and freed when the reader says so.
 */
#ifndef _LINUX_LIVEUPDATE_CHAIN_H
#define _LINUX_LIVEUPDATE_CHAIN_H

#include <linux/kho/abi/block.h>
#include <linux/types.h>

/**
 * struct luo_chain - an incoming chain of records
 * @first:      physical address of the first block, or 0
 * @count:      records in the chain
 * @entry_size: bytes of one record
 * @taken:      luo_chain_take() has found it to be sound, and its memory is ours
 * @page:       gives the block at a physical address, or NULL where there is
 *              none. Set by luo_chain_take(), but by tests, which have memory of
 *              their own
 */
struct luo_chain {
	u64 first;
	u64 count;
	size_t entry_size;
	bool taken;
	const void *(*page)(u64 phys);
};

/**
 * struct luo_chain_it - a place in a chain
 * @chain: the chain
 * @block: the block that the next record is in
 * @index: of the next record in that block
 * @left:  records that are still to come
 */
struct luo_chain_it {
	const struct luo_chain *chain;
	const struct kho_block_header_ser *block;
	u64 index;
	u64 left;
};

#define LUO_CHAIN(_first, _count, _type)				\
	((struct luo_chain) {						\
		.first = (_first),					\
		.count = (_count),					\
		.entry_size = sizeof(_type),				\
	})

int luo_chain_take(struct luo_chain *chain);
u32 luo_chain_crc(const struct luo_chain *chain);
void luo_chain_free(struct luo_chain *chain);

void luo_chain_start(struct luo_chain_it *it, const struct luo_chain *chain);
const void *luo_chain_next(struct luo_chain_it *it);

#endif /* _LINUX_LIVEUPDATE_CHAIN_H */
