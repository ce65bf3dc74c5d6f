// SPDX-License-Identifier: GPL-2.0
/*
 * Memfds of huge pages, as they come from the previous kernel: one that is right, and
 * what is found wrong when a word of it has another value. Prints TAP.
 *
 * A huge page has four pages here, as memory has few.
 */

#include "hugetlb_luo.h"
#include "luo_internal.h"
#include "memfd_luo.h"
#include "memory.h"

#define ORDER		2
#define HUGE		(PAGE_SIZE << ORDER)
#define NOWHERE		0x7000000000ULL

/* Pages of memory: two huge ones that are adjacent, one that is not, the records */
enum {
	CONTENT = 0,
	LATE_CONTENT = 12,
	KEPT = 8,
	LATE,
	REGIONS,
	FREE_PAGE,
};

static struct hugetlb_luo_ser ser;

static void *record(unsigned int page)
{
	return (struct kho_block_header_ser *)memory_look(page) + 1;
}

/* A block with as many records, which are returned */
static void *write_block(unsigned int page, unsigned int count)
{
	struct kho_block_header_ser *block = memory_preserve(page, 0);

	block->count = count;
	return block + 1;
}

static void write_extents(void)
{
	*(struct hugetlb_luo_extent *)write_block(KEPT, 1) =
		(struct hugetlb_luo_extent){ MEMORY_PHYS(CONTENT), 1, 2 };
	*(struct hugetlb_luo_extent *)write_block(LATE, 1) =
		(struct hugetlb_luo_extent){ MEMORY_PHYS(LATE_CONTENT), 6, 1 };
	memory_preserve(CONTENT, ORDER);
	memory_preserve(CONTENT + (1 << ORDER), ORDER);
	memory_preserve(LATE_CONTENT, ORDER);
}

static void write_file(void)
{
	struct hugetlb_luo_region *regions = write_block(REGIONS, 2);

	memset(&ser, 0, sizeof(ser));
	strscpy_pad(ser.attrs.name, MEMFD_PREFIX "huge");
	ser.attrs.size = 7 * HUGE - 1;
	ser.order = ORDER;
	write_extents();
	regions[0] = (struct hugetlb_luo_region){ 0, 3 };
	regions[1] = (struct hugetlb_luo_region){ 5, 7 };
}

/* However often memory is named, it is not looked at more often than it is large */
static bool extents_ok(const struct luo_chain *kept, const struct luo_chain *late)
{
	const unsigned long asked = memory_asked();
	bool ok = hugetlb_luo_extents_ok(&ser, kept, late);

	must(memory_asked() - asked <= max_pfn >> ser.order);
	return ok;
}

/* As hugetlb_luo_in.c looks at it; the chains have so many records */
static bool file_ok(u64 nr_kept, u64 nr_late)
{
	struct luo_chain kept = LUO_CHAIN(MEMORY_PHYS(KEPT), nr_kept,
					  struct hugetlb_luo_extent);
	struct luo_chain late = LUO_CHAIN(MEMORY_PHYS(LATE), nr_late,
					  struct hugetlb_luo_extent);
	struct luo_chain regions = LUO_CHAIN(MEMORY_PHYS(REGIONS), 2,
					     struct hugetlb_luo_region);

	ser.crc = crc32c(0, &ser, offsetof(struct hugetlb_luo_ser, crc));
	return hugetlb_luo_ser_ok(&ser) && !luo_chain_take(&kept) &&
	       !luo_chain_take(&late) && !luo_chain_take(&regions) &&
	       extents_ok(&kept, &late) &&
	       hugetlb_luo_regions_ok(&regions, &ser);
}

enum { NO_PAGE = -1 };

/**
 * struct test - one word of the file that is another one
 * @name:   of the test
 * @page:   whose first record it is in, or NO_PAGE: in the file's own
 * @offset: in that
 * @size:   of the word
 * @value:  that it is given
 * @want:   whether the file is still right
 */
