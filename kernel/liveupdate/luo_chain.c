// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: reading chains of KHO blocks that the previous
 * kernel wrote
 *
 * The number of records is told apart from the chain, by whoever refers to it.
 * As all blocks but the last are full, it fixes how many blocks there are and
 * how many records each holds. This is what makes a walk of a chain end: one
 * that runs in a circle would have to hold a block that is the last one, with no
 * next, and one that is not, at the same time.
 */

#include <linux/crc32.h>
#include <linux/export.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate_chain.h>
#include <linux/minmax.h>
#include <linux/sched.h>

static const void *kho_page(u64 phys)
{
	return kho_preserved_order(phys) == 0 ? phys_to_virt(phys) : NULL;
}

static const struct kho_block_header_ser *
block_at(const struct luo_chain *chain, u64 phys)
{
	if (!phys || phys % KHO_BLOCK_SIZE)
		return NULL;

	return chain->page ? chain->page(phys) : kho_page(phys);
}

static u64 per_block(const struct luo_chain *chain)
{
	return (KHO_BLOCK_SIZE - sizeof(struct kho_block_header_ser)) /
	       chain->entry_size;
}

/**
 * luo_chain_check - see whether a chain is what its count says
 * @chain: the chain
 *
 * Records are not looked at. A chain that passed stays good as long as nobody
 * restores its memory from KHO; the other functions here take it for granted.
 *
 * Context: May sleep.
 * Return: 0, or -EUCLEAN when a block does not lie in preserved memory, or the
 * number of blocks or of the records in one of them is not as it has to be.
 */
int luo_chain_check(const struct luo_chain *chain)
{
	const struct kho_block_header_ser *block;
	u64 next = chain->first;
	u64 left = chain->count;

	while (left) {
		block = block_at(chain, next);
		if (!block || block->count != min(left, per_block(chain)))
			return -EUCLEAN;
		left -= block->count;
		next = block->next;
		cond_resched();
	}

	return next ? -EUCLEAN : 0;
}
EXPORT_SYMBOL_GPL(luo_chain_check);

/**
 * luo_chain_start - go to the first record of a chain
 * @it:    where to keep the place
 * @chain: a chain that luo_chain_check() found good
 */
void luo_chain_start(struct luo_chain_it *it, const struct luo_chain *chain)
{
	it->chain = chain;
	it->left = chain->count;
	it->index = 0;
	it->block = it->left ? block_at(chain, chain->first) : NULL;
}
EXPORT_SYMBOL_GPL(luo_chain_start);

/**
 * luo_chain_next - get a record and go to the next one
 * @it: the place
 *
 * Return: the record, which is readable until the chain is freed, or NULL when
 * there are no more.
 */
const void *luo_chain_next(struct luo_chain_it *it)
{
	const void *entry;

	if (!it->left || !it->block)
		return NULL;

	entry = (const void *)(it->block + 1) +
		it->index * it->chain->entry_size;
	it->left--;
	if (++it->index == it->block->count && it->left) {
		it->block = block_at(it->chain, it->block->next);
		it->index = 0;
	}

	return entry;
}
EXPORT_SYMBOL_GPL(luo_chain_next);

/**
 * luo_chain_crc - CRC-32C of all records of a chain
 * @chain: a chain that luo_chain_check() found good
 *
 * Context: May sleep.
 * Return: the checksum; 0 for an empty chain.
 */
u32 luo_chain_crc(const struct luo_chain *chain)
{
	struct luo_chain_it it;
	const void *entry;
	u32 crc = 0;

	luo_chain_start(&it, chain);
	while ((entry = luo_chain_next(&it))) {
		crc = crc32c(crc, entry, chain->entry_size);
		if (!it.index)
			cond_resched();
	}

	return crc;
}
EXPORT_SYMBOL_GPL(luo_chain_crc);

/**
 * luo_chain_free - give back the memory of a chain
 * @chain: a chain in KHO's memory that luo_chain_check() found good
 *
 * Context: May sleep.
 */
void luo_chain_free(const struct luo_chain *chain)
{
	const struct kho_block_header_ser *block;
	u64 next = chain->first;

	while ((block = block_at(chain, next))) {
		next = block->next;
		kho_restore_free((void *)block);
		cond_resched();
	}
}
EXPORT_SYMBOL_GPL(luo_chain_free);
