// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: reading chains of KHO blocks that the previous
 * kernel wrote
 *
 * The number of records is told apart from the chain, by whoever refers to it.
 * As all blocks but the last are full, it fixes how many blocks there are and
 * how many records each holds. A chain that runs in a circle would need a block
 * that is the last one, with no next, and one that is not, at the same time; and
 * no walk is longer than memory has pages.
 */

#include <linux/crc32.h>
#include <linux/export.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate_chain.h>
#include <linux/math64.h>
#include <linux/memblock.h>
#include <linux/minmax.h>
#include <linux/sched.h>

/* A block that is taken */
static const void *own_page(u64 phys)
{
	return phys_to_virt(phys);
}

static const void *take_page(u64 phys)
{
	return kho_try_restore_folio(phys, 0) ? phys_to_virt(phys) : NULL;
}

static const struct kho_block_header_ser *
block_at(const struct luo_chain *chain, u64 phys)
{
	return phys && phys % KHO_BLOCK_SIZE == 0 ? chain->page(phys) : NULL;
}

static u64 per_block(const struct luo_chain *chain)
{
	return (KHO_BLOCK_SIZE - sizeof(struct kho_block_header_ser)) /
	       chain->entry_size;
}

static int walk(const struct luo_chain *chain)
{
	const struct kho_block_header_ser *block;
	u64 next = chain->first;
	u64 left = chain->count;

	if (div64_u64(left, per_block(chain)) > max_pfn)
		return -EUCLEAN;

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

/**
 * luo_chain_take - take a chain out of KHO, if it is what its count says
 * @chain: the chain; taken already, it is no error
 *
 * From then on its memory is ours, and cannot be part of anything else that the
 * previous kernel tells of. The other functions here take for granted that this
 * was done.
 *
 * Context: May sleep.
 * Return: 0; -EUCLEAN when a block is not where one can be, is taken already, or
 * the number of blocks or of the records in one of them is not as it has to be.
 * Blocks before the wrong one then stay allocated, and are never used.
 */
int luo_chain_take(struct luo_chain *chain)
{
	struct luo_chain taking = *chain;
	int err;

	if (chain->taken)
		return 0;
	if (!taking.page)
		taking.page = take_page;

	err = walk(&taking);
	if (err)
		return err;
	if (!chain->page)
		chain->page = own_page;
	chain->taken = true;

	return 0;
}
EXPORT_SYMBOL_GPL(luo_chain_take);

/**
 * luo_chain_start - go to the first record of a chain
 * @it:    where to keep the place
 * @chain: the chain, taken
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
 * @chain: the chain, taken
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
 * @chain: the chain, taken; it is empty then
 *
 * Context: May sleep.
 */
void luo_chain_free(struct luo_chain *chain)
{
	const struct kho_block_header_ser *block;
	u64 next = chain->first;

	while ((block = block_at(chain, next))) {
		next = block->next;
		folio_put(virt_to_folio(block));
		cond_resched();
	}
	chain->first = 0;
	/* Whoever owns the chain may let others read it meanwhile */
	WRITE_ONCE(chain->count, 0);
}
EXPORT_SYMBOL_GPL(luo_chain_free);