static const struct test {
	const char *name;
	int page;
	size_t offset, size;
	u64 value;
	bool want;
} tests[] = {
#define SER(_name, _member, _size, _value, _want)			\
	{ _name, NO_PAGE, offsetof(struct hugetlb_luo_ser, _member),	\
	  (_size), (_value), (_want) }
#define EXTENT(_name, _member, _value, _want)				\
	{ "extent_" _name, KEPT,					\
	  offsetof(struct hugetlb_luo_extent, _member), 8, (_value), (_want) }
#define REGION(_name, _member, _value, _want)				\
	{ "region_" _name, REGIONS,					\
	  offsetof(struct hugetlb_luo_region, _member), 8, (_value), (_want) }
#define SECOND(_name, _member, _value, _want)				\
	{ "second_region_" _name, REGIONS,				\
	  sizeof(struct hugetlb_luo_region) +				\
	  offsetof(struct hugetlb_luo_region, _member), 8, (_value), (_want) }

	SER("intact", order, 4, ORDER, true),
	SER("order_0", order, 4, 0, false),
	SER("order_of_others", order, 4, ORDER + 1, false),
	SER("order_31", order, 4, 31, false),
	SER("order_max", order, 4, UINT32_MAX, false),
	SER("size_smallest", attrs.size, 8, 6 * HUGE + 1, true),
	SER("size_before_the_last", attrs.size, 8, 6 * HUGE, false),
	SER("size_0", attrs.size, 8, 0, false),
	SER("size_max", attrs.size, 8, INT64_MAX, true),
	SER("size_beyond", attrs.size, 8, 1ULL << 63, false),
	SER("pos_beyond", attrs.pos, 8, U64_MAX, false),
	SER("unknown_seal", attrs.seals, 4, 0x40, false),
	SER("unknown_flag", attrs.flags, 4, 1U << 30, false),
	SER("mode_with_type", attrs.mode, 4, 0100600, false),
	SER("reopened_2", attrs.reopened, 4, 2, false),

	EXTENT("nowhere", phys, 0, false),
	EXTENT("out_of_memory", phys, NOWHERE, false),
	EXTENT("at_max", phys, U64_MAX - HUGE + 1, false),
	EXTENT("misaligned", phys, MEMORY_PHYS(CONTENT) + 8, false),
	EXTENT("within_a_huge_page", phys, MEMORY_PHYS(CONTENT + 1), false),
	EXTENT("second_not_preserved", phys,
	       MEMORY_PHYS(CONTENT + (1 << ORDER)), false),
	EXTENT("not_preserved", phys, MEMORY_PHYS(FREE_PAGE), false),
	EXTENT("is_a_block", phys, MEMORY_PHYS(KEPT), false),
	EXTENT("index_first", index, 0, true),
	EXTENT("index_last", index, 5, true),
	EXTENT("index_beyond", index, 6, false),
	EXTENT("index_max", index, U64_MAX, false),
	EXTENT("count_0", count, 0, false),
	EXTENT("count_1", count, 1, true),
	EXTENT("count_3", count, 3, false),
	EXTENT("count_max", count, U64_MAX, false),

	REGION("empty", to, 0, false),
	REGION("backwards", from, 4, false),
	REGION("meets_the_next", to, 5, true),
	REGION("overlaps_the_next", to, 6, false),
	REGION("max", from, U64_MAX, false),
	SECOND("beyond", to, 8, false),
	SECOND("max", to, U64_MAX, false),
	SECOND("before_the_first", from, 2, false),
};

static bool run(const struct test *test)
{
	void *at;

	memory_reset(true);
	write_file();
	at = test->page == NO_PAGE ? &ser : record(test->page);
	memcpy((u8 *)at + test->offset, &test->value, test->size);
	return file_ok(1, 1) == test->want;
}

