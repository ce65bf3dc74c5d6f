// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of how changes to what protects a memfd are held
 */

#include <kunit/test.h>
#include <linux/memfd_gate.h>

#define NOTHING	MEMFD_HOLD_NOTHING
#define EXTRA	MEMFD_HOLD_EXTRA
#define ALL	MEMFD_HOLD_ALL

static bool passes(struct memfd_gate *gate, enum memfd_hold most)
{
	bool entered = memfd_gate_try_enter(gate, most);

	if (entered)
		memfd_gate_leave(gate, most);

	return entered;
}

static void expect_passes(struct kunit *test, struct memfd_gate *gate, bool extra,
			  bool all)
{
	KUNIT_EXPECT_EQ(test, extra, passes(gate, NOTHING));
	KUNIT_EXPECT_EQ(test, all, passes(gate, EXTRA));
}

static void held_by_and_by(struct kunit *test)
{
	struct memfd_gate gate;

	memfd_gate_init(&gate);
	expect_passes(test, &gate, true, true);
	KUNIT_EXPECT_EQ(test, 0, memfd_gate_hold(&gate, EXTRA));
	expect_passes(test, &gate, false, true);
	KUNIT_EXPECT_EQ(test, 0, memfd_gate_hold(&gate, ALL));
	expect_passes(test, &gate, false, false);
	KUNIT_EXPECT_EQ(test, 0, memfd_gate_hold(&gate, EXTRA));
	expect_passes(test, &gate, false, true);
	KUNIT_EXPECT_EQ(test, 0, memfd_gate_enter(&gate));
	memfd_gate_leave(&gate, EXTRA);
	KUNIT_EXPECT_EQ(test, 0, memfd_gate_hold(&gate, NOTHING));
	expect_passes(test, &gate, true, true);
}

/* Who is inside may stay there if that is allowed; who is not has a second to leave */
static void waits_for_those_inside(struct kunit *test)
{
	struct memfd_gate gate;

	memfd_gate_init(&gate);
	KUNIT_ASSERT_TRUE(test, memfd_gate_try_enter(&gate, EXTRA));
	KUNIT_EXPECT_EQ(test, 0, memfd_gate_hold(&gate, EXTRA));
	KUNIT_EXPECT_EQ(test, -EAGAIN, memfd_gate_hold(&gate, ALL));
	expect_passes(test, &gate, false, true);
	memfd_gate_leave(&gate, EXTRA);
	KUNIT_EXPECT_EQ(test, 0, memfd_gate_hold(&gate, ALL));
	KUNIT_EXPECT_EQ(test, 0, memfd_gate_hold(&gate, NOTHING));

	KUNIT_ASSERT_TRUE(test, memfd_gate_try_enter(&gate, NOTHING));
	KUNIT_EXPECT_EQ(test, -EAGAIN, memfd_gate_hold(&gate, ALL));
	expect_passes(test, &gate, true, true);
	memfd_gate_leave(&gate, NOTHING);
	KUNIT_EXPECT_EQ(test, 0, memfd_gate_hold(&gate, ALL));
	expect_passes(test, &gate, false, false);
}

static struct kunit_case gate_cases[] = {
	KUNIT_CASE(held_by_and_by),
	KUNIT_CASE(waits_for_those_inside),
	{}
};

static struct kunit_suite gate_suite = {
	.name = "luo_memfd_gate",
	.test_cases = gate_cases,
};

kunit_test_suite(gate_suite);
