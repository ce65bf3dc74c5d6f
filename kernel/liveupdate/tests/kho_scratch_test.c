// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of whether scratch areas are such as a kernel makes
 */

#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/sizes.h>

#include "../kexec_handover_internal.h"

#define ALIGNMENT	SZ_4M
#define RAM		SZ_1G

static bool memory_is(phys_addr_t phys, u64 size)
{
	return phys + size <= RAM;
}

static bool possible(const struct kho_scratch *scratch, unsigned int cnt)
{
	return kho_scratch_check(scratch, cnt, ALIGNMENT, memory_is);
}

static void good(struct kunit *test)
{
	static const struct kho_scratch scratch[] = {
		{ SZ_512M, SZ_64M },
		/* Empty ones can be anywhere, also within another */
		{ SZ_512M + SZ_4M, 0 },
		{ 1, 0 },
		{ SZ_512M - SZ_64M, SZ_64M },
		{ SZ_512M + SZ_64M, SZ_4M },
		{ RAM - SZ_4M, SZ_4M },
		{ SZ_1M * 520, 0 },
	};

	KUNIT_EXPECT_TRUE(test, possible(scratch, ARRAY_SIZE(scratch)));
	KUNIT_EXPECT_TRUE(test, possible(scratch, 1));
}

static void none(struct kunit *test)
{
	static const struct kho_scratch scratch[] = { { SZ_4M, 0 }, {} };

	KUNIT_EXPECT_FALSE(test, possible(scratch, 0));
	KUNIT_EXPECT_FALSE(test, possible(scratch, ARRAY_SIZE(scratch)));
}

/* Each of them wrong by itself, or beside the first */
static void wrong(struct kunit *test)
{
	static const struct kho_scratch areas[] = {
		{ SZ_4M + SZ_4K, SZ_4M }, { SZ_4M, SZ_4K }, { SZ_4M, 1 },
		{ RAM, SZ_4M }, { RAM - SZ_4M, SZ_8M }, { SZ_4M, RAM },
		{ U64_MAX, SZ_4M }, { U64_MAX - SZ_4M + 1, SZ_4M },
		{ U64_MAX - SZ_4M + 1, SZ_8M }, { SZ_4M, U64_MAX - SZ_4M + 1 },
		{ SZ_512M, SZ_64M }, { SZ_512M, SZ_4M },
		{ SZ_512M - SZ_4M, SZ_8M }, { SZ_512M - SZ_4M, SZ_128M },
		{ SZ_512M + SZ_64M - SZ_4M, SZ_8M },
	};
	struct kho_scratch scratch[3] = { { SZ_512M, SZ_64M } };

	for (unsigned int i = 0; i < ARRAY_SIZE(areas); i++) {
		scratch[2] = areas[i];
		KUNIT_EXPECT_FALSE_MSG(test, possible(scratch, 3), "area %u", i);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE(good),
	KUNIT_CASE(none),
	KUNIT_CASE(wrong),
	{}
};

static struct kunit_suite suite = {
	.name = "luo_kho_scratch",
	.test_cases = cases,
};

kunit_test_suite(suite);