/* Damage that nothing else would show */
static bool every_bit_counts(void)
{
	size_t bit;

	for (bit = 0; bit < 8 * sizeof(ser); bit++) {
		memory_reset(true);
		write_file();
		must(file_ok(1, 1));
		((u8 *)&ser)[bit / 8] ^= 1 << bit % 8;
		if (hugetlb_luo_ser_ok(&ser))
			return false;
	}

	return true;
}

static void name_content(unsigned int page, u64 count)
{
	struct hugetlb_luo_extent *extents = write_block(page, count);
	u64 i;

	for (i = 0; i < count; i++)
		extents[i] = (struct hugetlb_luo_extent){
			.phys = MEMORY_PHYS(CONTENT), .count = 1,
		};
}

/* As many extents as that, all of the same huge page */
static bool named_often_ok(u64 kept, u64 late)
{
	memory_reset(true);
	write_file();
	name_content(KEPT, kept);
	name_content(LATE, late);

	return file_ok(kept, late);
}

/* All memory can be named, and nothing more */
static bool all_there_is(void)
{
	const u64 most = max_pfn >> ORDER;

	return named_often_ok(most - 1, 1) && named_often_ok(1, most - 1) &&
	       !named_often_ok(most, 1) && !named_often_ok(most - 1, 2) &&
	       !named_often_ok(2 * most, 2 * most);
}

/* ---- Numbers for the pool ---- */

static struct hugetlb_luo_pool pool;

static void pool_write(void)
{
	memset(&pool, 0, sizeof(pool));
	pool.version = HUGETLB_LUO_POOL_VERSION;
	pool.nr = 2;
	pool.entries[0] = (struct hugetlb_luo_pool_entry){ ORDER, 0, 3 };
	pool.entries[1] = (struct hugetlb_luo_pool_entry){ ORDER, 1, 4 };
	pool.crc = crc32c(0, pool.entries, 2 * sizeof(pool.entries[0]));
}

static bool pool_intact(void)
{
	pool_write();
	return hugetlb_luo_pool_ok(&pool);
}

static bool pool_of_another_version(void)
{
	pool_write();
	pool.version++;
	return !hugetlb_luo_pool_ok(&pool);
}

static bool pool_damaged(void)
{
	pool_write();
	pool.entries[1].pages++;
	return !hugetlb_luo_pool_ok(&pool);
}

/* What is behind the page is not read, whatever is there */
static bool pool_too_long(void)
{
	pool_write();
	pool.nr = HUGETLB_LUO_POOL_ENTRIES + 1;
	if (hugetlb_luo_pool_ok(&pool))
		return false;
	pool.nr = UINT32_MAX;
	return !hugetlb_luo_pool_ok(&pool);
}

static bool pool_full(void)
{
	pool_write();
	pool.nr = HUGETLB_LUO_POOL_ENTRIES;
	pool.crc = crc32c(0, pool.entries, sizeof(pool.entries));
	return hugetlb_luo_pool_ok(&pool);
}

static const struct {
	const char *name;
	bool (*run)(void);
} others[] = {
	{ "every_bit_counts", every_bit_counts },
	{ "all_there_is", all_there_is },
	{ "pool_intact", pool_intact },
	{ "pool_of_another_version", pool_of_another_version },
	{ "pool_damaged", pool_damaged },
	{ "pool_too_long", pool_too_long },
	{ "pool_full", pool_full },
};

int main(void)
{
	const size_t nr = ARRAY_SIZE(tests), all_nr = nr + ARRAY_SIZE(others);
	bool all = true, ok;
	size_t i;

	printf("1..%zu\n", all_nr);
	for (i = 0; i < all_nr; i++) {
		ok = i < nr ? run(&tests[i]) : others[i - nr].run();
		printf("%sok %zu hugetlb_%s\n", ok ? "" : "not ", i + 1,
		       i < nr ? tests[i].name : others[i - nr].name);
		all &= ok;
	}

	return !all;
}
