// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the reader of chains: what it takes, and what it must not be led by
 *
 * Addresses are those of blocks in an array of the test's; all else is memory
 * that nobody preserved.
 */

#include <kunit/test.h>
#include <linux/crc32.h>
#include <linux/gfp.h>

#include "../luo_internal.h"

#define NR_BLOCKS	4
#define ENTRY_SIZE	sizeof(struct luo_file_ser)
#define PER_BLOCK	((KHO_BLOCK_SIZE - sizeof(struct kho_block_header_ser)) / \
			 ENTRY_SIZE)

/* Physical address of a block: any, but none that memory has */
#define BASE		0xabc000000000ULL
#define AT(_i)		(BASE + (_i) * KHO_BLOCK_SIZE)

/* The page callback has no context, and KUnit runs one case at a time */
static u8 *memory;

static const void *test_page(u64 phys)
{
	if (phys < BASE || phys >= AT(NR_BLOCKS))
		return NULL;

	return memory + (phys - BASE);
}

static struct kho_block_header_ser *block(unsigned int i)
{
	return (void *)memory + i * KHO_BLOCK_SIZE;
}

static struct luo_file_ser *entry(unsigned int i)
{
	return (struct luo_file_ser *)(block(i / PER_BLOCK) + 1) +
	       i % PER_BLOCK;
}

/* A good chain of @count entries, whose tokens count from 0 */
static struct luo_chain chain_of(unsigned int count)
{
	unsigned int i, left = count;

	memset(memory, 0, NR_BLOCKS * KHO_BLOCK_SIZE);
	for (i = 0; left; i++) {
		block(i)->count = min(left, PER_BLOCK);
		left -= block(i)->count;
		block(i)->next = left ? AT(i + 1) : 0;
	}
	for (i = 0; i < count; i++)
		entry(i)->token = i;

	return (struct luo_chain) {
		.first = count ? AT(0) : 0,
		.count = count,
		.entry_size = ENTRY_SIZE,
		.page = test_page,
	};
}

static void every_length(struct kunit *test)
{
	const struct luo_file_ser *ser;
	struct luo_chain chain;
	struct luo_chain_it it;
	unsigned int count, i;
	u32 crc;

	for (count = 0; count <= NR_BLOCKS * PER_BLOCK; count++) {
		chain = chain_of(count);
		KUNIT_ASSERT_EQ(test, luo_chain_take(&chain), 0);
		crc = 0;
		i = 0;
		luo_chain_start(&it, &chain);
		while ((ser = luo_chain_next(&it))) {
			KUNIT_ASSERT_EQ(test, ser->token, i++);
			crc = crc32c(crc, ser, sizeof(*ser));
		}
		KUNIT_EXPECT_EQ(test, i, count);
		KUNIT_EXPECT_EQ(test, luo_chain_crc(&chain), crc);
	}
}

static void taken_once(struct kunit *test)
{
	struct luo_chain chain = chain_of(PER_BLOCK + 1);

	block(1)->count = 2;
	KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), -EUCLEAN);
	KUNIT_EXPECT_FALSE(test, chain.taken);
	block(1)->count = 1;
	KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), 0);
	KUNIT_EXPECT_TRUE(test, chain.taken);
	/* It is not walked again */
	block(1)->count = 2;
	KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), 0);
}

static void wrong_total(struct kunit *test)
{
	struct luo_chain chain = chain_of(2 * PER_BLOCK + 3);

	chain.count--;
	KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), -EUCLEAN);
	chain.count += 2;
	KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), -EUCLEAN);
	chain.count = U64_MAX;
	KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), -EUCLEAN);
	chain.count = 0;
	KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), -EUCLEAN);
}

static void wrong_block_counts(struct kunit *test)
{
	static const u64 wrong[] = { 0, 1, PER_BLOCK - 1, PER_BLOCK + 1,
				     U64_MAX };
	struct luo_chain chain;
	unsigned int i, b;

	for (b = 0; b < 3; b++) {
		for (i = 0; i < ARRAY_SIZE(wrong); i++) {
			chain = chain_of(2 * PER_BLOCK + 3);
			block(b)->count = wrong[i];
			KUNIT_EXPECT_EQ_MSG(test, luo_chain_take(&chain),
					    -EUCLEAN, "block %u, count %llu",
					    b, wrong[i]);
		}
	}
}

/* An empty block at the end is what a full block and a failed create left once */
static void empty_last_block(struct kunit *test)
{
	struct luo_chain chain = chain_of(PER_BLOCK);

	block(0)->next = AT(1);
	KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), -EUCLEAN);
}

static void addresses_that_are_none(struct kunit *test)
{
	static const u64 wrong[] = { 0, 1, BASE - KHO_BLOCK_SIZE,
				     BASE + 8, AT(NR_BLOCKS), U64_MAX };
	struct luo_chain chain;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		chain = chain_of(PER_BLOCK + 1);
		chain.first = wrong[i];
		KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), -EUCLEAN);

		chain = chain_of(PER_BLOCK + 1);
		block(0)->next = wrong[i];
		KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), -EUCLEAN);
	}
}

static void circles(struct kunit *test)
{
	struct luo_chain chain;
	unsigned int from, to;

	for (from = 0; from < 3; from++) {
		for (to = 0; to <= from; to++) {
			chain = chain_of(3 * PER_BLOCK);
			block(from)->next = AT(to);
			KUNIT_EXPECT_EQ_MSG(test, luo_chain_take(&chain),
					    -EUCLEAN, "from %u to %u", from, to);
		}
	}
}

/* A full block that is its own next, and a count that this would never reach */
static void endless(struct kunit *test)
{
	struct luo_chain chain = chain_of(PER_BLOCK);

	block(0)->next = AT(0);
	chain.count = U64_MAX;
	KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), -EUCLEAN);
	chain.count = U64_MAX / PER_BLOCK * PER_BLOCK;
	KUNIT_EXPECT_EQ(test, luo_chain_take(&chain), -EUCLEAN);
}

static int init(struct kunit *test)
{
	memory = kunit_kzalloc(test, NR_BLOCKS * KHO_BLOCK_SIZE, GFP_KERNEL);

	return memory ? 0 : -ENOMEM;
}

static struct kunit_case cases[] = {
	KUNIT_CASE(every_length),
	KUNIT_CASE(taken_once),
	KUNIT_CASE(wrong_total),
	KUNIT_CASE(wrong_block_counts),
	KUNIT_CASE(empty_last_block),
	KUNIT_CASE(addresses_that_are_none),
	KUNIT_CASE(circles),
	KUNIT_CASE(endless),
	{}
};

static struct kunit_suite suite = {
	.name = "luo_chain",
	.init = init,
	.test_cases = cases,
};

kunit_test_suite(suite);
